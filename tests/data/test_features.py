"""Features: computed once, stored bit for bit, read in place."""

import threading
import time
import warnings

import numpy as np
import pytest
import soundfile
import torch

from tuneprune.config import FeaturesConfig, SpecAugmentConfig
from tuneprune.data import features as module
from tuneprune.data.corpus import read_audio, write_corpus
from tuneprune.data.features import FeatureStore, feature_key, prepare_features
from tuneprune.data.log_mel import log_mel
from tuneprune.errors import CorpusError

RATE = 16_000
PLAIN = FeaturesConfig(normalise="none", spec_augment=None, num_bins=40)


def tone(hz, seconds=0.5):
    return torch.sin(2 * torch.pi * hz * torch.arange(int(seconds * RATE)) / RATE)


def noise(samples, seed=0):
    return torch.randn(samples, generator=torch.Generator().manual_seed(seed)) / 10


def test_the_key_follows_every_setting_but_spec_augment():
    base = FeaturesConfig()
    changes = [
        {"sample_rate_hz": 8000, "max_hz": 4000.0}, {"max_hz": 4000.0}, {"num_bins": 40},
        {"window_ms": 20.0}, {"hop_ms": 12.5}, {"min_hz": 0.0},
        {"normalise": "mean"}, {"speed_factors": (1.0, 1.1)},
    ]  # fmt: skip
    keys = {feature_key(FeaturesConfig(**change)) for change in changes}
    assert len(keys | {feature_key(base)}) == len(changes) + 1
    for other in (None, SpecAugmentConfig(max_bin_masks=1)):
        assert feature_key(FeaturesConfig(spec_augment=other)) == feature_key(base)
    told_apart = {field for change in changes for field in change} | {"spec_augment"}
    assert told_apart == set(FeaturesConfig.model_fields)


@pytest.fixture
def corpus(tmp_path):
    rows = []
    for number, split in enumerate(["train", "train", "train", "dev"]):
        name = f"u{number}"
        soundfile.write(tmp_path / f"{name}.wav", noise(6000 + 500 * number, number).numpy(), RATE)
        rows.append(
            {
                "id": name, "audio": f"{name}.wav", "start_s": 0.1, "duration_s": 0.2 + number / 50,
                "text": "a", "speaker": "s", "language": "en", "split": split,
            }
        )  # fmt: skip
    return write_corpus(tmp_path, rows, sample_rate_hz=RATE, licence="")


def prepare(corpus, config=PLAIN, *, splits=("train", "dev"), **options):
    return prepare_features(corpus, config, splits=splits, **options)


def count_reading(monkeypatch):
    """Note every recording that is read from here on."""
    read = []

    def noting(path, **where):
        read.append(path.name)
        return read_audio(path, **where)

    monkeypatch.setattr(module, "read_audio", noting)
    return read


def test_stored_features_are_those_of_the_recording_bit_for_bit(corpus):
    store = FeatureStore.open(prepare(corpus))
    assert (len(store), store.num_bins) == (4, 40)
    for name in ("train", "dev"):
        split = corpus.split(name)
        for place, utterance in enumerate(split.ids):
            wave = read_audio(
                split.audio[place],
                start_s=split.start_s[place],
                duration_s=split.duration_s[place],
                sample_rate_hz=RATE,
            )
            assert torch.equal(store.get(utterance, 1.0), log_mel(wave, PLAIN))


def test_lengths_come_in_the_order_of_the_ids(corpus):
    store = FeatureStore.open(prepare(corpus))
    # 0.2 s, 0.24 s and 0.26 s hold 1 + (S - 400) // 160 windows.
    found = store.num_frames(["u3", "u0", "u2"], 1.0)
    assert found.tolist() == [1 + 3760 // 160, 1 + 2800 // 160, 1 + 3440 // 160]
    assert found.dtype == np.int32


def test_reading_is_a_view_of_the_file_without_a_warning(corpus):
    path = prepare(corpus)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        store = FeatureStore.open(path)
        first, again = store.get("u1", 1.0), store.get("u1", 1.0)
    assert first.data_ptr() == again.data_ptr()
    assert first.is_contiguous()
    between = (store.get("u2", 1.0).data_ptr() - first.data_ptr()) // 4
    assert between == first.numel()


def test_reading_one_utterance_takes_microseconds(corpus):
    store = FeatureStore.open(prepare(corpus))
    began = time.process_time()
    for _ in range(2000):
        store.get("u1", 1.0)
    assert (time.process_time() - began) / 2000 < 2e-5


def test_speed_factors_make_other_lengths_for_the_splits_that_have_them(corpus):
    store = FeatureStore.open(prepare(corpus, speeds={"train": (0.5, 1.0, 2.0)}))
    slow, plain, fast = (store.num_frames(["u0"], speed)[0] for speed in (0.5, 1.0, 2.0))
    # 3,200 samples become 6,400 and 1,600.
    assert (slow, plain, fast) == (1 + 6000 // 160, 1 + 2800 // 160, 1 + 1200 // 160)
    assert len(store) == 3 * 3 + 1
    with pytest.raises(KeyError):
        store.get("u3", 2.0)


def test_a_faster_recording_is_higher(tmp_path):
    soundfile.write(tmp_path / "u.wav", 0.5 * tone(1000).numpy(), RATE)
    row = {
        "id": "u", "audio": "u.wav", "start_s": 0.0, "duration_s": 0.5,
        "text": "a", "speaker": "s", "language": "en", "split": "train",
    }  # fmt: skip
    corpus = write_corpus(tmp_path, [row], sample_rate_hz=RATE, licence="")
    path = prepare(corpus, splits=("train",), speeds={"train": (1.0, 1.5)})
    store = FeatureStore.open(path)
    for speed in (1.0, 1.5):
        expected = log_mel(tone(1000 * speed), PLAIN).mean(0).argmax()
        assert store.get("u", speed).mean(0).argmax() == expected


def test_a_second_trial_reads_no_recording(corpus, monkeypatch):
    path = prepare(corpus)
    written = path.stat().st_mtime_ns
    read = count_reading(monkeypatch)
    assert prepare(corpus) == path
    other_masks = PLAIN.model_copy(update={"spec_augment": None})
    assert prepare(corpus, other_masks) == path
    assert (read, path.stat().st_mtime_ns) == ([], written)


def test_other_settings_splits_or_speeds_have_files_of_their_own(corpus):
    paths = [
        prepare(corpus),
        prepare(corpus, FeaturesConfig()),
        prepare(corpus, splits=("train",)),
        prepare(corpus, speeds={"train": (1.0, 1.1)}),
    ]
    assert len(set(paths)) == 4
    assert all(path.exists() for path in paths)
    assert {path.parent for path in paths} == {corpus.path / "features"}


def test_two_that_ask_at_once_compute_once(corpus, monkeypatch):
    read = count_reading(monkeypatch)
    threads = [threading.Thread(target=prepare, args=(corpus,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(read) == ["u0.wav", "u1.wav", "u2.wav", "u3.wav"]


def test_a_truncated_file_is_named_and_computed_anew(corpus):
    path = prepare(corpus)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CorpusError, match="is not a file of features; delete it"):
        FeatureStore.open(path)
    assert prepare(corpus) == path
    assert path.read_bytes() == whole


@pytest.mark.parametrize("content", [None, b"", b"no features"])
def test_what_is_no_feature_file_is_refused(tmp_path, content):
    if content is not None:
        (tmp_path / "x.arrow").write_bytes(content)
    with pytest.raises(CorpusError, match=r"x.arrow: is not a file of features"):
        FeatureStore.open(tmp_path / "x.arrow")


def test_a_recording_that_can_not_be_read_leaves_no_file_behind(corpus):
    (corpus.path / "u2.wav").write_bytes(b"no audio")
    with pytest.raises(CorpusError, match=r"u2\.wav"):
        prepare(corpus)
    assert [path.suffix for path in (corpus.path / "features").iterdir()] == [".lock"]


def test_a_folder_that_can_not_be_written_is_named(corpus):
    (corpus.path / "features").write_text("in the way")
    with pytest.raises(CorpusError, match=r"corpus.path = .*: features can not be written there"):
        prepare(corpus)


def test_the_number_of_torch_threads_is_left_as_it_was(corpus):
    before = torch.get_num_threads()
    prepare(corpus)
    assert torch.get_num_threads() == before
