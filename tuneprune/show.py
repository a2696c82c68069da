"""What commands print: tables that fit a terminal.

It formats values that others computed. Text from outside is never taken for markup.
"""

import sys
import textwrap
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import yaml
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from tuneprune.results.formats import as_csv, as_json, as_markdown, as_parquet, escaped
from tuneprune.results.layout import Column, fitted
from tuneprune.results.reader import Results
from tuneprune.results.significance_columns import shown_p
from tuneprune.sweep.commands import shell_command
from tuneprune.sweep.wording import duration, percent

if TYPE_CHECKING:  # these import torch, which those who only read results do not wait for
    from tuneprune.data.corpus import Corpus
    from tuneprune.models.describe import ModelDescription
    from tuneprune.structure.groups import Allocation
    from tuneprune.sweep.findings import Finding
    from tuneprune.training.run import RunSummary

_LABELS_FROM = {
    "corpus": "of the corpus",
    "synthesis": "of the words to be synthesised",
    "checkpoint": "of the checkpoint to start from",
    "option": "as asked for",
    "assumed": "assumed: the corpus is not here; say --labels N",
}
_STATUS_STYLES = {"ok": "", "warning": "yellow", "problem": "red"}
READ_BY_PEOPLE = ("text", "markdown")

# Said below the table, for people, where all rows have the same.
_KEYS = ("sweep_id", "trial_id", "attempt", "seed", "event", "scorer", "applied", "split", "method")
_FIXED = ("delta", "new_groups", "window_steps", "total_steps", "is_baseline", "language")
# The same said at length, or of no use to the eye.
_LONG = ("config", "settings", "traceback", "plan_fingerprint", "group_id")

_RATES = ("dev_wer", "test_wer")
_FEW_BYTES = 8  # of a mask, for people
_STATUS_ORDER = ("finished", "running", "stopped", "diverged", "failed")


def describe_table(description: "ModelDescription") -> RenderableType:
    """Return the sizes of a model as a table of its kinds of module, with totals below.

    A model that is not uniform also gets the groups of every module, a row a block.
    """
    modules = description["modules"]
    table = _table(
        "module", "parameters", "groups", "group cost", "group parameters", "multiply-adds"
    )
    for kind, module in modules.items():
        row = (module["params"], module["groups"], module["group_cost"], module["group_params"])
        table.add_row(kind, *(f"{count:,}" for count in (*row, module["group_macs"])))
    uniform = {kind: module["groups"] for kind, module in modules.items()}
    is_uniform = all(block == uniform for block in description["allocation"])
    blocks = f"{description['blocks']} {'such ' if is_uniform else ''}blocks"
    lines: list[RenderableType] = [
        table,
        Text(),
        Text(f"{description['encoder']}, {blocks}, {description['groups']:,} groups"),
    ]
    if not is_uniform:
        lines += [Text(), _allocation_table(description["allocation"], list(modules)), Text()]
    return Group(*lines, *_totals(description))


def _totals(description: "ModelDescription") -> Iterator[Text]:
    source = _LABELS_FROM[description["num_labels_from"]]
    for name, number, behind in (
        ("prunable parameters", description["prunable_params"], ""),
        ("other parameters", description["rest_params"], ""),
        ("encoder blocks", description["encoder_params"], _stacked(description["stacking"])),
        ("all parameters", description["total_params"], ""),
        ("multiply-adds", description["multiply_adds_per_s"], "for a second of speech"),
        ("outputs, with blank", description["num_labels"], f"({source})"),
    ):
        yield Text(f"{name:<20} {number:>14,}  {behind}".rstrip())
    note = "group cost: parameters of the module over its groups, as published"
    yield Text(note, style="dim")
    where = "" if description["stacking"] is None else ", in a block before the stack"
    note = f"multiply-adds in the table: of a group, for an encoder frame{where}"
    yield Text(note, style="dim")


def _stacked(stacking: Mapping[str, int] | None) -> str:
    if stacking is None:
        return ""
    return f"with a stack of {stacking['factor']} frames after {stacking['after_block']} blocks"


def _allocation_table(blocks: Sequence[Mapping[str, int]], kinds: Sequence[str]) -> Table:
    table = _table("block", *kinds)
    for layer, block in enumerate(blocks):
        table.add_row(str(layer), *(str(block[kind]) for kind in kinds))
    return table


def findings_table(findings: "Sequence[Finding]") -> RenderableType:
    """Return what checks found, a row each, and in a last line what that means."""
    table = Table(box=None, padding=(0, 2), pad_edge=False)
    for name in ("check", "status"):
        table.add_column(name, no_wrap=True)
    table.add_column("found", overflow="fold")
    for one in findings:
        table.add_row(one.check, Text(one.status, style=_STATUS_STYLES[one.status]), Text(one.line))
    counts = Counter(one.status for one in findings)
    told = [f"{counts[name]} {name}{'s' * (counts[name] > 1)}" for name in ("problem", "warning")]
    said = ", ".join(line for line in told if not line.startswith("0")) or "all is well"
    return Group(table, Text(), Text(said))


def allocation_yaml(allocation: "Allocation") -> str:
    """Return an allocation as the YAML that ``model.allocation`` reads, a line a block."""
    lines = [
        f"- {yaml.safe_dump(block, default_flow_style=True, sort_keys=False, width=1000)}"
        for block in allocation.to_json()["blocks"]
    ]
    return "".join(["blocks:\n", *lines])


def corpus_table(corpus: "Corpus") -> RenderableType:
    """Return utterances, hours and speakers of each split of a corpus."""
    table = _table("split", "utterances", "hours", "speakers", "words")
    for name in corpus.split_names:
        split = corpus.split(name)
        table.add_row(
            Text(name),
            f"{len(split.ids):,}",
            f"{split.duration_s.sum() / 3600:.2f}",
            f"{len(set(split.speakers)):,}",
            f"{sum(len(text.split()) for text in split.texts):,}",
        )
    rate = f"{corpus.sample_rate_hz} Hz" if corpus.sample_rate_hz else "several sample rates"
    return Group(table, Text(f"{corpus.path}: {rate}, fingerprint {corpus.fingerprint[:16]}"))


def print_run(summary: "RunSummary", folder: Path, console: Console) -> None:
    """Print how a single run ended and where to look."""
    if summary.status == "diverged":
        line = f"diverged: the loss was not finite after step {summary.step}"
        console.print(Text(line, style="red"))
    else:
        table = _table("split", "WER", "CER")
        table.add_row("dev", percent(summary.dev_wer), percent(summary.dev_cer))
        table.add_row("test", percent(summary.test_wer), percent(summary.test_cer))
        if summary.dev_subnets_wer is not None:
            rates = percent(summary.dev_subnets_wer), percent(summary.dev_subnets_cer)
            table.add_row("dev, mean of subnets", *rates)
            rates = percent(summary.test_subnets_wer), percent(summary.test_subnets_cer)
            table.add_row("test, mean of subnets", *rates)
        console.print(table)
    console.print(
        f"{summary.params:,} parameters, "
        f"{summary.multiply_adds_per_s:,} multiply-adds a second of speech"
    )
    console.print(
        f"{summary.step:,} steps in {duration(summary.train_s)} after "
        f"{duration(summary.setup_s)} of set-up; best on dev at step {summary.best_step:,}"
    )
    if summary.unrecovered_events:
        line = f"after {summary.unrecovered_events} of the events the loss did not come back"
        console.print(Text(line, style="yellow"))
    # Not wrapped: they are to be copied.
    console.print(Text(f"Tables and checkpoints: {folder}"), soft_wrap=True)
    shown = [("results", "show")]
    if summary.dev_subnets_wer is not None:
        shown.append(("results", "subnets"))
    for words in shown:
        console.print(Text(f"  {shell_command('tuneprune', *words, folder)}"), soft_wrap=True)


def trial_columns(results: Results, trials: pa.Table, *metrics: str) -> pa.Table:
    """Return the columns of trials that a person compares, in the order of ``trials``.

    Name, whether it is a baseline, searched settings, status, ``metrics``, WER, size, time; where
    there are any, the trial that it repeats and the seed, and the constraints that it violates.
    """
    one_sweep = pc.count_distinct(trials["sweep_id"]).as_py() <= 1
    first = ("trial_id",) if one_sweep else ("sweep_id", "trial_id")
    repeats = _if_any(trials, "replicate_of")
    middle = ("is_baseline", *results.searched(), *repeats, *(["seed"] if repeats else []))
    last = ("status", *metrics, *_RATES, "params", "train_s", *_if_any(trials, "violated"))
    names = (*first, *middle, *last)
    return trials.select(list(dict.fromkeys(names)))


def _if_any(rows: pa.Table, name: str) -> list[str]:
    return [name] if rows[name].null_count < rows.num_rows else []


def without_common(trials: pa.Table, searched: Sequence[str], width: int) -> tuple[pa.Table, str]:
    """Return rows without the columns that are the same in all of them, and lines of those.

    Of searched settings and the status only; one row alone keeps them.
    """
    if trials.num_rows < 2:
        return trials, ""
    columns = (*searched, "status")
    common = [
        name
        for name in columns
        if name in trials.column_names
        and not trials[name].null_count
        and len(trials[name].unique()) == 1
    ]
    said = ", ".join(f"{name} {trials[name][0].as_py()}" for name in common)
    said = textwrap.fill(f"the same in all rows: {said}", width, break_on_hyphens=False)
    return trials.drop_columns(common), said if common else ""


def ranked_trials(results: Results) -> pa.Table:
    """Return all trials: finished ones by WER on dev, then those that run, failed ones last.

    Of the finished ones, those that violate a constraint come after all others.
    """
    trials = results.trials()
    place = pc.multiply(pc.index_in(trials["status"], pa.array(_STATUS_ORDER)), 2)
    place = pc.add(place, pc.cast(pc.is_valid(trials["violated"]), pa.int32()))
    keys = [(name, "ascending") for name in ("place", "dev_wer", "trial_id", "sweep_id")]
    return trials.append_column("place", place).sort_by(keys).drop_columns("place")


def print_reasons(trials: pa.Table, table_format: str, width: int) -> None:
    """Print why trials did not finish, a line for each that says, for people only."""
    rows = [row for row in trials.to_pylist() if row["status"] != "finished" and row["reason"]]
    if not rows or table_format not in READ_BY_PEOPLE:
        return
    print()
    for row in rows:
        line = f"{row['trial_id']} {row['status']}: {' '.join(row['reason'].split())}"
        if table_format == "markdown":
            print(f"- {escaped(line)}")
        else:
            text = Text(line)
            text.truncate(width, overflow="ellipsis")
            print(text.plain)


def print_table(
    table: pa.Table, table_format: str, width: int, *, searched: Sequence[str] = ()
) -> None:
    """Print a table of ours: rates, times and counts as people read them.

    Args:
        table: columns named as in the tables of results, in their units.
        table_format: ``text`` or ``markdown``, or with raw values ``json``, ``csv`` or ``parquet``.
        width: columns of text to print in.
        searched: columns that are searched settings; named by the last part of their path.
            That of baselines is ``baseline``, ``yes`` where it is one.
    """
    _print(table, table_format, width, _short_names(table.column_names, searched), _FORMATS)


def print_rows(results: Results, table: pa.Table, table_format: str, width: int) -> None:
    """Print rows as they are kept.

    For people, columns that are long or nowhere known are left out, and keys that all rows share
    are said below.
    """
    common = ""
    if table_format in READ_BY_PEOPLE:
        known = [c for c in table.column_names if table[c].null_count < max(1, table.num_rows)]
        table = table.select([name for name in known if name not in _LONG])
        table, common = without_common(table, (*_KEYS, *_FIXED), width)
    print_table(table, table_format, width, searched=results.searched())
    if common:
        print(f"\n{common}")


def print_answer(table: pa.Table, table_format: str, width: int) -> None:
    """Print the answer to a query as it is, but for digits after the sixth in text."""
    _print(table, table_format, width, table.column_names, {})


def _table(first: str, *others: str) -> Table:
    table = Table(box=None, padding=(0, 2), pad_edge=False)
    table.add_column(first, overflow="fold")
    for name in others:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def print_columns(columns: Sequence[Column], table_format: str, width: int) -> None:
    """Print columns of text, as ``text`` in ``width`` columns or as ``markdown``."""
    if table_format == "markdown":
        rows = list(zip(*(column.cells for column in columns), strict=True))
        names = [column.name for column in columns]
        print(as_markdown(names, rows, [column.is_number for column in columns]))
    else:
        Console(width=width).print(fitted(columns, width))


def _short_names(names: Sequence[str], searched: Sequence[str]) -> list[str]:
    """Return names for people; a setting whose short name is taken keeps its path."""
    short = [name.split(".")[-1] if name in searched else _TITLES.get(name, name) for name in names]
    return [one if short.count(one) == 1 else name for one, name in zip(short, names, strict=True)]


_Format = Callable[[float], str]


def _print(
    table: pa.Table,
    table_format: str,
    width: int,
    names: Sequence[str],
    formats: dict[str, _Format],
) -> None:
    if table_format == "json":
        print(as_json(table))
        return
    if table_format == "csv":
        print(as_csv(table), end="")
        return
    if table_format == "parquet":
        sys.stdout.buffer.write(as_parquet(table))
        return
    columns = [
        Column(
            name=name,
            cells=[_cell(value, formats.get(field.name)) for value in values.to_pylist()],
            is_number=_is_number(field.type),
        )
        for name, field, values in zip(names, table.schema, table.columns, strict=True)
    ]
    print_columns(columns, table_format, width)


def _is_number(kind: pa.DataType) -> bool:
    types = pa.types
    return bool(types.is_floating(kind) or types.is_integer(kind) or types.is_decimal(kind))


def _cell(value: object, form: _Format | None) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool) and form is None:
        return "true" if value else "false"
    if isinstance(value, bytes):
        return value.hex() if len(value) <= _FEW_BYTES else f"{value[:_FEW_BYTES].hex()}…"
    if isinstance(value, Decimal):  # DuckDB's sums of whole numbers
        value = int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, int | float):
        if form is not None:
            return form(value)
        return f"{value:.6g}" if isinstance(value, float) else str(value)
    if isinstance(value, list):
        return f"[{', '.join(_cell(one, None) for one in value)}]"
    return str(value)


def _minute(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).strftime("%Y-%m-%d %H:%M")


def _points(fraction: float) -> str:
    return f"{100 * fraction:+.1f}"


def _signed(number: float) -> str:
    return f"{number:+.2f}"


def _four_digits(number: float) -> str:
    return f"{number:.4g}"


def _three_decimals(number: float) -> str:
    return f"{number:.3f}"


def _bytes(number: float) -> str:
    for size, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if number >= size:
            return f"{number / size:.1f} {unit}"
    return f"{number:.0f} B"


def _count(number: float) -> str:
    return f"{number:,}"


def _yes(flag: float) -> str:
    return "yes" if flag else ""


_TITLES = {"is_baseline": "baseline"}

# By the exact name of a column, for a query may call anything "wer".
_FORMATS: dict[str, _Format] = {
    **dict.fromkeys(("dev_wer", "dev_cer", "test_wer", "test_cer", "best_dev_wer"), percent),
    **dict.fromkeys(("dev_language_wer", "dev_language_cer"), percent),
    **dict.fromkeys(("test_language_wer", "test_language_cer"), percent),
    **dict.fromkeys(("dev_subnets_wer", "dev_subnets_cer"), percent),
    **dict.fromkeys(("test_subnets_wer", "test_subnets_cer"), percent),
    **dict.fromkeys(("wer", "cer", "wer_a", "wer_b", "probability_of_improvement"), percent),
    **dict.fromkeys(("loss", "train_loss", "loss_before", "spike_loss"), _four_digits),
    **dict.fromkeys(("grad_norm", "score", "epoch", "event_s", "eval_s"), _four_digits),
    **dict.fromkeys(("step_time_s", "step_time_before_s", "step_time_after_s"), _four_digits),
    **dict.fromkeys(("rate", "rate_low", "rate_high", "other_rate"), percent),
    **dict.fromkeys(("difference_low", "difference_high"), _points),
    "padding_fraction": percent,
    **dict.fromkeys(("density", "sparsity", "churn", "share", "other_share"), percent),
    **dict.fromkeys(("base_wer", "lowest", "highest", "range", "wer_low", "wer_high"), percent),
    **dict.fromkeys(("relative_increase", "dropped_share", "test_low", "test_high"), percent),
    **dict.fromkeys(("increase", "increase_low", "increase_high"), _points),
    **dict.fromkeys(("bytes_down", "bytes_up"), _bytes),
    **dict.fromkeys(("distance", "initial_norm", "round_s", "client_s"), _four_digits),
    "model_params": _count,
    "jaccard": _three_decimals,
    **dict.fromkeys(("blocks", "kept_blocks", "other_kept_blocks", "both"), _count),
    **dict.fromkeys(("weights", "kept_weights", "revived_blocks", "removed_blocks"), _count),
    **dict.fromkeys(("kept_by_any", "kept_by_all"), _count),
    **dict.fromkeys(("difference", "low", "high"), _points),
    "z": _signed,
    "p": shown_p,
    **dict.fromkeys(("train_s", "setup_s"), duration),
    **dict.fromkeys(("started_s", "time_s"), _minute),
    **dict.fromkeys(("params", "prunable_params", "multiply_adds_per_s"), _count),
    **dict.fromkeys(("multiply_adds_per_s_before", "multiply_adds_per_s_after"), _count),
    **dict.fromkeys(("dropped_params", "grown_params", "params_before", "params_after"), _count),
    "is_baseline": _yes,
}
