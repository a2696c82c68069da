"""Word error rates that a run has recorded of the networks in one of its checkpoints."""

from dataclasses import dataclass

from tuneprune.errors import ResultsError
from tuneprune.results import open_results
from tuneprune.training.checkpoint import Checkpoint

_BETWEEN = "checkpoints"  # RUN/checkpoints/TRIAL/best-00000100


@dataclass(frozen=True, kw_only=True, slots=True)
class RecordedRates:
    """Word error rates of the networks of a checkpoint, by the modules that they keep.

    Args:
        dev: on the dev split; None is the whole model.
        test: on the test split, which only the best checkpoint of a finished run knows.
        unknown: why there are none, in a few words; "" where there are some.
    """

    dev: dict[int | None, float]
    test: dict[int | None, float]
    unknown: str = ""


def recorded_rates(held: Checkpoint) -> RecordedRates:
    """Return what the run that a checkpoint lies in has recorded of it; nothing if it was moved."""
    path = held.path.resolve()
    if path.parent.parent.name != _BETWEEN:
        return _none("it does not lie where its run left it, RUN/checkpoints/TRIAL")
    run, trial = path.parents[2], path.parent.name
    try:
        results = open_results(run)
        tables = (results.evaluations(trial), results.evaluations(trial, by_subnet=True))
    except ResultsError as error:
        return _none(str(error))
    rows = [row for table in tables for row in table.to_pylist() if row["step"] == held.step]
    if not rows:
        return _none(f"{trial} has recorded none at step {held.step} in {run}")
    corpus = held.config.corpus
    dev, test = (
        {row["subnet"]: row["wer"] for row in rows if row["split"] == split}
        for split in (corpus.dev_split, corpus.test_split)
    )
    return RecordedRates(dev=dev, test=test)


def _none(unknown: str) -> RecordedRates:
    return RecordedRates(dev={}, test={}, unknown=unknown)
