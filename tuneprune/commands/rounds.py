"""Commands that say what federated training came to, round by round and client by client."""

from enum import StrEnum
from typing import Annotated

import typer

from tuneprune.commands.options import Format, Out, Sweep, sweep_folder, warn
from tuneprune.commands.people import print_answer
from tuneprune.commands.printing import printed


class RoundView(StrEnum):
    """What a row is."""

    round = "round"
    setting = "setting"


class ClientView(StrEnum):
    """What a row is."""

    row = "row"
    client = "client"


_OneTrial = Annotated[str | None, typer.Argument(help="A trial. Default: all of them")]


def rounds(
    sweep: Sweep,
    trial: _OneTrial = None,
    by: Annotated[
        RoundView,
        typer.Option(help="A row a round, or a setting: all of its rounds and seeds together."),
    ] = RoundView.round,
    against: Annotated[
        str | None,
        typer.Option(
            metavar="TRIAL",
            help="Of setting: compare with the setting of TRIAL. Default: with baselines",
        ),
    ] = None,
    table_format: Format = None,
    out: Out = None,
) -> None:
    """Show rounds of federated training: what clients lacked, what was sent, error rates."""
    from tuneprune.results import open_results
    from tuneprune.results.round_columns import round_columns, setting_columns

    with printed(table_format, out) as shown_as:
        results = open_results(sweep_folder(sweep))
        table = results.rounds(trial, by=by.value, against=against)
        print_answer(
            results,
            table,
            shown_as,
            round_columns if by is RoundView.round else setting_columns,
            nothing="no rounds of federated training here",
            note=_round_note(by, against),
        )
        warn(results.warnings)


def _round_note(by: RoundView, against: str | None) -> str:
    lacked = "dropped: parameters of the model that a client lacked, in percent"
    if by is RoundView.round:
        return f"{lacked}, mean of the round.\nclients: those whose updates were averaged."
    note = (
        f"{lacked}, mean over rounds.\ndown and up: what was sent in all rounds of a run. WER in "
        "percent [95 % interval, by bootstrap\nover speakers, or utterances where they are few]."
    )
    if against is None:
        return (
            f"{note}\ndifference: in points, to the baselines of the same seeds, if there are any."
        )
    return f"{note}\ndifference: in points, to the setting of {against} with the same seeds."


def clients(
    sweep: Sweep,
    trial: _OneTrial = None,
    by: Annotated[
        ClientView, typer.Option(help="A row a client in a round, or in all rounds of a trial.")
    ] = ClientView.client,
    table_format: Format = None,
    out: Out = None,
) -> None:
    """Show what the clients of federated training did, and how it ended."""
    from tuneprune.results import open_results
    from tuneprune.results.round_columns import client_columns

    with printed(table_format, out) as shown_as:
        results = open_results(sweep_folder(sweep))
        print_answer(
            results,
            results.clients(trial, by=by.value),
            shown_as,
            client_columns,
            nothing="no clients of federated training here",
            note="",
        )
        warn(results.warnings)
