"""One epoch of our whole loop against a plain one around torchaudio's Conformer.

Both train the AN4 space's model in float32 on the same corpus, with clipping and with the loss read
every step, neither with speed perturbation nor with masks, and both models are built beforehand.
Ours reads features that were computed once, deals batches by length, and also writes its tables,
decodes dev and saves two checkpoints. The plain loop computes features as it goes, deals as many
utterances to a batch at random, and ends with the epoch; it is measured with its data in the same
process, and with a worker on a core of its own.

The corpus is AN4 where it is there, else tones.
"""

import itertools
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile
import torch
from comparing import Bar, Comparison, Missing, Row, Size, take_turns
from peers import PeerCtc, PeerMissingError
from recognisers import an4_config, tiny_model
from speech_lengths import an4_manifest
from torch import Tensor
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader, Dataset

from tuneprune.config import RunConfig, build_config
from tuneprune.data.recipes import import_manifest
from tuneprune.data.torchaudio_door import load_torchaudio
from tuneprune.results.writer import TableWriter
from tuneprune.testing.tones import SAMPLE_RATE_HZ, make_tone_corpus
from tuneprune.training.batches import Batch, TrainingBatches
from tuneprune.training.context import LocalContext
from tuneprune.training.loop import TrainingLoop
from tuneprune.training.prepare import Prepared, prepare
from tuneprune.training.progress import TrainingProgress
from tuneprune.training.recording import Recorder
from tuneprune.training.steering import Unsteered

_TONES = {"full": 1600, "quick": 300, "tiny": 6}


def compare(*, size: Size) -> list[Row]:
    """Train on AN4, or 1,600 tones, five times in turn; on 300 tones, three times, if quick."""
    with tempfile.TemporaryDirectory(prefix="tp-") as folder:
        name, config = corpus_of(Path(folder), size)
        repeats = {"full": 5, "quick": 3, "tiny": 1}[size]
        try:
            return _compare_epochs(Path(folder), name, config, repeats=repeats)
        except PeerMissingError as error:
            return [Missing(what=f"epoch, {name} / plain loop", why=str(error))]


def _compare_epochs(folder: Path, name: str, config: RunConfig, *, repeats: int) -> list[Row]:
    prepared = prepare(config)
    numbers = itertools.count()
    taken = take_turns(
        {
            "ours": lambda: _our_epoch(config, prepared, folder / f"run-{next(numbers)}"),
            "plain loop": lambda: _plain_epoch(config, prepared, workers=0),
            "plain + data process": lambda: _plain_epoch(config, prepared, workers=1),
        },
        repeats=repeats,
    )
    ours = taken.pop("ours")
    return [
        Comparison(
            what=f"epoch, {name} / {how}",
            ours=ours,
            baseline=baseline,
            bar=Bar(kind="faster", limit=1.5),
        )
        for how, baseline in taken.items()
    ]


def corpus_of(folder: Path, size: Size) -> tuple[str, RunConfig]:
    """Make the corpus; return its name and a run of one epoch on it."""
    an4 = an4_config()
    settings = an4.model_dump()
    settings["model"] = (tiny_model() if size == "tiny" else an4.model).model_dump()
    settings["features"] |= {"speed_factors": (1.0,), "spec_augment": None}
    settings["training"] |= {"epochs": 1, "evaluate_every": 1.0, "precision": "float32"}
    settings["corpus"]["path"] = folder / "corpus"
    manifest = an4_manifest() if size == "full" else None
    if manifest is not None:
        import_manifest(manifest, folder / "corpus")
        return "AN4", build_config(settings)
    make_tone_corpus(folder / "corpus", train=_TONES[size])
    settings["features"] |= {
        "sample_rate_hz": SAMPLE_RATE_HZ,
        "max_hz": SAMPLE_RATE_HZ / 2,
        "num_bins": 40,
    }
    return f"{_TONES[size]:,} tones", build_config(settings)


def _our_epoch(config: RunConfig, prepared: Prepared, out: Path) -> float:
    with TableWriter(out, sweep_id="s", trial_id="t", attempt=0, seed=config.seed) as writer:
        loop = TrainingLoop(
            config,
            prepared,
            LocalContext(device=torch.device("cpu")),
            recorder=Recorder(writer),
            checkpoints=out / "checkpoints",
            start=None,
            steering=Unsteered(),
        )
        with TrainingProgress(loop.total_steps, first_step=0, show=False) as progress:
            began = time.perf_counter()
            loop.run(progress)
            seconds = time.perf_counter() - began
    if loop.diverged:
        raise RuntimeError("our epoch diverged")
    return seconds


def _plain_epoch(config: RunConfig, prepared: Prepared, *, workers: int) -> float:
    torch.manual_seed(config.seed)
    num_bins, num_labels = config.features.num_bins, len(prepared.labels)
    model = PeerCtc(config.model, "torchaudio", num_bins=num_bins, num_labels=num_labels)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, weight_decay=1e-3)
    loader = DataLoader(
        _Recordings(config, prepared),
        batch_size=_utterances_a_batch(config, prepared),
        shuffle=True,
        collate_fn=_collate,
        num_workers=workers,
    )
    began = time.perf_counter()
    model.train()
    total = 0.0
    for batch in loader:
        optimizer.zero_grad()
        log_probs_BUV, num_frames_B = model(batch.features_BTF, batch.num_frames_B)
        loss = functional.ctc_loss(
            log_probs_BUV.transpose(0, 1),
            batch.labels,
            num_frames_B,
            batch.num_labels_B,
            zero_infinity=True,
        )
        loss.backward()
        if config.optim.clip_grad_norm is not None:
            torch.nn.utils.clip_grad_norm_(model.parameters(), config.optim.clip_grad_norm)
        optimizer.step()
        total += loss.item()
    seconds = time.perf_counter() - began
    if not np.isfinite(total):
        raise RuntimeError("the plain epoch diverged")
    return seconds


def _utterances_a_batch(config: RunConfig, prepared: Prepared) -> int:
    """Return how many utterances our batches have on average."""
    batches = TrainingBatches(prepared.train, prepared.labels, prepared.features, config)
    return round(len(prepared.train.ids) / batches.total_steps)


class _Recordings(Dataset):
    """Log-mel features [T, F] and labels of the training split, computed when asked for."""

    def __init__(self, config: RunConfig, prepared: Prepared) -> None:
        features = config.features
        rate_hz = features.sample_rate_hz
        window = round(rate_hz * features.window_ms / 1000)
        self._paths = prepared.train.audio
        self._labels = [prepared.labels.encode(text) for text in prepared.train.texts]
        self._mel = load_torchaudio().transforms.MelSpectrogram(
            sample_rate=rate_hz,
            n_fft=1 << (window - 1).bit_length(),
            win_length=window,
            hop_length=round(rate_hz * features.hop_ms / 1000),
            f_min=features.min_hz,
            f_max=features.max_hz,
            n_mels=features.num_bins,
        )

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, index: int) -> tuple[Tensor, list[int]]:
        samples, _ = soundfile.read(self._paths[index], dtype="float32")
        log_TF = self._mel(torch.from_numpy(samples)).clamp(min=1e-10).log().T
        return (log_TF - log_TF.mean(0)) / log_TF.std(0).clamp(min=1e-2), self._labels[index]


def _collate(items: Sequence[tuple[Tensor, list[int]]]) -> Batch:
    features, labels = zip(*items, strict=True)
    return Batch(
        features_BTF=pad_sequence(features, batch_first=True),
        num_frames_B=torch.tensor([len(f) for f in features]),
        labels=torch.tensor([label for seq in labels for label in seq]),
        num_labels_B=torch.tensor([len(seq) for seq in labels]),
    )
