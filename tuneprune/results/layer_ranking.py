"""The layers of models in the order of how little it matters that they are reset."""

from typing import TYPE_CHECKING

import pyarrow.compute as pc

from tuneprune.errors import ResultsError
from tuneprune.results.resets import trial_resets
from tuneprune.results.trainings import at_steps, grouped, having, mean

if TYPE_CHECKING:
    from tuneprune.results.reader import Results


def layer_ranking(
    results: "Results",
    trial: str | None = None,
    *,
    reset: str = "re_rand",
    split: str | None = None,
    step: int | None = None,
    with_statistics: bool = True,
) -> list[int]:
    """Return the layers, the most ambient first: that with the smallest increase of the WER.

    The increase is the mean over fresh draws of each trial, then over trials. Ties are broken by
    layer.

    Args:
        results: results of an ambient study of whole blocks.
        trial: the trial; the mean over all that were measured if None.
        reset: what parameters were reset to.
        split: what was recognised; may be None where there is one only.
        step: of the checkpoints; the last one of each trial if None.
        with_statistics: whether running statistics of batch norm were reset, too; those of models
            without any count as reset.

    Raises:
        ResultsError: no such trial, step or split; nothing of that kind was measured, or on
            several splits; or the trials do not have the same layers.
    """
    blocks = results.resets(trial, by="row", step="every", split=split, scope="block", reset=reset)
    if not blocks.num_rows:
        whose = "any trial" if trial is None else trial
        raise ResultsError(
            "resets", 0, f"{whose} has none of blocks; run `tuneprune analyze ambient`"
        )
    blocks = having(blocks, "with_statistics", with_statistics)
    splits = sorted(pc.unique(blocks["split"]).to_pylist())
    if len(splits) > 1:
        raise ResultsError("split", None, f"must be one of {', '.join(splits)}")
    found = trial_resets(at_steps(blocks, step), blocks)
    by_trial = grouped(found, lambda row: (row["sweep_id"], row["trial_id"]))
    layers = {key: {row["layer"] for row in rows} for key, rows in by_trial.items()}
    first, *others = layers
    for other in others:
        if layers[other] != layers[first]:
            remedy = f"has not reset the same layers as {first[1]}; name one trial"
            raise ResultsError("trial", other[1], remedy)
    increases = grouped(found, lambda row: int(row["layer"]))
    means = {layer: mean(row["increase"] for row in rows) for layer, rows in increases.items()}
    return sorted(means, key=lambda layer: (means[layer], layer))
