"""Read back from the artists: the front, the baseline, and all other trials."""

from collections.abc import Callable
from pathlib import Path

from matplotlib.axes import Axes

from tuneprune.results.plots import pareto_picture
from tuneprune.results.reader import Results, open_results


def points(axes: Axes, label: str) -> list[tuple[float, float]]:
    (found,) = [one for one in axes.lines if one.get_label() == label]
    return [
        (round(float(x), 6), round(float(y), 6)) for x, y in zip(*found.get_data(), strict=True)
    ]


def test_the_front_is_what_none_beats_in_both(sweep: Results) -> None:
    (axes,) = pareto_picture(sweep).axes
    # By hand: t1 has the fewest parameters, t3 the lowest WER, t2 lies between; all beat none.
    assert points(axes, "on the Pareto front") == [(0.9, 40), (1.1, 30), (1.2, 20)]
    assert points(axes, "baseline") == [(1.0, 50)]  # t1 is smaller and lower
    assert axes.get_xlabel() == "parameters of the model at the end (million params)"
    assert {text.get_text() for text in axes.texts} == {"t1", "t2", "t3"}


def test_what_is_beaten_is_light(sweep: Results) -> None:
    (axes,) = pareto_picture(sweep, metric="params", x="dev_wer").axes
    assert points(axes, "on the Pareto front") == [(20, 1.2), (30, 1.1), (40, 0.9)]
    (axes,) = pareto_picture(sweep, metric="dev_wer", x="adaptation.at").axes
    assert points(axes, "on the Pareto front") == [(0.1, 30), (0.2, 20)]
    assert points(axes, "trial") == [(0.1, 40)]


def test_what_can_not_be_on_the_front_is_open(
    tmp_path: Path, trial_writer: Callable[..., None]
) -> None:
    trial_writer("t1", dev_wer=0.3, params=3)
    trial_writer("t2", dev_wer=0.2, params=2, replicate_of="t1")
    trial_writer("t3", dev_wer=0.1, params=1, violated="params >= 2")
    (axes,) = pareto_picture(open_results(tmp_path)).axes
    assert points(axes, "on the Pareto front") == [(3, 30)]
    assert points(axes, "stopped, repeated, or outside of a constraint") == [(2, 20), (1, 10)]
