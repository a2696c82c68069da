"""The command that says how good runs are in each language, and in the mean of them."""

from collections.abc import Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from tuneprune.commands.options import FOR_PEOPLE, Format, Out, sweep_folder, warn, width
from tuneprune.commands.printing import printed

if TYPE_CHECKING:
    from tuneprune.results import Results


class Metric(StrEnum):
    """What is counted."""

    wer = "wer"
    cer = "cer"


def languages(
    runs: Annotated[
        list[str],
        typer.Argument(
            help="Runs of one setting, with their seeds: SWEEP@TRIAL, or the folder of a run.",
            metavar="RUN...",
        ),
    ],
    against: Annotated[
        list[str] | None,
        typer.Option(metavar="RUN", help="A run to compare them with; repeatable."),
    ] = None,
    metric: Annotated[Metric, typer.Option(help="Errors in words or in characters.")] = Metric.wer,
    split: Annotated[
        str | None, typer.Option(help="What all recognised. Default: the test split")
    ] = None,
    table_format: Format = None,
    out: Out = None,
) -> None:
    """Show error rates of each language and their mean, pooled over runs, with intervals."""
    from tuneprune.results.languages import language_rates
    from tuneprune.show import print_table

    with printed(table_format, out) as shown_as:
        sides = [[_opened(run) for run in side] for side in (runs, against or ())]
        table = language_rates(sides[0], sides[1], metric=metric.value, split=split)
        if shown_as not in FOR_PEOPLE:
            print_table(table, shown_as.value, width())
        else:
            shown = table.set_column(0, "language", [_named(table["language"].to_pylist())])
            if not against:
                shown = shown.select(["language", "utterances", "rate", "rate_low", "rate_high"])
            print_table(shown, shown_as.value, width())
            print(
                f"\n{metric.value.upper()}; mean: each language counts alike. _low, _high: 95 % "
                "bootstrap intervals over\nutterances, or speakers where a language has five or "
                "more; they say nothing of other seeds."
            )
        for results, _ in (*sides[0], *sides[1]):
            warn(results.warnings)


def _named(languages: Sequence[str | None]) -> list[str]:
    return ["mean" if one is None else one for one in languages]


def _opened(run: str) -> "tuple[Results, str]":
    """Return the results that hold a run, and its name there.

    Raises:
        ResultsError: a folder holds several runs, and none is named.
    """
    from tuneprune.errors import ResultsError
    from tuneprune.results import open_results

    sweep, named, trial = run.rpartition("@")
    results = open_results(sweep_folder(sweep if named else run))
    if named:
        return results, trial
    known = results.trials()["trial_id"].to_pylist()
    if len(known) != 1:
        raise ResultsError("run", run, f"holds {len(known)} runs; name one: {run}@TRIAL")
    return results, known[0]
