"""What commands print: tables that fit a terminal, and the pictures of a sweep.

It formats values that others computed.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from tuneprune.data.corpus import Corpus
from tuneprune.models.describe import ModelDescription
from tuneprune.results import open_results, plot_allocation, plot_learning_curves
from tuneprune.results.reader import Results
from tuneprune.sweep.live import duration, percent
from tuneprune.training.run import RunSummary

_LABELS_FROM = {
    "corpus": "of the corpus",
    "synthesis": "of the words to be synthesised",
    "option": "as asked for",
    "assumed": "assumed: the corpus is not here; say --labels N",
}
_TRIAL_COLUMNS = ("trial_id", "status", "dev_wer", "test_wer", "params", "train_s")


def describe_table(description: ModelDescription) -> RenderableType:
    """Return the sizes of a model as a table of its kinds of module, with totals below."""
    table = _table("module", "parameters", "groups", "group cost", "group parameters")
    for kind, module in description["modules"].items():
        counts = (module["params"], module["groups"], module["group_cost"], module["group_params"])
        table.add_row(kind, *(f"{count:,}" for count in counts))
    return Group(
        table,
        Text(),
        Text(f"{description['blocks']} such blocks, {description['groups']:,} groups"),
        Text(f"prunable parameters  {description['prunable_params']:>13,}"),
        Text(f"other parameters     {description['rest_params']:>13,}"),
        Text(f"all parameters       {description['total_params']:>13,}"),
        Text(
            f"outputs, with blank  {description['num_labels']:>13,}  "
            f"({_LABELS_FROM[description['num_labels_from']]})"
        ),
        Text("group cost: parameters of the module over its groups, as published", style="dim"),
    )


def corpus_table(corpus: Corpus) -> RenderableType:
    """Return utterances, hours and speakers of each split of a corpus."""
    table = _table("split", "utterances", "hours", "speakers", "words")
    for name in corpus.split_names:
        split = corpus.split(name)
        table.add_row(
            name,
            f"{len(split.ids):,}",
            f"{split.duration_s.sum() / 3600:.2f}",
            f"{len(set(split.speakers)):,}",
            f"{sum(len(text.split()) for text in split.texts):,}",
        )
    rate = f"{corpus.sample_rate_hz} Hz" if corpus.sample_rate_hz else "several sample rates"
    return Group(table, Text(f"{corpus.path}: {rate}, fingerprint {corpus.fingerprint[:16]}"))


def print_run(summary: RunSummary, folder: Path, console: Console) -> None:
    """Print how a single run ended and where to look."""
    if summary.status == "diverged":
        console.print(f"diverged: the loss was not finite after step {summary.step}", style="red")
    else:
        table = _table("", "WER", "CER")
        table.add_row("dev", percent(summary.dev_wer), percent(summary.dev_cer))
        table.add_row("test", percent(summary.test_wer), percent(summary.test_cer))
        console.print(table)
    console.print(
        f"{summary.params:,} parameters, {summary.step:,} steps in "
        f"{duration(summary.train_s)} after {duration(summary.setup_s)} of set-up; "
        f"best on dev at step {summary.best_step:,}"
    )
    console.print(f"Tables and checkpoints: {folder}", soft_wrap=True)
    console.print(f"  tuneprune results show {folder}", soft_wrap=True)


def trial_columns(trials: pa.Table) -> pa.Table:
    """Return the columns of trials that a person compares: settings, WER, size and time."""
    # What a trial was asked to vary follows the fixed columns of the table.
    searched = trials.column_names[trials.column_names.index("checkpoint") + 1 :]
    first, *others = _TRIAL_COLUMNS
    ordered = trials.sort_by([("dev_wer", "ascending")])
    return ordered.select([first, *searched, *others])


def print_table(table: pa.Table, table_format: str, width: int) -> None:
    """Print a table as text in ``width`` columns, as a JSON list of rows, or as CSV."""
    if table_format == "json":
        print(json.dumps(table.to_pylist(), indent=1, default=str))
    elif table_format == "csv":
        pyarrow.csv.write_csv(table, sys.stdout.buffer)
    else:
        text = _table(*(name.split(".")[-1] for name in table.column_names))
        for row in table.to_pylist():
            text.add_row(*(_cell(name, value) for name, value in row.items()))
        Console(width=width).print(text)


def draw_plots(sweep: Path, out: Path, trial: str | None) -> list[Path]:
    """Draw learning curves and the allocation of one trial as PNG and SVG; return the files."""
    results = open_results(sweep)
    chosen = trial or _best_adapted(results)
    drawn: list[Path] = []
    for suffix in (".png", ".svg"):
        curves = out / f"learning_curves{suffix}"
        plot_learning_curves(results, curves)
        drawn.append(curves)
        if chosen is not None:
            allocation = out / f"allocation_{chosen}{suffix}"
            plot_allocation(results, chosen, allocation)
            drawn.append(allocation)
    return sorted(drawn)


def _best_adapted(results: Results) -> str | None:
    adapted = set(results.adaptations()["trial_id"].to_pylist())
    ranked: Sequence[str] = results.best(k=results.trials().num_rows)["trial_id"].to_pylist()
    return next((trial for trial in ranked if trial in adapted), None)


def _table(first: str, *others: str) -> Table:
    table = Table(box=None, padding=(0, 2), pad_edge=False)
    table.add_column(first, overflow="fold")
    for name in others:
        table.add_column(name, justify="right", overflow="fold")
    return table


def _cell(name: str, value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        if name.endswith(("wer", "cer")):
            return percent(value)
        return duration(value) if name == "train_s" else f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) and name != "seed" else str(value)
