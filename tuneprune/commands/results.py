"""Commands that look at what sweeps have found.

Those that print rows as they are kept lie in queries.py, those that write folders in keeping.py.
"""

from enum import StrEnum
from typing import Annotated

import typer

from tuneprune.commands import keeping, queries
from tuneprune.commands.languages import languages
from tuneprune.commands.masks import masks
from tuneprune.commands.options import FOR_PEOPLE, Format, Out, Sweep, sweep_folder, warn, width
from tuneprune.commands.printing import printed
from tuneprune.commands.resets import churn, reset_agreement, resets
from tuneprune.commands.rounds import clients, rounds
from tuneprune.commands.subnets import subnets as list_subnets

app = typer.Typer(help="Look at what sweeps have found.", no_args_is_help=True)


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
    root: Annotated[str, typer.Argument(help="Folder of sweeps, or its URI.")] = "results",
    table_format: Format = None,
    out: Out = None,
) -> None:
    """List the sweeps in a folder."""
    from tuneprune.results import list_sweeps
    from tuneprune.results.folders import folder_at
    from tuneprune.show import print_table

    with printed(table_format, out) as shown_as:
        found = list_sweeps(root)
        if not found.num_rows and shown_as in FOR_PEOPLE:
            print(f"no sweeps in {folder_at(root)}")
            return
        readable = found.filter(found["trials"].is_valid()).drop_columns("problem")
        print_table(readable, shown_as.value, width())
        problems = found.filter(found["problem"].is_valid()).to_pylist()
        warn([f"{row['folder']}: {row['problem']}" for row in problems])


@app.command("show")
def show(
    sweep: Sweep,
    table_format: Format = None,
    out: Out = None,
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

    with printed(table_format, out) as shown_as:
        results = open_results(sweep_folder(sweep))
        trials = ranked_trials(results)
        table, common = trial_columns(results, trials), ""
        if shown_as in FOR_PEOPLE:
            table, common = without_common(table, results.searched(), width())
        print_table(table, shown_as.value, width(), searched=results.searched())
        print_reasons(trials, shown_as.value, width())
        if common:
            print(f"\n{common}")
        warn(results.warnings)


@app.command("best")
def best(
    sweep: Sweep,
    metric: Annotated[str, typer.Option(help="Lowest is best.")] = "dev_wer",
    k: Annotated[int, typer.Option(min=1, help="How many.")] = 1,
    table_format: Format = None,
    out: Out = None,
) -> None:
    """Show the best finished trials of a sweep, the baseline among them."""
    from tuneprune.results import open_results
    from tuneprune.show import print_table, trial_columns

    with printed(table_format, out) as shown_as:
        results = open_results(sweep_folder(sweep))
        table = trial_columns(results, results.best(metric, k), metric)
        print_table(table, shown_as.value, width(), searched=results.searched())
        warn(results.warnings)


@app.command("compare")
def compare(
    sweep: Sweep,
    a: Annotated[str, typer.Argument(help="A trial, or a subnet of one: t03/16.")],
    b: Annotated[str, typer.Argument(help="The trial or subnet to compare it with.")],
    split: Annotated[
        str | None, typer.Option(help="What both recognised. Default: the test split")
    ] = None,
    by: By = None,
    table_format: Format = None,
    out: Out = None,
) -> None:
    """Say whether trial or subnet A differs from B by more than chance."""
    from tuneprune.results import open_results
    from tuneprune.show import print_table

    with printed(table_format, out) as shown_as:
        results = open_results(sweep_folder(sweep))
        found = results.compare(a, b, split=split, by=None if by is None else by.value)
        if shown_as not in FOR_PEOPLE:
            print_table(found, shown_as.value, width())
        else:
            (row,) = found.to_pylist()
            shown = found.drop_columns(["split", "by", "blocks", "no_p"])
            print_table(shown, shown_as.value, width())
            print(
                f"\nWord error rates on {row['split']}. Difference (A minus B) and its 95 % "
                "interval, low to high, in\npoints; by paired bootstrap over "
                f"{row['by']}s, of which there are {row['blocks']}. p: two-sided, of\n"
                "MAPSSWE's z over segments of utterances."
            )
            if row["no_p"]:
                print(f"No p: {row['no_p']}.")
        warn(results.warnings)


@app.command("significance")
def significance(
    sweep: Sweep,
    split: Annotated[
        str | None, typer.Option(help="What is compared. Default: the test split")
    ] = None,
    by: By = None,
    subnets: Annotated[
        bool, typer.Option("--subnets", help="Compare the subnets of each trial, too.")
    ] = False,
    table_format: Format = None,
    out: Out = None,
) -> None:
    """Say which trials differ from their baseline by more than chance, the best on dev first."""
    from tuneprune.results import open_results, sweep_significance
    from tuneprune.results.significance_columns import significance_columns, significance_notes
    from tuneprune.show import print_columns, print_table

    with printed(table_format, out) as shown_as:
        results = open_results(sweep_folder(sweep))
        found = sweep_significance(
            results, split=split, by=None if by is None else by.value, subnets=subnets
        )
        if shown_as not in FOR_PEOPLE:
            print_table(found, shown_as.value, width())
        elif not found.num_rows:
            print("no finished trial to compare with a baseline")
        else:
            print_columns(significance_columns(found), shown_as.value, width())
            is_dev = found["split"][0].as_py() == results.split_name("dev")
            print(f"\n{significance_notes(found, 'dev' if is_dev else 'test')}")
        warn(results.warnings)


@app.command("pool")
def pool(
    sweeps: Annotated[
        list[str], typer.Argument(help="Folders, names or URIs of sweeps.", metavar="SWEEP...")
    ],
    subnets: Annotated[
        bool, typer.Option("--subnets", help="Each size of subnet of a setting has a row, too.")
    ] = False,
    table_format: Format = None,
    out: Out = None,
) -> None:
    """Pool the seeds of each setting, and compare it with the baselines of the same seeds."""
    from tuneprune.results import open_results, pool_seeds
    from tuneprune.results.pool_columns import pool_columns, pool_notes
    from tuneprune.show import print_columns, print_table, without_common

    with printed(table_format, out) as shown_as:
        opened = [open_results(sweep_folder(sweep)) for sweep in sweeps]
        pooled = pool_seeds(opened, subnets=subnets)
        if shown_as in FOR_PEOPLE:
            searched = pooled.column_names[: pooled.column_names.index("is_baseline")]
            shown, common = without_common(pooled, searched, width())
            print_columns(pool_columns(shown, width()), shown_as.value, width())
            print("\n".join(("", *([common] if common else []), pool_notes(pooled))))
        else:
            print_table(pooled, shown_as.value, width())
        for results in opened:
            warn(results.warnings)


@app.command("scorers")
def scorers(
    sweep: Sweep,
    trial: Annotated[str, typer.Argument(help="A trial that adapted.")],
    table_format: Format = None,
    out: Out = None,
) -> None:
    """Show how far the scorers of a trial agree on the order of groups, and on what to change."""
    from tuneprune.results import open_results
    from tuneprune.show import print_table

    with printed(table_format, out) as shown_as:
        results = open_results(sweep_folder(sweep))
        table = results.scorer_agreement(trial).drop_columns(["sweep_id", "trial_id"])
        print_table(table, shown_as.value, width())
        if shown_as in FOR_PEOPLE:
            print(
                "\nRank correlation: Spearman's. Overlap: of the groups that either drops (grows), "
                "the\nshare that both do."
            )
        warn(results.warnings)


@app.command("sql")
def sql(
    query: Annotated[str, typer.Argument(help="Over trials, steps, evaluations, ...")],
    path: Annotated[str, typer.Argument(help="Folder or URI of a sweep, or of sweeps.")] = (
        "results"
    ),
    table_format: Format = None,
    out: Out = None,
) -> None:
    """Run a query over the tables with DuckDB."""
    from tuneprune.results import open_results
    from tuneprune.show import print_answer

    with printed(table_format, out) as shown_as:
        results = open_results(sweep_folder(path))
        print_answer(results.sql(query), shown_as.value, width())
        warn(results.warnings)


for command in (
    queries.trials,
    queries.pareto,
    queries.steps,
    queries.evaluations,
    queries.curves,
    queries.adaptations,
    queries.recoveries,
    queries.groups,
    queries.allocation,
    masks,
    list_subnets,
    resets,
    reset_agreement,
    churn,
    rounds,
    clients,
    languages,
    queries.utterances,
    keeping.export,
    keeping.compact,
):
    app.command()(command)
