"""Commands that look at what sweeps have found."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from tuneprune.commands.options import Format, TableFormat, sweep_folder, warn, width

app = typer.Typer(help="Look at what sweeps have found.", no_args_is_help=True)


_FOR_PEOPLE = (TableFormat.text, TableFormat.markdown)


class Block(StrEnum):
    """What a comparison draws with replacement."""

    utterance = "utterance"
    speaker = "speaker"


By = Annotated[
    Block | None,
    typer.Option(
        help="Draw utterances, or all of a speaker together. "
        "Default: speakers where there are 5 or more, else utterances"
    ),
]


@app.command("list")
def list_(
    root: Annotated[Path, typer.Argument(help="Folder of sweeps.")] = Path("results"),
    table_format: Format = TableFormat.text,
) -> None:
    """List the sweeps in a folder."""
    from tuneprune.results import list_sweeps
    from tuneprune.show import print_table

    found = list_sweeps(root)
    if not found.num_rows and table_format in _FOR_PEOPLE:
        print(f"no sweeps in {root}")
        return
    readable = found.filter(found["trials"].is_valid()).drop_columns("problem")
    print_table(readable, table_format.value, width())
    problems = found.filter(found["problem"].is_valid()).to_pylist()
    warn([f"{row['folder']}: {row['problem']}" for row in problems])


@app.command("show")
def show(
    sweep: Annotated[Path, typer.Argument(help="Folder of a sweep, or its name.")],
    table_format: Format = TableFormat.text,
) -> None:
    """Show the trials of a sweep, the best on dev first, failed ones last and why they failed."""
    from tuneprune.results import open_results
    from tuneprune.show import (
        print_reasons,
        print_table,
        ranked_trials,
        trial_columns,
        without_common,
    )

    results = open_results(sweep_folder(sweep))
    trials = ranked_trials(results)
    table, common = trial_columns(results, trials), ""
    if table_format in _FOR_PEOPLE:
        table, common = without_common(table, results.searched())
    print_table(table, table_format.value, width(), searched=results.searched())
    print_reasons(trials, table_format.value, width())
    if common:
        print(f"\n{common}")
    warn(results.warnings)


@app.command("best")
def best(
    sweep: Annotated[Path, typer.Argument(help="Folder of a sweep, or its name.")],
    metric: Annotated[str, typer.Option(help="Lowest is best.")] = "dev_wer",
    k: Annotated[int, typer.Option(min=1, help="How many.")] = 1,
    table_format: Format = TableFormat.text,
) -> None:
    """Show the best finished trials of a sweep, the baseline among them."""
    from tuneprune.results import open_results
    from tuneprune.show import print_table, trial_columns

    results = open_results(sweep_folder(sweep))
    table = trial_columns(results, results.best(metric, k), metric)
    print_table(table, table_format.value, width(), searched=results.searched())
    warn(results.warnings)


@app.command("compare")
def compare(
    sweep: Annotated[Path, typer.Argument(help="Folder of a sweep, or its name.")],
    a: Annotated[str, typer.Argument(help="A trial.")],
    b: Annotated[str, typer.Argument(help="The trial to compare it with.")],
    split: Annotated[
        str | None, typer.Option(help="What both recognised. Default: the test split")
    ] = None,
    by: By = None,
    table_format: Format = TableFormat.text,
) -> None:
    """Say whether trial A differs from trial B by more than chance."""
    from tuneprune.results import open_results
    from tuneprune.show import print_table

    results = open_results(sweep_folder(sweep))
    found = results.compare(a, b, split=split, by=None if by is None else by.value)
    if table_format not in _FOR_PEOPLE:
        print_table(found, table_format.value, width())
    else:
        (row,) = found.to_pylist()
        shown = found.drop_columns(["split", "by", "blocks", "no_p"])
        print_table(shown, table_format.value, width())
        print(
            f"\nWord error rates on {row['split']}. Difference (A minus B) and its 95 % interval, "
            "low to high, in\npoints; by paired bootstrap over "
            f"{row['by']}s, of which there are {row['blocks']}. p: two-sided, of\n"
            "MAPSSWE's z over segments of utterances."
        )
        if row["no_p"]:
            print(f"No p: {row['no_p']}.")
    warn(results.warnings)


@app.command("significance")
def significance(
    sweep: Annotated[Path, typer.Argument(help="Folder of a sweep, or its name.")],
    split: Annotated[
        str | None, typer.Option(help="What is compared. Default: the test split")
    ] = None,
    by: By = None,
    table_format: Format = TableFormat.text,
) -> None:
    """Say which trials differ from their baseline by more than chance, the best on dev first."""
    from tuneprune.results import open_results, sweep_significance
    from tuneprune.results.significance_columns import significance_columns, significance_notes
    from tuneprune.show import print_columns, print_table

    results = open_results(sweep_folder(sweep))
    found = sweep_significance(results, split=split, by=None if by is None else by.value)
    if table_format not in _FOR_PEOPLE:
        print_table(found, table_format.value, width())
    elif not found.num_rows:
        print("no finished trial to compare with a baseline")
    else:
        print_columns(significance_columns(found), table_format.value, width())
        is_dev = found["split"][0].as_py() == results.split_name("dev")
        print(f"\n{significance_notes(found, 'dev' if is_dev else 'test')}")
    warn(results.warnings)


@app.command("pool")
def pool(
    sweeps: Annotated[
        list[Path], typer.Argument(help="Folders of sweeps, or their names.", metavar="SWEEP...")
    ],
    table_format: Format = TableFormat.text,
) -> None:
    """Pool the seeds of each setting, and compare it with the baselines of the same seeds."""
    from tuneprune.results import open_results, pool_seeds
    from tuneprune.results.pool_columns import pool_columns, pool_notes
    from tuneprune.show import print_columns, print_table, without_common

    opened = [open_results(sweep_folder(sweep)) for sweep in sweeps]
    pooled = pool_seeds(opened)
    if table_format in _FOR_PEOPLE:
        searched = pooled.column_names[: pooled.column_names.index("is_baseline")]
        shown, common = without_common(pooled, searched)
        print_columns(pool_columns(shown, width()), table_format.value, width())
        print("\n".join(("", *([common] if common else []), pool_notes(pooled))))
    else:
        print_table(pooled, table_format.value, width())
    for results in opened:
        warn(results.warnings)


@app.command("scorers")
def scorers(
    sweep: Annotated[Path, typer.Argument(help="Folder of a sweep, or its name.")],
    trial: Annotated[str, typer.Argument(help="A trial that adapted.")],
    table_format: Format = TableFormat.text,
) -> None:
    """Show how far the scorers of a trial agree on the order of groups, and on what to change."""
    from tuneprune.results import open_results
    from tuneprune.show import print_table

    results = open_results(sweep_folder(sweep))
    table = results.scorer_agreement(trial).drop_columns(["sweep_id", "trial_id"])
    print_table(table, table_format.value, width())
    if table_format in _FOR_PEOPLE:
        print(
            "\nRank correlation: Spearman's. Overlap: of the groups that either drops (grows), the"
        )
        print("share that both do.")
    warn(results.warnings)


@app.command("sql")
def sql(
    query: Annotated[str, typer.Argument(help="Over trials, steps, evaluations, ...")],
    path: Annotated[Path, typer.Argument(help="Folder of a sweep, or of sweeps.")] = Path(
        "results"
    ),
    table_format: Format = TableFormat.text,
) -> None:
    """Run a query over the tables with DuckDB."""
    from tuneprune.results import open_results
    from tuneprune.show import print_answer

    results = open_results(sweep_folder(path))
    print_answer(results.sql(query), table_format.value, width())
    warn(results.warnings)


@app.command("export")
def export(
    sweep: Annotated[Path, typer.Argument(help="Folder of a sweep, or its name.")],
    out: Annotated[Path, typer.Argument(help="Folder to make.")],
    tables: Annotated[
        str | None,
        typer.Option(help="Default: trials,adaptations,allocations,utterances", metavar="A,B,..."),
    ] = None,
) -> None:
    """Put tables of a sweep into a small folder that can be kept, and opened, like a sweep's."""
    from tuneprune.results import EXPORTED, export_sweep, open_results

    results = open_results(sweep_folder(sweep))
    names = EXPORTED if tables is None else [name.strip() for name in tables.split(",")]
    for path in export_sweep(results, out, tables=names):
        print(f"{path}  {path.stat().st_size:,} bytes")
    warn(results.warnings)


@app.command("compact")
def compact(
    sweep: Annotated[Path, typer.Argument(help="Folder of a sweep, or its name.")],
) -> None:
    """Put the many small files of a sweep into few, also while it runs; no row changes."""
    from tuneprune.results import compact as compact_tables

    problems: list[str] = []
    for done in compact_tables(sweep_folder(sweep)):
        print(f"{done.table:14} {done.files:6,} files became one of {done.rows:,} rows")
        problems += [f"{name}: left alone, {what}" for name, what in done.problems.items()]
    warn(problems)
