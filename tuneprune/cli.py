"""The command line: which commands there are, and one line for whatever is wrong."""

import sys

import typer

from tuneprune.commands import (
    analyze,
    checkpoints,
    corpus,
    doctor,
    federated,
    plot,
    report,
    results,
    runs,
    supernet,
)
from tuneprune.errors import Interrupted, TunepruneError

app = typer.Typer(
    help="Sweeps over architecture adaptation of speech recognisers.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
for command in (
    runs.describe,
    runs.train,
    runs.sweep,
    federated.federated,
    doctor.doctor,
    plot.plot,
    report.report,
    supernet.subnets,
    checkpoints.allocation,
    checkpoints.transcribe,
    checkpoints.export,
):
    app.command()(command)
app.add_typer(analyze.app, name="analyze")
app.add_typer(corpus.app, name="corpus")
app.add_typer(results.app, name="results")


def main() -> None:
    """Run the command line. Wrong input ends in one line on standard error and exit code 2."""
    try:
        app()
    except (TunepruneError, Interrupted) as error:
        print(f"tuneprune: {error}", file=sys.stderr)
        raise SystemExit(error.exit_code) from None
