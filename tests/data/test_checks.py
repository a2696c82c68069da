"""Every kind of unfit utterance is named, and a corpus found sound is not read again."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tuneprune.data import checks
from tuneprune.data.checks import Finding, check_corpus, require_sound
from tuneprune.data.corpus import Corpus, UtteranceRow, write_corpus
from tuneprune.data.recipes import import_manifest
from tuneprune.errors import CorpusError

GOOD = np.sin(np.arange(800) / 5) / 2  # 0.1 s at 8 kHz


def float_wav(samples: np.ndarray) -> Callable[[Path], None]:
    return lambda path: soundfile.write(path, samples, 8000, subtype="FLOAT")


def bytes_file(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


def write(
    folder: Path, recordings: dict[str, Callable[[Path], object]], *, text: str = "one"
) -> Corpus:
    rows = []
    for name, record in recordings.items():
        record(folder / f"{name}.wav")
        row = UtteranceRow(
            id=name,
            audio=f"{name}.wav",
            start_s=0.0,
            duration_s=0.1,
            text=text,
            speaker="ann",
            language="en",
            split="train" if name < "n" else "dev",
        )
        rows.append(row)
    return write_corpus(folder, rows, sample_rate_hz=8000, licence="")


BAD = {
    "missing": (lambda path: None, "no file"),
    "unreadable": (bytes_file(b"RIFF but not really"), "can not be read as audio"),
    "empty": (float_wav(np.zeros(0)), "no samples"),
    "too short": (float_wav(GOOD[:320]), "0.040 s of 0.100 s"),
    "all zero": (float_wav(np.zeros(800)), ""),
    "constant": (float_wav(np.full(800, -1.0)), "every sample is -1"),
    "non-finite": (float_wav(np.where(np.arange(800) < 3, np.nan, GOOD)), "3 of 800 samples"),
}


@pytest.mark.parametrize("problem", BAD)
def test_an_unfit_recording_is_named_with_its_problem(tmp_path: Path, problem: str) -> None:
    record, detail = BAD[problem]
    corpus = write(tmp_path, {"a": float_wav(GOOD), "b": record, "c": float_wav(GOOD)})
    (finding,) = check_corpus(corpus)
    assert (finding.utterance_id, finding.problem) == ("b", problem)
    assert detail in finding.detail


def test_infinity_is_found_like_nan(tmp_path: Path) -> None:
    corpus = write(tmp_path, {"a": float_wav(np.where(np.arange(800) == 9, np.inf, GOOD))})
    assert [finding.problem for finding in check_corpus(corpus)] == ["non-finite"]


def test_a_recording_cut_off_in_the_middle_is_found(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 8000)
    corpus = write(tmp_path, {"a": lambda path: soundfile.write(path, noise, 80_000)})
    content = (tmp_path / "a.wav").read_bytes()
    (tmp_path / "a.wav").write_bytes(content[: len(content) // 4])
    assert [finding.problem for finding in check_corpus(corpus)] == ["too short"]


def test_a_text_of_blanks_is_no_text_and_both_problems_are_named(tmp_path: Path) -> None:
    corpus = write(tmp_path, {"a": BAD["missing"][0]}, text=" \t")
    assert [finding.problem for finding in check_corpus(corpus)] == ["missing", "no text"]


def test_findings_come_in_order_of_id_whatever_the_threads_do(tmp_path: Path) -> None:
    names = [f"u{index:02d}" for index in range(30)]
    corpus = write(tmp_path, dict.fromkeys(names, BAD["all zero"][0]))
    assert [finding.utterance_id for finding in check_corpus(corpus)] == names


def test_only_the_splits_asked_for_are_read(tmp_path: Path) -> None:
    seen = []
    corpus = write(tmp_path, {"a": BAD["missing"][0], "z": float_wav(GOOD)})
    findings = check_corpus(corpus, splits=["dev"], progress=lambda *n: seen.append(n))
    assert (findings, seen) == ([], [(1, 1)])
    with pytest.raises(CorpusError, match="'test'"):
        check_corpus(corpus, splits=["dev", "test"])


def test_an_unsound_corpus_is_refused_in_one_line_with_the_first_and_the_command(
    tmp_path: Path,
) -> None:
    bad = dict.fromkeys("bcdef", BAD["missing"][0])
    corpus = write(tmp_path, {"a": float_wav(GOOD), **bad})
    with pytest.raises(CorpusError) as caught:
        require_sound(corpus)
    line = str(caught.value)
    assert "5 of 6 utterances are unfit for training (5 missing): b is missing" in line
    assert f"`tuneprune corpus check {tmp_path}` lists them all" in line
    assert "\n" not in line
    assert "e is missing" not in line


def test_a_sound_corpus_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus = write(tmp_path, {"a": float_wav(GOOD)})
    require_sound(corpus)
    monkeypatch.setattr(checks, "check_corpus", lambda corpus: pytest.fail("read again"))
    require_sound(corpus)


@pytest.mark.parametrize("note", ["", "[1]", '{"sound": "for another state"}'])
def test_a_note_that_says_something_else_is_not_believed(tmp_path: Path, note: str) -> None:
    corpus = write(tmp_path, {"a": BAD["missing"][0]})
    (tmp_path / "checked.json").write_text(note)
    with pytest.raises(CorpusError, match="missing"):
        require_sound(corpus)


def test_a_recording_that_goes_bad_later_is_found(tmp_path: Path) -> None:
    corpus = write(tmp_path, {"a": float_wav(GOOD)})
    require_sound(corpus)
    float_wav(np.zeros(800))(tmp_path / "a.wav")
    with pytest.raises(CorpusError, match="a is all zero"):
        require_sound(corpus)
    (tmp_path / "a.wav").unlink()
    with pytest.raises(CorpusError, match="a is missing"):
        require_sound(corpus)


def test_a_recording_replaced_by_another_sound_one_needs_a_new_fingerprint(tmp_path: Path) -> None:
    corpus = write(tmp_path, {"a": float_wav(GOOD)})
    float_wav(GOOD / 2)(tmp_path / "a.wav")
    with pytest.raises(CorpusError, match="recordings changed since the corpus was made"):
        require_sound(corpus)
    require_sound(write(tmp_path, {"a": float_wav(GOOD / 2)}))


def test_touching_a_recording_costs_a_check_and_nothing_else(tmp_path: Path) -> None:
    corpus = write(tmp_path, {"a": float_wav(GOOD)})
    require_sound(corpus)
    os.utime(tmp_path / "a.wav", ns=(1, 1))
    require_sound(corpus)


def test_findings_are_values() -> None:
    same = [Finding(utterance_id="a", problem="missing", detail="") for _ in range(2)]
    assert same[0] == same[1]


def test_real_speech_is_sound_as_its_manifest_says(corpora: Path, tmp_path: Path) -> None:
    manifest = corpora / "an4" / "manifest.jsonl"
    stated = [json.loads(line) for line in manifest.read_text(encoding="utf-8").splitlines()]
    corpus = import_manifest(manifest, tmp_path)
    assert corpus.sample_rate_hz == 16_000
    assert corpus.split_names == ("dev", "test", "train")
    assert set(corpus.split("dev").ids) == {r["id"] for r in stated if r["split"] == "dev"}
    assert check_corpus(corpus, splits=["dev"]) == []
