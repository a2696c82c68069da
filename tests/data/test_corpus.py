"""The corpus folder: what is written comes back, and whatever else is there is refused."""

import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
import torch

from tuneprune.data.corpus import (
    UTTERANCES_SCHEMA,
    Corpus,
    UtteranceRow,
    open_corpus,
    read_audio,
    write_corpus,
)
from tuneprune.errors import CorpusError


def row(utterance: str, *, split: str = "train", text: str = "one") -> UtteranceRow:
    return UtteranceRow(
        id=utterance,
        audio="sound.wav",
        start_s=0.0,
        duration_s=0.5,
        text=text,
        speaker="ann",
        language="en",
        split=split,
    )


def write(folder: Path, *rows: UtteranceRow) -> Corpus:
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "sound.wav").exists():
        soundfile.write(folder / "sound.wav", np.linspace(-0.5, 0.5, 4000), 8000)
    return write_corpus(folder, rows, sample_rate_hz=8000, licence="CC0")


def test_what_is_written_comes_back_sorted_by_id(tmp_path: Path) -> None:
    write(tmp_path, row("b"), row("a", text="zéro"))
    corpus = open_corpus(tmp_path)
    assert corpus.table.to_pylist() == [row("a", text="zéro"), row("b")]
    assert (corpus.sample_rate_hz, corpus.licence) == (8000, "CC0")
    assert corpus.table.schema.equals(UTTERANCES_SCHEMA)


def test_a_split_holds_its_own_utterances_in_order_of_id(tmp_path: Path) -> None:
    corpus = write(tmp_path, row("c"), row("b", split="dev"), row("a", text="two"))
    split = corpus.split("train")
    assert (split.ids, split.texts) == (("a", "c"), ("two", "one"))
    assert split.audio == (tmp_path / "sound.wav",) * 2
    assert split.duration_s.tolist() == [0.5, 0.5]


def test_an_unknown_split_is_refused_with_those_there_are(tmp_path: Path) -> None:
    corpus = write(tmp_path, row("a"), row("b", split="test"))
    with pytest.raises(CorpusError, match=r"corpus\.dev_split = 'dev': .*has: test, train"):
        corpus.split("dev", field="corpus.dev_split")


def test_the_fingerprint_survives_a_move_and_no_other_change(tmp_path: Path) -> None:
    first = write(tmp_path / "first", row("a"), row("b"))
    shutil.copytree(tmp_path / "first", tmp_path / "moved")
    moved = write(tmp_path / "moved", row("b"), row("a"))
    other_text = write(tmp_path / "first", row("a"), row("b", text="ones"))
    samples, rate_hz = soundfile.read(tmp_path / "moved" / "sound.wav", dtype="int16")
    samples[7] += 1
    soundfile.write(tmp_path / "moved" / "sound.wav", samples, rate_hz)
    other_sample = write(tmp_path / "moved", row("a"), row("b"))
    assert moved.fingerprint == first.fingerprint
    prints = {first.fingerprint, other_text.fingerprint, other_sample.fingerprint}
    assert len(prints) == 3


def test_the_same_rows_give_the_same_bytes(tmp_path: Path) -> None:
    write(tmp_path, row("a"), row("b"))
    before = (tmp_path / "utterances.parquet").read_bytes()
    write(tmp_path, row("b"), row("a"))
    assert (tmp_path / "utterances.parquet").read_bytes() == before


def test_whole_numbers_in_rows_do_not_change_the_fingerprint(tmp_path: Path) -> None:
    whole = row("a") | {"start_s": 0}
    assert write(tmp_path, whole).fingerprint == write(tmp_path, row("a")).fingerprint


def test_an_id_that_comes_twice_is_refused_and_nothing_written(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"id = 'a'"):
        write(tmp_path, row("a"), row("b"), row("a"))
    assert [path.name for path in tmp_path.iterdir()] == ["sound.wav"]


def test_a_folder_name_is_not_taken_for_a_column(tmp_path: Path) -> None:
    write(tmp_path / "language=fr", row("a"))
    assert open_corpus(tmp_path / "language=fr").split("train").languages == ("en",)


def test_what_is_no_corpus_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"corpus\.path = .*absent: is not a folder"):
        open_corpus(tmp_path / "absent")
    with pytest.raises(CorpusError, match=r"has no utterances\.parquet"):
        open_corpus(tmp_path)
    (tmp_path / "utterances.parquet").write_bytes(b"PAR1 cut off")
    with pytest.raises(CorpusError, match="can not be read"):
        open_corpus(tmp_path)
    pq.write_table(pa.table({"id": ["a"]}), tmp_path / "utterances.parquet")
    with pytest.raises(CorpusError, match="not a table made by tuneprune"):
        open_corpus(tmp_path)


def test_another_version_is_refused_by_its_number(tmp_path: Path) -> None:
    table = write(tmp_path, row("a")).table
    newer = table.schema.metadata | {b"tuneprune_corpus_version": b"2"}
    pq.write_table(table.replace_schema_metadata(newer), tmp_path / "utterances.parquet")
    with pytest.raises(CorpusError, match=r"corpus version 2; this tuneprune reads version 1"):
        open_corpus(tmp_path)


def test_channels_are_averaged_and_only_the_segment_read(tmp_path: Path) -> None:
    left, right = np.arange(16) / 16, np.zeros(16)
    path = tmp_path / "stereo.wav"
    soundfile.write(path, np.stack([left, right], axis=1), 8000, subtype="FLOAT")
    wave = read_audio(path, start_s=4 / 8000, duration_s=8 / 8000, sample_rate_hz=8000)
    torch.testing.assert_close(wave, torch.arange(4, 12) / 32)


def test_a_recording_that_ends_early_gives_what_it_has(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "short.wav", np.ones(16) / 2, 8000)
    beyond = read_audio(tmp_path / "short.wav", start_s=9.0, duration_s=1.0, sample_rate_hz=16_000)
    rest = read_audio(tmp_path / "short.wav", start_s=0.001, duration_s=1.0, sample_rate_hz=8000)
    assert (beyond.shape, rest.shape) == ((0,), (8,))


@pytest.mark.parametrize("target_hz", [8000, 16_000, 44_100])
def test_a_resampled_sine_is_the_same_sine(tmp_path: Path, target_hz: int) -> None:
    path = tmp_path / "sine.wav"
    soundfile.write(path, np.sin(2 * np.pi * 440 * np.arange(11_025) / 22_050), 22_050, "FLOAT")
    wave = read_audio(path, start_s=0.0, duration_s=0.5, sample_rate_hz=target_hz)
    expected = torch.sin(2 * torch.pi * 440 * torch.arange(target_hz // 2) / target_hz)
    inner = slice(target_hz // 50, -target_hz // 50)  # the filter sees no sound beyond the ends
    assert wave.dtype == torch.float32
    assert len(wave) == target_hz // 2
    torch.testing.assert_close(wave[inner], expected[inner], atol=2e-3, rtol=0)


@pytest.mark.parametrize("name", ["noise.wav", "absent.wav", "samples.raw"])
def test_what_is_not_audio_is_named(tmp_path: Path, name: str) -> None:
    if name != "absent.wav":
        (tmp_path / name).write_bytes(b"no sound at all")
    with pytest.raises(CorpusError, match=f"audio = .*{name}: can not be read as audio"):
        read_audio(tmp_path / name, start_s=0.0, duration_s=1.0, sample_rate_hz=16_000)
