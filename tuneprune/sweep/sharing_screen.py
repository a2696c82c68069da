"""What a dry run says of shared steps, disk and time. It formats what others computed."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from rich.text import Text

from tuneprune.sweep.planned_sharing import NOMINAL_STEPS, PlannedSharing
from tuneprune.sweep.stage_tree import Fork, StageTree, Trunk
from tuneprune.sweep.wording import duration, gigabytes

MOST_LINES = 16
_ORDINALS = {1: "", 2: ", 2nd event", 3: ", 3rd event"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Pace:
    """How fast steps are made.

    Args:
        step_time_s: of one trial; None: not known.
        concurrent: trials at once; None: not known.
    """

    step_time_s: float | None
    concurrent: int | None


def sharing_lines(
    plan: PlannedSharing, pace: Pace, *, runs: int, stages_gb: float | None
) -> list[Text]:
    """Return the tree of what trials share, and what the sweep takes in steps, disk and time.

    Args:
        plan: what is known.
        pace: how fast it goes.
        runs: of the sweep, of which the plan may be about the first.
        stages_gb: 10^9 bytes that stages may take.
    """
    if plan.tree is None:
        lines = [f"what trials share: {plan.why_not}"] if plan.why_not else []
        return [Text(line) for line in (*lines, _disk(plan, stages_gb))]
    tree, say = plan.tree, _Amounts(plan)
    of = "" if plan.counted == runs else f" (the first {plan.counted:,} of {runs:,})"
    length = f" of about {plan.longest_steps:,} steps" if plan.steps_known else ""
    lines = [
        f"what {plan.counted:,} runs{of}{length} share:",
        *_trunks(tree.trunks, say),
        *_trained(tree, say),
        _disk(plan, stages_gb),
        _time(plan, pace, runs),
    ]
    return [Text(line) for line in lines]


class _Amounts:
    """Says steps as such, or as fractions of a run where no more is known."""

    def __init__(self, plan: PlannedSharing) -> None:
        self._known = plan.steps_known

    def place(self, step: int) -> str:
        return f"step {step:,}" if self._known else f"{step / NOMINAL_STEPS:.4g} of a run"

    def amount(self, steps: int) -> str:
        return f"{steps:,} steps" if self._known else f"{steps / NOMINAL_STEPS:.4g} runs"


def _trunks(trunks: Sequence[Trunk], say: _Amounts) -> list[str]:
    """Return a line a trunk and a line a fork; those that look alike once."""
    shapes = [(len(one.trials), one.total_steps, one.shared_steps, one.forks) for one in trunks]
    alike = Counter(shapes)
    lines: list[str] = []
    for one, shape in zip(trunks, shapes, strict=True):
        count = alike.pop(shape, 0)
        if count:
            more = f", and {count - 1} more of this shape" if count > 1 else ""
            end = (
                "" if one.shared_steps == one.total_steps else f", to {say.place(one.shared_steps)}"
            )
            lines.append(f"  {_names(one.trials)}{more}: one run until an event{end}")
            lines += [f"    {_fork(fork, say)}" for fork in one.forks]
    hidden = len(lines) - MOST_LINES
    return [*lines[:MOST_LINES], f"  ... and {hidden} lines more"] if hidden > 1 else lines


def _fork(fork: Fork, say: _Amounts) -> str:
    event = _ORDINALS.get(fork.event, f", {fork.event}th event")
    trials = "1 trial goes on" if fork.trials == 1 else f"{fork.trials:,} trials go on"
    ways = f"{fork.most:,}" if fork.least == fork.most else f"{fork.least:,} to {fork.most:,}"
    end = "" if fork.trials == 1 else f" in {ways} way{'s' * (fork.most > 1)}"
    return f"{say.place(fork.step)}{event}: {trials}{end}"


def _trained(tree: StageTree, say: _Amounts) -> list[str]:
    """Return what is trained at most, and what under the assumption that helps."""
    most, least = tree.most.steps, tree.least.steps
    lines = [f"asked for {say.amount(tree.asked)}, trained at most {_share(tree, most, say)}"]
    if least != most:
        hope = "if equal times and delta move equal groups"
        lines.append(f"  {_share(tree, least, say)} {hope}")
    return lines


def _share(tree: StageTree, steps: int, say: _Amounts) -> str:
    return f"{say.amount(steps)} ({100 * steps / tree.asked:.0f} %)"


def _disk(plan: PlannedSharing, stages_gb: float | None) -> str:
    text = f"disk: checkpoints about {gigabytes(plan.checkpoint_bytes)}"
    if not plan.stages_bytes:
        return text
    text += f", stages up to {gigabytes(plan.stages_bytes)} beside while it runs"
    if stages_gb is not None and plan.stages_bytes > stages_gb * 1e9:
        text += f"; --stages-gb {stages_gb:g} allows less, so that some are trained twice"
    return text


def _time(plan: PlannedSharing, pace: Pace, runs: int) -> str:
    if pace.step_time_s is None:
        return "time: --step-time SECONDS, as an earlier run took, makes hours of steps"
    if not plan.steps_known:
        return "time: without the corpus, not even steps are known"
    assert plan.tree is not None
    all_by_counted = runs / plan.counted
    spans = (
        _seconds(round(one.steps * all_by_counted), plan, pace)
        for one in (plan.tree.least, plan.tree.most)
    )
    times = " to ".join(dict.fromkeys(duration(span) for span in spans))
    about = "" if plan.counted == runs else f"about, for all {runs:,}: "
    at_once = "in all trials together" if pace.concurrent is None else f"{pace.concurrent} at once"
    end = f"at {pace.step_time_s:g} s a step; evaluations come on top"
    return f"time: {about}{times}, {at_once}, {end}"


def _seconds(steps: int, plan: PlannedSharing, pace: Pace) -> float:
    """Return the time that steps take if no place is ever empty, but never less than one run."""
    assert pace.step_time_s is not None
    return pace.step_time_s * max(steps / (pace.concurrent or 1), plan.longest_steps)


def _names(names: Sequence[str]) -> str:
    """Return ``t00, t02-t05``: trials in order, neighbours joined, at most four stretches."""
    stretches: list[list[str]] = []
    for name in names:
        if stretches and int(name[1:]) == int(stretches[-1][-1][1:]) + 1:
            stretches[-1].append(name)
        else:
            stretches.append([name])
    said = [one[0] if len(one) == 1 else f"{one[0]}-{one[-1]}" for one in stretches]
    if len(said) <= 4:
        return ", ".join(said)
    return f"{', '.join(said[:3])} and {len(names) - sum(map(len, stretches[:3])):,} more"
