"""What a person sees fits 100 columns and says what is true."""

import dataclasses
import io
import re

import pytest
from rich.console import Console

from tuneprune.results.compare import Comparison
from tuneprune.sweep.live import LiveTable, duration, render_outcome
from tuneprune.sweep.outcome import SweepOutcome
from tuneprune.sweep.space import build_space

VALUES = {
    "adaptation.scorer": "magnitude",
    "adaptation.delta": 0.15,
    "adaptation.at": 0.123456789,
    "adaptation.new_score_weight": 0.87654321,
    "optim.peak_lr": 0.000321,
    "model.conv_kernel": 31,
}


@pytest.fixture
def space(settings):
    settings["search"]["trials"] = 30
    return build_space(settings)


def shown(renderable, *, height=50):
    console = Console(width=100, height=height, file=io.StringIO())
    console.print(renderable)
    return console.file.getvalue()


def busy_table(space, console):
    table = LiveTable(space, console)
    table.started("t00", {})
    for number in range(1, 25):
        table.started(f"t{number:02d}", VALUES)
        metrics = {"status": "finished", "dev_wer": 0.1 + abs(number - 5) / 50}
        if number <= 20:
            table.ended(f"t{number:02d}", metrics)
    table.ended("t21", {"status": "failed", "reason": "RuntimeError: " + "why " * 60})
    table.progressed("t22", {"step": 30.0, "total_steps": 40.0, "dev_wer": 0.5})
    return table


def test_the_table_fits_the_screen_and_keeps_what_matters(space):
    text = shown(busy_table(space, Console(width=100, height=14, quiet=True)).render(), height=14)
    lines = text.splitlines()
    assert max(map(len, lines)) <= 100
    assert len(lines) <= 13
    assert re.search(r"t05 .*10\.0 % best", text)
    assert re.search(r"t22 .*75 %.*50\.0 %", text)
    assert "21 of 31 trials" in text
    assert "left" in lines[-1]


def test_without_a_terminal_every_change_is_one_line(space):
    console = Console(width=100, file=io.StringIO())
    with LiveTable(space, console) as table:
        table.started("t01", {"adaptation.delta": 0.2})
        table.progressed("t01", {"step": 1.0, "total_steps": 2.0, "dev_wer": 0.5})
        table.ended("t01", {"status": "finished", "dev_wer": 0.25})
    lines = console.file.getvalue().splitlines()
    assert lines[0] == "t01 running   delta 0.2"
    assert lines[1].startswith("t01 finished  dev WER 25.0 %   1 of 31 trials")
    assert len(lines) == 2


def row(trial_id, dev, test):
    return {
        "trial_id": trial_id, "status": "finished", "settings": '{"adaptation.delta": 0.2}',
        "dev_wer": dev, "dev_cer": dev / 2, "test_wer": test, "test_cer": test / 2,
        "params": 1_234_567, "train_s": 90.0, "reason": None,
    }  # fmt: skip


@pytest.fixture
def outcome(tmp_path, space):
    return SweepOutcome(
        path=tmp_path / "out",
        sweep_id="small-1",
        question=space.question,
        objective=space.search.objective,
        counts={"finished": 5, "failed": 1},
        best=row("t03", 0.1, 0.2),
        baseline=row("t00", 0.3, 0.25),
        comparison=Comparison(
            wer_a=0.2, wer_b=0.25, difference=-0.05, low=-0.09, high=-0.01,
            probability_of_improvement=0.98,
        ),
        failures=({"trial_id": "t04", "status": "failed", "reason": "why " * 60},),
        seconds=310.0,
    )  # fmt: skip


def test_the_last_screen_names_the_best_and_how_sure_it_is(outcome, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    text = shown(render_outcome(outcome))
    assert max(map(len, text.splitlines())) <= 100
    assert "Best of 4 finished trials" in text
    assert "t03  adaptation.delta=0.2" in text
    assert re.search(r"best +10\.0 % +5\.0 % +20\.0 % +10\.0 % +1,234,567 +1\.5", text)
    assert "-5.0 points, 95 % interval [-9.0, -1.0]: a clear difference" in text
    assert "chosen on dev" in text
    assert "5 min 10 s. Tables: out" in text
    assert text.count("tuneprune results ") == 3


def test_an_interval_that_holds_zero_is_no_clear_difference(outcome):
    compared = dataclasses.replace(outcome.comparison, high=0.01)
    text = shown(render_outcome(dataclasses.replace(outcome, comparison=compared)))
    assert "no clear difference" in text


def test_a_sweep_of_failures_says_so(outcome):
    failed = {**row("t00", 0.3, 0.3), "status": "failed"}
    ended = dataclasses.replace(outcome, best=None, baseline=failed, comparison=None)
    text = shown(render_outcome(ended))
    assert "No trial finished." in text
    assert re.search(r"baseline +failed", text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(9.4, "9 s"), (59.6, "1 min 00 s"), (310, "5 min 10 s"), (7500, "2 h 05 min")],
)
def test_durations_are_said_as_people_say_them(seconds, text):
    assert duration(seconds) == text
