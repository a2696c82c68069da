"""Features of a corpus: computed once for its settings, then memory-mapped by everybody.

How a recording becomes frames is said in log_mel.py; here is where they are kept.

Shapes: S samples, T frames, F mel bins.
"""

import contextlib
import fcntl
import functools
import hashlib
import json
import os
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch
from torch import Tensor
from torch.utils.dlpack import from_dlpack

from tuneprune.config import FeaturesConfig
from tuneprune.data.corpus import Corpus, read_audio
from tuneprune.data.log_mel import at_speed, log_mel
from tuneprune.errors import CorpusError

FEATURES_VERSION = "1"
_RECORDINGS_AT_A_TIME = 64

_COLUMNS = (
    pa.field("id", pa.string(), nullable=False),
    pa.field("speed", pa.float64(), nullable=False),
    pa.field("num_frames", pa.int32(), nullable=False),
    pa.field("features", pa.large_list(pa.float32()), nullable=False),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Recording:
    id: str
    audio: Path
    start_s: float
    duration_s: float
    speeds: tuple[float, ...]


def feature_key(config: FeaturesConfig) -> str:
    """Return a hash of all settings that change stored features: 16 hex digits."""
    settings = config.model_dump(mode="json", exclude={"spec_augment"})
    text = json.dumps([FEATURES_VERSION, settings], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def prepare_features(
    corpus: Corpus,
    config: FeaturesConfig,
    *,
    splits: Sequence[str],
    speeds: Mapping[str, Sequence[float]] | None = None,
    progress: bool = False,
) -> Path:
    """Compute the features of some splits, unless they lie beside the corpus already.

    Several processes may ask for the same features at once: one computes, the others wait.

    Args:
        corpus: a sound corpus.
        config: features settings; all but ``spec_augment`` and ``speed_factors`` is used here.
        splits: names of the splits.
        speeds: speed factors for splits that have others than 1.0 alone; 1.1 is a tenth faster,
            and higher.
        progress: show a bar on standard error while computing.

    Returns:
        The Arrow IPC file, for `FeatureStore.open`.

    Raises:
        CorpusError: a split or recording can not be read, or the corpus folder not be written.
    """
    recordings = _recordings(corpus, splits, speeds or {})
    metadata = _metadata(corpus, config, recordings)
    name = "-".join(metadata[part][:16] for part in ("fingerprint", "key", "rows"))
    path = corpus.path / "features" / f"{name}.arrow"
    if _holds(path, metadata):
        return path
    try:
        path.parent.mkdir(exist_ok=True)
        with _alone(path):
            if not _holds(path, metadata):
                _write(path, recordings, config, metadata, progress)
    except OSError as error:
        remedy = f"features can not be written there ({error.strerror or error})"
        raise CorpusError("corpus.path", corpus.path, remedy) from None
    return path


class FeatureStore:
    """Features of a corpus, read from a memory-mapped file that many processes may share.

    Opening costs a pass over the index, no features. Tensors that it gives are views of the file:
    they must not be written to. To use it in another process, open ``path`` there.
    """

    path: Path
    num_bins: int

    def __init__(self, path: Path, reader: pa.RecordBatchFileReader) -> None:
        """Index ``reader``; use `open`."""
        self.path = path
        self.num_bins = int(reader.schema.metadata[b"num_bins"])
        self._rows: dict[float, dict[str, int]] = {}
        self._chunks: list[Tensor] = []
        self._places: list[tuple[int, int, int]] = []
        for number in range(reader.num_record_batches):
            self._add(reader.get_batch(number))
        self._num_frames = np.array([frames for _, _, frames in self._places], dtype=np.int32)

    @classmethod
    def open(cls, path: Path) -> "FeatureStore":
        """Open a file made by `prepare_features`.

        Raises:
            CorpusError: the file is missing or damaged.
        """
        try:
            return cls(path, pa.ipc.open_file(pa.memory_map(str(path))))
        except (OSError, pa.ArrowInvalid, KeyError, TypeError):
            remedy = "is not a file of features; delete it, and it is computed anew"
            raise CorpusError("features", path, remedy) from None

    def __len__(self) -> int:
        return len(self._places)

    def num_frames(self, ids: Sequence[str], speed: float = 1.0) -> npt.NDArray[np.int32]:
        """Return the lengths in frames. Raises KeyError for an utterance that is not stored."""
        rows = self._rows[speed]
        return self._num_frames[[rows[utterance] for utterance in ids]]

    def get(self, utterance: str, speed: float = 1.0) -> Tensor:
        """Return float32 [T, F], a view that must not be written to. Raises KeyError as above."""
        chunk, start, frames = self._places[self._rows[speed][utterance]]
        return self._chunks[chunk].as_strided((frames, self.num_bins), (self.num_bins, 1), start)

    def _add(self, batch: pa.RecordBatch) -> None:
        # DLPack, because torch.from_numpy warns of arrays that can not be written.
        values = batch.column("features")
        starts = values.offsets.to_pylist()
        columns = (batch.column(name).to_pylist() for name in ("id", "speed", "num_frames"))
        for utterance, speed, frames, start in zip(*columns, starts, strict=False):
            self._rows.setdefault(speed, {})[utterance] = len(self._places)
            self._places.append((len(self._chunks), start, frames))
        self._chunks.append(from_dlpack(values.values))


def _recordings(
    corpus: Corpus, splits: Sequence[str], speeds: Mapping[str, Sequence[float]]
) -> list[_Recording]:
    found = []
    for name in dict.fromkeys(splits):
        split = corpus.split(name)
        factors = tuple(float(factor) for factor in speeds.get(name, (1.0,)))
        rows = zip(split.ids, split.audio, split.start_s, split.duration_s, strict=True)
        found += [
            _Recording(
                id=utterance,
                audio=audio,
                start_s=float(start_s),
                duration_s=float(duration_s),
                speeds=factors,
            )
            for utterance, audio, start_s, duration_s in rows
        ]
    return found


def _metadata(
    corpus: Corpus, config: FeaturesConfig, recordings: Sequence[_Recording]
) -> dict[str, str]:
    rows = hashlib.sha256()
    for recording in recordings:
        rows.update(repr((recording.id, recording.speeds)).encode())
    return {
        "tuneprune_features_version": FEATURES_VERSION,
        "fingerprint": corpus.fingerprint,
        "key": feature_key(config),
        "rows": rows.hexdigest(),
        "num_rows": str(sum(len(recording.speeds) for recording in recordings)),
        "num_bins": str(config.num_bins),
    }


def _holds(path: Path, metadata: Mapping[str, str]) -> bool:
    """Say whether a whole file with just these features lies at ``path``."""
    try:
        with pa.memory_map(str(path)) as source, pa.ipc.open_file(source) as reader:
            found = reader.schema.metadata or {}
            rows = sum(
                reader.get_batch(number).num_rows for number in range(reader.num_record_batches)
            )
    except (OSError, pa.ArrowInvalid):
        return False
    wanted = {key.encode(): value.encode() for key, value in metadata.items()}
    return found == wanted and rows == int(metadata["num_rows"])


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Hold the lock of ``path``; the system lets go of it even for a killed process."""
    with open(path.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _write(
    path: Path,
    recordings: Sequence[_Recording],
    config: FeaturesConfig,
    metadata: Mapping[str, str],
    progress: bool,
) -> None:
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    schema = pa.schema(_COLUMNS, metadata=dict(metadata))
    log_mel(torch.zeros(1), config)  # settings that can not work fail here, not in a thread
    try:
        with pa.OSFile(str(temporary), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
            for batch in _batches(recordings, config, schema, progress):
                writer.write_batch(batch)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _batches(
    recordings: Sequence[_Recording],
    config: FeaturesConfig,
    schema: pa.Schema,
    progress: bool,
) -> Iterator[pa.RecordBatch]:
    """Compute recordings side by side, a chunk at a time so that memory stays small."""
    compute = functools.partial(_compute, config=config)
    threads = torch.get_num_threads()
    # One torch thread each: the pool has the cores already, and the bits do not depend on them.
    pool = ThreadPoolExecutor(os.cpu_count(), initializer=torch.set_num_threads, initargs=(1,))
    try:
        for start in _shown(range(0, len(recordings), _RECORDINGS_AT_A_TIME), progress):
            chunk = recordings[start : start + _RECORDINGS_AT_A_TIME]
            yield _record_batch(chunk, list(pool.map(compute, chunk)), schema)
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(threads)


def _shown(starts: Sequence[int], progress: bool) -> Iterable[int]:
    if not progress:
        return starts
    from rich.console import Console
    from rich.progress import track

    return track(starts, description="features", console=Console(stderr=True), transient=True)


def _compute(recording: _Recording, *, config: FeaturesConfig) -> list[Tensor]:
    wave_S = read_audio(
        recording.audio,
        start_s=recording.start_s,
        duration_s=recording.duration_s,
        sample_rate_hz=config.sample_rate_hz,
    )
    return [
        log_mel(at_speed(wave_S, speed, config.sample_rate_hz), config)
        for speed in recording.speeds
    ]


def _record_batch(
    recordings: Sequence[_Recording], features: Sequence[Sequence[Tensor]], schema: pa.Schema
) -> pa.RecordBatch:
    arrays = [array for versions in features for array in versions]
    ends = np.cumsum([0] + [array.numel() for array in arrays], dtype=np.int64)
    columns = [
        pa.array([r.id for r in recordings for _ in r.speeds], pa.string()),
        pa.array([speed for r in recordings for speed in r.speeds], pa.float64()),
        pa.array([len(array) for array in arrays], pa.int32()),
        pa.LargeListArray.from_arrays(
            pa.array(ends), pa.array(torch.cat([a.flatten() for a in arrays]).numpy())
        ),
    ]
    return pa.record_batch(columns, schema=schema)
