"""The one screen that ends a sweep: the best trial, its baseline, and how sure that is."""

from collections.abc import Sequence
from datetime import datetime

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from tuneprune.results.bootstrap import Comparison
from tuneprune.results.significance_columns import shown_p
from tuneprune.sweep.commands import shell_command
from tuneprune.sweep.constraints import DEV_RATES
from tuneprune.sweep.differences import shown_value
from tuneprune.sweep.final_parts import chosen_by, render_front, render_over_seeds
from tuneprune.sweep.folder import shown_path
from tuneprune.sweep.outcome import SweepOutcome, settings_of
from tuneprune.sweep.over_seeds import TrialRow
from tuneprune.sweep.wording import cut, duration, percent, points, short

_ENDS = {"stopped": "stopped early"}


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
        kept = " and keeps the constraints" if outcome.infeasible else ""
        lines.append(Text(f"No trial finished{kept}.", style="red"))
    else:
        chosen = f"chosen {chosen_by(outcome)}"
        lines.append(Text(f"Best of {_compared_trials(outcome)}, {chosen}: ", style="green"))
        settings = Text(f"{outcome.best['trial_id']}  {_full_settings(outcome.best)}")
        lines.append(Padding(settings, (0, 0, 0, 2)))
    lines += [Text(), _error_rates(outcome), *render_front(outcome), *_several(outcome)]
    lines += [*_verdict(outcome), *render_over_seeds(outcome), Text()]
    lines += [*_failures(outcome.failures), _summary(outcome)]
    return Group(*lines)


def _reread(outcome: SweepOutcome) -> list[Text]:
    if not outcome.reread:
        return []
    ended = datetime.fromtimestamp(outcome.finished_s).strftime("%Y-%m-%d %H:%M")
    return [Text(f"finished on {ended}; read, not trained again (--restart trains anew)"), Text()]


def _full_settings(row: TrialRow) -> str:
    return ", ".join(f"{path}={short(value)}" for path, value in settings_of(row).items())


def _compared_trials(outcome: SweepOutcome) -> str:
    finished = outcome.compared
    others = f" ({outcome.infeasible} more violate constraints)" if outcome.infeasible else ""
    return f"{finished} finished trial{'' if finished == 1 else 's'}{others}"


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
        said = Text(f"Not compared with the baseline: {outcome.not_compared}")
        return [Text(), *_test_wer(outcome), said]
    return [
        Text(),
        *_test_wer(outcome),
        Text(
            f"Test WER, best minus baseline: {points(found.difference)} points, 95 % interval "
            f"[{points(found.low)}, {points(found.high)}]{_judgement(outcome, found)}."
        ),
        *_unshared(outcome),
        Text(
            f"(paired bootstrap over {outcome.blocks} {outcome.block}s, fewer errors in "
            f"{100 * found.probability_of_improvement:.0f} % of draws; MAPSSWE: {_mapsswe(found)})"
        ),
        Text(f"{_choice(outcome)} {_seeds(outcome)}"),
    ]


def _test_wer(outcome: SweepOutcome) -> list[Text]:
    if outcome.best is None or outcome.test_interval is None:
        return []
    low, high = (f"{100 * end:.1f}" for end in outcome.test_interval)
    rate = percent(outcome.best["test_wer"])
    return [Text(f"Test WER of the best: {rate}, 95 % interval [{low}, {high}].")]


def _mapsswe(found: Comparison) -> str:
    return f"no p, {found.no_p}" if found.p is None else f"p {shown_p(found.p)}"


def _choice(outcome: SweepOutcome) -> str:
    if outcome.objectives[0] not in DEV_RATES:
        return f"The best was chosen {chosen_by(outcome)}, not by how it recognises."
    best = f"The best of {outcome.compared} was chosen on dev, which flatters its dev WER"
    return f"{best}; its test WER had no part in the choice."


def _judgement(outcome: SweepOutcome, found: Comparison) -> str:
    if outcome.unshared:  # clear or not, it would be taken for what adaptation did
        return ""
    clear = "no clear difference" if found.low <= 0 <= found.high else "a clear difference"
    # Utterances of one speaker are alike: drawn one by one, they say nothing of other speakers.
    among = "" if outcome.block == "speaker" else " within these speakers"
    return f": {clear}{among}"


def _unshared(outcome: SweepOutcome) -> list[Text]:
    if not outcome.unshared:
        return []
    ours = " and ".join(f"{field.path} {shown_value(field.one)}" for field in outcome.unshared)
    best = " and ".join(shown_value(field.other) for field in outcome.unshared)
    said = f"The baseline has {ours}, the best {best}: not adaptation alone makes the difference."
    return [Text(said)]


def _several(outcome: SweepOutcome) -> list[Text]:
    count = outcome.baselines.recorded
    if count < 2:
        return []
    seeds = f"{outcome.seeds} seed{'' if outcome.seeds == 1 else 's'}"
    if outcome.best is None:
        return [Text(), Text(f"{count} baselines, {seeds}; the first is shown.")]
    return [
        Text(),
        Text(
            f"{count} settings of seed and model, each with a baseline of its own ({seeds}); "
            "shown is that of\nthe best trial."
        ),
    ]


def _seeds(outcome: SweepOutcome) -> str:
    if outcome.over_seeds is not None:
        return "Other seeds are below."
    if outcome.seeds == 1:
        return "One seed: another may rank otherwise."
    return f"Best of {outcome.seeds} seeds, so luck is in it: see `results pool`."


def _failures(failures: Sequence[TrialRow]) -> list[Text]:
    if not failures:
        return []
    lines = [Text(f"{len(failures)} trial(s) failed or diverged:", style="red")]
    for row in failures[:5]:
        lines.append(cut(f"  {row['trial_id']} {row['status']}: {row['reason'] or 'unknown'}"))
    if len(failures) > 5:
        lines.append(Text(f"  ... and {len(failures) - 5} more"))
    return [*lines, Text()]


def _summary(outcome: SweepOutcome) -> Text:
    counts = {_ENDS.get(status, status): count for status, count in outcome.counts.items()}
    ended = ", ".join(f"{count} {how}" for how, count in sorted(counts.items()))
    return Text(f"{ended} in {duration(outcome.seconds)}. Tables: {shown_path(outcome.path)}")


def _commands(outcome: SweepOutcome) -> list[Text]:
    path = shown_path(outcome.path)
    query = "select trial_id, test_wer from trials"
    commands = [("show", path), ("significance", path), ("sql", query, path)]
    return [Text(f"  {shell_command('tuneprune', 'results', *parts)}") for parts in commands]
