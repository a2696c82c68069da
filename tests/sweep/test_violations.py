"""What a trial does not keep is in its row as soon as it can be known, and says nothing else."""

import json

import pytest

from tuneprune.results.reader import open_results
from tuneprune.results.writer import TableWriter
from tuneprune.sweep.space import build_space
from tuneprune.sweep.violations import Violations

LIMITS = ["params <= 1.0 * baseline", "multiply_adds_per_s <= 50"]


def write(folder, trial_id, *, params=10, macs=50, seed=1, settings=None, **columns):
    columns = {"status": "finished", "is_baseline": trial_id == "t00", **columns}
    with TableWriter(folder, sweep_id="s", trial_id=trial_id, attempt=0, seed=seed) as writer:
        writer.add(
            "trials", step=7, params=params, multiply_adds_per_s=macs, dev_wer=0.25,
            settings=json.dumps(settings or {}), **columns,
        )  # fmt: skip


def violated(folder):
    rows = open_results(folder).table("trials").to_pylist()
    return {row["trial_id"]: row["violated"] for row in rows}


@pytest.fixture
def space(settings):
    settings["search"]["constraints"] = LIMITS
    return build_space(settings)


def test_finished_trials_are_judged_and_others_are_not(tmp_path, space):
    write(tmp_path, "t00")
    write(tmp_path, "t01")
    write(tmp_path, "t02", params=11, macs=51)
    write(tmp_path, "t03", params=11, status="diverged")
    Violations(space, tmp_path).record()
    both = "params <= 1.0 * baseline; multiply_adds_per_s <= 50"
    assert violated(tmp_path) == {"t00": None, "t01": None, "t02": both, "t03": None}


def test_all_else_in_the_row_stays_as_it_was(tmp_path, space):
    write(tmp_path, "t00")
    write(tmp_path, "t01", macs=51, seed=4, time_s=4e9, reason="a clock that is ahead")
    before = open_results(tmp_path).table("trials").to_pylist()[1]
    Violations(space, tmp_path).record()
    after = open_results(tmp_path).table("trials").to_pylist()[1]
    assert after.pop("violated") == "multiply_adds_per_s <= 50"
    assert before.pop("violated") is None
    assert after.pop("time_s") > before.pop("time_s") == 4e9
    assert after == before


def test_a_trial_is_judged_when_its_baseline_has_ended_and_not_before(tmp_path, space):
    write(tmp_path, "t01", params=11)
    write(tmp_path, "t00", status="running")
    found = Violations(space, tmp_path)
    found.record()
    assert violated(tmp_path) == {"t00": None, "t01": None}
    write(tmp_path, "t00")
    found.record()
    assert violated(tmp_path) == {"t00": None, "t01": "params <= 1.0 * baseline"}


def test_where_the_baseline_did_not_finish_its_limit_is_not_known_to_be_kept(tmp_path, space):
    write(tmp_path, "t00", status="failed")
    write(tmp_path, "t01")
    Violations(space, tmp_path).record()
    assert violated(tmp_path)["t01"] == "params <= 1.0 * baseline (not known)"


def test_a_second_look_writes_nothing(tmp_path, space):
    write(tmp_path, "t00")
    write(tmp_path, "t01", params=11)
    for _ in range(2):  # also that of another process
        Violations(space, tmp_path).record()
    assert len(list((tmp_path / "parts" / "trials").iterdir())) == 3


def test_in_a_grid_and_among_replicates_each_has_its_own_baseline(tmp_path, settings):
    settings["search"] = {
        "sampler": {"kind": "grid"},
        "set": {"adaptation.method": "grow_drop", "adaptation.at": 0.2, "adaptation.delta": 0.2},
        "space": {
            "model.d_model": {"choice": [32, 64]}, "adaptation.scorer": {"choice": ["taylor"]},
        },
        "constraints": LIMITS[:1],
        "replicates": {"seeds": [5], "promote_top": 1},
    }  # fmt: skip
    space = build_space(settings)
    small, large = {"model.d_model": 32}, {"model.d_model": 64}
    taylor = {"adaptation.scorer": "taylor"}
    again = {"replicate_of": "t01", "seed": 5}
    write(tmp_path, "t00", settings=small, params=10)
    write(tmp_path, "t01", settings=large, params=20, is_baseline=True)
    write(tmp_path, "t02", settings={**small, **taylor}, params=15)
    write(tmp_path, "t03", settings={**large, **taylor}, params=15)
    write(tmp_path, "t04", settings=large, params=12, is_baseline=True, **again)
    write(tmp_path, "t05", settings={**large, **taylor}, params=15, **again)
    Violations(space, tmp_path).record()
    broken = [name for name, text in violated(tmp_path).items() if text]
    assert broken == ["t02", "t05"]


def test_without_constraints_or_tables_there_is_nothing_to_do(tmp_path, settings, space):
    Violations(space, tmp_path).record()
    write(tmp_path, "t00")
    del settings["search"]["constraints"]
    Violations(build_space(settings), tmp_path).record()
    assert len(list((tmp_path / "parts" / "trials").iterdir())) == 1
