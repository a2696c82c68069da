"""Pools of seeds, with error rates, pairs and draws that can be worked out by hand."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tuneprune.errors import ResultsError
from tuneprune.results.bootstrap import paired_bootstrap, wer_interval
from tuneprune.results.pooled import pool_seeds
from tuneprune.results.reader import open_results

WriteTrial = Callable[..., None]

TWO_SPEAKERS = (("u1", "ann", 10), ("u2", "ann", 10), ("u3", "bob", 20))
SAID = (*TWO_SPEAKERS, ("u4", "cid", 10), ("u5", "dan", 10), ("u6", "eve", 10))


def spoken(*errors: int) -> tuple[tuple[str, str, int, int], ...]:
    return tuple((*said, count) for said, count in zip(SAID, errors, strict=False))


def config_of(*, seed: int, delta: float | None, lr: float, decay: float) -> dict[str, object]:
    adaptation = {"method": "none"} if delta is None else {"method": "grow_drop", "delta": delta}
    return {"optim": {"lr": lr, "decay": decay}, "adaptation": adaptation, "seed": seed}


@pytest.fixture
def run_writer(trial_writer: WriteTrial) -> WriteTrial:
    """Write a run as a sweep does: what is searched stands in its config too, and its seed."""

    def write(
        trial_id: str,
        *,
        seed: int,
        delta: float | None,
        test: tuple[int, ...],
        dev: tuple[int, ...] = (1, 1, 1),
        lr: float | None = None,
        decay: float = 0.1,
        **options: object,
    ) -> None:
        config = config_of(seed=seed, delta=delta, lr=0.5 if lr is None else lr, decay=decay)
        searched = {"adaptation.delta": delta, "optim.lr": lr, "seed": seed}
        trial_writer(
            trial_id, seed=seed, config=config, utterances=spoken(*test),
            dev_utterances=spoken(*dev),
            settings={key: value for key, value in searched.items() if value is not None},
            **options,
        )  # fmt: skip

    return write


def test_errors_and_words_of_all_seeds_are_summed(tmp_path: Path, run_writer: WriteTrial) -> None:
    run_writer("t1", seed=1, delta=0.1, test=(1, 0, 3), dev=(2, 2, 2), params=100)
    run_writer("t2", seed=2, delta=0.1, test=(5, 2, 1), dev=(0, 0, 2), params=103)
    run_writer("t3", seed=1, delta=0.2, test=(0, 0, 0), dev=(0, 0, 0), params=90)
    first, second = pool_seeds([open_results(tmp_path)]).to_pylist()
    assert (first["adaptation.delta"], first["seeds"], first["dev_wer"]) == (0.2, 1, 0)
    assert (second["adaptation.delta"], second["seeds"]) == (0.1, 2)
    assert (second["dev_wer"], second["test_wer"]) == (8 / 80, 12 / 80)
    assert (second["params"], second["unfinished"], second["is_baseline"]) == (102, 0, False)
    # Nothing to compare with.
    assert (second["paired_seeds"], second["difference"]) == (0, None)


def test_a_speaker_is_drawn_with_what_all_seeds_recognised_of_it(
    tmp_path: Path, run_writer: WriteTrial
) -> None:
    run_writer("t1", seed=1, delta=0.1, test=(1, 0, 3, 1, 2, 0))
    run_writer("t2", seed=2, delta=0.1, test=(5, 2, 1, 0, 2, 3))
    (row,) = pool_seeds([open_results(tmp_path)], samples=500, seed=3).to_pylist()
    # ann: 8 errors in 40 words, bob: 4 in 40, ...; five of them are drawn, whatever the seeds.
    errors, words = [8, 4, 1, 4, 3], [40, 40, 20, 20, 20]
    expected = wer_interval(errors, words, samples=500, seed=3)
    assert (row["test_low"], row["test_high"]) == expected


def test_below_five_speakers_utterances_are_drawn_each_with_all_its_seeds(
    tmp_path: Path, run_writer: WriteTrial
) -> None:
    run_writer("baseline1", seed=1, delta=None, test=(2, 2, 4, 1))
    run_writer("baseline2", seed=2, delta=None, test=(1, 3, 2, 0))
    run_writer("t1", seed=1, delta=0.1, test=(1, 0, 3, 1), dev=(1, 1, 1, 1, 1, 1))
    run_writer("t2", seed=2, delta=0.1, test=(2, 0, 1, 1), dev=(1, 1, 1, 1, 1, 1))
    rows = pool_seeds([open_results(tmp_path)], samples=50).to_pylist()
    row = next(row for row in rows if not row["is_baseline"])
    said = [20, 20, 40, 20]  # words of u1, u2, ... in both seeds
    expected = paired_bootstrap([3, 0, 4, 2], [3, 5, 6, 1], said, samples=50)
    assert (row["test_by"], row["dev_by"]) == ("utterance", "speaker")
    assert (row["test_low"], row["test_high"]) == wer_interval([3, 0, 4, 2], said, samples=50)
    found = [row[name] for name in ("difference", "difference_low", "difference_high")]
    assert found == [expected.difference, expected.low, expected.high]


def test_runs_are_paired_with_the_baselines_of_their_own_seeds(
    tmp_path: Path, run_writer: WriteTrial
) -> None:
    run_writer("baseline1", seed=1, delta=None, test=(2, 2, 4, 1, 1, 1))
    run_writer("baseline2", seed=2, delta=None, test=(5, 5, 5, 1, 0, 0))
    run_writer("baseline9", seed=9, delta=None, test=(10, 10, 20))
    run_writer("t1", seed=1, delta=0.1, test=(1, 0, 3, 0, 1, 1))
    run_writer("t2", seed=2, delta=0.1, test=(5, 4, 3, 1, 1, 0))
    run_writer("t3", seed=3, delta=0.1, test=(9, 9, 9))
    rows = pool_seeds([open_results(tmp_path)], samples=300).to_pylist()
    pooled = next(row for row in rows if not row["is_baseline"])
    baselines = next(row for row in rows if row["is_baseline"])
    said = [40, 40, 20, 20, 20]  # words of ann, bob, cid, ...
    expected = paired_bootstrap([10, 6, 1, 2, 1], [14, 9, 2, 1, 1], said, samples=300)
    assert (pooled["seeds"], pooled["paired_seeds"]) == (3, 2)
    assert pooled["difference"] == expected.difference == pytest.approx(-7 / 140)
    assert (pooled["difference_low"], pooled["difference_high"]) == (expected.low, expected.high)
    assert pooled["probability_of_improvement"] == expected.probability_of_improvement > 0.9
    assert (baselines["seeds"], baselines["adaptation.delta"]) == (3, None)
    assert (baselines["paired_seeds"], baselines["difference"]) == (0, None)


def test_a_pair_shares_all_settings_but_those_of_the_adaptation(
    tmp_path: Path, run_writer: WriteTrial
) -> None:
    run_writer("baseline1", seed=1, delta=None, lr=0.1, test=(4, 4, 4))
    run_writer("baseline2", seed=1, delta=None, lr=0.2, test=(8, 8, 8))
    run_writer("t1", seed=1, delta=0.1, lr=0.1, test=(3, 4, 4))
    run_writer("t2", seed=1, delta=0.1, lr=0.2, test=(8, 8, 6))
    run_writer("t3", seed=1, delta=0.1, lr=0.3, test=(1, 1, 1))
    rows = pool_seeds([open_results(tmp_path)], samples=50).to_pylist()
    found = {row["optim.lr"]: row["difference"] for row in rows if not row["is_baseline"]}
    assert found == {0.1: pytest.approx(-1 / 40), 0.2: pytest.approx(-2 / 40), 0.3: None}


def test_a_baseline_that_says_nothing_of_what_is_searched_is_known_by_its_config(
    tmp_path: Path, run_writer: WriteTrial, trial_writer: WriteTrial
) -> None:
    config = config_of(seed=1, delta=None, lr=0.5, decay=0.1)
    said = {"utterances": spoken(2, 2, 2), "dev_utterances": spoken(2, 2, 2)}
    trial_writer("baseline", seed=1, config=config, **said)
    run_writer("t1", seed=1, delta=0.1, lr=0.5, test=(1, 1, 1))
    run_writer("t2", seed=1, delta=0.1, lr=0.25, test=(1, 1, 1))
    rows = pool_seeds([open_results(tmp_path)], samples=50).to_pylist()
    found = {row["optim.lr"]: row["paired_seeds"] for row in rows if not row["is_baseline"]}
    assert found == {0.5: 1, 0.25: 0}


def test_seeds_of_several_sweeps_are_pooled_and_a_repeated_run_counts_once(
    tmp_path: Path, run_writer: WriteTrial
) -> None:
    for sweep, seeds in (("a", (1, 2)), ("b", (2, 3))):
        for seed in seeds:
            keys = {"sweep_id": sweep, "folder": sweep, "seed": seed}
            run_writer(f"baseline{seed}", delta=None, test=(4, 4, 4), **keys)
            run_writer(f"t{seed}", delta=0.1, test=(2, 2, 2), **keys)
    sweeps = [open_results(tmp_path / name) for name in ("a", "b")]
    trials, baselines = pool_seeds(sweeps, samples=50).sort_by("is_baseline").to_pylist()
    assert (trials["seeds"], trials["paired_seeds"], baselines["seeds"]) == (3, 3, 3)
    assert trials["test_wer"] == 18 / 120
    assert pool_seeds([open_results(tmp_path)], samples=50) == pool_seeds(sweeps, samples=50)


def test_seeds_that_did_not_finish_are_counted_and_replaced_by_one_that_did(
    tmp_path: Path, run_writer: WriteTrial
) -> None:
    run_writer("t1", seed=1, delta=0.1, test=(1, 1, 1), status="diverged")
    run_writer("t2", seed=2, delta=0.1, test=(1, 1, 1))
    run_writer("t3", seed=3, delta=0.1, test=(9, 9, 9), status="failed", sweep_id="s")
    run_writer("t4", seed=3, delta=0.1, test=(1, 1, 1))
    run_writer("t5", seed=1, delta=0.4, test=(1, 1, 1), status="running")
    first, second = pool_seeds([open_results(tmp_path)], samples=50).to_pylist()
    assert (first["seeds"], first["unfinished"], first["test_wer"]) == (2, 1, 6 / 80)
    assert (second["adaptation.delta"], second["seeds"], second["unfinished"]) == (0.4, 0, 1)
    assert second["dev_wer"] is second["test_low"] is second["params"] is None


def test_single_runs_of_several_seeds_are_one_pool(
    tmp_path: Path, trial_writer: WriteTrial
) -> None:
    for seed in (1, 2):
        trial_writer(
            "run", folder=f"run{seed}", sweep_id=f"run{seed}", seed=seed, config={"seed": seed},
            utterances=spoken(1, 1, 1), dev_utterances=spoken(seed, 1, 1),
        )  # fmt: skip
    (row,) = pool_seeds([open_results(tmp_path)], samples=50).to_pylist()
    assert (row["seeds"], row["dev_wer"]) == (2, 7 / 80)


def test_what_the_retry_of_a_run_recognised_counts(tmp_path: Path, run_writer: WriteTrial) -> None:
    run_writer("t1", seed=1, delta=0.1, test=(9, 9, 9), status="failed")
    run_writer("t1", seed=1, delta=0.1, test=(1, 1, 1), attempt=1)
    (row,) = pool_seeds([open_results(tmp_path)], samples=50).to_pylist()
    assert row["test_wer"] == 3 / 40


def test_sweeps_that_search_different_fields_are_not_pooled(
    tmp_path: Path, run_writer: WriteTrial
) -> None:
    run_writer("t1", folder="a", sweep_id="a", seed=1, delta=0.1, test=(1, 1, 1))
    run_writer("t1", folder="b", sweep_id="b", seed=1, delta=0.1, lr=0.5, test=(1, 1, 1))
    with pytest.raises(ResultsError, match=r"sweep = 'b': only one of it and a searches optim\.lr"):
        pool_seeds([open_results(tmp_path)])


def test_runs_that_differ_in_what_was_not_searched_are_not_pooled(
    tmp_path: Path, run_writer: WriteTrial
) -> None:
    run_writer("t1", folder="a", sweep_id="a", seed=1, delta=0.1, test=(1, 1, 1))
    run_writer("t1", folder="b", sweep_id="b", seed=2, delta=0.1, decay=0.2, test=(1, 1, 1))
    with pytest.raises(
        ResultsError, match=r"'t1 of b': differs from trial t1 of a in optim\.decay"
    ):
        pool_seeds([open_results(tmp_path)])


def test_a_finished_run_without_utterances_is_named(
    tmp_path: Path, run_writer: WriteTrial, trial_writer: WriteTrial
) -> None:
    run_writer("t1", seed=1, delta=0.1, test=(1, 1, 1))
    trial_writer("t2", seed=2, utterances=spoken(1, 1, 1))
    with pytest.raises(ResultsError, match="'t2': has kept no utterances of dev"):
        pool_seeds([open_results(tmp_path)])


def test_a_baseline_that_recognised_other_utterances_is_refused(
    tmp_path: Path, run_writer: WriteTrial, trial_writer: WriteTrial
) -> None:
    run_writer("t1", seed=1, delta=0.1, test=(1, 1, 1))
    trial_writer(
        "baseline", seed=1, utterances=(*spoken(1, 1), ("u3", "bob", 21, 1)),
        dev_utterances=spoken(1, 1, 1), config=config_of(seed=1, delta=None, lr=0.5, decay=0.1),
    )  # fmt: skip
    with pytest.raises(ResultsError, match="same utterances; u3 is not the same"):
        pool_seeds([open_results(tmp_path)])
