"""What the runs of a sweep will share and take on disk, before any of it is begun.

Without its corpus, the length of a run is not known, and all is said in fractions of a run.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tuneprune.adaptation import Watch
from tuneprune.config import GrowDropConfig, RunConfig
from tuneprune.data.corpus import is_corpus, open_corpus
from tuneprune.errors import TunepruneError
from tuneprune.sweep.disk import CheckpointSizes
from tuneprune.sweep.history import History, trunk_of
from tuneprune.sweep.preparation import length_of
from tuneprune.sweep.run_check import StepsOf
from tuneprune.sweep.sharing import Sharing
from tuneprune.sweep.sharing_plan import RunLength, plan_sharing, possible_runs
from tuneprune.sweep.space import Space
from tuneprune.sweep.stage_tree import StageTree, TreeRun, stage_tree
from tuneprune.training.prepare import ASSUMED_LABELS, count_labels

NOMINAL_STEPS = 100_000
"""Of a run whose length is not known; only fractions of it are said."""

_DEVICE = "cpu"  # the same for all of them, whichever it will be


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedSharing:
    """What runs share and what they take on disk.

    Args:
        counted: runs that it is about.
        tree: of their stages; None where it is not known, or nothing is to be shared.
        why_not: why there is no tree; "" if there is one.
        steps_known: the lengths of runs are known; else they are nominal.
        longest_steps: of the longest run.
        checkpoint_bytes: of all runs of the sweep, counted here or not.
        stages_bytes: of all stages of the sweep, at most.
        problems: what is wrong with corpora.
    """

    counted: int
    tree: StageTree | None
    why_not: str
    steps_known: bool
    longest_steps: int
    checkpoint_bytes: int
    stages_bytes: int
    problems: tuple[str, ...] = ()


def plan_shared_steps(
    space: Space,
    runs: Sequence[tuple[str, RunConfig]],
    *,
    steps_of: StepsOf,
    share_stages: bool = True,
) -> PlannedSharing:
    """Return what runs of a space share.

    Args:
        space: whose runs they are; what trials are told of each other depends on all it can make.
        runs: by name: all of a grid, else those that were drawn; none that is known to fail.
        steps_of: of a run.
        share_stages: trials share anything.
    """
    lengths = _Lengths(steps_of)
    sizes = CheckpointSizes(_labels)
    lengths.look_at(config for _, config in runs)
    steps = {name: lengths(config).total_steps for name, config in runs}
    sizes_of = {name: sizes(config) for name, config in runs}
    of_runs = sum(size.of_run for size in sizes_of.values())
    problems = lengths.problems
    why_not, tree = "", None
    if lengths.any_unknown and any(_in_steps(config) for _, config in runs):
        why_not = "times are given in steps, and without the corpus a run's length is not known"
    elif not problems:
        tree = stage_tree(_tree_runs(space, runs, lengths, share_stages=share_stages))
    stages = tree.most.stages if tree is not None else {}
    of_stages = sum(count * sizes_of[name].resumable for name, count in stages.items())
    return PlannedSharing(
        counted=len(runs),
        tree=tree,
        why_not=why_not,
        steps_known=not lengths.any_unknown,
        longest_steps=max(steps.values()),
        checkpoint_bytes=round(of_runs * space.num_runs / len(runs)),
        stages_bytes=round(of_stages * space.num_runs / len(runs)),
        problems=tuple(dict.fromkeys(problems)),
    )


class _Lengths:
    """Lengths of runs by their corpora; nominal ones where a corpus is missing or unfit."""

    def __init__(self, steps_of: StepsOf) -> None:
        self._steps_of = steps_of
        self.any_unknown = False
        self.problems: list[str] = []
        self._known: dict[str, RunLength] = {}

    def look_at(self, configs: Iterable[RunConfig]) -> None:
        """Take all lengths as nominal, if one of these is: fractions do not add to steps."""
        for config in configs:
            self(config)
        if self.any_unknown:
            self._known.clear()

    def __call__(self, config: RunConfig) -> RunLength:
        key = length_of(config)
        if key not in self._known:
            self._known[key] = self._length(config)
        return self._known[key]

    def _length(self, config: RunConfig) -> RunLength:
        path = config.corpus.path
        steps, fingerprint = None, str(path)
        try:
            if not self.any_unknown:
                steps = self._steps_of(config)
            fingerprint = open_corpus(path).fingerprint if is_corpus(path) else str(path)
        except TunepruneError as error:
            self.problems.append(str(error))
        self.any_unknown |= steps is None
        return RunLength(corpus_fingerprint=fingerprint, total_steps=steps or NOMINAL_STEPS)


def _labels(config: RunConfig) -> int:
    try:
        return count_labels(config)[0]
    except TunepruneError:  # said where models are described
        return ASSUMED_LABELS


def _in_steps(config: RunConfig) -> bool:
    return isinstance(config.adaptation, GrowDropConfig) and config.adaptation.at_steps is not None


def _tree_runs(
    space: Space,
    runs: Sequence[tuple[str, RunConfig]],
    lengths: _Lengths,
    *,
    share_stages: bool,
) -> list[TreeRun]:
    if not share_stages:
        return [
            TreeRun(trial_id=name, config=config, sharing=_alone(name, lengths(config)))
            for name, config in runs
        ]
    plan = plan_sharing(possible_runs(space), lengths, device=_DEVICE)
    found = []
    for name, config in runs:
        length = lengths(config)
        if config.federated is not None:
            found.append(TreeRun(trial_id=name, config=config, sharing=_alone(name, length)))
            continue
        trunk = trunk_of(config, corpus_fingerprint=length.corpus_fingerprint, device=_DEVICE)
        sharing = plan.sharing(trunk, length.total_steps)
        found.append(TreeRun(trial_id=name, config=config, sharing=sharing))
    return found


def _alone(name: str, length: RunLength) -> Sharing:
    return Sharing(
        trunk=History(trunk=name),
        watch=Watch(),
        steps=frozenset(),
        total_steps=length.total_steps,
    )
