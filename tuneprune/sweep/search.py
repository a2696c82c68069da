"""What Ray Tune takes for a search algorithm: each of its trials is a segment of one of ours."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ray.tune.execution.tune_controller import TuneController
from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler
from ray.tune.search import Searcher

from tuneprune.sweep.optuna_study import StudyProposer
from tuneprune.sweep.proposals import GridProposer, Proposer
from tuneprune.sweep.queue import TrialQueue
from tuneprune.sweep.replicates import ReplicatingProposer
from tuneprune.sweep.space import Space


def make_proposer(
    space: Space,
    *,
    study_name: str,
    journal: Path | None = None,
    reached: Callable[[str], Mapping[int, float]] = lambda trial_id: {},
    replicates: Mapping[tuple[str, int], str] | None = None,
    on_promoted: Callable[[int], None] = lambda count: None,
) -> Proposer:
    """Return what proposes the runs of a space.

    Args:
        space: the space.
        study_name: see ``StudyProposer``.
        journal: see ``StudyProposer``.
        reached: see ``StudyProposer``.
        replicates: see ``ReplicatingProposer``, ``earlier``.
        on_promoted: see ``ReplicatingProposer``.
    """
    proposer: Proposer = (
        GridProposer(space)
        if space.is_grid
        else StudyProposer(space, study_name=study_name, journal=journal, reached=reached)
    )
    if space.search.replicates is None:
        return proposer
    return ReplicatingProposer(space, proposer, earlier=replicates, on_promoted=on_promoted)


class InOrder(FIFOScheduler):
    """Leaves to Tune which process a trial runs in.

    Ray's own puts the first trial that has none yet into a process that has come free, even while
    one is being started for it. The next trial then asks for another process, and the sweep waits
    at its end, for up to 5 s, for one that nobody needs.
    """

    def choose_trial_to_run(self, tune_controller: TuneController) -> Trial | None:
        """Choose none: Tune starts what is pending, in order."""
        return None


class QueueSearcher(Searcher):
    """Hands the segments of a queue to Tune. How they end, the queue hears from ``TrialWatch``."""

    def __init__(self, queue: TrialQueue) -> None:
        # Tune is not told the metric: it would end the sweep when a trial failed without one.
        super().__init__()
        self._queue = queue

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:  # type: ignore[override]
        """Return the next segment; None while all trials run or wait."""
        segment = self._queue.next()
        if segment is not None:
            return segment.to_config()
        return Searcher.FINISHED if self._queue.is_done else None

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Take note of nothing."""

    def save(self, checkpoint_path: str) -> None:
        """Write nothing: what there is to know lies in the folder of the sweep."""

    def restore(self, checkpoint_path: str) -> None:
        """Refuse: a sweep goes on from its folder, never from Ray's pickles."""
        raise AssertionError("the folder is the only state of a sweep")

    def __getstate__(self) -> dict[str, Any]:
        """Leave the queue out of the copy that Ray Tune pickles beside its own state."""
        return {**self.__dict__, "_queue": None}
