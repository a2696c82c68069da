"""What a person sees of a sweep: a table while it runs, one screen when it has ended.

On anything but a terminal, one line for each change of a trial. Fits 100 columns.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Any, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from tuneprune.sweep.commands import shell_command
from tuneprune.sweep.folder import shown_path
from tuneprune.sweep.outcome import SweepOutcome, TrialRow, settings_of
from tuneprune.sweep.space import Space

_WIDTH = 100
_BAR_WIDTH = 12
_TITLES = {"dev_wer": "dev WER", "dev_cer": "dev CER"}
_STYLES = {"running": "cyan", "finished": "green", "diverged": "red", "failed": "red"}


@dataclass(kw_only=True, slots=True)
class _Trial:
    """What is known of one trial: share of its steps that is done, error rate as a fraction."""

    settings: str = ""
    status: str = "running"
    fraction: float = 0.0
    rate: float | None = None
    reason: str = ""


class LiveTable:
    """Trials of a running sweep. Use as a context manager around it."""

    def __init__(self, space: Space, console: Console | None = None) -> None:
        self._console = console if console is not None else Console(stderr=True)
        self._metric = space.search.objective.metric
        self._title = _TITLES[self._metric]
        self._total = space.search.trials + 1
        self._name = space.name
        self._trials: dict[str, _Trial] = {}
        self._began = time.monotonic()
        self._live: Live | None = None

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

    def started(self, trial_id: str, values: Mapping[str, Any]) -> None:
        """Take note of a trial that begins."""
        settings = short_settings(values) or "baseline"
        self._trials[trial_id] = _Trial(settings=settings)
        self._say(f"{trial_id} running   {settings}")

    def progressed(self, trial_id: str, metrics: Mapping[str, Any]) -> None:
        """Take note of an evaluation of a running trial."""
        trial = self._trials.setdefault(trial_id, _Trial())
        step, total = metrics.get("step"), metrics.get("total_steps")
        if step is not None and total:
            trial.fraction = step / total
        trial.rate = metrics.get(self._metric, trial.rate)

    def ended(self, trial_id: str, metrics: Mapping[str, Any]) -> None:
        """Take note of how a trial ended; it may have done so before it started."""
        self.progressed(trial_id, metrics)
        trial = self._trials[trial_id]
        trial.status = metrics.get("status", "failed")
        trial.fraction = 1.0
        line = f"{trial_id} {trial.status:<9} "
        if trial.status == "finished":
            rate = f"{self._title} {percent(trial.rate)}"
            self._say(f"{line}{rate}   {self._overall(self._trials)}")
        else:
            trial.reason = " ".join(metrics.get("reason", "unknown").split())
            self._say(_cut(line + trial.reason).plain)

    def render(self) -> RenderableType:
        """Return the table as it stands now."""
        table = Table(box=None, padding=(0, 1), expand=False, width=self._width())
        table.add_column("trial", no_wrap=True)
        table.add_column("settings", no_wrap=True, overflow="ellipsis", ratio=1)
        table.add_column("", no_wrap=True)
        table.add_column("progress", no_wrap=True)
        table.add_column(self._title, no_wrap=True, justify="right")
        trials = dict(list(self._trials.items()))  # others are added while this thread draws
        best = self._best(trials)
        shown, hidden = self._shown(trials, best)
        for trial_id in shown:
            trial = trials[trial_id]
            mark = Text(" best", style="bold green") if trial_id == best else Text("     ")
            table.add_row(
                Text(trial_id),
                Text(trial.reason or trial.settings),
                Text(trial.status, style=_STYLES.get(trial.status, "")),
                _bar(trial.fraction),
                Text(percent(trial.rate)) + mark,
            )
        more = f"   {hidden} ended trials not shown" if hidden else ""
        return Group(table, Text(f" {self._name}: {self._overall(trials)}{more}", style="bold"))

    def _best(self, trials: Mapping[str, _Trial]) -> str | None:
        rated = [
            (trial.rate, trial_id)
            for trial_id, trial in trials.items()
            if trial.status == "finished" and trial.rate is not None
        ]
        return min(rated)[1] if rated else None

    def _shown(self, trials: Mapping[str, _Trial], best: str | None) -> tuple[list[str], int]:
        """Return the trials that fit the screen: those that run, the best, then the latest."""
        room = max(self._console.height - 5, 5)
        urgent = [t for t, trial in trials.items() if trial.status == "running" or t == best]
        others = [t for t in trials if t not in urgent]
        kept = set(urgent[-room:]) | set(others[max(len(others) - room + len(urgent), 0) :])
        return [t for t in trials if t in kept], len(trials) - len(kept)

    def _overall(self, trials: Mapping[str, _Trial]) -> str:
        ended = sum(trial.status != "running" for trial in trials.values())
        done = sum(trial.fraction for trial in trials.values()) / self._total
        elapsed_s = time.monotonic() - self._began
        text = f"{ended} of {self._total} trials, {duration(elapsed_s)}"
        if done < 0.02 or ended == self._total:
            return text
        return f"{text}, about {duration(elapsed_s * (1 - done) / done)} left"

    def _say(self, line: str) -> None:
        if self._live is None:
            self._console.print(Text(line), soft_wrap=True)

    def _width(self) -> int:
        return min(self._console.width, _WIDTH)


def quiet_table(space: Space) -> LiveTable:
    """Return a table that shows nothing."""
    return LiveTable(space, Console(quiet=True))


def print_outcome(outcome: SweepOutcome, console: Console) -> None:
    """Print the screen that ends a sweep. Commands are not wrapped: they are to be copied."""
    console.print(_report(outcome))
    for command in _commands(outcome):
        console.print(command, soft_wrap=True)


def render_outcome(outcome: SweepOutcome) -> RenderableType:
    """Return the screen that ends a sweep, in the width of whatever it is printed on."""
    return Group(_report(outcome), *_commands(outcome))


def _report(outcome: SweepOutcome) -> RenderableType:
    lines: list[RenderableType] = [*_reread(outcome), Text(outcome.question, style="bold"), Text()]
    if outcome.best is None:
        lines.append(Text("No trial finished.", style="red"))
    else:
        lines.append(Text(f"Best of {_compared_trials(outcome)}, chosen on dev: ", style="green"))
        settings = Text(f"{outcome.best['trial_id']}  {_full_settings(outcome.best)}")
        lines.append(Padding(settings, (0, 0, 0, 2)))
    lines += [Text(), _error_rates(outcome), *_verdict(outcome), Text()]
    lines += [*_failures(outcome.failures), _summary(outcome)]
    return Group(*lines)


def short_settings(values: Mapping[str, Any]) -> str:
    """Return searched settings on one line, by the last part of their paths."""
    return ", ".join(f"{path.split('.')[-1]} {_short(value)}" for path, value in values.items())


def percent(fraction: float | None) -> str:
    """Return a fraction as a person reads error rates."""
    return "-" if fraction is None else f"{100 * fraction:.1f} %"


def duration(seconds: float) -> str:
    """Return seconds as ``2 h 05 min``, ``5 min 10 s`` or ``9 s``."""
    if seconds != seconds:
        return "unknown time"
    minutes, rest_s = divmod(round(seconds), 60)
    hours, rest_min = divmod(minutes, 60)
    if hours:
        return f"{hours} h {rest_min:02d} min"
    return f"{minutes} min {rest_s:02d} s" if minutes else f"{rest_s} s"


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _bar(fraction: float) -> Text:
    full = round(_BAR_WIDTH * min(fraction, 1.0))
    text = Text("━" * full, style="cyan")
    return text + Text("━" * (_BAR_WIDTH - full), style="dim") + Text(f"{100 * fraction:4.0f} %")


def _reread(outcome: SweepOutcome) -> list[Text]:
    if not outcome.reread:
        return []
    ended = datetime.fromtimestamp(outcome.finished_s).strftime("%Y-%m-%d %H:%M")
    return [Text(f"finished on {ended}; read, not trained again (--restart trains anew)"), Text()]


def _cut(line: str) -> Text:
    text = Text(line)
    text.truncate(_WIDTH, overflow="ellipsis")
    return text


def _full_settings(row: TrialRow) -> str:
    return ", ".join(f"{path}={_short(value)}" for path, value in settings_of(row).items())


def _compared_trials(outcome: SweepOutcome) -> str:
    baseline_finished = outcome.baseline is not None and outcome.baseline["status"] == "finished"
    finished = outcome.counts.get("finished", 0) - baseline_finished
    return f"{finished} finished trial{'' if finished == 1 else 's'}"


def _error_rates(outcome: SweepOutcome) -> Table:
    table = Table(box=None, padding=(0, 2), pad_edge=False)
    table.add_column("")
    for title in ("dev WER", "dev CER", "test WER", "test CER", "parameters", "minutes"):
        table.add_column(title, justify="right", no_wrap=True)
    for name, row in (("best", outcome.best), ("baseline", outcome.baseline)):
        if row is None:
            continue
        if row["status"] != "finished":
            table.add_row(name, Text(row["status"]))
            continue
        rates = [
            percent(row[f"{split}_{rate}"]) for split in ("dev", "test") for rate in ("wer", "cer")
        ]
        table.add_row(name, *rates, f"{row['params']:,}", f"{row['train_s'] / 60:.1f}")
    return table


def _verdict(outcome: SweepOutcome) -> list[Text]:
    found = outcome.comparison
    if found is None:
        return [Text(), Text(f"Not compared with the baseline: {outcome.not_compared}")]
    clear = "no clear difference" if found.low <= 0 <= found.high else "a clear difference"
    # Utterances of one speaker are alike: drawn one by one, they say nothing of other speakers.
    among = "" if outcome.block == "speaker" else " within these speakers"
    return [
        Text(),
        Text(
            f"Test WER, best minus baseline: {100 * found.difference:+.1f} points, 95 % interval "
            f"[{100 * found.low:+.1f}, {100 * found.high:+.1f}]: {clear}{among}."
        ),
        Text(
            f"(paired bootstrap over {outcome.blocks} {outcome.block}s; chance that the best is "
            f"better: {100 * found.probability_of_improvement:.0f} %)"
        ),
        Text(
            f"The best of {_compared_trials(outcome)} was chosen on dev, which flatters its dev "
            "WER; its test WER\nhad no part in the choice. One seed: another may rank otherwise."
        ),
    ]


def _failures(failures: Sequence[TrialRow]) -> list[Text]:
    if not failures:
        return []
    lines = [Text(f"{len(failures)} trial(s) failed or diverged:", style="red")]
    for row in failures[:5]:
        lines.append(_cut(f"  {row['trial_id']} {row['status']}: {row['reason'] or 'unknown'}"))
    if len(failures) > 5:
        lines.append(Text(f"  ... and {len(failures) - 5} more"))
    return [*lines, Text()]


def _summary(outcome: SweepOutcome) -> Text:
    ended = ", ".join(f"{count} {status}" for status, count in sorted(outcome.counts.items()))
    return Text(f"{ended} in {duration(outcome.seconds)}. Tables: {shown_path(outcome.path)}")


def _commands(outcome: SweepOutcome) -> list[Text]:
    path = shown_path(outcome.path)
    query = "select trial_id, test_wer from trials"
    commands = [("show", path), ("best", path), ("sql", query, path)]
    return [Text(f"  {shell_command('tuneprune', 'results', *parts)}") for parts in commands]
