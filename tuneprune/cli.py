"""The command line. Every command calls a public function and prints what it returns."""

import json
import sys
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from tuneprune.config import build_config, read_run_settings
from tuneprune.errors import CorpusError, Interrupted, TunepruneError

# Commands import what they need when they run: `--help` must not wait for torch and Ray.

app = typer.Typer(
    help="Sweeps over architecture adaptation of speech recognisers.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
corpus_app = typer.Typer(help="Import, make and check corpora.", no_args_is_help=True)
results_app = typer.Typer(help="Look at what sweeps have found.", no_args_is_help=True)
app.add_typer(corpus_app, name="corpus")
app.add_typer(results_app, name="results")

Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="a.b=c", help="Set a field by its dotted path; repeatable."),
]
Restart = Annotated[
    bool, typer.Option("--restart", help="Move what the folder holds aside and begin anew.")
]


class TableFormat(StrEnum):
    """How a table is printed."""

    text = "text"
    markdown = "markdown"
    json = "json"
    csv = "csv"


class Block(StrEnum):
    """What a comparison draws with replacement."""

    utterance = "utterance"
    speaker = "speaker"


Format = Annotated[TableFormat, typer.Option("--format", help="How to print the table.")]


def main() -> None:
    """Run the command line. Wrong input ends in one line on standard error and exit code 2."""
    try:
        app()
    except (TunepruneError, Interrupted) as error:
        print(f"tuneprune: {error}", file=sys.stderr)
        raise SystemExit(error.exit_code) from None


@app.command()
def describe(
    config: Annotated[Path, typer.Argument(help="A run's YAML, or a search space.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    labels: Annotated[
        int | None,
        typer.Option(min=2, help="Outputs with the blank; default: those of the corpus."),
    ] = None,
    overrides: Overrides = None,
) -> None:
    """Print blocks, modules, groups, costs and totals of a model, without training it."""
    from tuneprune.models.describe import describe_model
    from tuneprune.show import describe_table
    from tuneprune.training.prepare import count_labels

    run = build_config(read_run_settings(config, overrides or ()))
    number, source = (labels, "option") if labels is not None else count_labels(run)
    description = describe_model(run, num_labels=number, num_labels_from=source)
    if as_json:
        print(json.dumps(description, indent=2))
    else:
        Console(width=_width()).print(describe_table(description))


@app.command()
def train(
    config: Annotated[Path, typer.Argument(help="A run's YAML, or a space, whose base is taken.")],
    out: Annotated[
        Path | None, typer.Option(help="Folder of the run. Default: results/NAME")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Data-parallel workers; above 1 through Ray Train.")
    ] = None,
    overrides: Overrides = None,
    restart: Restart = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with this run from its last checkpoint.")
    ] = False,
) -> None:
    """Train one recogniser and record it like a sweep of one trial."""
    from tuneprune.show import print_run
    from tuneprune.sweep.single import train_single

    changes = [*(overrides or ()), *([f"training.workers={workers}"] if workers else [])]
    run = build_config(read_run_settings(config, changes))
    folder = out or Path("results") / config.stem
    summary = train_single(run, name=config.stem, out=folder, restart=restart, resume=resume)
    print_run(summary, folder, Console(width=_width()))
    if summary.status == "diverged":
        raise typer.Exit(1)


@app.command()
def sweep(
    space: Annotated[Path, typer.Argument(help="A search space, such as search_spaces/*.yaml")],
    out: Annotated[
        Path | None, typer.Option(help="Folder of the sweep. Default: results/NAME")
    ] = None,
    overrides: Overrides = None,
    restart: Restart = False,
    max_concurrent: Annotated[
        int | None, typer.Option(min=1, help="At most so many trials at once.")
    ] = None,
) -> None:
    """Train a baseline and the trials of a search space, and say which setting was best."""
    from tuneprune.sweep.live import LiveTable, print_outcome
    from tuneprune.sweep.space import load_space
    from tuneprune.sweep.study import run_sweep

    loaded = load_space(space, overrides or ())
    outcome = run_sweep(
        loaded,
        out=out or Path("results") / loaded.name,
        restart=restart,
        max_concurrent=max_concurrent,
        live=LiveTable(loaded),
    )
    print_outcome(outcome, Console(width=_width()))
    if outcome.best is None:
        raise typer.Exit(1)


@corpus_app.command("import")
def corpus_import(
    manifest: Annotated[Path, typer.Argument(help="JSON lines, one utterance a line.")],
    out: Annotated[Path, typer.Argument(help="Folder of the corpus.")],
    licence: Annotated[str, typer.Option(help="Under which the recordings may be used.")] = "",
) -> None:
    """Make a corpus of the recordings that a manifest names; they stay where they are."""
    from tuneprune.data.recipes import import_manifest
    from tuneprune.show import corpus_table

    Console(width=_width()).print(corpus_table(import_manifest(manifest, out, licence=licence)))


@corpus_app.command("check")
def corpus_check(path: Annotated[Path, typer.Argument(help="Folder of a corpus.")]) -> None:
    """Name every utterance that training could not use."""
    from rich.progress import Progress

    from tuneprune.data.checks import check_corpus
    from tuneprune.data.corpus import open_corpus
    from tuneprune.show import corpus_table

    corpus = open_corpus(path)
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("reading recordings")
        findings = check_corpus(
            corpus, progress=lambda done, total: bar.update(task, completed=done, total=total)
        )
    for finding in findings:
        print(f"{finding.utterance_id}: {finding.problem} {finding.detail}".rstrip())
    if findings:
        unfit = len({finding.utterance_id for finding in findings})
        raise CorpusError(
            "corpus", path, f"{unfit} of {corpus.table.num_rows} utterances are unfit for training"
        )
    Console(width=_width()).print(corpus_table(corpus))


@corpus_app.command("synth")
def corpus_synth(
    out: Annotated[Path, typer.Argument(help="Folder of the corpus.")],
    config: Annotated[
        Path | None, typer.Option(help="YAML with synthesis settings, or a run or space with them.")
    ] = None,
    overrides: Overrides = None,
) -> None:
    """Make a spoken corpus with espeak-ng; the same settings give the same bytes."""
    from tuneprune.data.synthesis import read_synthesis_config, synthesise
    from tuneprune.show import corpus_table

    corpus = synthesise(read_synthesis_config(config, overrides or ()), out)
    Console(width=_width()).print(corpus_table(corpus))


@results_app.command("list")
def results_list(
    root: Annotated[Path, typer.Argument(help="Folder of sweeps.")] = Path("results"),
    table_format: Format = TableFormat.text,
) -> None:
    """List the sweeps in a folder."""
    from tuneprune.results import list_sweeps
    from tuneprune.show import print_table

    found = list_sweeps(root)
    readable = found.filter(found["trials"].is_valid()).drop_columns("problem")
    print_table(readable, table_format.value, _width())
    problems = found.filter(found["problem"].is_valid()).to_pylist()
    _warn([f"{row['folder']}: {row['problem']}" for row in problems])


@results_app.command("show")
def results_show(
    sweep: Annotated[Path, typer.Argument(help="Folder of a sweep, or its name.")],
    table_format: Format = TableFormat.text,
) -> None:
    """Show the trials of a sweep, the best on dev first, failed ones last."""
    from tuneprune.results import open_results
    from tuneprune.show import print_table, ranked_trials, trial_columns

    results = open_results(_found(sweep))
    table = trial_columns(results, ranked_trials(results))
    print_table(table, table_format.value, _width(), searched=results.searched())
    _warn(results.warnings)


@results_app.command("best")
def results_best(
    sweep: Annotated[Path, typer.Argument(help="Folder of a sweep, or its name.")],
    metric: Annotated[str, typer.Option(help="Lowest is best.")] = "dev_wer",
    k: Annotated[int, typer.Option(min=1, help="How many.")] = 1,
    table_format: Format = TableFormat.text,
) -> None:
    """Show the best finished trials of a sweep, the baseline among them."""
    from tuneprune.results import open_results
    from tuneprune.show import print_table, trial_columns

    results = open_results(_found(sweep))
    table = trial_columns(results, results.best(metric, k), metric)
    print_table(table, table_format.value, _width(), searched=results.searched())
    _warn(results.warnings)


@results_app.command("compare")
def results_compare(
    sweep: Annotated[Path, typer.Argument(help="Folder of a sweep, or its name.")],
    a: Annotated[str, typer.Argument(help="A trial.")],
    b: Annotated[str, typer.Argument(help="The trial to compare it with.")],
    split: Annotated[
        str | None, typer.Option(help="What both recognised. Default: the test split")
    ] = None,
    by: Annotated[
        Block, typer.Option(help="Draw utterances, or all of a speaker together.")
    ] = Block.utterance,
    table_format: Format = TableFormat.text,
) -> None:
    """Say whether trial A differs from trial B by more than chance."""
    from tuneprune.results import compare_trials, open_results
    from tuneprune.show import comparison_row, print_table

    results = open_results(_found(sweep))
    chosen = split or results.split_name("test")
    found = compare_trials(
        results, a, b, split=chosen, block="speaker" if by is Block.speaker else "utterance"
    )
    print_table(comparison_row(a, b, found), table_format.value, _width())
    if table_format in (TableFormat.text, TableFormat.markdown):
        print(
            f"\nWord error rates on {chosen}. Difference (A minus B) and its 95 % interval, low to"
        )
        print(f"high, in points; by paired bootstrap over {by.value}s.")
    _warn(results.warnings)


@results_app.command("sql")
def results_sql(
    query: Annotated[str, typer.Argument(help="Over trials, steps, evaluations, ...")],
    path: Annotated[Path, typer.Argument(help="Folder of a sweep, or of sweeps.")] = Path(
        "results"
    ),
    table_format: Format = TableFormat.text,
) -> None:
    """Run a query over the tables with DuckDB."""
    from tuneprune.results import open_results
    from tuneprune.show import print_answer

    results = open_results(_found(path))
    print_answer(results.sql(query), table_format.value, _width())
    _warn(results.warnings)


@results_app.command("plot")
def results_plot(
    sweep: Annotated[Path, typer.Argument(help="Folder of a sweep, or its name.")],
    out: Annotated[
        Path | None, typer.Option(help="Folder for the pictures. Default: SWEEP/plots")
    ] = None,
    trial: Annotated[
        str | None, typer.Option(help="Whose allocation to draw. Default: the best trial's")
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="Whose error rate to draw. Default: the dev split's")
    ] = None,
) -> None:
    """Draw WER over steps with the events marked, and an allocation before and after."""
    from tuneprune.results import open_results
    from tuneprune.show import draw_plots

    folder = _found(sweep)
    results = open_results(folder)
    for path in draw_plots(results, out or folder / "plots", trial, split):
        print(path)
    _warn(results.warnings)


@results_app.command("export")
def results_export(
    sweep: Annotated[Path, typer.Argument(help="Folder of a sweep, or its name.")],
    out: Annotated[Path, typer.Argument(help="Folder to make.")],
    tables: Annotated[
        str | None,
        typer.Option(help="Default: trials,adaptations,allocations,utterances", metavar="A,B,..."),
    ] = None,
) -> None:
    """Put tables of a sweep into a small folder that can be kept, and opened, like a sweep's."""
    from tuneprune.results import EXPORTED, export_sweep, open_results

    results = open_results(_found(sweep))
    names = EXPORTED if tables is None else [name.strip() for name in tables.split(",")]
    for path in export_sweep(results, out, tables=names):
        print(f"{path}  {path.stat().st_size:,} bytes")
    _warn(results.warnings)


def _found(sweep: Path) -> Path:
    """Return the folder that is meant: a path, or the name of a sweep under ``results``."""
    named = Path("results") / sweep
    return named if not sweep.exists() and named.is_dir() else sweep


def _width() -> int:
    """Return the columns to print in: those of the terminal, at most 100."""
    return min(Console().width, 100) if sys.stdout.isatty() else 100


def _warn(warnings: Sequence[str]) -> None:
    for warning in warnings:
        print(f"note: {warning}", file=sys.stderr)


if __name__ == "__main__":
    main()
