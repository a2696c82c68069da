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
from tuneprune.errors import CorpusError, TunepruneError

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
    json = "json"
    csv = "csv"


Format = Annotated[TableFormat, typer.Option("--format", help="How to print the table.")]


def main() -> None:
    """Run the command line. Wrong input ends in one line on standard error and exit code 2."""
    try:
        app()
    except TunepruneError as error:
        print(f"tuneprune: {error}", file=sys.stderr)
        raise SystemExit(error.exit_code) from None
    except KeyboardInterrupt as interrupt:
        print(f"\ntuneprune: {interrupt or 'interrupted'}", file=sys.stderr)
        raise SystemExit(130) from None


@app.command()
def describe(
    config: Annotated[Path, typer.Argument(help="A run's YAML, or a search space.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    labels: Annotated[
        int | None, typer.Option(help="Outputs with the blank; default: those of the corpus.")
    ] = None,
    overrides: Overrides = None,
) -> None:
    """Print blocks, modules, groups, costs and totals of a model, without training it."""
    from tuneprune.models.describe import describe_model
    from tuneprune.show import describe_table
    from tuneprune.training.prepare import count_labels

    run = build_config(read_run_settings(config, overrides or ()))
    number, source = (labels, "option") if labels else count_labels(run)
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
    from tuneprune.sweep.live import LiveTable, render_outcome
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
    Console(width=_width()).print(render_outcome(outcome))
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

    print_table(list_sweeps(root), table_format.value, _width())


@results_app.command("show")
def results_show(
    sweep: Annotated[Path, typer.Argument(help="Folder of a sweep, or its name.")],
    table_format: Format = TableFormat.text,
) -> None:
    """Show the trials of a sweep, the best first."""
    from tuneprune.results import open_results
    from tuneprune.show import print_table, trial_columns

    results = open_results(_found(sweep))
    print_table(trial_columns(results.trials()), table_format.value, _width())
    _warn(results.warnings)


@results_app.command("best")
def results_best(
    sweep: Annotated[Path, typer.Argument(help="Folder of a sweep, or its name.")],
    metric: Annotated[str, typer.Option(help="Lowest is best.")] = "dev_wer",
    k: Annotated[int, typer.Option(min=1, help="How many.")] = 1,
    table_format: Format = TableFormat.text,
) -> None:
    """Show the best trials of a sweep."""
    from tuneprune.results import open_results
    from tuneprune.show import print_table, trial_columns

    results = open_results(_found(sweep))
    print_table(trial_columns(results.best(metric, k)), table_format.value, _width())
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
    from tuneprune.show import print_table

    results = open_results(_found(path))
    print_table(results.sql(query), table_format.value, _width())
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
) -> None:
    """Draw WER over steps with the events marked, and an allocation before and after."""
    from tuneprune.show import draw_plots

    folder = _found(sweep)
    for path in draw_plots(folder, out or folder / "plots", trial):
        print(path)


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
