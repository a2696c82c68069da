"""Error over size, read back from the artists: conftest.py's errors over its parameters."""

from collections.abc import Callable
from pathlib import Path

import pytest
from matplotlib.axes import Axes

from tuneprune.errors import ResultsError
from tuneprune.results.bootstrap import wer_interval
from tuneprune.results.plots import draw_plot, size_picture
from tuneprune.results.plots.size_rows import sizes_of_settings
from tuneprune.results.reader import Results, open_results
from tuneprune.results.writer import TableWriter

Run = Callable[..., tuple[int, str, str]]
Points = list[list[float]]


def marks(axes: Axes) -> dict[str, Points]:
    """Return the marks of each setting, as (thousand parameters, percent)."""
    found = {}
    for line in axes.lines:
        label = str(line.get_label())
        if not label.startswith("_"):
            found[label] = [[float(x), round(float(y), 6)] for x, y in line.get_xydata()]
    return found


def test_a_line_joins_a_model_with_its_subnets_and_others_are_points(supernets: Path) -> None:
    figure = size_picture(open_results(supernets))
    (axes,) = figure.axes
    # Errors of t1 in 40 words are 4, 6 and 12; t2 has one more in each of its networks.
    assert marks(axes) == {
        "baseline (1 seed)": [[1000, 5]],
        "t3 (1 seed)": [[700, 15]],
        "kind simple_top_k (1 seed)": [[1000, 10], [670, 15], [520, 30]],
        "kind random (1 seed)": [[1000, 12.5], [670, 17.5], [520, 32.5]],
    }
    lines = {str(line.get_label()): line for line in axes.lines}
    styles = {name: lines[name].get_linestyle() for name in marks(axes)}
    assert list(styles.values()) == ["None", "None", "-", "-"]
    assert len({lines[name].get_color() for name in styles}) == 4
    assert len({lines[name].get_marker() for name in styles}) == 4
    assert axes.get_ylabel() == "word error rate on test (%)"


def test_all_that_is_drawn_lies_inside_the_picture(supernets: Path) -> None:
    figure = size_picture(open_results(supernets))
    figure.draw_without_rendering()
    (axes,) = figure.axes
    left, right = axes.get_xlim()
    assert 400 < left < 520
    assert 1000 < right < 1100
    for line in axes.lines:
        assert all(
            axes.bbox.contains(x, y) for x, y in line.get_transform().transform(line.get_xydata())
        )
    # Baseline, t3, t1 and t2 stand apart where they have 1000 parameters each.
    places = [line.get_transform().transform((1000, 10))[0] for line in axes.lines]
    assert len({round(float(place), 3) for place in places}) == 4


def test_bars_are_the_intervals_of_draws(supernets: Path) -> None:
    (axes,) = size_picture(open_results(supernets)).axes
    low, high = wer_interval([4, 3, 5], [10, 10, 20])
    bars = [line.get_xydata().tolist() for line in axes.lines if line.get_linestyle() == "-"]
    assert [[520, 100 * low], [520, 100 * high]] in bars


def test_seeds_are_small_points_and_their_errors_one_mark(
    tmp_path: Path, supernet_writer: Callable[..., None]
) -> None:
    supernet_writer("t1", settings={"seed": 1})
    supernet_writer("t2", settings={"seed": 2}, seed=2, more_errors=2, params=1100)
    (axes,) = size_picture(open_results(tmp_path)).axes
    # 4, 6 and 12 errors, and two more, in 40 words each; 330 and 480 parameters are left out.
    assert marks(axes) == {"t1, t2 (2 seeds)": [[1050, 12.5], [720, 17.5], [570, 32.5]]}
    small = [line.get_xydata().tolist() for line in axes.lines if line.get_marker() == "."]
    assert small == [
        [[1000, 10], [1100, 15]], [[670, 15], [770, 20]], [[520, 30], [620, 35]],
    ]  # fmt: skip


def test_models_of_another_sweep_stand_beside_it(
    supernets: Path, tmp_path: Path, trial_writer: Callable[..., None]
) -> None:
    for seed, errors in ((1, 4), (2, 6)):
        heard = (("u1", "ann", 20, errors), ("u2", "bob", 20, 0))
        trial_writer(
            f"r{seed}", folder="small", sweep_id="small", seed=seed, params=500,
            settings={"model.layers": 1, "seed": seed}, utterances=heard,
        )  # fmt: skip
    small = open_results(tmp_path / "small")
    found = marks(size_picture(open_results(supernets), others=[small]).axes[0])
    assert found["small, layers 1 (2 seeds)"] == [[500, 100 * 10 / 80]]
    assert "s, kind random (1 seed)" in found
    with pytest.raises(ResultsError, match="has no finished trial with subnets"):
        size_picture(small)
    with pytest.raises(ResultsError, match="sweep = 'small': is named twice"):
        size_picture(small, others=[open_results(tmp_path / "small")])


def test_other_rates_and_costs_can_be_asked_for(supernets: Path) -> None:
    results = open_results(supernets)
    (*_, setting) = sizes_of_settings([results], metric="dev_wer", x="multiply_adds_per_s")
    assert [network.size for network in setting.networks] == [10_000, 6700, 5200]
    assert [network.rate for network in setting.networks] == [5 / 40, 7 / 40, 13 / 40]
    with pytest.raises(ResultsError, match="metric = 'test_cer': baseline has kept no references"):
        sizes_of_settings([results], metric="test_cer")


def test_character_errors_are_counted_in_characters(
    tmp_path: Path, supernet_writer: Callable[..., None]
) -> None:
    supernet_writer("t1")
    counts = {"num_ref_chars": 30, "char_errors": 6}
    with TableWriter(tmp_path, sweep_id="s", trial_id="t1", attempt=1, seed=1) as writer:
        for subnet in (None, 4, 2):
            writer.add(
                "utterances", step=30, split="test", subnet=subnet, utterance_id="u4",
                speaker="eve", language="en", reference="a", hypothesis="b", num_ref_words=1,
                substitutions=1, deletions=0, insertions=0, **counts,
            )  # fmt: skip
    (setting,) = sizes_of_settings([open_results(tmp_path)], metric="test_cer")
    assert [network.rate for network in setting.networks] == [6 / 30] * 3


def test_only_sizes_are_drawn_of_several_sweeps(run: Run, supernets: Path, tmp_path: Path) -> None:
    twice = (str(supernets), str(supernets))
    out = tmp_path / "a.png"
    code, _, err = run("plot", "history", *twice, "--out", str(out))
    assert (code, err.count("\n")) == (2, 1)
    assert "history is of one sweep; of several at once there is `sizes`" in err
    assert run("plot", "all", *twice)[0] == 2
    assert run("plot", "sizes", str(supernets), "--out", str(out))[0] == 0
    assert out.read_bytes().startswith(b"\x89PNG")


def test_it_is_among_all_pictures(supernets: Path) -> None:
    drawn = draw_plot("sizes", open_results(supernets), {}, find_importance=refuse)
    assert drawn.name == "sizes"


def refuse(results: Results, metric: str) -> None:  # type: ignore[return]
    raise AssertionError("not asked for")
