"""Rounds of federated training with their error rates, and clients over rounds, by hand."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from reset_rows import add_client, add_trial, write_rounds, writer_of

from tuneprune.errors import ResultsError
from tuneprune.results.reader import open_results

Run = Callable[..., tuple[int, str, str]]


def columns(table: pa.Table, *names: str) -> list[tuple[Any, ...]]:
    return list(zip(*(table[name].to_pylist() for name in names), strict=True))


def test_a_round_has_the_error_rates_that_were_measured_after_it(tmp_path: Path) -> None:
    settings = {"federated.aim": "ambient"}
    write_rounds(tmp_path, "t1", wers=(0.5, None), dropped=(100.0, 250.0), settings=settings)
    with writer_of(tmp_path, "t1") as writer:
        writer.add(
            "evaluations", step=2, split="test", wer=0.75, substitutions=0, deletions=0,
            insertions=0, num_ref_words=100,
        )  # fmt: skip
    table = open_results(tmp_path).rounds()
    assert table.column_names[:5] == ["sweep_id", "trial_id", "seed", "federated.aim", "step"]
    names = ("trial_id", "federated.aim", "step", "dev_wer", "test_wer", "dropped_share")
    assert columns(table, *names) == [
        ("t1", "ambient", 1, 0.5, None, 0.1), ("t1", "ambient", 2, None, 0.75, 0.25),
    ]  # fmt: skip
    assert columns(table, "clients", "bytes_down", "bytes_up") == [(4, 4000, 3000)] * 2


def test_an_evaluation_between_rounds_is_of_no_round(tmp_path: Path) -> None:
    write_rounds(tmp_path, "t1", wers=(0.5,), dropped=(100.0,))
    with writer_of(tmp_path, "t1") as writer:
        writer.add(
            "evaluations", step=7, split="dev", wer=0.75, substitutions=0, deletions=0,
            insertions=0, num_ref_words=100,
        )  # fmt: skip
    assert open_results(tmp_path).rounds("t1")["step"].to_pylist() == [1]


def test_clients_are_as_recorded_or_over_all_rounds(tmp_path: Path) -> None:
    with writer_of(tmp_path, "t1", seed=3) as writer:
        add_trial(writer)
        add_client(writer, 1, "ann", loss=2.0, dropped_params=100)
        add_client(writer, 2, "ann", loss=1.0, dropped_params=200)
        add_client(
            writer, 1, "bob", end="failed", reason="killed", loss=None, local_steps=None,
            client_s=None, bytes_up=0,
        )  # fmt: skip
        add_client(writer, 2, "bob", end="not_finite", loss=None)
    results = open_results(tmp_path)
    assert results.clients().equals(results.table("clients"))
    found = results.clients(by="client")
    ends = ("client", "rounds", "done", "failed", "not_finite")
    assert columns(found, *ends) == [("ann", 2, 2, 0, 0), ("bob", 2, 0, 1, 1)]
    assert columns(found, "local_steps", "bytes_down", "bytes_up", "client_s", "utterances") == [
        (10, 2000, 1800, 4.0, 10), (5, 2000, 900, 2.0, 10),
    ]  # fmt: skip
    assert columns(found, "dropped_params", "loss", "seed") == [(150, 1.5, 3), (100, None, 3)]


@pytest.mark.parametrize("command", ["rounds", "clients"])
def test_each_view_fits_the_terminal_and_other_formats_have_raw_values(
    run: Run, tmp_path: Path, command: str
) -> None:
    for trial in ("t1", "t2"):
        write_rounds(tmp_path, trial, settings={"federated.target_rate": 0.5})
        with writer_of(tmp_path, trial) as writer:
            add_client(writer, 1, "a speaker with a long name", end="failed", reason="no answer")
            add_client(writer, 2, "ann")
    views = ("round", "setting") if command == "rounds" else ("row", "client")
    for by in views:
        code, out, err = run("results", command, tmp_path, "--by", by)
        assert (code, err) == (0, "")
        assert max(map(len, out.splitlines())) <= 100
        raw = json.loads(run("results", command, tmp_path, "--by", by, "--format", "json")[1])
        assert raw == getattr(open_results(tmp_path), command)(by=by).to_pylist()


def test_people_read_a_round_a_line(run: Run, tmp_path: Path) -> None:
    write_rounds(tmp_path, "t1", failed=1)
    lines = run("results", "rounds", tmp_path)[1].splitlines()
    assert lines[0].split()[:6] == ["round", "dev", "WER", "loss", "dropped", "clients"]
    assert lines[1].split()[:7] == ["1", "50.0", "1.5", "10.0", "3", "of", "4"]
    assert lines[1].split()[7:] == ["4", "kB", "3", "kB", "0.5", "2"]
    assert lines[-1] == "clients: those whose updates were averaged."


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("rounds", "t9"), "trial = 't9': is not a trial of these results"),
        (("rounds", "t1", "--by", "setting"), "trial = 't1': is of --by round alone"),
        (("rounds", "--against", "t1"), "against = 't1': is of --by setting alone"),
        (("rounds", "--by", "setting", "--against", "t2"),
         "against = 't2': has no rounds that count; there are t1"),
    ],
)  # fmt: skip
def test_what_can_not_be_answered_is_said_in_one_line(
    run: Run, tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    write_rounds(tmp_path, "t1")
    command, *rest = arguments
    code, out, err = run("results", command, tmp_path, *rest)
    assert (code, out) == (2, "")
    assert err.startswith(f"tuneprune: {said}")
    assert err.count("\n") == 1


@pytest.mark.parametrize("name", ["rounds", "clients"])
def test_a_view_that_is_none_of_ours_is_refused(tmp_path: Path, name: str) -> None:
    write_rounds(tmp_path, "t1")
    with pytest.raises(ResultsError, match="by = 'x': must be one of"):
        getattr(open_results(tmp_path), name)(by="x")


def test_where_there_are_none_it_is_said(run: Run, tmp_path: Path) -> None:
    with writer_of(tmp_path / "plain", "t1") as writer:
        add_trial(writer)
    for words, what in ((("rounds",), "rounds"), (("rounds", "--by", "setting"), "rounds"),
                        (("clients",), "clients")):  # fmt: skip
        command, *rest = words
        said = f"no {what} of federated training here\n"
        assert run("results", command, tmp_path / "plain", *rest)[:2] == (0, said)
