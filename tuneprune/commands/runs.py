"""Commands that train: one model described, one run, a whole sweep."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from tuneprune.commands.options import Overrides, Restart, width
from tuneprune.config import build_config, read_run_settings
from tuneprune.errors import ConfigError


def describe(
    config: Annotated[Path, typer.Argument(help="A run's YAML, or a search space.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    labels: Annotated[
        int | None,
        typer.Option(min=2, help="Outputs with the blank; default: the corpus's, else 79."),
    ] = None,
    overrides: Overrides = None,
) -> None:
    """Print blocks, modules, groups, costs and totals of a model, without training it."""
    from tuneprune.models.describe import describe_model
    from tuneprune.show import describe_table
    from tuneprune.training.prepare import count_labels
    from tuneprune.training.warm_start import with_start_allocation

    run = build_config(read_run_settings(config, overrides or ()))
    number, source = (labels, "option") if labels is not None else count_labels(run)
    described = with_start_allocation(run)
    description = describe_model(described, num_labels=number, num_labels_from=source)
    if as_json:
        print(json.dumps(description, indent=2))
    else:
        Console(width=width()).print(describe_table(description))


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
    if run.federated is not None:
        remedy = "is for `tuneprune federated`; start that, or leave it out"
        raise ConfigError("federated", "given", remedy)
    folder = out or Path("results") / config.stem
    summary = train_single(run, name=config.stem, out=folder, restart=restart, resume=resume)
    print_run(summary, folder, Console(width=width()))
    if summary.status == "diverged":
        raise typer.Exit(1)


_Space = Annotated[Path, typer.Argument(help="A search space, such as search_spaces/*.yaml")]
_SweepOut = Annotated[Path | None, typer.Option(help="Folder of the sweep. Default: results/NAME")]
_Resume = Annotated[
    bool, typer.Option("--resume", help="Only go on with what the folder holds; begin nothing.")
]
_RetryFailed = Annotated[
    bool, typer.Option("--retry-failed", help="Train trials that failed again.")
]
_MaxConcurrent = Annotated[int | None, typer.Option(min=1, help="At most so many trials at once.")]
_Share = Annotated[bool, typer.Option(help="Train steps that trials have in common once.")]
_StagesGb = Annotated[
    float, typer.Option(min=0, help="GB on disk for what trials share, while the sweep runs.")
]
_DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Only say what would be trained, where and on what.")
]
_StepTime = Annotated[
    float | None,
    typer.Option(
        help="Seconds a step, as the table `steps` of an earlier run has it; for --dry-run."
    ),
]


def sweep(
    space: _Space,
    out: _SweepOut = None,
    overrides: Overrides = None,
    restart: Restart = False,
    resume: _Resume = False,
    retry_failed: _RetryFailed = False,
    max_concurrent: _MaxConcurrent = None,
    share: _Share = True,
    stages_gb: _StagesGb = 50.0,
    dry: _DryRun = False,
    step_time: _StepTime = None,
) -> None:
    """Train a baseline and the trials of a search space, and say which setting was best."""
    from tuneprune.sweep.dry_run import dry_run
    from tuneprune.sweep.dry_run_screen import render_dry_run
    from tuneprune.sweep.final import print_outcome
    from tuneprune.sweep.live import LiveTable
    from tuneprune.sweep.space import load_space
    from tuneprune.sweep.study import run_sweep

    if step_time is not None and not (dry and step_time > 0):
        raise ConfigError("--step-time", step_time, "goes with --dry-run, and is above 0")
    loaded = load_space(space, overrides or ())
    if dry:
        plan = dry_run(
            loaded,
            max_concurrent=max_concurrent,
            share_stages=share,
            stages_gb=stages_gb,
            step_time_s=step_time,
        )
        Console(width=width()).print(render_dry_run(plan))
        return
    outcome = run_sweep(
        loaded,
        out=out or Path("results") / loaded.name,
        restart=restart,
        resume=resume,
        retry_failed=retry_failed,
        max_concurrent=max_concurrent,
        share_stages=share,
        stages_gb=stages_gb,
        live=LiveTable(loaded),
    )
    print_outcome(outcome, Console(width=width()))
    if outcome.best is None:
        raise typer.Exit(1)
