"""Read back from the artists: what each trial reached, and the lowest so far."""

from collections.abc import Callable
from pathlib import Path

from matplotlib.axes import Axes

from tuneprune.results.plots import optimisation_history
from tuneprune.results.reader import Results, open_results


def line(axes: Axes, label: str) -> list[tuple[float, float]]:
    (found,) = [one for one in axes.lines if one.get_label() == label]
    return [(float(x), round(float(y), 6)) for x, y in zip(*found.get_data(), strict=True)]


def test_trials_are_points_and_the_lowest_so_far_never_rises(sweep: Results) -> None:
    (axes,) = optimisation_history(sweep).axes
    assert line(axes, "trial") == [(1, 40), (2, 30), (3, 20)]
    assert line(axes, "lowest so far") == [(1, 40), (2, 30), (3, 20)]
    assert [y for _, y in line(axes, "baseline")] == [50, 50]
    assert [x for x, _ in line(axes, "no number (yet)")] == [4]
    assert axes.get_ylabel() == "word error rate on dev (%)"


def test_what_is_no_candidate_does_not_lower_the_line(
    tmp_path: Path, trial_writer: Callable[..., None]
) -> None:
    trial_writer("t10", dev_wer=0.2)
    trial_writer("t9", dev_wer=0.3)
    trial_writer("t8", dev_wer=0.1, status="stopped")
    trial_writer("t7", dev_wer=0.1, replicate_of="t9")
    trial_writer("t6", dev_wer=0.1, violated="params <= 1")
    (axes,) = optimisation_history(open_results(tmp_path)).axes
    assert line(axes, "lowest so far") == [(3, 30), (4, 20)]  # t9 comes before t10
    assert len(line(axes, "stopped, repeated, or outside of a constraint")) == 3


def test_several_baselines_are_a_mean_with_their_range(
    tmp_path: Path, trial_writer: Callable[..., None]
) -> None:
    for name, wer in (("baseline1", 0.2), ("baseline2", 0.4)):
        trial_writer(name, dev_wer=wer)
    (axes,) = optimisation_history(open_results(tmp_path)).axes
    assert [y for _, y in line(axes, "mean of 2 baselines, and their range")] == [30, 30]
    (band,) = axes.patches
    assert [
        round(float(y), 6)
        for y in band.get_extents().transformed(axes.transData.inverted()).intervaly
    ] == [20, 40]
