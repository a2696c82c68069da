"""What is said of a sweep follows from the interval, and never says more."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tuneprune.results.reader import Results, open_results
from tuneprune.results.report.answer import answer
from tuneprune.results.report.material import read_material


def heard(errors: list[int]) -> tuple[tuple[str, str, int, int], ...]:
    """Return six speakers with one utterance of ten words each."""
    return tuple((f"u{n}", f"s{n}", 10, one) for n, one in enumerate(errors))


@pytest.mark.parametrize(
    ("errors", "difference", "verdict"),
    [
        ([1] * 6, "-10.0 points, 95 % interval -10.0 to -10.0", "fewer errors than the baseline"),
        ([3] * 6, "+10.0 points, 95 % interval +10.0 to +10.0", "more errors than the baseline"),
        ([0, 4, 0, 4, 0, 4], "+0.0 points", "holds 0: no difference to the baseline is shown"),
    ],
)
def test_the_verdict_is_that_of_the_interval(
    tmp_path: Path,
    trial_writer: Callable[..., None],
    errors: list[int],
    difference: str,
    verdict: str,
) -> None:
    trial_writer("baseline", utterances=heard([2] * 6), test_wer=0.2)
    trial_writer("t1", dev_wer=0.3, event_step=15, utterances=heard(errors), test_wer=0.1)
    said = " ".join(answer(read_material(open_results(tmp_path))))
    assert difference in said
    assert verdict in said
    assert "better" not in said


def test_the_best_is_chosen_on_dev_and_reported_on_test(sweep: Results) -> None:
    said = answer(read_material(sweep))
    assert said[0].startswith("Of 3 finished trials, t2 (delta 0.2, scorer taylor) was best on dev")
    assert "30.0 % word errors on test" in said[0]  # 3 of 10 words in every utterance
    assert "Its baseline baseline makes 20.0 %" in said[1]
    assert "chosen on dev, which flatters its error rate there" in said[3]


def test_without_a_baseline_the_reason_is_given(
    tmp_path: Path, trial_writer: Callable[..., None]
) -> None:
    trial_writer("t1", event_step=15, utterances=heard([1] * 6), test_wer=0.1)
    said = answer(read_material(open_results(tmp_path)))
    assert "not compared with a baseline: no finished baseline has its seed" in said[1]


def test_seeds_of_the_best_setting_are_pooled(
    tmp_path: Path, trial_writer: Callable[..., None]
) -> None:
    for seed, errors in ((1, 1), (2, 5)):
        own = {"seed": seed, "dev_utterances": heard([1] * 6), "test_wer": 0.1}
        trial_writer(f"baseline{seed}", utterances=heard([2] * 6), **own)
        settings = {"adaptation.delta": 0.1, "seed": seed}
        trial_writer(
            f"t{seed}", dev_wer=0.3, event_step=15, settings=settings,
            utterances=heard([errors] * 6), **own,
        )  # fmt: skip
    said = " ".join(answer(read_material(open_results(tmp_path))))
    # 1 and 5 errors in 10 words against 2: 30 % against 20 %
    assert "Over 2 seeds its setting makes 30.0 %, +10.0 points" in said
    assert "one of 2 seeds, so luck is in it" in said
