"""The screen that ends a sweep fits 100 columns and says how sure its answer is."""

import dataclasses
import io
import re
import shutil
import time

import pytest
from rich.console import Console

from tuneprune.results.bootstrap import Comparison
from tuneprune.sweep.differences import Difference
from tuneprune.sweep.final import print_outcome, render_outcome
from tuneprune.sweep.outcome import Baselines, SweepOutcome
from tuneprune.sweep.over_seeds import OverSeeds, SeedPair
from tuneprune.sweep.space import build_space


@pytest.fixture
def space(settings):
    return build_space(settings)


def shown(renderable):
    console = Console(width=100, file=io.StringIO())
    console.print(renderable)
    return console.file.getvalue()


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
        objectives=space.search.objectives,
        counts={"finished": 5, "failed": 1},
        best=row("t03", 0.1, 0.2),
        baseline=row("t00", 0.3, 0.25),
        baselines=Baselines(recorded=1, finished=1),
        seeds=1,
        comparison=Comparison(
            wer_a=0.2, wer_b=0.25, difference=-0.05, low=-0.09, high=-0.01,
            probability_of_improvement=0.98, segments=83, z=-2.5, p=0.0124,
        ),
        test_interval=(0.153, 0.249),
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
    assert "Test WER of the best: 20.0 %, 95 % interval [15.3, 24.9]." in text
    joined = " ".join(text.split())
    assert "bootstrap over 10 speakers, fewer errors in 98 % of draws; MAPSSWE: p 0.012)" in joined
    assert "better" not in text
    assert "chosen on dev" in text
    assert "5 min 10 s. Tables: out" in text
    assert text.count("tuneprune results ") == 3


def test_an_interval_that_holds_zero_is_no_clear_difference(outcome):
    compared = dataclasses.replace(outcome.comparison, high=0.01)
    text = shown(render_outcome(dataclasses.replace(outcome, comparison=compared)))
    assert "no clear difference." in text


def test_without_a_p_it_says_why(outcome):
    compared = dataclasses.replace(outcome.comparison, p=None, no_p="fewer than 50 segments")
    text = shown(render_outcome(dataclasses.replace(outcome, comparison=compared)))
    assert "MAPSSWE: no p, fewer than 50 segments)" in " ".join(text.split())
    assert max(map(len, text.splitlines())) <= 100


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
        outcome, best=None, baseline=failed, comparison=None, not_compared="no trial finished",
        baselines=Baselines(recorded=1, finished=0),
    )  # fmt: skip
    text = shown(render_outcome(ended))
    assert "No trial finished." in text
    assert re.search(r"baseline +failed", text)


def test_of_several_baselines_the_screen_says_how_many_there_were_and_which_is_shown(outcome):
    several = dataclasses.replace(
        outcome, baselines=Baselines(recorded=3, finished=2), seeds=3, counts={"finished": 10}
    )
    text = shown(render_outcome(several))
    assert "Best of 8 finished trials" in text
    joined = " ".join(text.split())
    assert "3 settings of seed and model, each with a baseline of its own (3 seeds)" in joined
    assert "shown is that of the best trial" in joined
    assert "Best of 3 seeds" in joined
    assert "One seed" not in joined
    assert max(map(len, text.splitlines())) <= 100


def test_a_baseline_that_differs_in_more_than_adaptation_allows_no_verdict(outcome):
    unshared = (
        Difference(path="optim.peak_lr", one=0.002, other=0.004),
        Difference(path="model.ffn_dim", one=None, other=256),
    )
    text = shown(render_outcome(dataclasses.replace(outcome, unshared=unshared)))
    joined = " ".join(text.split())
    assert (
        "the baseline has optim.peak_lr 0.002 and model.ffn_dim null, the best 0.004 and 256"
        in (joined.replace("The baseline", "the baseline"))
    )
    assert "not adaptation alone makes the difference" in joined
    assert "95 % interval [-9.0, -1.0]." in joined
    assert "clear difference" not in joined
    assert max(map(len, text.splitlines())) <= 100


def test_of_several_objectives_the_front_is_shown_beside_the_best(outcome):
    front = [
        {**row("t03", 0.1, 0.2), "multiply_adds_per_s": 3_000_000_000},
        {**row("t12", 0.3, 0.2), "multiply_adds_per_s": 2_000_000_000},
    ]
    several = dataclasses.replace(
        outcome, objectives=("dev_wer", "multiply_adds_per_s"), front=tuple(front)
    )
    text = shown(render_outcome(several))
    assert "Pareto front: no other trial is as low in dev WER and multiply-adds/s:" in text
    assert re.search(r"t03 +10\.0 % +3,000,000,000 +delta 0\.2", text)
    assert re.search(r"t12 +30\.0 % +2,000,000,000", text)
    assert max(map(len, text.splitlines())) <= 100
    assert "Pareto" not in shown(render_outcome(outcome))


def test_a_long_front_is_cut(outcome):
    front = tuple(row(f"t{number}", 0.1, 0.2) for number in range(100, 130))
    several = dataclasses.replace(outcome, objectives=("dev_wer", "params"), front=front)
    text = shown(render_outcome(several))
    assert "the first 20 of 30" in text
    assert "t119" in text
    assert "t120" not in text


def test_what_was_not_chosen_on_dev_is_not_said_to_be(outcome):
    smallest = dataclasses.replace(outcome, objectives=("params", "dev_wer"))
    text = " ".join(shown(render_outcome(smallest)).split())
    assert "Best of 4 finished trials, chosen by parameters:" in text
    assert "on dev" not in text


def test_trials_that_violate_constraints_are_counted_apart(outcome):
    text = shown(render_outcome(dataclasses.replace(outcome, infeasible=3)))
    assert "Best of 1 finished trial (3 more violate constraints), chosen on dev" in text
    none = dataclasses.replace(outcome, infeasible=4, best=None, comparison=None)
    assert "No trial finished and keeps the constraints." in shown(render_outcome(none))


@pytest.fixture
def repeated(outcome):
    pairs = (
        SeedPair(seed=1, best=row("t03", 0.1, 0.2), baseline=row("t00", 0.3, 0.25)),
        SeedPair(seed=7, best=row("t06", 0.2, 0.3), baseline=row("t05", 0.4, 0.24)),
        SeedPair(seed=8, best=row("t08", 0.3, 0.4), baseline=None),
    )
    compared = dataclasses.replace(outcome.comparison, difference=0.005, high=0.02)
    return dataclasses.replace(outcome, over_seeds=OverSeeds(pairs=pairs, comparison=compared))


def test_the_best_is_shown_with_each_seed_and_on_average(repeated):
    text = shown(render_outcome(repeated))
    assert re.search(r"^1 +10\.0 % +30\.0 % +20\.0 % +25\.0 % +-5\.0$", text, re.MULTILINE)
    assert re.search(r"^7 +20\.0 % +40\.0 % +30\.0 % +24\.0 % +\+6\.0$", text, re.MULTILINE)
    assert re.search(r"^8 +30\.0 % +- +40\.0 % +- +-$", text, re.MULTILINE)
    # By hand: over three seeds of the best, two of the baseline, two of both.
    assert re.search(r"^mean +20\.0 % +35\.0 % +30\.0 % +24\.5 % +\+0\.5$", text, re.MULTILINE)
    joined = " ".join(text.split())
    assert "Test WER over 2 seeds, best minus baselines: +0.5 points, 95 % interval" in joined
    assert "[-9.0, +2.0]: no clear difference." in joined
    assert "One seed" not in joined
    assert max(map(len, text.splitlines())) <= 100


def test_seeds_that_can_not_be_compared_say_why(repeated):
    alone = dataclasses.replace(
        repeated.over_seeds, comparison=None, not_compared="no seed has two finished runs"
    )
    text = shown(render_outcome(dataclasses.replace(repeated, over_seeds=alone)))
    assert "Not compared over seeds: no seed has two finished runs" in text


def test_trials_that_were_stopped_are_counted_as_such(outcome):
    counts = {"finished": 5, "failed": 1, "stopped": 3}
    text = shown(render_outcome(dataclasses.replace(outcome, counts=counts)))
    assert "1 failed, 5 finished, 3 stopped early in 5 min 10 s." in text
