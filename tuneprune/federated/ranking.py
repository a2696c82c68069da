"""Layers from ambient to critical, as resets have measured them."""

from collections import defaultdict
from statistics import fmean

from tuneprune.errors import ResultsError
from tuneprune.results.reader import Results


# A stand-in until results/resets.py is there, which then takes its place.
def layer_ranking(results: Results, trial: str | None) -> list[int]:
    """Return the layers by the mean increase of WER when each is reset, the lowest first.

    Means are over trials, draws and seeds; of equals, the lower layer comes first.

    Raises:
        ResultsError: no layer was reset there.
    """
    found: dict[int, list[float]] = defaultdict(list)
    for row in results.table("layer_resets").to_pylist():
        of_trial = trial is None or row["trial_id"] == trial
        if of_trial and row["scope"] == "block" and row["reset"] == "re_rand":
            found[row["layer"]].append(row["increase"])
    if not found:
        place = results.path if trial is None else f"{results.path}@{trial}"
        remedy = "has no resets of blocks; run `tuneprune analyze ambient` on it"
        raise ResultsError("layer_resets", str(place), remedy)
    return sorted(found, key=lambda layer: (fmean(found[layer]), layer))
