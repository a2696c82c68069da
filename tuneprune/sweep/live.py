"""What a person sees of a sweep while it runs: a table. The screen that ends it is in final.py.

On anything but a terminal, one line for each change of a trial. Fits 100 columns.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from tuneprune.sweep.constraints import violated
from tuneprune.sweep.proposals import Proposal
from tuneprune.sweep.space import Space, baseline_key
from tuneprune.sweep.wording import (
    TITLES,
    WIDTH,
    cut,
    duration,
    short_settings,
    shown_change,
    shown_metric,
)

_BAR_WIDTH = 12
_STYLES = {"running": "cyan", "finished": "green", "stopped": "yellow"}
_STYLES |= {"diverged": "red", "failed": "red"}


@dataclass(kw_only=True, slots=True)
class _Trial:
    """What is known of one trial.

    ``fraction`` is the share of its steps that is done, ``value`` the first objective, ``metrics``
    how it ended; ``shared`` says which baseline it is compared with, or which baseline it is.
    """

    settings: str = ""
    shared: str = ""
    is_baseline: bool = False
    is_replicate: bool = False
    status: str = "running"
    fraction: float = 0.0
    value: float | None = None
    metrics: Mapping[str, Any] = field(default_factory=dict)
    reason: str = ""

    @property
    def has_ended(self) -> bool:
        return self.status not in ("running", "waiting")

    @property
    def done(self) -> float:
        """The share of its work that is done: nothing is left of one that has stopped."""
        return 1.0 if self.has_ended else self.fraction

    def ended(self, metrics: Mapping[str, Any]) -> None:
        """Take note of how it ended; the bar of one that was stopped stays where that was."""
        self.status, self.metrics = metrics.get("status", "failed"), metrics
        self.fraction = self.fraction if self.status == "stopped" else 1.0
        if self.status != "finished":
            self.reason = " ".join((metrics.get("reason") or "unknown").split())

    def progressed(self, metrics: Mapping[str, Any], objective: str) -> None:
        step, total = metrics.get("step"), metrics.get("total_steps")
        if step is not None and total:
            self.fraction = step / total
        value = metrics.get(objective)
        self.value = self.value if value is None else value


class LiveTable:
    """Trials of a running sweep. Use as a context manager around it."""

    def __init__(self, space: Space, console: Console | None = None) -> None:
        self._console = console if console is not None else Console(stderr=True)
        self._space = space
        self._limits = space.search.limits
        self._metric = space.search.objectives[0]
        self._title = TITLES[self._metric]
        self._total = space.num_runs
        self._several = len(space.baselines) > 1 or space.search.replicates is not None
        self._name = space.name
        self._trials: dict[str, _Trial] = {}
        self._began = time.monotonic()
        self._live: Live | None = None
        self._before = 0.0  # trials that had ended when this began
        self._said: set[str] = set()

    @property
    def is_shown(self) -> bool:
        """Whether anything of this is seen by anyone."""
        return not self._console.quiet

    def __enter__(self) -> Self:
        self._began = time.monotonic()
        if self._console.is_terminal and self.is_shown:
            self._live = Live(
                get_renderable=self.render, console=self._console, refresh_per_second=2
            )
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def expect(self, num_runs: int) -> None:
        """Take note of how many runs there are to be."""
        self._total = num_runs

    def started(self, proposal: Proposal) -> None:
        """Take note of a trial that begins, or goes on, be it after it was stopped."""
        trial_id = proposal.trial_id
        trial = self._trials.get(trial_id)
        if trial is None:
            trial = self._trials[trial_id] = self._shown_as(proposal)
            self._say(f"{trial_id} running   {trial.settings}")
        elif trial.status == "stopped":
            done = f"{100 * trial.fraction:.0f} %"
            self._say(f"{trial_id} promoted  goes on from {done}: by now it would not be stopped")
        trial.status, trial.reason = "running", ""

    def waiting(self, trial_id: str, reason: str = "") -> None:
        """Take note of a trial that waits for another one, or for a new process."""
        self._trials.setdefault(trial_id, _Trial()).status = "waiting"
        if reason:
            self._say(f"{trial_id} goes on from its checkpoint: {reason}")

    def said_once(self, line: str) -> None:
        """Print a line about the whole sweep, above the table, unless it was said before."""
        if line not in self._said:
            self._said.add(line)
            self._console.print(cut(line), soft_wrap=True)

    def known(self, proposal: Proposal, metrics: Mapping[str, Any]) -> None:
        """Take note of a trial that ended before this sweep was gone on with."""
        trial = self._trials[proposal.trial_id] = self._shown_as(proposal)
        trial.progressed(metrics, self._metric)
        trial.ended(metrics)
        self._before += 1.0

    def progressed(self, trial_id: str, metrics: Mapping[str, Any]) -> None:
        """Take note of an evaluation of a running trial."""
        self._trials.setdefault(trial_id, _Trial()).progressed(metrics, self._metric)

    def ended(self, trial_id: str, metrics: Mapping[str, Any]) -> None:
        """Take note of how a trial ended; it may have done so before it started."""
        self.progressed(trial_id, metrics)
        trial = self._trials[trial_id]
        trial.ended(metrics)
        line = f"{trial_id} {trial.status:<9} "
        if trial.status == "finished":
            value = f"{self._title} {shown_metric(self._metric, trial.value)}"
            gain = self._gain(trial, self._trials)
            against = f", {gain} vs baseline" if gain else ""
            broken = self._violated(trial, self._trials)
            against += f", not kept: {broken}" if broken else ""
            self._say(f"{line}{value}{against}   {self._overall(self._trials)}")
        else:
            self._say(line + trial.reason)

    def render(self) -> RenderableType:
        """Return the table as it stands now."""
        table = Table(box=None, padding=(0, 1), expand=False, width=self._width())
        table.add_column("trial", no_wrap=True)
        table.add_column("settings", no_wrap=True, overflow="ellipsis", ratio=1)
        table.add_column("", no_wrap=True)
        table.add_column("progress", no_wrap=True)
        table.add_column(self._title, no_wrap=True, justify="right")
        if self._several:
            table.add_column("vs baseline", no_wrap=True, justify="right")
        trials = dict(list(self._trials.items()))  # others are added while this thread draws
        best = self._best(trials)
        shown, hidden = self._shown(trials, best)
        for trial_id in shown:
            trial = trials[trial_id]
            mark = Text(" best", style="bold green") if trial_id == best else Text("     ")
            cells = [
                Text(trial_id),
                Text(trial.reason or trial.settings),
                Text(trial.status, style=_STYLES.get(trial.status, "")),
                _bar(trial.fraction),
                Text(shown_metric(self._metric, trial.value)) + mark,
            ]
            gain = self._gain(trial, trials)
            table.add_row(*cells, *([gain or "-"] if self._several else []))
        more = f"   {hidden} ended trials not shown" if hidden else ""
        return Group(table, Text(f" {self._name}: {self._overall(trials)}{more}", style="bold"))

    def _best(self, trials: Mapping[str, _Trial]) -> str | None:
        rated = [
            (trial.value, trial_id)
            for trial_id, trial in trials.items()
            if trial.status == "finished"
            and trial.value is not None
            and not trial.is_replicate
            and self._violated(trial, trials) is None
        ]
        return min(rated)[1] if rated else None

    def _violated(self, trial: _Trial, trials: Mapping[str, _Trial]) -> str | None:
        """Return the constraints that a finished trial is not known to keep; None without any."""
        baseline = self._baseline(trial, trials)
        finished = baseline is not None and baseline.status == "finished"
        return violated(
            self._limits, trial.metrics, baseline.metrics if baseline and finished else {}
        )

    def _baseline(self, trial: _Trial, trials: Mapping[str, _Trial]) -> _Trial | None:
        """Return the baseline of a trial, once it has ended."""
        same = (one for one in trials.values() if one.is_baseline and one.shared == trial.shared)
        return next((one for one in same if one.has_ended), None)

    def _gain(self, trial: _Trial, trials: Mapping[str, _Trial]) -> str:
        """Return how far a trial is from the baseline of its own seed and model.

        Empty where the sweep has but one baseline, which is in sight, or while one of the two has
        not finished.
        """
        if not self._several or trial.is_baseline or trial.status != "finished":
            return ""
        baseline = self._baseline(trial, trials)
        if (
            baseline is None
            or baseline.status != "finished"
            or None in (trial.value, baseline.value)
        ):
            return ""
        return shown_change(self._metric, trial.value, baseline.value)

    def _shown(self, trials: Mapping[str, _Trial], best: str | None) -> tuple[list[str], int]:
        """Return the trials that fit the screen: those that run, the best, then the latest."""
        room = max(self._console.height - 5, 5)
        urgent = [t for t, trial in trials.items() if trial.status == "running" or t == best]
        others = [t for t in trials if t not in urgent]
        kept = set(urgent[-room:]) | set(others[max(len(others) - room + len(urgent), 0) :])
        return [t for t in trials if t in kept], len(trials) - len(kept)

    def _overall(self, trials: Mapping[str, _Trial]) -> str:
        ended = sum(trial.has_ended for trial in trials.values())
        done = sum(trial.done for trial in trials.values())
        done_now, left = done - self._before, self._total - done
        elapsed_s = time.monotonic() - self._began
        text = f"{ended} of {self._total} trials, {duration(elapsed_s)}"
        if done_now < 0.02 * self._total or ended == self._total:
            return text
        return f"{text}, {duration(elapsed_s * left / done_now)} left"

    def _shown_as(self, proposal: Proposal) -> _Trial:
        values, repeated = proposal.values, proposal.replicate_of
        parts = ["baseline"] if proposal.is_baseline or not values else []
        if repeated is not None:
            parts = [f"{repeated} again, seed {proposal.seed}", *parts]
        return _Trial(
            settings=", ".join([*parts, *([short_settings(values)] if values else [])]),
            shared=baseline_key(self._space, values, proposal.seed),
            is_baseline=proposal.is_baseline,
            is_replicate=repeated is not None,
        )

    def _say(self, line: str) -> None:
        if self._live is None:
            self._console.print(cut(line), soft_wrap=True)

    def _width(self) -> int:
        return min(self._console.width, WIDTH)


def quiet_table(space: Space) -> LiveTable:
    """Return a table that shows nothing."""
    return LiveTable(space, Console(quiet=True))


def _bar(fraction: float) -> Text:
    full = round(_BAR_WIDTH * min(fraction, 1.0))
    text = Text("━" * full, style="cyan")
    return text + Text("━" * (_BAR_WIDTH - full), style="dim") + Text(f"{100 * fraction:4.0f} %")
