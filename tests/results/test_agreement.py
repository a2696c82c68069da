"""Ranks, overlaps and pairs worked by hand, and Spearman's own formula where nothing is tied."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from tuneprune.errors import ResultsError
from tuneprune.results.agreement import rank_correlation
from tuneprune.results.reader import open_results
from tuneprune.results.writer import TableWriter

FATES = {"k": "kept", "d": "dropped", "g": "grown"}


def write_scores(
    writer: TableWriter,
    scorer: str,
    scores: Sequence[float],
    fates: str,
    *,
    applied: bool | None = False,
    event: int = 0,
) -> None:
    for index, (score, fate) in enumerate(zip(scores, fates, strict=True)):
        writer.add(
            "group_scores", step=10 * (event + 1), event=event, scorer=scorer, layer=index // 4,
            group_id=f"blocks.{index // 4}.ff1.{index % 4}", kind="ff1", group_index=index % 4,
            score=score, params=10, fate=FATES[fate], applied=applied,
        )  # fmt: skip


@pytest.fixture
def writer(tmp_path: Path) -> TableWriter:
    writer = TableWriter(tmp_path, sweep_id="s", trial_id="t1", attempt=0, seed=1)
    writer.add("trials", step=0, status="finished", is_baseline=False, settings="{}")
    return writer


@pytest.mark.parametrize("seed", range(5))
def test_without_ties_it_is_spearmans_formula(seed: int) -> None:
    # 1 - 6 sum d^2 / (n (n^2 - 1)), over differences of ranks.
    rng = np.random.default_rng(seed)
    ranks_a, ranks_b = rng.permutation(17), rng.permutation(17)
    expected = 1 - 6 * float(((ranks_a - ranks_b) ** 2).sum()) / (17 * (17**2 - 1))
    assert rank_correlation(np.exp(ranks_a), ranks_b - 40.0) == pytest.approx(expected)


def test_equal_scores_share_the_mean_of_their_ranks() -> None:
    # Ranks 1, 2.5, 2.5, 4 and 1, 2, 3, 4: products of deviations 2.25 + 0 + 0 + 2.25, squares
    # 4.5 and 5.
    assert rank_correlation([1, 2, 2, 9], [1, 2, 3, 4]) == pytest.approx(4.5 / np.sqrt(4.5 * 5))


def test_the_order_decides_and_nothing_else() -> None:
    scores = [0.3, 0.1, 0.9, 0.5]
    assert rank_correlation(scores, [s**3 for s in scores]) == pytest.approx(1)
    assert rank_correlation(scores, [-s for s in scores]) == pytest.approx(-1)
    assert rank_correlation(scores, [2.0] * 4) is None
    assert rank_correlation([], []) is None


def test_every_pair_of_scorers_of_every_event_has_a_row(
    writer: TableWriter, tmp_path: Path
) -> None:
    for event, fates in enumerate(("dkkg", "dgkk")):
        write_scores(writer, "taylor", [1, 2, 3, 4], "dkkg", applied=True, event=event)
        write_scores(writer, "magnitude", [4, 3, 2, 1], fates, event=event)
    write_scores(writer, "gradient", [1, 2, 4, 3], "ddkk", event=1)
    writer.flush()
    rows = open_results(tmp_path).scorer_agreement("t1").to_pylist()
    pairs = [(row["event"], row["step"], row["scorer_a"], row["scorer_b"]) for row in rows]
    assert pairs == [
        (0, 10, "magnitude", "taylor"),
        (1, 20, "gradient", "magnitude"),
        (1, 20, "gradient", "taylor"),
        (1, 20, "magnitude", "taylor"),
    ]
    assert {row["applied"] for row in rows} == {"taylor"}
    assert {row["groups"] for row in rows} == {4}
    correlations = [row["rank_correlation"] for row in rows]
    assert correlations == pytest.approx([-1, -0.8, 0.8, -1])
    # gradient drops 0 and 1, the others 0; gradient grows none.
    assert [row["dropped_overlap"] for row in rows] == [1, 0.5, 0.5, 1]
    assert [row["grown_overlap"] for row in rows] == [1, 0, 0, 0]


def test_where_neither_scorer_drops_there_is_no_overlap_to_speak_of(
    writer: TableWriter, tmp_path: Path
) -> None:
    write_scores(writer, "taylor", [1, 2], "kk", applied=True)
    write_scores(writer, "magnitude", [1, 2], "kk")
    writer.flush()
    (row,) = open_results(tmp_path).scorer_agreement("t1").to_pylist()
    assert row["dropped_overlap"] is row["grown_overlap"] is None


def test_groups_of_all_scorers_or_of_the_one_that_the_event_followed(
    writer: TableWriter, tmp_path: Path
) -> None:
    write_scores(writer, "magnitude", [1, 2], "dg")
    write_scores(writer, "taylor", [1, 2], "gd", applied=True)
    write_scores(writer, "taylor", [1, 2], "kk", applied=None, event=1)  # as version 1 left it
    writer.flush()
    results = open_results(tmp_path)
    assert results.groups("t1")["scorer"].to_pylist() == ["magnitude"] * 2 + ["taylor"] * 4
    applied = results.groups("t1", applied_only=True)
    assert applied["fate"].to_pylist() == ["grown", "dropped", "kept", "kept"]
    assert results.scorer_agreement().num_rows == 1


def test_no_scores_agree_on_nothing(writer: TableWriter, tmp_path: Path) -> None:
    writer.flush()
    assert open_results(tmp_path).scorer_agreement("t1").num_rows == 0


def test_scorers_that_scored_other_groups_are_refused(writer: TableWriter, tmp_path: Path) -> None:
    write_scores(writer, "taylor", [1, 2], "kk", applied=True)
    write_scores(writer, "magnitude", [1, 2, 3], "kkk")
    writer.flush()
    with pytest.raises(ResultsError, match="magnitude and taylor must have scored the same groups"):
        open_results(tmp_path).scorer_agreement("t1")
