"""What a person sees of a running sweep fits 100 columns and says what is true."""

import io
import re
import threading
import time

import pytest
from rich.console import Console

from tuneprune.sweep.live import LiveTable
from tuneprune.sweep.proposals import Proposal
from tuneprune.sweep.space import build_space

VALUES = {
    "adaptation.scorer": "magnitude",
    "adaptation.delta": 0.15,
    "adaptation.at": 0.123456789,
    "adaptation.new_score_weight": 0.87654321,
    "optim.peak_lr": 0.000321,
    "model.conv_kernel": 31,
}


def named(trial_id, values, *, is_baseline=False):
    number = int(trial_id[1:])
    return Proposal(trial_id=trial_id, number=number, values=values, is_baseline=is_baseline)


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
    table.started(named("t00", {}))
    for number in range(1, 25):
        table.started(named(f"t{number:02d}", VALUES))
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
        table.started(named("t01", {"adaptation.delta": 0.2}))
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
    table.started(named("t01", {"optim.legs": "[bold][0.4, 0.4][/bold]"}))
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
            table.started(named(f"t{number:03d}", {}))
        table._trials.clear()
    done.set()
    drawer.join()
    assert failures == []


@pytest.fixture
def grid(settings):
    settings["search"] = {
        "sampler": {"kind": "grid"},
        "set": {"adaptation.method": "grow_drop", "adaptation.at": 0.2, "adaptation.delta": 0.2},
        "space": {
            "seed": {"choice": [1, 2]},
            "adaptation.scorer": {"choice": ["gradient", "taylor"]},
        },
    }
    return build_space(settings)


def end(table, trial_id, rate, *, seed, scorer=None):
    values = {"seed": seed} if scorer is None else {"seed": seed, "adaptation.scorer": scorer}
    table.started(named(trial_id, values, is_baseline=scorer is None))
    table.ended(trial_id, {"status": "finished", "dev_wer": rate})


def test_of_several_baselines_each_trial_is_compared_with_its_own(grid):
    table = LiveTable(grid, Console(width=100, quiet=True))
    end(table, "t00", 0.3, seed=1)
    end(table, "t01", 0.5, seed=2)
    end(table, "t02", 0.28, seed=1, scorer="taylor")
    end(table, "t03", 0.4, seed=2, scorer="taylor")
    text = shown(table.render())
    assert re.search(r"t00 +baseline, seed 1 .*30\.0 % +- *$", text, re.MULTILINE)
    assert re.search(r"t02 +seed 1, scorer taylor .*28\.0 % best +-2\.0", text)
    assert re.search(r"t03 .*40\.0 % +-10\.0", text)
    assert "4 of 6 trials" in text
    assert max(map(len, text.splitlines())) <= 100


def test_a_trial_that_ends_before_its_own_baseline_is_compared_with_none(grid):
    console = Console(width=100, file=io.StringIO())
    table = LiveTable(grid, console)
    end(table, "t00", 0.3, seed=1)
    end(table, "t03", 0.4, seed=2, scorer="taylor")
    end(table, "t02", 0.28, seed=1, scorer="taylor")
    ends = [line for line in console.file.getvalue().splitlines() if "finished" in line]
    assert [" vs baseline" in line for line in ends] == [False, False, True]
    assert "28.0 %, -2.0 vs baseline" in ends[2]


def test_without_a_terminal_a_line_is_never_longer_than_the_screen(settings):
    grid_search = {
        "sampler": {"kind": "grid"},
        "set": {"adaptation.method": "grow_drop", "adaptation.at": 0.2, "adaptation.delta": 0.2},
        "space": {"seed": {"choice": list(range(60))}, "adaptation.scorer": {"choice": ["taylor"]}},
    }
    space = build_space({**settings, "search": grid_search})
    console = Console(width=100, file=io.StringIO())
    table = LiveTable(space, console)
    table._began -= 36_000
    for seed in range(20):
        end(table, f"t{seed:03d}", 0.9, seed=seed)
    end(table, "t100", 0.3, seed=3, scorer="taylor")
    table.started(named("t101", VALUES))
    *_, finished, long = console.file.getvalue().splitlines()
    assert "-60.0 vs baseline" in finished
    assert finished.endswith(" left")  # whole, with hours on either side
    assert long.startswith("t101 running   scorer magnitude, delta 0.15")
    assert (len(finished) <= 100, len(long), long[-1]) == (True, 100, "…")


@pytest.fixture
def limited(settings):
    settings["search"] |= {
        "constraints": ["params <= 1.0 * baseline"],
        "replicates": {"seeds": [8], "promote_top": 1},
    }
    return build_space(settings)


def finish(table, trial_id, rate, params, *, is_baseline=False, **known):
    values = {} if is_baseline else {"adaptation.delta": 0.2}
    number = int(trial_id[1:])
    proposal = Proposal(
        trial_id=trial_id, number=number, values=values, is_baseline=is_baseline, **known
    )
    table.started(proposal)
    table.ended(trial_id, {"status": "finished", "dev_wer": rate, "params": params})


def test_neither_what_violates_a_constraint_nor_a_replicate_is_the_best(limited):
    console = Console(width=100, file=io.StringIO())
    table = LiveTable(limited, console)
    finish(table, "t01", 0.2, 10)
    assert " best" not in shown(table.render()), "while the baseline trains, nobody knows"
    finish(table, "t00", 0.6, 10, is_baseline=True)
    finish(table, "t02", 0.1, 11)
    finish(table, "t05", 0.5, 10, is_baseline=True, replicate_of="t00", seed=8)
    finish(table, "t06", 0.1, 10, replicate_of="t01", seed=8)
    text = shown(table.render())
    assert re.search(r"t01 .*20\.0 % best", text)
    assert text.count(" best") == 1
    assert re.search(r"t05 +t00 again, seed 8, baseline", text)
    assert re.search(r"t06 +t01 again, seed 8, delta 0\.2 .*10\.0 % +-40\.0", text)
    assert "5 of 7 trials" in text
    assert "not kept: params <= 1.0 * baseline " in console.file.getvalue()
    assert max(map(len, text.splitlines())) <= 100


def test_how_many_there_are_can_turn_out_later(limited):
    table = LiveTable(limited, Console(quiet=True))
    table.expect(6)
    assert "0 of 6 trials" in shown(table.render())


def test_the_first_objective_is_what_is_shown(settings):
    settings["search"]["objectives"] = ["multiply_adds_per_s", "dev_wer"]
    table = LiveTable(build_space(settings), Console(quiet=True))
    table.ended("t01", {"status": "finished", "dev_wer": 0.1, "multiply_adds_per_s": 2_500_000_000})
    text = shown(table.render())
    assert "multiply-adds/s" in text
    assert re.search(r"t01 .* 2,500,000,000 best", text)


STOP = {"status": "stopped", "reason": "others were better at step 9 of 36", "step": 9}
STOP |= {"total_steps": 36}


def test_a_stopped_trial_keeps_what_it_had_reached_and_a_promoted_one_is_said_to_go_on(space):
    console = Console(width=100, file=io.StringIO())
    table = LiveTable(space, console)
    trial = named("t01", {"adaptation.delta": 0.2})
    table.started(trial)
    table.progressed("t01", {"step": 9.0, "total_steps": 36.0, "dev_wer": 0.5})
    table.ended("t01", STOP)
    line = r"t01 +others were better at step 9 of 36 +stopped .* 25 % +50\.0 %"
    assert re.search(line, shown(table.render()))
    assert "1 of 31 trials" in shown(table.render())
    table.started(trial)
    text = shown(table.render())
    assert re.search(r"t01 +delta 0\.2 +running .* 25 % +50\.0 %", text)
    assert "0 of 31 trials" in text
    table.ended("t01", {"status": "finished", "dev_wer": 0.4})
    assert re.search(r"t01 +delta 0\.2 +finished .* 100 % +40\.0 % best", shown(table.render()))
    said = [line.rstrip() for line in console.file.getvalue().splitlines()]
    assert said[:3] == [
        "t01 running   delta 0.2",
        "t01 stopped   others were better at step 9 of 36",
        "t01 promoted  goes on from 25 %: by now it would not be stopped",
    ]


def test_a_trial_that_was_stopped_before_a_sweep_was_cut_off_is_shown_as_stopped(space):
    table = LiveTable(space, Console(width=100, quiet=True))
    table.known(named("t01", {"adaptation.delta": 0.2}), STOP)
    text = shown(table.render())
    assert re.search(r"t01 +others were better at step 9 of 36 +stopped .* 25 % +-", text)
    assert "1 of 31 trials" in text
