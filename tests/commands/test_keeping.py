"""Exports from and to URIs, and for other trackers, on the command line."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., tuple[int, str, str]]


def test_a_sweep_is_exported_to_a_uri_and_queried_there(run: Run, sweep: Path) -> None:
    there = Path("there").absolute().as_uri()
    code, out, _ = run("results", "export", "small", there)
    assert code == 0
    assert len(out.splitlines()) == 5
    best = run("results", "best", there, "--format", "json")[1]
    assert best == run("results", "best", "small", "--format", "json")[1]
    assert run("results", "list", Path.cwd().as_uri(), "--format", "json")[0] == 0


def test_a_sweep_at_a_uri_is_compacted(run: Run, sweep: Path) -> None:
    before = run("results", "steps", "small", "--format", "json")[1]
    code, out, _ = run("results", "compact", sweep.as_uri())
    assert code == 0
    assert "steps" in out
    assert run("results", "steps", "small", "--format", "json")[1] == before
    assert list((sweep / "parts" / "steps").iterdir()) == []


def test_a_picture_of_a_sweep_at_a_uri_needs_a_place(run: Run, sweep: Path) -> None:
    code, out, err = run("plot", "history", sweep.as_uri())
    assert (code, out) == (2, "")
    assert "--out = None: must name a file or a folder where the sweep is a URI" in err
    assert run("plot", "history", sweep.as_uri(), "--out", "a.png")[0] == 0
    assert Path("a.png").stat().st_size > 1000


def test_trackers_are_written_by_their_own_library_or_refused(run: Run, sweep: Path) -> None:
    outcome = run("results", "export", "small", "out", "--to", "mlflow", "--tables", "trials")
    assert (outcome[0], outcome[1]) == (2, "")
    assert "--tables = 'trials': has no meaning with --to" in outcome[2]
    pytest.importorskip("tensorboard", reason="not installed: `pip install tensorboard`")
    code, out, _ = run("results", "export", "small", "out", "--to", "tensorboard")
    assert (code, out) == (0, "tensorboard --logdir out\n")


def test_a_tracker_that_is_not_installed_is_named(
    run: Run, sweep: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    code, out, err = run("results", "export", "small", "out", "--to", "mlflow")
    assert (code, out) == (2, "")
    assert "`pip install mlflow` brings it" in err
    assert not Path("out").exists()


def test_raw_rows_of_a_uri_are_those_of_its_folder(run: Run, sweep: Path) -> None:
    query = "select count(*) as n from steps"
    code, out, _ = run("results", "sql", query, sweep.as_uri(), "--format", "json")
    assert (code, json.loads(out)) == (0, [{"n": 4}])
