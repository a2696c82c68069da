"""Two trials are compared on what both recognised, by draws of it and by its segments."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest

from tuneprune.errors import ResultsError
from tuneprune.results.bootstrap import paired_bootstrap
from tuneprune.results.compare import compare_trials, count_blocks, usual_block
from tuneprune.results.reader import Results, open_results
from tuneprune.results.writer import TableWriter

WriteTrial = Callable[..., None]

REFERENCE = Path(__file__).parents[2] / "results" / "reference"


SAID = (("u1", "ann", 10), ("u2", "ann", 10), ("u3", "bob", 20))


def utterances(*errors: int) -> tuple[tuple[str, str, int, int], ...]:
    return tuple((*said, count) for said, count in zip(SAID, errors, strict=False))


def test_trials_are_compared_on_what_they_recognised(
    tmp_path: Path, trial_writer: WriteTrial
) -> None:
    trial_writer("t1", utterances=utterances(1, 0, 3))
    trial_writer("baseline", utterances=tuple(reversed(utterances(2, 2, 4))))
    results = open_results(tmp_path)
    answer = compare_trials(results, "t1", "baseline")
    assert (answer.wer_a, answer.wer_b) == (0.1, 0.2)
    assert answer.probability_of_improvement == 1
    by_speaker = compare_trials(results, "t1", "baseline", block="speaker")
    assert dataclasses.replace(by_speaker, no_p="") == paired_bootstrap([1, 3], [4, 4], [20, 20])


def test_whole_speakers_are_drawn_where_there_are_five() -> None:
    four, five = ["a", "b", "c", "d", "a", "b"], ["a", "b", "c", "d", "e", "a"]
    assert (usual_block(four), usual_block(five)) == ("utterance", "speaker")
    assert (count_blocks(four, "utterance"), count_blocks(four, "speaker")) == (6, 4)


def test_trials_that_recognised_other_utterances_are_not_compared(
    tmp_path: Path, trial_writer: WriteTrial
) -> None:
    trial_writer("t1", utterances=utterances(1, 0, 3))
    trial_writer("t2", utterances=utterances(1, 0))
    trial_writer("t3")
    results = open_results(tmp_path)
    with pytest.raises(ResultsError, match="same utterances; u3 is not the same"):
        compare_trials(results, "t1", "t2")
    with pytest.raises(ResultsError, match="'t3': has kept no utterances of test"):
        compare_trials(results, "t1", "t3")


def write_texts(root: Path, trial_id: str, *hypotheses: str) -> None:
    """Write what a trial made of "a b", which it has said often; each has one error at most."""
    with TableWriter(root, sweep_id="s", trial_id=trial_id, attempt=0, seed=1) as writer:
        for number, hypothesis in enumerate(hypotheses):
            writer.add(
                "utterances", step=1, split="test", utterance_id=f"u{number:03d}", speaker="ann",
                language="en", reference="a b", hypothesis=hypothesis, num_ref_words=2,
                substitutions=int(hypothesis != "a b"), deletions=0, insertions=0,
                num_ref_chars=3, char_errors=0,
            )  # fmt: skip
        config = '{"corpus": {"dev_split": "dev", "test_split": "test"}}'
        writer.add(
            "trials", step=1, status="finished", is_baseline=False, settings="{}", config=config
        )


@pytest.fixture
def texts(tmp_path: Path) -> Results:
    """Return two trials: in 60 utterances t1 has one error, in 20 others t0, in 20 both."""
    write_texts(tmp_path, "t1", *["a x"] * 60, *["a b"] * 20, *["a x"] * 20, "a b")
    write_texts(tmp_path, "t0", *["a b"] * 60, *["y b"] * 20, *["y b"] * 20, "a b")
    return open_results(tmp_path)


def test_mapsswe_is_of_the_texts_that_the_trials_kept(texts: Results) -> None:
    found = compare_trials(texts, "t1", "t0")
    # By hand: 100 segments that differ by +1 (60), -1 (20) or 0; their mean is 0.4, their squares
    # sum to 80, their variance is (80 - 100 * 0.16) / 99.
    assert found.segments == 100
    assert found.z == pytest.approx(0.4 / (64 / 99 / 100) ** 0.5)
    assert found.no_p == ""
    other = compare_trials(texts, "t0", "t1")
    assert (other.segments, other.z, other.p) == (found.segments, -found.z, found.p)
    assert other.difference == -found.difference


def test_a_comparison_is_a_row_of_a_table(texts: Results) -> None:
    (row,) = texts.compare("t1", "t0").to_pylist()
    found = compare_trials(texts, "t1", "t0")
    assert (row["a"], row["b"], row["split"]) == ("t1", "t0", "test")
    assert (row["by"], row["blocks"]) == ("utterance", 101)
    assert {name: row[name] for name in ("wer_a", "low", "z", "p")} == {
        name: getattr(found, name) for name in ("wer_a", "low", "z", "p")
    }
    assert row["no_p"] is None
    (same,) = texts.compare("t1", "t1").to_pylist()
    assert (same["difference"], same["low"], same["high"], same["p"]) == (0, 0, 0, None)
    assert same["probability_of_improvement"] == 0.5
    assert same["no_p"] == "as many errors in every segment"


def test_texts_that_are_not_what_was_counted_give_no_p(
    tmp_path: Path, trial_writer: WriteTrial
) -> None:
    trial_writer("t1", utterances=utterances(1, 0, 3))
    trial_writer("t2", utterances=utterances(2, 0, 3))
    found = compare_trials(open_results(tmp_path), "t1", "t2")
    assert (found.segments, found.z, found.p) == (None, None, None)
    assert found.no_p == "the kept texts do not have the counted errors"


@pytest.mark.parametrize(
    ("pair", "split", "segments", "z"),
    [
        (("t00", "t01"), "dev", 102, -0.669),
        (("t00", "t02"), "dev", 105, -4.276),
        (("t03", "t01"), "test", 114, -0.082),
        (("t00", "t02"), "test", 119, -3.534),
    ],
)
def test_real_trials_have_the_segments_and_the_z_of_nists_sc_stats(
    pair: tuple[str, str], split: str, segments: int, z: float
) -> None:
    # Of sc_stats -t mapsswe -v (SCTK 2.4.10, Debian's), given the same alignments as SGML.
    results = open_results(REFERENCE / "an4_scorers_conformer")
    found = compare_trials(results, *pair, split=split)
    assert found.segments == segments
    assert found.z == pytest.approx(z, abs=0.0005)
