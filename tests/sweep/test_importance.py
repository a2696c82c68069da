"""Which settings mattered, where it is known by how the numbers were made."""

import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from tuneprune.errors import ResultsError
from tuneprune.results.reader import Results, open_results
from tuneprune.results.writer import TableWriter
from tuneprune.sweep.importance import FEWEST_TRIALS, setting_importance

Wer = Callable[[dict[str, object]], float]


def write_sweep(root: Path, number: int, wer: Wer) -> Results:
    rng = random.Random(1)
    for place in range(number):
        settings: dict[str, object] = {
            "adaptation.delta": rng.uniform(0.1, 0.4),
            "adaptation.scorer": rng.choice(["taylor", "magnitude", "gradient"]),
            "adaptation.iterations": rng.choice([1, 4]),
            "model.encoder": "conformer",
        }
        if settings["adaptation.iterations"] == 4:
            settings["adaptation.spacing"] = rng.uniform(0.1, 0.2)
        with TableWriter(root, sweep_id="s", trial_id=f"t{place}", attempt=0, seed=1) as writer:
            writer.add(
                "trials", step=9, status="finished", is_baseline=False, dev_wer=wer(settings),
                settings=json.dumps(settings),
            )  # fmt: skip
    return open_results(root)


@pytest.mark.parametrize("name", ["adaptation.delta", "adaptation.scorer"])
def test_the_setting_that_made_the_numbers_has_nearly_all_of_it(tmp_path: Path, name: str) -> None:
    def wer(settings: dict[str, object]) -> float:
        value = settings[name]
        return value if isinstance(value, float) else float(value == "taylor")

    found = setting_importance(write_sweep(tmp_path, 60, wer))
    assert max(found.shares, key=lambda one: found.shares[one]) == name
    assert found.shares[name] > 0.5
    assert sum(found.shares.values()) == pytest.approx(1.0)
    assert "model.encoder" not in found.shares  # one value only
    assert "adaptation.spacing" in found.shares
    assert found.trials == 60


def test_the_same_trials_give_the_same_shares(tmp_path: Path) -> None:
    results = write_sweep(tmp_path, 30, lambda settings: len(str(settings)) / 100)
    assert setting_importance(results) == setting_importance(results)


def test_too_few_trials_are_one_line_with_both_numbers(tmp_path: Path) -> None:
    results = write_sweep(tmp_path, FEWEST_TRIALS - 1, lambda settings: 0.5)
    with pytest.raises(ResultsError, match="trials = 19: 20 finished trials with dev_wer are the"):
        setting_importance(results)


def test_settings_that_are_the_same_everywhere_are_refused(tmp_path: Path) -> None:
    for place in range(FEWEST_TRIALS):
        with TableWriter(tmp_path, sweep_id="s", trial_id=f"t{place}", attempt=0, seed=1) as writer:
            writer.add(
                "trials", step=9, status="finished", is_baseline=False, dev_wer=0.1 + place / 100,
                settings="{}",
            )  # fmt: skip
    with pytest.raises(ResultsError, match="no searched setting differs"):
        setting_importance(open_results(tmp_path))


def test_without_a_best_quarter_nothing_is_said(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match="trials = 30: too many have the highest dev_wer"):
        setting_importance(write_sweep(tmp_path, 30, lambda settings: 0.5))


@pytest.mark.filterwarnings("error")
def test_a_setting_that_all_but_one_have_warns_of_nothing(tmp_path: Path) -> None:
    for place in range(FEWEST_TRIALS):
        settings = {"a": place} | ({"b": place % 2} if place else {})
        with TableWriter(tmp_path, sweep_id="s", trial_id=f"t{place}", attempt=0, seed=1) as writer:
            writer.add(
                "trials", step=9, status="finished", is_baseline=False, dev_wer=place / 100,
                settings=json.dumps(settings),
            )  # fmt: skip
    assert setting_importance(open_results(tmp_path)).shares.keys() == {"a", "b"}


def test_a_setting_over_decades_is_judged_by_decades(tmp_path: Path) -> None:
    # Best between 1e-4 and 1e-3; on a linear scale these would share one cell with 2e-3.
    rng = random.Random(2)
    for place in range(80):
        rate = 10 ** rng.uniform(-4, -1)
        settings = {"optim.learning_rate": rate, "adaptation.delta": rng.uniform(0.1, 0.4)}
        with TableWriter(tmp_path, sweep_id="s", trial_id=f"t{place}", attempt=0, seed=1) as writer:
            writer.add(
                "trials", step=9, status="finished", is_baseline=False,
                dev_wer=rate if rate > 1e-3 else rate / 1e3, settings=json.dumps(settings),
            )  # fmt: skip
    shares = setting_importance(open_results(tmp_path)).shares
    assert shares["optim.learning_rate"] > 0.9
