"""Commands that measure finished runs, and show what came of it."""

import sys
from enum import StrEnum
from typing import Annotated

import typer

from tuneprune.commands.options import Sweep, sweep_folder
from tuneprune.commands.resets import Parts, Scope, churn, reset_agreement, resets
from tuneprune.errors import ConfigError

app = typer.Typer(
    help="Measure finished runs: which layers can be reset, how far weights have moved.",
    no_args_is_help=True,
)


class Reset(StrEnum):
    """What parameters are reset to."""

    re_init = "re_init"
    re_rand = "re_rand"


class Role(StrEnum):
    """Which checkpoints of a run."""

    best = "best"
    last = "last"
    kept = "kept"


class SplitRole(StrEnum):
    """Which split of a run."""

    dev = "dev"
    test = "test"


_Trials = Annotated[
    list[str] | None, typer.Argument(help="Finished trials. Default: all of them", metavar="TRIAL")
]
_Checkpoints = Annotated[
    list[Role] | None,
    typer.Option(
        "--checkpoint",
        help="The best one, the last, or those of training.keep_checkpoints; repeatable. "
        "Default: best",
    ),
]


@app.command("ambient")
def ambient(
    sweep: Sweep,
    trials: _Trials = None,
    reset: Annotated[
        list[Reset] | None,
        typer.Option(
            help="To the weights before training, or to fresh draws of their distributions; "
            "repeatable. Default: re_rand"
        ),
    ] = None,
    scope: Annotated[
        list[Scope] | None, typer.Option(help="What is reset at once; repeatable. Default: block")
    ] = None,
    draws: Annotated[
        int | None, typer.Option(min=1, help="Fresh draws of re_rand. Default: 3")
    ] = None,
    checkpoint: _Checkpoints = None,
    step: Annotated[
        list[int] | None,
        typer.Option(min=0, help="Of these checkpoints, only those of a step; repeatable."),
    ] = None,
    split: Annotated[SplitRole, typer.Option(help="What is recognised.")] = SplitRole.test,
    keep_statistics: Annotated[
        bool,
        typer.Option("--keep-statistics", help="Leave running statistics of batch norm alone."),
    ] = False,
    workers: Annotated[
        int, typer.Option(min=1, help="Passes at once, each a task of Ray if there are several.")
    ] = 1,
) -> None:
    """Measure what resets of layers do to errors, and show the most ambient layers first.

    What was measured before is not measured again.
    """
    from tuneprune.analysis import ResetStudy, measure_resets
    from tuneprune.commands.measuring import MeasuringProgress, run_jobs
    from tuneprune.results import open_results
    from tuneprune.sweep.interrupts import interruptible

    wanted = reset or [Reset.re_rand]
    if draws is not None and Reset.re_rand not in wanted:
        raise ConfigError("--draws", draws, "has no effect without --reset re_rand")
    results = open_results(sweep_folder(sweep))
    study = ResetStudy(
        resets=tuple(one.value for one in wanted),
        scopes=tuple(one.value for one in scope or [Scope.block]),
        draws=3 if draws is None else draws,
        checkpoints=tuple(one.value for one in checkpoint or [Role.best]),
        steps=tuple(step) if step else None,
        split=split.value,
        with_statistics=not keep_statistics,
    )
    goes_on = interruptible("interrupted; the same command goes on with what is missing")
    with goes_on, MeasuringProgress("resets") as progress, run_jobs(workers) as run:
        measured = measure_resets(
            results, study, trials=trials, run=run, progress=progress.measured
        )
    print(f"{measured} resets measured\n", file=sys.stderr)
    resets(sweep, trials[0] if trials and len(trials) == 1 else None, every_step=True)


@app.command("churn")
def analyze_churn(
    sweep: Sweep,
    trials: _Trials = None,
    checkpoint: _Checkpoints = None,
) -> None:
    """Measure from checkpoints how far training has moved the weights of each module."""
    from tuneprune.analysis import measure_churn
    from tuneprune.results import open_results
    from tuneprune.sweep.interrupts import interruptible

    results = open_results(sweep_folder(sweep))
    roles = checkpoint or [Role.best]
    with interruptible("interrupted; the same command goes on with what is missing"):
        measured = measure_churn(results, trials=trials, checkpoints=[one.value for one in roles])
    print(f"{measured} checkpoints measured\n", file=sys.stderr)
    churn(sweep, trials[0] if trials and len(trials) == 1 else None, every_step=True)


@app.command("agreement")
def agreement(
    sweep: Sweep,
    trial: Annotated[str | None, typer.Argument(help="A trial. Default: all of them")] = None,
    by: Annotated[
        Parts, typer.Option(help="Over all parts at once, by module kind, or by layer.")
    ] = Parts.all,
) -> None:
    """Show how well importance scores foresee what resets do to the same groups."""
    reset_agreement(sweep, trial, by=by)
