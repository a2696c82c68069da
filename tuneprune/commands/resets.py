"""Commands that say what resets of layers do to errors, and how far training has moved weights."""

from enum import StrEnum
from typing import Annotated

import typer

from tuneprune.commands.options import (
    EveryStep,
    Format,
    Out,
    Step,
    Sweep,
    chosen_steps,
    sweep_folder,
    warn,
    width,
)
from tuneprune.commands.people import print_answer
from tuneprune.commands.printing import printed


class ResetView(StrEnum):
    """What a row is."""

    setting = "setting"
    trial = "trial"
    row = "row"


class Scope(StrEnum):
    """What was reset at once."""

    model = "model"
    block = "block"
    module = "module"
    group = "group"


class Reset(StrEnum):
    """What parameters were reset to."""

    nothing = "nothing"
    re_init = "re_init"
    re_rand = "re_rand"


class Parts(StrEnum):
    """Over which parts of a model ranks are correlated."""

    all = "all"
    kind = "kind"
    layer = "layer"


class ChurnView(StrEnum):
    """What a row is."""

    module = "module"
    tensor = "tensor"
    row = "row"


_OneTrial = Annotated[str | None, typer.Argument(help="A trial. Default: all of them")]


def resets(
    sweep: Sweep,
    trial: _OneTrial = None,
    by: Annotated[
        ResetView,
        typer.Option(help="A row a part over all seeds of a setting, over a trial, or a reset."),
    ] = ResetView.setting,
    step: Step = None,
    every_step: EveryStep = False,
    split: Annotated[str | None, typer.Option(help="Of one split only.")] = None,
    scope: Annotated[Scope | None, typer.Option(help="Only of what was reset at once.")] = None,
    reset: Annotated[Reset | None, typer.Option(help="Only of what it was reset to.")] = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            help="Of setting and trial: increase, as a share of the WER as trained, up to which a "
            "part is ambient. Default: 0.1"
        ),
    ] = None,
    table_format: Format = None,
    out: Out = None,
) -> None:
    """Show what resetting a layer, module or group does to errors: the most ambient first."""
    from tuneprune.errors import ConfigError
    from tuneprune.results import open_results
    from tuneprune.results.reset_columns import RESETS_SHARE, reset_columns
    from tuneprune.results.resets import THRESHOLD
    from tuneprune.show import print_rows

    if by is ResetView.row and threshold is not None:
        raise ConfigError("--threshold", threshold, "is of --by setting and --by trial alone")
    share = THRESHOLD if threshold is None else threshold
    with printed(table_format, out) as shown_as:
        results = open_results(sweep_folder(sweep))
        table = results.resets(
            trial,
            by=by.value,
            step=chosen_steps(step, every_step),
            split=split,
            scope=scope.value if scope else None,
            reset=reset.value if reset else None,
            threshold=share,
        )
        if by is ResetView.row:
            print_rows(results, table, shown_as.value, width())
        else:
            print_answer(
                results,
                table,
                shown_as,
                reset_columns,
                shared=RESETS_SHARE,
                nothing="nothing was reset here",
                note=_reset_note(by, share),
            )
        warn(results.warnings)


def _reset_note(by: ResetView, threshold: float) -> str:
    over = "trainings" if by is ResetView.setting else "fresh draws"
    drawn = "Student's t over trainings, if there are several"
    if by is ResetView.trial:
        drawn = "bootstrap, its ends averaged over draws"
    return (
        f"WER in percent after the reset: mean over {over}; range: the highest less the lowest.\n"
        "trained: WER without a reset. Increase over it in points, with its 95 % interval by\n"
        f"{drawn}. Ambient: an increase of at most {100 * threshold:g} % of that WER.\n"
        "Rank 0 is the most ambient."
    )


def reset_agreement(
    sweep: Sweep,
    trial: _OneTrial = None,
    by: Annotated[
        Parts, typer.Option(help="Over all parts at once, by module kind, or by layer.")
    ] = Parts.all,
    step: Annotated[
        int | None, typer.Option(min=0, help="Of resets at that step. Default: at every step")
    ] = None,
    table_format: Format = None,
    out: Out = None,
) -> None:
    """Show how well importance scores foresee what resets do: rank correlations."""
    from tuneprune.results import open_results
    from tuneprune.results.reset_columns import AGREEMENT_SHARES, agreement_columns

    with printed(table_format, out) as shown_as:
        results = open_results(sweep_folder(sweep))
        table = results.reset_agreement(trial, by=by.value, step="every" if step is None else step)
        print_answer(
            results,
            table,
            shown_as,
            agreement_columns,
            shared=AGREEMENT_SHARES,
            nothing="no trial has scores and, at that step or later, resets",
            note=_AGREEMENT_NOTE,
        )
        warn(results.warnings)


_AGREEMENT_NOTE = (
    "Rank correlation: Spearman's, of scores and mean increases of the WER; at 1 what scores "
    "highest\ncan be spared least. summary: of the scores of all groups in a part, or the group's "
    "own score."
)


def churn(
    sweep: Sweep,
    trial: _OneTrial = None,
    by: Annotated[
        ChurnView,
        typer.Option(help="A row a module or a tensor, over all seeds of a setting, or as kept."),
    ] = ChurnView.module,
    step: Step = None,
    every_step: EveryStep = False,
    table_format: Format = None,
    out: Out = None,
) -> None:
    """Show how far training has moved the weights of each module from where they began."""
    from tuneprune.results import open_results
    from tuneprune.results.reset_columns import churn_columns
    from tuneprune.show import print_rows

    with printed(table_format, out) as shown_as:
        results = open_results(sweep_folder(sweep))
        table = results.churn(trial, by=by.value, step=chosen_steps(step, every_step))
        if by is ChurnView.row:
            print_rows(results, table, shown_as.value, width())
        else:
            print_answer(
                results,
                table,
                shown_as,
                churn_columns,
                shared=("step", "before_event", "trainings"),
                nothing="no churn was recorded here",
                note=_CHURN_NOTE,
            )
        warn(results.warnings)


_CHURN_NOTE = (
    "Churn: Frobenius norm of what training has added (distance), in percent of the largest one of "
    "a\nlayer; means over trainings, of which range is the highest less the lowest."
)
