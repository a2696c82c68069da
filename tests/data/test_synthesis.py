"""The synthetic corpus: a value of its settings, with speakers that keep to their split."""

import itertools
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tuneprune.config import CorpusConfig, SynthesisConfig
from tuneprune.data import synthesis
from tuneprune.data.checks import check_corpus
from tuneprune.data.corpus import Corpus
from tuneprune.data.recipes import import_manifest
from tuneprune.data.synthesis import deal_voices, ensure_corpus, plan_split, synthesise
from tuneprune.errors import CorpusError

pytest.importorskip("espeakng_loader", reason="needs the extra `synth`")

TINY = SynthesisConfig(
    train_utterances=4,
    dev_utterances=2,
    test_utterances=2,
    words_per_utterance=(1, 2),
    voices=("en+f1", "en+f2", "en+m3", "en+m1"),
    sample_rate_hz=8000,
)


def changed(**settings: object) -> SynthesisConfig:
    return SynthesisConfig.model_validate(TINY.model_dump() | settings)


def files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return synthesise(TINY, tmp_path_factory.mktemp("synthesis") / "tiny")


def test_the_same_settings_give_the_same_bytes(tiny: Corpus, tmp_path: Path) -> None:
    synthesise(TINY, tmp_path / "a")
    assert files(tmp_path / "a") == files(tiny.path)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_another_seed_gives_another_corpus(tiny: Corpus, tmp_path: Path) -> None:
    other = synthesise(changed(seed=1), tmp_path / "a")
    assert other.fingerprint != tiny.fingerprint
    assert other.split("train").texts != tiny.split("train").texts


def test_the_corpus_is_what_was_asked_for(tiny: Corpus) -> None:
    counts = [len(tiny.split(name).ids) for name in ("train", "dev", "test")]
    assert (counts, tiny.sample_rate_hz, check_corpus(tiny)) == ([4, 2, 2], 8000, [])
    for split in map(tiny.split, tiny.split_names):
        assert {word for text in split.texts for word in text.split()} <= set(TINY.words)
        assert all(1 <= len(text.split()) <= 2 for text in split.texts)
        for path, duration_s in zip(split.audio, split.duration_s, strict=True):
            info = soundfile.info(path)
            assert (info.subtype, info.samplerate) == ("PCM_16", 8000)
            assert info.frames / 8000 == duration_s


def test_no_speaker_is_in_two_splits(tiny: Corpus) -> None:
    heard = [set(tiny.split(name).speakers) for name in ("train", "dev", "test")]
    assert heard == [{"f1", "m1"}, {"f2"}, {"m3"}]


@pytest.mark.parametrize("count", range(3, 40))
def test_two_speakers_in_three_train_and_every_split_has_one(count: int) -> None:
    voices = [f"en+v{index}" for index in range(count)]
    dealt = deal_voices(voices)
    assert sorted(voice for group in dealt.values() for voice in group) == sorted(voices)
    assert all(dealt.values())
    assert abs(len(dealt["train"]) - 2 * count / 3) <= 1 + 1e-9


def test_a_variant_with_two_accents_stays_in_one_split() -> None:
    voices = ["en+f1", "en+f2", "en+f3", "en-us+f2", "fr+f3", "en-us+m1"]
    dealt = deal_voices(voices)
    assert dealt["dev"] == ("en+f2", "en-us+f2")
    assert dealt["test"] == ("en+f3", "fr+f3")


def test_accents_of_one_variant_are_too_few_speakers() -> None:
    with pytest.raises(CorpusError, match="three variants or more"):
        deal_voices(["en+f1", "en-us+f1", "fr+f1", "en+f2"])


def test_the_sizes_of_other_splits_do_not_change_a_split() -> None:
    assert plan_split(changed(train_utterances=9), "dev") == plan_split(TINY, "dev")


def test_plans_use_every_word_voice_rate_pitch_and_noise() -> None:
    config = SynthesisConfig(train_utterances=300)
    planned = plan_split(config, "train")
    lines = [utterance.line for utterance in planned]
    assert {word for line in lines for word in line.text.split()} == set(config.words)
    assert {len(line.text.split()) for line in lines} == {3, 4, 5, 6}
    assert {line.voice for line in lines} == set(deal_voices(config.voices)["train"])
    assert {line.rate_wpm for line in lines} == set(config.rates_wpm)
    assert {line.pitch for line in lines} == set(config.pitches)
    assert {utterance.snr_db for utterance in planned} == set(config.snr_db)


@pytest.mark.parametrize("snr_db", [20.0, 5.0])
def test_noise_has_the_ratio_asked_for_and_nothing_clips(tmp_path: Path, snr_db: float) -> None:
    """Clean speech is what remains at 80 dB; what it can not explain by a gain is the noise."""
    quiet = synthesise(changed(snr_db=[80.0]), tmp_path / "quiet")
    noisy = synthesise(changed(snr_db=[snr_db]), tmp_path / "noisy")
    for clean_path, path in zip(quiet.split("dev").audio, noisy.split("dev").audio, strict=True):
        clean, _ = soundfile.read(clean_path)
        mixed, _ = soundfile.read(path)
        explained = clean * (clean @ mixed) / (clean @ clean)
        ratio = np.mean(explained**2) / np.mean((mixed - explained) ** 2)
        assert 10 * np.log10(ratio) == pytest.approx(snr_db, abs=0.3)
        assert np.max(np.abs(mixed)) == pytest.approx(0.9, abs=1e-3)


def test_noise_differs_from_utterance_to_utterance(tmp_path: Path) -> None:
    corpus = synthesise(changed(snr_db=[-60.0]), tmp_path / "a")
    waves = [soundfile.read(p)[0] for name in corpus.split_names for p in corpus.split(name).audio]
    for one, two in itertools.combinations(waves, 2):
        size = min(len(one), len(two))
        assert abs(np.corrcoef(one[:size], two[:size])[0, 1]) < 0.2


@pytest.mark.parametrize("target_hz", [8000, 16_000, 44_100])
def test_a_resampled_tone_burst_is_the_same_burst(target_hz: int) -> None:
    def burst(rate_hz: int) -> np.ndarray:
        time_s = np.arange(rate_hz // 4) / rate_hz
        return np.sin(2 * np.pi * 600 * time_s) * np.exp(-(((time_s - 0.125) / 0.02) ** 2))

    resampled = synthesis._resample(burst(22_050), 22_050, target_hz)
    expected = burst(target_hz)[: len(resampled)]
    assert abs(len(resampled) - target_hz / 4) <= 1
    np.testing.assert_allclose(resampled[: len(expected)], expected, atol=1e-6)


def test_a_corpus_of_the_same_settings_is_opened_and_of_others_refused(tiny: Corpus) -> None:
    before = (tiny.path / "utterances.parquet").stat().st_mtime_ns
    assert synthesise(TINY, tiny.path).fingerprint == tiny.fingerprint
    assert (tiny.path / "utterances.parquet").stat().st_mtime_ns == before
    with pytest.raises(CorpusError, match="was synthesised with seed = 0 and not 7"):
        synthesise(changed(seed=7), tiny.path)


@pytest.mark.parametrize("content", [None, "[]", "{"])
def test_a_folder_of_something_else_is_left_alone(tmp_path: Path, content: str | None) -> None:
    name = "notes.txt" if content is None else "synthesis.json"
    (tmp_path / name).write_text(content or "mine")
    with pytest.raises(CorpusError, match="was not made by `tuneprune corpus synth`"):
        synthesise(TINY, tmp_path)
    assert list(files(tmp_path)) == [name]


def test_a_process_that_comes_second_takes_what_the_first_made(
    tiny: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write_while_another_is_faster(config: SynthesisConfig, folder: Path) -> None:
        folder.mkdir()
        shutil.copytree(tiny.path, tmp_path / "a")

    monkeypatch.setattr(synthesis, "_write", write_while_another_is_faster)
    assert synthesise(TINY, tmp_path / "a").fingerprint == tiny.fingerprint
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_folder_that_can_not_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(CorpusError, match=r"corpus\.path = .*file/a: can not be written"):
        synthesise(TINY, tmp_path / "file" / "a")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"voices": ["en+f1", "en+f2", "en-gb+f3"]}, r"voices = 'en-gb\+f3': is not a voice"),
        ({"words": [" "]}, "is silent"),
    ],
)
def test_what_can_not_be_spoken_is_refused_and_nothing_is_made(
    tmp_path: Path, settings: dict[str, object], message: str
) -> None:
    with pytest.raises(CorpusError, match=message):
        synthesise(changed(**settings), tmp_path / "a")
    assert list(tmp_path.iterdir()) == []


def test_a_run_makes_its_corpus_once_and_opens_it_after(tmp_path: Path) -> None:
    config = CorpusConfig(path=tmp_path / "deep" / "a", synthesis=TINY)
    made = ensure_corpus(config)
    assert ensure_corpus(config).fingerprint == made.fingerprint
    opened = ensure_corpus(CorpusConfig(path=config.path))
    assert opened.fingerprint == made.fingerprint


def test_a_run_without_synthesis_or_with_another_corpus_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="tuneprune corpus synth"):
        ensure_corpus(CorpusConfig(path=tmp_path / "a"))
    soundfile.write(tmp_path / "x.wav", np.zeros(800), 8000)
    (tmp_path / "manifest.jsonl").write_text(
        '{"id": "x", "audio": "x.wav", "text": "one", "speaker": "ann", "language": "en", '
        '"duration": 0.1, "split": "train", "sample_rate": 8000}'
    )
    import_manifest(tmp_path / "manifest.jsonl", tmp_path / "b")
    with pytest.raises(CorpusError, match="was not made by"):
        ensure_corpus(CorpusConfig(path=tmp_path / "b", synthesis=TINY))


def test_the_folder_can_be_read_by_others(tmp_path: Path) -> None:
    mask = os.umask(0o022)
    try:
        synthesise(TINY, tmp_path / "a")
    finally:
        os.umask(mask)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o755
