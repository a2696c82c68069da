"""What a person sees fits 100 columns and says what is true."""

import dataclasses
import io
import re
import shutil
import threading
import time

import pytest
from rich.console import Console

from tuneprune.results.compare import Comparison
from tuneprune.sweep.live import LiveTable, duration, print_outcome, render_outcome
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


def said_of(space, *ends):
    console = Console(width=100, file=io.StringIO())
    table = LiveTable(space, console)
    for trial_id, metrics in ends:
        table.ended(trial_id, metrics)
    return console.file.getvalue().splitlines()


@pytest.mark.parametrize("status", ["failed", "diverged", "stopped"])
def test_without_a_terminal_whatever_did_not_finish_says_why(space, status):
    metrics = {"status": status, "dev_wer": 0.5, "reason": "out of luck:\n" + "why " * 60}
    (line,) = said_of(space, ("t01", metrics))
    assert line.startswith(f"t01 {status:<9} out of luck: why why")
    assert len(line) == 100


def test_a_trial_that_ended_before_it_started_is_in_the_table(space):
    table = LiveTable(space, Console(quiet=True))
    table.progressed("t01", {"step": 1.0, "total_steps": 2.0})
    table.ended("t02", {"status": "failed", "reason": "no process"})
    text = shown(table.render())
    assert re.search(r"t01 .*running .*50 %", text)
    assert re.search(r"t02 +no process +failed", text)
    assert "1 of 31 trials" in text


def test_brackets_in_text_from_outside_are_shown_and_not_obeyed(space):
    table = LiveTable(space, Console(quiet=True))
    table.started("t01", {"optim.legs": "[bold][0.4, 0.4][/bold]"})
    table.ended("t02", {"status": "failed", "reason": "KeyError: '[/red]'"})
    text = shown(table.render())
    assert "legs [bold][0.4, 0.4][/bold]" in text
    assert "KeyError: '[/red]'" in text


def test_trials_can_be_added_while_the_table_is_drawn(space):
    table = LiveTable(space, Console(quiet=True))
    failures = []

    def draw():
        try:
            while not done.is_set():
                table.render()
        except RuntimeError as error:  # dictionary changed size during iteration
            failures.append(error)

    done = threading.Event()
    drawer = threading.Thread(target=draw)
    drawer.start()
    ends = time.monotonic() + 0.3
    while time.monotonic() < ends:
        for number in range(300):
            table.started(f"t{number:03d}", {})
        table._trials.clear()
    done.set()
    drawer.join()
    assert failures == []


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
        not_compared="",
        block="speaker",
        blocks=10,
        failures=({"trial_id": "t04", "status": "failed", "reason": "why " * 60},),
        seconds=310.0,
        finished_s=time.mktime((2026, 3, 4, 15, 6, 0, 0, 0, -1)),
    )  # fmt: skip


def test_the_last_screen_names_the_best_and_how_sure_it_is(outcome, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(shutil, "which", lambda name: f"/bin/{name}")
    text = shown(render_outcome(outcome))
    assert max(map(len, text.splitlines())) <= 100
    assert "Best of 4 finished trials" in text
    assert "t03  adaptation.delta=0.2" in text
    assert re.search(r"best +10\.0 % +5\.0 % +20\.0 % +10\.0 % +1,234,567 +1\.5", text)
    assert "-5.0 points, 95 % interval [-9.0, -1.0]: a clear difference" in text
    assert "paired bootstrap over 10 speakers; chance that the best is better: 98 %" in text
    assert "chosen on dev" in text
    assert "5 min 10 s. Tables: out" in text
    assert text.count("tuneprune results ") == 3


def test_an_interval_that_holds_zero_is_no_clear_difference(outcome):
    compared = dataclasses.replace(outcome.comparison, high=0.01)
    text = shown(render_outcome(dataclasses.replace(outcome, comparison=compared)))
    assert "no clear difference." in text


def test_with_few_speakers_a_difference_is_one_within_them(outcome):
    few = dataclasses.replace(outcome, block="utterance", blocks=130)
    text = " ".join(shown(render_outcome(few)).split())
    assert "a clear difference within these speakers." in text
    assert "paired bootstrap over 130 utterances" in text


def test_without_a_comparison_the_reason_is_one_line(outcome):
    alone = dataclasses.replace(outcome, comparison=None, not_compared="it was not recorded")
    lines = shown(render_outcome(alone)).splitlines()
    assert "Not compared with the baseline: it was not recorded" in lines


def test_a_sweep_that_was_only_read_says_so_first(outcome):
    text = shown(render_outcome(dataclasses.replace(outcome, reread=True)))
    assert text.splitlines()[0] == (
        "finished on 2026-03-04 15:06; read, not trained again (--restart trains anew)"
    )
    assert "read, not trained" not in shown(render_outcome(outcome))


def test_commands_are_printed_whole_however_long_they_are(outcome, tmp_path):
    folder = tmp_path / ("it's a long name " * 8)
    console = Console(width=100, file=io.StringIO())
    print_outcome(dataclasses.replace(outcome, path=folder), console)
    commands = console.file.getvalue().splitlines()[-3:]
    quoted = str(folder).replace("'", "'\"'\"'")
    assert all(line.endswith(f"'{quoted}'") for line in commands)


def test_a_sweep_of_failures_says_so(outcome):
    failed = {**row("t00", 0.3, 0.3), "status": "failed"}
    ended = dataclasses.replace(
        outcome, best=None, baseline=failed, comparison=None, not_compared="no trial finished"
    )
    text = shown(render_outcome(ended))
    assert "No trial finished." in text
    assert re.search(r"baseline +failed", text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(9.4, "9 s"), (59.6, "1 min 00 s"), (310, "5 min 10 s"), (7500, "2 h 05 min")],
)
def test_durations_are_said_as_people_say_them(seconds, text):
    assert duration(seconds) == text
