"""Importing a manifest: all of it or nothing, and a wrong line is named by its number."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tuneprune.data.corpus import Corpus, open_corpus, read_audio
from tuneprune.data.recipes import import_manifest, import_manifests
from tuneprune.errors import CorpusError

RECORD = {
    "id": "a",
    "audio": "audio/a.wav",
    "text": "one two",
    "speaker": "ann",
    "language": "en",
    "duration": 0.25,
    "split": "train",
    "sample_rate": 8000,
}


def record(utterance: str, **changes: object) -> dict[str, object]:
    return RECORD | {"id": utterance} | changes


def write_manifest(folder: Path, *lines: dict[str, object] | str) -> Path:
    (folder / "audio").mkdir(parents=True, exist_ok=True)
    soundfile.write(folder / "audio" / "a.wav", np.linspace(-0.5, 0.5, 2000), 8000)
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    (folder / "manifest.jsonl").write_text("\n".join(texts), encoding="utf-8")
    return folder / "manifest.jsonl"


def imported(tmp_path: Path, *lines: dict[str, object] | str) -> Corpus:
    return import_manifest(write_manifest(tmp_path / "in", *lines), tmp_path / "out")


def test_fields_arrive_in_the_table(tmp_path: Path) -> None:
    corpus = imported(tmp_path, record("b", split="dev", text="é", mood="glad"), "", record("a"))
    split = corpus.split("dev")
    assert (split.ids, split.texts, split.speakers) == (("b",), ("é",), ("ann",))
    assert (split.duration_s.tolist(), split.start_s.tolist()) == ([0.25], [0.0])
    assert corpus.sample_rate_hz == 8000


def test_recordings_are_found_from_the_corpus_folder(tmp_path: Path) -> None:
    corpus = imported(tmp_path, record("a"))
    assert corpus.table["audio"].to_pylist() == ["../in/audio/a.wav"]
    wave = read_audio(
        corpus.split("train").audio[0], start_s=0.0, duration_s=0.25, sample_rate_hz=8000
    )
    np.testing.assert_allclose(wave, np.linspace(-0.5, 0.5, 2000), atol=1 / 32768)


def test_recordings_are_found_when_the_corpus_folder_is_reached_by_a_link(tmp_path: Path) -> None:
    (tmp_path / "far" / "away").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "far" / "away")
    manifest = write_manifest(tmp_path / "in", record("a"))
    corpus = import_manifest(manifest, tmp_path / "link" / "out")
    assert corpus.split("train").audio[0].is_file()


def test_different_rates_are_told_apart(tmp_path: Path) -> None:
    assert imported(tmp_path, record("a"), record("b", sample_rate=16_000)).sample_rate_hz == 0


def test_importing_again_changes_nothing(tmp_path: Path) -> None:
    first = imported(tmp_path, record("a"), record("b"))
    before = (tmp_path / "out" / "utterances.parquet").read_bytes()
    assert imported(tmp_path, record("b"), record("a")).fingerprint == first.fingerprint
    assert (tmp_path / "out" / "utterances.parquet").read_bytes() == before


def test_importing_again_takes_up_a_mended_recording(tmp_path: Path) -> None:
    without = imported(tmp_path, record("a", audio="audio/late.wav"))
    soundfile.write(tmp_path / "in" / "audio" / "late.wav", np.linspace(-0.1, 0.1, 2000), 8000)
    mended = imported(tmp_path, record("a", audio="audio/late.wav"))
    assert mended.fingerprint != without.fingerprint


def test_another_corpus_in_the_folder_is_left_alone(tmp_path: Path) -> None:
    first = imported(tmp_path, record("a"))
    with pytest.raises(CorpusError, match="holds another corpus of 1 utterances"):
        imported(tmp_path, record("a", text="two"))
    assert open_corpus(tmp_path / "out").fingerprint == first.fingerprint


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"id": "b", ', r"manifest line 3 = .*: is not JSON"),
        ('["b"]', r"manifest line 3 = .*: must be a JSON object"),
        ({k: v for k, v in RECORD.items() if k != "speaker"}, r"line 3 = .*has no field 'speaker'"),
        (record("a"), r"manifest line 3, id = 'a': is already the id of line 1"),
        (record("b", text=None), r"manifest line 3, text = None: must be text"),
        (record("b", split=""), r"manifest line 3, split = '': must be text that is not empty"),
        (record("b", text="\ud800"), r"manifest line 3, text = .*: must be text"),
        (record("b", audio="a\0b"), r"manifest line 3, audio = .*: must be text"),
        (record("b", duration="1"), r"manifest line 3, duration = '1': must be a number"),
        (record("b", duration=True), r"manifest line 3, duration = True: must be a number"),
        (record("b", duration=-0.1), r"manifest line 3, duration = -0\.1: must be a number"),
        (record("b", duration=float("nan")), r"manifest line 3, duration = nan: must be"),
        (record("b", duration=10**400), r"manifest line 3, duration = 1000"),
        (record("b", sample_rate=8000.5), r"line 3, sample_rate = 8000\.5: must be a whole"),
        (record("b", sample_rate=0), r"manifest line 3, sample_rate = 0: must be a whole"),
    ],
)
def test_a_wrong_line_is_named_and_nothing_is_made(
    tmp_path: Path, line: dict[str, object] | str, message: str
) -> None:
    with pytest.raises(CorpusError, match=message) as caught:
        imported(tmp_path, record("a"), "", line, record("c"))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_an_empty_text_is_left_for_the_check_to_name(tmp_path: Path) -> None:
    assert imported(tmp_path, record("a", text="")).split("train").texts == ("",)


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "can not be read"), (b"\n", "has no utterances"), (b"\xff{}", "is not UTF-8")],
)
def test_a_manifest_that_can_not_be_used_is_refused(
    tmp_path: Path, content: bytes | None, message: str
) -> None:
    if content is not None:
        (tmp_path / "manifest.jsonl").write_bytes(content)
    with pytest.raises(CorpusError, match=message):
        import_manifest(tmp_path / "manifest.jsonl", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_byte_order_mark_and_strange_line_ends_are_read(tmp_path: Path) -> None:
    manifest = write_manifest(tmp_path / "in", record("a", text="x\u2028y"), record("b"))
    lines = manifest.read_text(encoding="utf-8").replace("\\u2028", "\u2028")
    manifest.write_bytes(lines.replace("\n", "\r\n").encode("utf-8-sig"))
    corpus = import_manifest(manifest, tmp_path / "out")
    assert corpus.split("train").texts == ("x\u2028y", "one two")


def test_several_manifests_make_one_corpus_and_each_finds_its_own_recordings(
    tmp_path: Path,
) -> None:
    english = write_manifest(tmp_path / "en", record("a"), record("b", split="dev"))
    french = write_manifest(tmp_path / "fr", record("c", language="fr", sample_rate=16_000))
    corpus = import_manifests([english, french], tmp_path / "out")
    train = corpus.split("train")
    assert (train.ids, train.languages) == (("a", "c"), ("en", "fr"))
    assert [path.resolve().parents[1].name for path in train.audio] == ["en", "fr"]
    assert corpus.sample_rate_hz == 0


def test_of_several_manifests_the_wrong_line_is_named_with_its_file(tmp_path: Path) -> None:
    english = write_manifest(tmp_path / "en", record("a"))
    french = write_manifest(tmp_path / "fr", record("c"), record("a"))
    with pytest.raises(CorpusError, match=r"fr/manifest.jsonl line 2, id = 'a': .*en/.* line 1;"):
        import_manifests([english, french], tmp_path / "out")
    (tmp_path / "fr" / "manifest.jsonl").write_text("\n")
    with pytest.raises(CorpusError, match=r"manifest = .*fr/manifest.jsonl: has no utterances"):
        import_manifests([english, french], tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_real_speech_of_four_languages_is_one_corpus_with_all_of_them_in_each_split(
    corpora: Path, tmp_path: Path
) -> None:
    names = ("asterisk_en", "asterisk_fr", "asterisk_it", "nathalie_nl")
    manifests = [corpora / name / "manifest.jsonl" for name in names]
    corpus = import_manifests(manifests, tmp_path / "four")
    stated = [json.loads(line) for path in manifests for line in path.read_text().splitlines()]
    for split in ("train", "dev", "test"):
        expected = Counter(one["language"] for one in stated if one["split"] == split)
        assert Counter(corpus.split(split).languages) == expected
        assert len(expected) == 4
