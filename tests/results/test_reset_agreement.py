"""Rank correlations of scores and resets are SciPy's, over parts that are joined by hand."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from reset_rows import add_reset, add_trial, writer_of
from scipy import stats

from tuneprune.errors import ResultsError
from tuneprune.results.reader import Results, open_results
from tuneprune.results.writer import TableWriter

Run = Callable[..., tuple[int, str, str]]

KINDS = ("ff1", "mhsa")
NAMES = [f"blocks.{layer}.{kind}.{index}" for layer in (0, 1) for kind in KINDS for index in (0, 1)]
SCORES = dict(zip(NAMES, (0.8, 0.1, 0.5, 0.3, 0.9, 0.2, 0.7, 0.7), strict=True))
INCREASES = dict(zip(NAMES, (0.3, 0.2, 0.1, 0.1, 0.5, 0.4, 0.2, 0.0), strict=True))


def add_scores(
    writer: TableWriter,
    scores: Mapping[str, float],
    *,
    scorer: str = "taylor",
    step: int = 10,
    applied: bool = True,
    origins: Mapping[str, str | None] | None = None,
) -> None:
    for name, score in scores.items():
        _, layer, kind, index = name.split(".")
        origin = (origins or {}).get(name, name)
        writer.add(
            "group_scores", step=step, event=0, scorer=scorer, group_id=name, origin=origin,
            layer=int(layer), kind=kind, group_index=int(index), score=score, params=10,
            fate="kept", applied=applied,
        )  # fmt: skip


@pytest.fixture
def results(tmp_path: Path) -> Results:
    """Return t1 with two scorers at step 10 and resets of groups there, of other parts at 30."""
    with writer_of(tmp_path, "t1") as writer:
        add_trial(writer)
        add_scores(writer, SCORES)
        add_scores(
            writer, {name: -one for name, one in SCORES.items()}, scorer="odd", applied=False
        )
        add_reset(writer, "model", [0.2], base=0.2, reset="nothing", step=10)
        for name, increase in INCREASES.items():
            draws = [0.2 + increase - 0.02, 0.2 + increase + 0.02]
            add_reset(writer, name, draws, base=0.2, step=10)
        for place, module in enumerate(("0.ff1", "0.mhsa", "1.ff1", "1.mhsa")):
            add_reset(writer, f"blocks.{module}", [0.3 + place * 0.1], base=0.2)
        for layer, wer in enumerate((0.6, 0.5)):
            add_reset(writer, f"blocks.{layer}", [wer], base=0.2)
    return open_results(tmp_path)


def spearman(a: list[float], b: list[float]) -> float:
    return float(stats.spearmanr(a, b).statistic)


def chosen(results: Results, **values: object) -> list[dict[str, Any]]:
    rows = results.reset_agreement("t1").to_pylist()
    return [row for row in rows if all(row[name] == value for name, value in values.items())]


def test_at_the_event_groups_are_joined_by_name(results: Results) -> None:
    for scorer, sign in (("taylor", 1), ("odd", -1)):
        rows = chosen(results, scope="group", scorer=scorer)
        expected = spearman(list(SCORES.values()), list(INCREASES.values()))
        assert rows[0]["rank_correlation"] == pytest.approx(sign * expected)
        assert (rows[0]["kind"], rows[0]["layer"], rows[0]["parts"]) == (None, None, 8)
        assert (rows[0]["joined_by"], rows[0]["summary"]) == ("group", "score")
        assert (rows[0]["step"], rows[0]["reset_step"]) == (10, 10)
        assert {row["applied"] for row in rows} == {scorer == "taylor"}


@pytest.mark.parametrize(("name", "values"), [("kind", KINDS), ("layer", (0, 1))])
def test_each_kind_and_layer_has_a_correlation_of_its_own(
    results: Results, name: str, values: tuple[object, ...]
) -> None:
    rows = [row for row in chosen(results, scope="group", scorer="taylor") if row[name] is not None]
    assert [row[name] for row in rows] == list(values)
    for row in rows:
        of = [one for one in NAMES if str(row[name]) in one.split(".")[1:3]]
        expected = spearman([SCORES[one] for one in of], [INCREASES[one] for one in of])
        assert row["rank_correlation"] == pytest.approx(expected)
        assert row["parts"] == 4


def test_modules_and_blocks_have_the_mean_and_the_sum_of_their_groups_scores(
    results: Results,
) -> None:
    means = [0.45, 0.4, 0.55, 0.7]  # increases 0.1, 0.2, 0.3, 0.4
    for summary in ("mean", "sum"):
        rows = chosen(results, scope="module", scorer="taylor", summary=summary)
        assert rows[0]["rank_correlation"] == pytest.approx(spearman(means, [1, 2, 3, 4]))
        assert (rows[0]["parts"], rows[0]["joined_by"], rows[0]["reset_step"]) == (4, "module", 30)
        (blocks,) = chosen(results, scope="block", scorer="taylor", summary=summary)
        assert (blocks["parts"], blocks["rank_correlation"]) == (2, pytest.approx(-1))


def test_sums_and_means_differ_where_modules_have_groups_of_different_numbers(
    tmp_path: Path,
) -> None:
    scores = {"blocks.0.ff1.0": 0.4, "blocks.0.ff1.1": 0.4, "blocks.1.ff1.0": 0.5}
    with writer_of(tmp_path, "t1") as writer:
        add_trial(writer)
        add_scores(writer, scores)
        for layer, wer in enumerate((0.5, 0.4)):
            add_reset(writer, f"blocks.{layer}.ff1", [wer], base=0.2)
    rows = chosen(open_results(tmp_path), kind=None, layer=None)
    assert {row["summary"]: round(row["rank_correlation"]) for row in rows} == {
        "sum": 1,
        "mean": -1,
    }


@pytest.mark.parametrize("step", [10, 30])  # the best checkpoint may be of the event's own step
def test_after_the_event_groups_are_joined_by_their_origin(tmp_path: Path, step: int) -> None:
    # At the event group 1 had been grown from group 0 before, and group 2 is dropped by it.
    names = [f"blocks.0.ff1.{index}" for index in range(4)]
    origins = dict(zip(names, (names[0], names[0], names[1], names[2]), strict=True))
    scores = dict(zip(names, (0.2, 0.4, 0.9, 0.5), strict=True))
    with writer_of(tmp_path, "t1") as writer:
        add_trial(writer)
        add_scores(writer, scores, origins=origins)
        for index, (wer, origin) in enumerate(((0.4, 0), (0.8, 0), (0.5, 2))):
            add_reset(
                writer, f"blocks.0.ff1.{index}", [wer], base=0.2, origin=names[origin], step=step
            )
        add_reset(writer, "blocks.0.ff1.3", [0.9], base=0.2, origin=None, step=step)
    row = chosen(open_results(tmp_path), kind=None, layer=None)[0]
    # Origin 0: mean score 0.3 and mean increase 0.4; origin 2: 0.5 and 0.3.
    assert (row["joined_by"], row["summary"], row["parts"]) == ("origin", "mean", 2)
    assert row["rank_correlation"] == pytest.approx(-1)


def test_resets_before_the_event_are_no_part_of_it(results: Results, tmp_path: Path) -> None:
    with writer_of(tmp_path, "t1") as writer:
        add_reset(writer, NAMES[0], [0.9], base=0.2, step=9)
    assert 9 not in open_results(tmp_path).reset_agreement()["reset_step"].to_pylist()


def test_equal_increases_have_no_correlation(tmp_path: Path) -> None:
    with writer_of(tmp_path, "t1") as writer:
        add_trial(writer)
        add_scores(writer, SCORES)
        for name in NAMES:
            add_reset(writer, name, [0.5], base=0.2, step=10)
    assert set(open_results(tmp_path).reset_agreement()["rank_correlation"].to_pylist()) == {None}


def test_by_leaves_the_others_out(results: Results) -> None:
    assert results.reset_agreement(by="all")["kind"].null_count == 10
    assert set(results.reset_agreement(by="kind")["kind"].to_pylist()) == set(KINDS)
    assert set(results.reset_agreement(by="layer")["layer"].to_pylist()) == {0, 1}
    whole = sum(results.reset_agreement(by=by).num_rows for by in ("all", "kind", "layer"))
    assert results.reset_agreement().num_rows == whole
    assert set(results.reset_agreement(step=10)["scope"].to_pylist()) == {"group"}
    with pytest.raises(ResultsError, match="by = 'x': must be one of all, kind, layer"):
        results.reset_agreement(by="x")  # type: ignore[arg-type]


def test_random_scores_have_scipys_correlation(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    names = [f"blocks.{layer}.conv.{index}" for layer in range(5) for index in range(4)]
    scores, wers = rng.random(20), rng.random(20)
    with writer_of(tmp_path, "t1") as writer:
        add_trial(writer)
        add_scores(writer, dict(zip(names, scores.tolist(), strict=True)))
        for name, wer in zip(names, wers.tolist(), strict=True):
            add_reset(writer, name, [wer], base=0.2, step=10)
    found = open_results(tmp_path).reset_agreement(by="all")["rank_correlation"].to_pylist()
    assert found == pytest.approx([stats.spearmanr(scores, wers).statistic])


@pytest.mark.parametrize("by", ["all", "kind", "layer"])
def test_people_read_it_in_a_hundred_columns(
    run: Run, results: Results, tmp_path: Path, by: str
) -> None:
    code, out, err = run("results", "reset-agreement", tmp_path, "--by", by)
    assert (code, err) == (0, "")
    assert max(map(len, out.splitlines())) <= 100
    assert "Spearman's" in out
    raw = json.loads(run("results", "reset-agreement", tmp_path, "--by", by, "--format", "json")[1])
    assert raw == results.reset_agreement(by=by).to_pylist()  # type: ignore[arg-type]


def test_without_resets_or_scores_there_is_nothing_to_join(run: Run, tmp_path: Path) -> None:
    with writer_of(tmp_path / "plain", "t1") as writer:
        add_trial(writer)
        add_scores(writer, SCORES)
    said = "no trial has scores and, at that step or later, resets\n"
    assert run("results", "reset-agreement", tmp_path / "plain")[:2] == (0, said)
