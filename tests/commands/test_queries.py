"""Every query can be asked on the command line, of a folder, a name or a URI."""

import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tuneprune.commands import results as commands
from tuneprune.results import Results

Run = Callable[..., tuple[int, str, str]]

# Command, its arguments behind the sweep, and what is to be found in its rows.
ASKED: list[tuple[str, tuple[str, ...], str, list[Any]]] = [
    ("trials", (), "params", [1000, 2000]),
    ("best", ("--k", "2"), "trial_id", ["t1", "t0"]),
    ("pareto", ("dev_wer", "params"), "trial_id", ["t1", "t0"]),
    ("pareto", ("params",), "trial_id", ["t0"]),
    ("steps", (), "loss", [2.0, 1.0, 1.5, 0.5]),
    ("steps", ("--trial", "t1"), "loss", [1.5, 0.5]),
    ("evaluations", ("--trial", "t1"), "wer", [0.75, 0.25]),
    ("evaluations", ("--split", "dev"), "wer", [1.0, 0.5, 0.75, 0.25]),
    ("evaluations", ("--by-language",), "wer", []),
    ("curves", ("--trial", "t1"), "events", [0, 1]),
    ("curves", ("--split", "dev"), "train_loss", [2.0, 1.0, 1.5, 0.5]),
    ("adaptations", ("--trial", "t1"), "dropped_params", [100]),
    ("recoveries", (), "recovery_steps", [3]),
    ("groups", ("t1",), "scorer", ["magnitude"] * 4 + ["taylor"] * 4),
    ("groups", ("t1", "--event", "0", "--scorer", "taylor"), "score", [0.0, 0.25, 0.5, 0.75]),
    ("allocation", ("t1",), "groups", [3]),
    ("allocation", ("t1", "--step", "14"), "groups", [4]),
    ("utterances", ("t1",), "utterance_id", ["u2", "u1", "u3"]),
    ("utterances", ("t1", "--split", "eval", "--worst", "1"), "insertions", [2]),
    ("scorers", ("t1",), "rank_correlation", [1.0]),
    ("compare", ("t1", "t0"), "difference", [0.375]),
    ("significance", (), "trial_id", ["t1"]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("command", "arguments", "column", "values"), ASKED, ids=[" ".join(a[:1] + a[1]) for a in ASKED]
)
def test_answers_are_those_that_were_written(
    run: Run, sweep: Path, command: str, arguments: tuple[str, ...], column: str, values: list[Any]
) -> None:
    code, out, err = run("results", command, "small", *arguments, "--format", "json")
    assert (code, err) == (0, "")
    assert [row[column] for row in json.loads(out)] == values
    assert run("results", command, sweep.as_uri(), *arguments, "--format", "json")[1] == out
    code, text, _ = run("results", command, "small", *arguments)
    assert code == 0
    assert max(map(len, text.splitlines())) <= 100


def test_every_query_of_results_is_a_command() -> None:
    names = {"scorer_agreement": "scorers"}
    public = inspect.getmembers(Results, inspect.isfunction)
    asked = {name for name, function in public if not name.startswith("_")}
    not_asked = {"table", "rows_of", "searched", "split_name"}  # what answers are made of
    registered = {info.name or info.callback.__name__ for info in commands.app.registered_commands}
    assert {names.get(name, name) for name in asked - not_asked} <= registered


def test_for_people_what_all_rows_share_is_said_below(run: Run, sweep: Path) -> None:
    out = run("results", "evaluations", "small", "--trial", "t1")[1].splitlines()
    assert out[0].split()[:2] == ["step", "wer"]
    assert [line.split()[1] for line in out[1:3]] == ["75.0", "25.0"]
    assert out[-1] == "the same in all rows: sweep_id s, trial_id t1, attempt 0, seed 1, split dev"


def test_utterances_are_read_word_below_word(run: Run, sweep: Path) -> None:
    assert run("results", "utterances", "small", "t1")[1].splitlines() == [
        "u2  anna  3 errors in 3 words (1 S, 0 D, 2 I)",
        "  reference   on *** *** the mat",
        "  hypothesis  on at  all the bat",
        "                 I   I       S",
        "",
        "u1  anna  1 error in 3 words (0 S, 1 D, 0 I)",
        "  reference   the cat sat",
        "  hypothesis  the cat ***",
        "                      D",
        "",
        "u3  anna  0 errors in 2 words (0 S, 0 D, 0 I)",
        "  reference   so there",
        "  hypothesis  so there",
    ]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("pareto", "small", "colour"), "metric = 'colour': must be one of"),
        (("groups", "small", "t1", "--event", "3"), "event = 3: was not recorded; there are 0"),
        (("groups", "small", "t1", "--scorer", "x"), "scorer = 'x': was not recorded; there are"),
        (("allocation", "small", "t7"), "trial = 't7': is not a trial of these results"),
        (("utterances", "small", "t1", "--split", "x"), "split = 'x': was not evaluated"),
        (("steps", "file:///no/such"), "results = /no/such: is not a folder"),
        (("steps", "gopher://host/x"), "results = 'gopher://host/x': is no URI that can be opened"),
    ],
)
def test_what_is_not_there_is_said_in_one_line(
    run: Run, sweep: Path, arguments: tuple[str, ...], said: str
) -> None:
    code, out, err = run("results", *arguments)
    assert (code, out) == (2, "")
    assert err.startswith(f"tuneprune: {said}")
    assert err.count("\n") == 1
