"""The corpus: a folder with one table of utterances, and how its recordings are read.

Whether the recordings are fit for training is judged in checks.py, not here.
"""

import functools
import hashlib
import itertools
import json
import os
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import soundfile

from tuneprune.errors import CorpusError

if TYPE_CHECKING:
    import torch

CORPUS_VERSION = 1
TABLE_NAME = "utterances.parquet"

UTTERANCES_SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("audio", pa.string(), nullable=False),  # posix, relative to the corpus folder
        pa.field("start_s", pa.float64(), nullable=False),
        pa.field("duration_s", pa.float64(), nullable=False),
        pa.field("text", pa.string(), nullable=False),
        pa.field("speaker", pa.string(), nullable=False),
        pa.field("language", pa.string(), nullable=False),
        pa.field("split", pa.string(), nullable=False),
    ]
)


class UtteranceRow(TypedDict):
    """One row of the table; ``audio`` is a posix path relative to the corpus folder."""

    id: str
    audio: str
    start_s: float
    duration_s: float
    text: str
    speaker: str
    language: str
    split: str


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Split:
    """The utterances of one split, sorted by id; all fields are parallel."""

    name: str
    ids: tuple[str, ...]
    audio: tuple[Path, ...]
    start_s: npt.NDArray[np.float64]
    duration_s: npt.NDArray[np.float64]
    texts: tuple[str, ...]
    speakers: tuple[str, ...]
    languages: tuple[str, ...]

    def take(self, indices: Sequence[int] | npt.NDArray[np.integer]) -> "Split":
        """Return the utterances at some places, in rising order of these."""
        kept = np.asarray(indices, np.int64)
        return Split(
            name=self.name,
            ids=tuple(self.ids[i] for i in kept),
            audio=tuple(self.audio[i] for i in kept),
            start_s=self.start_s[kept],
            duration_s=self.duration_s[kept],
            texts=tuple(self.texts[i] for i in kept),
            speakers=tuple(self.speakers[i] for i in kept),
            languages=tuple(self.languages[i] for i in kept),
        )


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Corpus:
    """An opened corpus.

    Args:
        path: its folder.
        table: ``UTTERANCES_SCHEMA`` rows, sorted by id.
        fingerprint: sha256 over rows and recordings; where the folder stands plays no part.
        sample_rate_hz: of the recordings, 0 when they differ.
    """

    path: Path
    table: pa.Table
    fingerprint: str
    sample_rate_hz: int

    @property
    def licence(self) -> str:
        metadata: dict[bytes, bytes] = self.table.schema.metadata
        return metadata[b"licence"].decode()

    @property
    def split_names(self) -> tuple[str, ...]:
        return tuple(sorted(self.table["split"].unique().to_pylist()))

    @property
    def languages(self) -> tuple[str, ...]:
        return tuple(sorted(self.table["language"].unique().to_pylist()))

    def of_languages(self, names: Sequence[str]) -> "Corpus":
        """Return the corpus with the utterances of some languages alone; same fingerprint."""
        kept = pc.is_in(self.table["language"], value_set=pa.array(names, pa.string()))
        return replace(self, table=self.table.filter(kept))

    def split(self, name: str, *, field: str = "split") -> Split:
        """Return the utterances of one split.

        Args:
            name: the split's name in the table.
            field: the setting that asked for it, for the message (``corpus.dev_split``).

        Raises:
            CorpusError: no utterance belongs to it.
        """
        rows = self.table.filter(pc.equal(self.table["split"], name))
        if rows.num_rows == 0:
            known = ", ".join(self.split_names) or "no utterances at all"
            raise CorpusError(field, name, f"is not a split of {self.path}, which has: {known}")
        return Split(
            name=name,
            ids=tuple(rows["id"].to_pylist()),
            audio=tuple(self.path / audio for audio in rows["audio"].to_pylist()),
            start_s=rows["start_s"].to_numpy(),
            duration_s=rows["duration_s"].to_numpy(),
            texts=tuple(rows["text"].to_pylist()),
            speakers=tuple(rows["speaker"].to_pylist()),
            languages=tuple(rows["language"].to_pylist()),
        )


def is_corpus(path: Path) -> bool:
    """Tell whether a folder holds the table of a corpus."""
    return (path / TABLE_NAME).is_file()


def open_corpus(path: Path) -> Corpus:
    """Open a corpus folder; no recording is read.

    Raises:
        CorpusError: the folder is missing, holds no corpus, or one of another version.
    """
    if not (path / TABLE_NAME).is_file():
        state = f"has no {TABLE_NAME}" if path.is_dir() else "is not a folder"
        remedy = "make a corpus with `tuneprune corpus import` or `tuneprune corpus synth`"
        raise CorpusError("corpus.path", path, f"{state}; {remedy}")
    try:
        # Not read_table: that would take `lang=en` in a folder's name for a column.
        with pq.ParquetFile(path / TABLE_NAME) as file:
            table = file.read()
    except (OSError, pa.ArrowException) as error:
        raise CorpusError("corpus.path", path, f"{TABLE_NAME} can not be read ({error})") from None
    metadata = {k.decode(): v.decode() for k, v in (table.schema.metadata or {}).items()}
    version = metadata.get("tuneprune_corpus_version")
    if version not in (None, str(CORPUS_VERSION)):
        remedy = f"is of corpus version {version}; this tuneprune reads version {CORPUS_VERSION}"
        raise CorpusError("corpus.path", path, f"{remedy}, so import it anew")
    if version is None or not table.schema.equals(UTTERANCES_SCHEMA):
        raise CorpusError("corpus.path", path, f"{TABLE_NAME} is not a table made by tuneprune")
    return Corpus(
        path=path,
        table=table,
        fingerprint=metadata["fingerprint"],
        sample_rate_hz=int(metadata["sample_rate_hz"]),
    )


def write_corpus(
    path: Path, table_rows: Iterable[UtteranceRow], *, sample_rate_hz: int, licence: str
) -> Corpus:
    """Write the table of a corpus whose recordings are already where the rows say.

    Args:
        path: the corpus folder; made when it is not there.
        table_rows: the utterances, in any order.
        sample_rate_hz: of the recordings, 0 when they differ.
        licence: under which the recordings may be used; empty when not known.

    Raises:
        CorpusError: no rows, an id that comes twice, or a folder that can not be written.
    """
    rows = sorted(table_rows, key=lambda row: row["id"])
    if not rows:
        raise CorpusError("corpus", path, "would have no utterances")
    for before, after in itertools.pairwise(rows):
        if before["id"] == after["id"]:
            raise CorpusError("id", after["id"], "is the id of two utterances; ids must differ")
    bare = pa.Table.from_pylist(rows, schema=UTTERANCES_SCHEMA)
    metadata = {
        "tuneprune_corpus_version": str(CORPUS_VERSION),
        "sample_rate_hz": str(sample_rate_hz),
        "licence": licence,
        "fingerprint": content_fingerprint(path, bare.to_pylist()),
    }
    table = bare.replace_schema_metadata(metadata)
    try:
        path.mkdir(parents=True, exist_ok=True)
        write_beside(path / TABLE_NAME, lambda beside: pq.write_table(table, beside))
    except OSError as error:
        raise CorpusError("corpus", path, f"can not be written ({error.strerror})") from None
    return open_corpus(path)


def content_fingerprint(path: Path, rows: Iterable[UtteranceRow]) -> str:
    """Return a sha256 over ``rows`` (sorted by id) and the bytes of their recordings.

    A recording counts by its content and not by its path, so a moved corpus stays the same. One
    that is not there counts as a mark of its own: it is for checks.py to complain of it.
    """

    @functools.cache
    def digest(audio: str) -> str:
        try:
            # Normalised, because `..` out of a corpus folder that is yet to be made leads nowhere.
            with open(os.path.normpath(path.resolve() / audio), "rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        except OSError:
            return "missing"

    total = hashlib.sha256()
    for row in rows:
        entry = {**row, "audio": digest(row["audio"])}
        total.update(json.dumps(entry, sort_keys=True).encode() + b"\n")
    return total.hexdigest()


def write_beside(target: Path, write: Callable[[Path], object]) -> None:
    """Write a file under another name in the same folder, then rename it to ``target``."""
    beside = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}")
    try:
        write(beside)
        os.replace(beside, target)
    finally:
        beside.unlink(missing_ok=True)


def read_audio(
    path: Path, *, start_s: float, duration_s: float, sample_rate_hz: int
) -> "torch.Tensor":
    """Return one utterance as float32 ``[samples]`` at ``sample_rate_hz``.

    Channels are averaged. A recording that ends before ``start_s + duration_s`` gives what it has.

    Raises:
        CorpusError: the recording is missing or not audio.
    """
    import torch

    samples, source_hz = read_samples(path, start_s=start_s, duration_s=duration_s)
    wave = torch.from_numpy(samples)
    if source_hz == sample_rate_hz or not len(samples):
        return wave
    resampled: torch.Tensor = _resampler(source_hz, sample_rate_hz)(wave)
    return resampled


def read_samples(
    path: Path, *, start_s: float, duration_s: float
) -> tuple[npt.NDArray[np.float32], int]:
    """Return the samples ``[samples]`` of one utterance and their rate in Hz, as recorded.

    Raises:
        CorpusError: the recording is missing or not audio.
    """
    try:
        with soundfile.SoundFile(path) as recording:
            rate_hz = int(recording.samplerate)
            recording.seek(min(round(start_s * rate_hz), recording.frames))
            frames = recording.read(round(duration_s * rate_hz), dtype="float32", always_2d=True)
    except (OSError, RuntimeError, TypeError) as error:  # TypeError: raw files without a header
        raise CorpusError("audio", path, f"can not be read as audio ({error})") from None
    mono = frames[:, 0] if frames.shape[1] == 1 else frames.mean(axis=1, dtype=np.float32)
    return np.ascontiguousarray(mono), rate_hz


@functools.lru_cache(maxsize=8)
def _resampler(source_hz: int, target_hz: int) -> "Callable[[torch.Tensor], torch.Tensor]":
    """Return a resampler; kept, because its filter costs more than applying it."""
    # Inside, so that a process that only synthesises does not wait for torch.
    from tuneprune.data.torchaudio_door import load_torchaudio

    resampler: Callable[[torch.Tensor], torch.Tensor] = load_torchaudio().transforms.Resample(
        source_hz, target_hz
    )
    return resampler
