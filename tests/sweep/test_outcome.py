"""What a sweep found is read from its tables: the best on dev, compared on test."""

import json

import pytest

from tuneprune.results.writer import TableWriter
from tuneprune.sweep.folder import begin_sweep, contents_of, end_sweep
from tuneprune.sweep.outcome import read_outcome, settings_of
from tuneprune.sweep.space import build_space


def write_trial(
    folder, trial_id, *, status="finished", dev=None, errors=(), baseline=False, speakers=1,
    settings=None, seed=1, params=1, **columns,
):  # fmt: skip
    writer = TableWriter(folder, sweep_id="s", trial_id=trial_id, attempt=0, seed=seed)
    with writer:
        writer.add(
            "trials", step=1, status=status, is_baseline=baseline, dev_wer=dev, dev_cer=dev,
            test_wer=dev, test_cer=dev, params=params, train_s=60.0,
            settings=json.dumps({"adaptation.delta": 0.2} if settings is None else settings),
            reason="why" if status == "failed" else None, **columns,
        )  # fmt: skip
        for number, wrong in enumerate(errors):
            writer.add(
                "utterances", step=1, split="test", utterance_id=f"u{number}",
                speaker=f"s{number % speakers}",
                language="en", reference="a b", hypothesis="", num_ref_words=2,
                substitutions=wrong, deletions=0, insertions=0, num_ref_chars=3, char_errors=0,
            )  # fmt: skip


def read(folder, settings):
    space = build_space(settings)
    begun = begin_sweep(folder, contents_of(space))
    return read_outcome(folder, end_sweep(folder, begun.sweep_id), space)


@pytest.fixture
def outcome(tmp_path, settings):
    space = build_space(settings)
    begun = begin_sweep(tmp_path, contents_of(space))
    write_trial(tmp_path, "t00", dev=0.3, errors=(1, 1, 2, 2), baseline=True)
    write_trial(tmp_path, "t01", dev=0.2, errors=(0, 1, 1, 1))
    write_trial(tmp_path, "t02", dev=0.2, errors=(0, 0, 0, 0))
    write_trial(tmp_path, "t03", status="failed", dev=0.0)
    write_trial(tmp_path, "t04", status="diverged")
    return read_outcome(tmp_path, end_sweep(tmp_path, begun.sweep_id), space)


def test_the_best_is_the_first_of_the_finished_with_the_lowest_rate(outcome):
    assert outcome.best["trial_id"] == "t01"
    assert settings_of(outcome.best) == {"adaptation.delta": 0.2}


def test_the_baseline_is_kept_apart_even_if_it_is_the_best(tmp_path, settings):
    write_trial(tmp_path, "t00", dev=0.1, baseline=True)
    write_trial(tmp_path, "t01", dev=0.2)
    outcome = read(tmp_path, settings)
    assert (outcome.best["trial_id"], outcome.baseline["trial_id"]) == ("t01", "t00")


def test_trials_are_counted_by_status_and_failures_are_kept(outcome):
    assert outcome.counts == {"finished": 3, "failed": 1, "diverged": 1}
    assert [row["trial_id"] for row in outcome.failures] == ["t03", "t04"]


def test_best_and_baseline_are_compared_on_the_test_words(outcome):
    # By hand: 3 of 8 words wrong against 6 of 8.
    assert outcome.comparison.difference == pytest.approx(3 / 8 - 6 / 8)
    assert outcome.comparison.low <= outcome.comparison.difference <= outcome.comparison.high
    low, high = outcome.test_interval
    assert 0 <= low <= 3 / 8 <= high <= 1


@pytest.mark.parametrize(("speakers", "drawn"), [(5, (5, "speaker")), (4, (20, "utterance"))])
def test_whole_speakers_are_drawn_where_there_are_enough(tmp_path, settings, speakers, drawn):
    write_trial(tmp_path, "t00", dev=0.2, errors=[2, 1] * 10, baseline=True, speakers=speakers)
    write_trial(tmp_path, "t01", dev=0.1, errors=[1, 1] * 10, speakers=speakers)
    outcome = read(tmp_path, settings)
    assert (outcome.blocks, outcome.block) == drawn
    assert outcome.comparison.difference == pytest.approx(-10 / 40)
    assert outcome.not_compared == ""


@pytest.mark.parametrize(
    ("baseline", "reason"),
    [
        ({"status": "finished", "dev": 0.2}, "has kept no utterances of test"),
        ({"status": "failed"}, "it is failed, not finished"),
        (None, "it was not recorded"),
    ],
)
def test_why_nothing_was_compared_is_said(tmp_path, settings, baseline, reason):
    if baseline is not None:
        write_trial(tmp_path, "t00", baseline=True, **baseline)
    write_trial(tmp_path, "t01", dev=0.1, errors=(1, 2) if baseline is None else ())
    outcome = read(tmp_path, settings)
    assert outcome.comparison is None
    assert (outcome.test_interval is None) == (baseline is not None)
    assert reason in outcome.not_compared
    assert "\n" not in outcome.not_compared


@pytest.fixture
def grid(settings):
    settings["search"] = {
        "sampler": {"kind": "grid"},
        "set": {"adaptation.method": "grow_drop", "adaptation.at": 0.2, "adaptation.delta": 0.2},
        "space": {
            "adaptation.scorer": {"choice": ["gradient", "taylor"]},
            "seed": {"choice": [1, 2]},
        },
    }
    return settings


def write_seed(folder, trial_id, seed, *, scorer=None, **columns):
    settings = {"seed": seed} if scorer is None else {"adaptation.scorer": scorer, "seed": seed}
    write_trial(folder, trial_id, seed=seed, settings=settings, baseline=scorer is None, **columns)


def test_in_a_grid_the_best_is_compared_with_the_baseline_of_its_own_seed(tmp_path, grid):
    write_seed(tmp_path, "t00", 1, dev=0.3, errors=(2, 2))
    write_seed(tmp_path, "t01", 2, dev=0.4, errors=(1, 1))
    write_seed(tmp_path, "t02", 1, scorer="taylor", dev=0.25, errors=(1, 1))
    write_seed(tmp_path, "t03", 2, scorer="taylor", dev=0.2, errors=(0, 1))
    outcome = read(tmp_path, grid)
    assert (outcome.best["trial_id"], outcome.baseline["trial_id"]) == ("t03", "t01")
    assert outcome.comparison.difference == pytest.approx(1 / 4 - 2 / 4)  # by hand
    assert (outcome.baselines.recorded, outcome.baselines.finished, outcome.seeds) == (2, 2, 2)


def test_another_seeds_baseline_does_not_stand_in_for_one_that_is_not_there(tmp_path, grid):
    write_seed(tmp_path, "t00", 1, dev=0.3, errors=(2, 2))
    write_seed(tmp_path, "t03", 2, scorer="taylor", dev=0.2, errors=(0, 1))
    outcome = read(tmp_path, grid)
    assert outcome.baseline is None
    assert outcome.not_compared == "it was not recorded"


def test_what_else_the_best_was_given_than_its_baseline_is_named(tmp_path, settings):
    settings["base"]["optim"] = {"peak_lr": 0.002}
    settings["search"]["space"]["optim.peak_lr"] = {"choice": [0.002, 0.004]}
    settings["search"]["space"]["seed"] = {"choice": [1, 2]}
    shared = {"adaptation.scorer": "taylor", "adaptation.delta": 0.2, "adaptation.at": 0.2}
    write_trial(tmp_path, "t00", dev=0.3, baseline=True)
    best = {**shared, "optim.peak_lr": 0.004, "seed": 1}
    write_trial(tmp_path, "t01", dev=0.2, settings=best)
    (found,) = read(tmp_path, settings).unshared  # the seed is the base's
    assert (found.path, found.one, found.other) == ("optim.peak_lr", 0.002, 0.004)


def test_in_a_grid_the_baseline_shares_all_but_adaptation(tmp_path, grid):
    write_seed(tmp_path, "t01", 2, dev=0.4)
    write_seed(tmp_path, "t03", 2, scorer="taylor", dev=0.2)
    assert read(tmp_path, grid).unshared == ()


def test_what_violates_a_constraint_is_not_the_best_and_is_counted(tmp_path, settings):
    write_trial(tmp_path, "t00", dev=0.3, baseline=True)
    write_trial(tmp_path, "t01", dev=0.1, violated="params <= 1.0 * baseline")
    write_trial(tmp_path, "t02", dev=0.2)
    outcome = read(tmp_path, settings)
    assert outcome.best["trial_id"] == "t02"
    assert (outcome.infeasible, outcome.compared) == (1, 1)


def test_the_front_is_there_where_several_objectives_are(tmp_path, settings):
    for number, (dev, params) in enumerate([(0.1, 1), (0.3, 5), (0.2, 7), (0.3, 6)]):
        name = f"t{number:02d}"
        write_trial(tmp_path, name, dev=dev, params=params, baseline=number == 0)
    settings["search"]["objectives"] = ["dev_wer", "params"]
    outcome = read(tmp_path, settings)
    assert [row["trial_id"] for row in outcome.front] == ["t02", "t01"]
    assert outcome.best["trial_id"] == "t02"


@pytest.fixture
def repeated(tmp_path, settings):
    """Write a trial and a baseline with three seeds each; of the last one, the baseline fails."""
    settings["search"]["replicates"] = {"seeds": [2, 3], "promote_top": 1}
    write_trial(tmp_path, "t00", dev=0.3, errors=(2, 2), baseline=True, settings={})
    write_trial(tmp_path, "t01", dev=0.2, errors=(1, 1))
    write_trial(tmp_path, "t02", dev=0.4, errors=(2, 2))
    for seed, (names, status) in enumerate([("34", "finished"), ("56", "failed")], 2):
        write_trial(
            tmp_path, f"t0{names[0]}", dev=0.31, errors=(1, 0), baseline=True, seed=seed,
            replicate_of="t00", status=status, settings={},
        )  # fmt: skip
        write_trial(
            tmp_path, f"t0{names[1]}", dev=0.1, errors=(0, 2), seed=seed, replicate_of="t01"
        )
    return read(tmp_path, settings)


def test_replicates_have_no_part_in_the_choice(repeated):
    assert (repeated.best["trial_id"], repeated.baseline["trial_id"]) == ("t01", "t00")
    assert (repeated.baselines.recorded, repeated.baselines.finished) == (1, 1)
    assert (repeated.seeds, repeated.compared, repeated.replicates) == (1, 2, 3)
    assert repeated.counts == {"finished": 6, "failed": 1}


def test_the_best_is_paired_with_the_baseline_of_each_seed(repeated):
    found = repeated.over_seeds
    names = [
        tuple(row and row["trial_id"] for row in (pair.best, pair.baseline)) for pair in found.pairs
    ]
    assert names == [("t01", "t00"), ("t04", "t03"), ("t06", None)]
    assert [pair.seed for pair in found.pairs] == [1, 2, 3]
    # By hand, over the two seeds with both: 2 + 2 errors of 8 words against 4 + 1.
    assert found.paired == 2
    assert found.comparison.difference == pytest.approx(4 / 8 - 5 / 8)


def test_without_replicates_there_are_no_seeds_to_tell_of(outcome):
    assert outcome.over_seeds is None
