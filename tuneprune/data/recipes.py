"""Corpora made from what people have: so far, manifests of JSON lines.

The recordings stay where they are; they are read and resampled when features are computed.
"""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

from tuneprune.data.corpus import TABLE_NAME, Corpus, UtteranceRow, open_corpus, write_corpus
from tuneprune.errors import CorpusError

_TEXT_FIELDS = ("id", "audio", "text", "speaker", "language", "split")
_MAY_BE_EMPTY = ("text",)  # a fault of the utterance, which `corpus check` lists with the others
_LONGEST_S = 1e9  # refuses infinity, and whole numbers beyond any float


def import_manifest(manifest: Path, out: Path, *, licence: str = "") -> Corpus:
    """Make the corpus folder ``out`` from one manifest; see `import_manifests`."""
    return import_manifests([manifest], out, licence=licence)


def import_manifests(manifests: Sequence[Path], out: Path, *, licence: str = "") -> Corpus:
    """Make the corpus folder ``out`` from manifests with one JSON object a line.

    Fields: id, audio (relative to the manifest's folder), text, speaker, language, duration
    (seconds), split, sample_rate (Hz); others are ignored, and so are blank lines. Importing again
    brings the fingerprint up to date when recordings were mended, and changes nothing otherwise.

    Args:
        manifests: the files, of one language each or as they come; utterances of one split are
            put together. Their recordings need not be sound, nor there (see checks.py).
        out: folder of the corpus. It is made only if every line of the manifests is right.
        licence: under which the recordings may be used.

    Raises:
        CorpusError: a line that is wrong, by its number; or ``out`` holds other utterances.
    """
    rows: dict[str, UtteranceRow] = {}
    first_line: dict[str, str] = {}
    rates_hz: set[int] = set()
    for manifest in manifests:
        name = "manifest" if len(manifests) == 1 else f"manifest {manifest}"
        before = len(rows)
        for number, line in enumerate(_lines(manifest), start=1):
            if not line.strip():
                continue
            place = f"{name} line {number}"
            record = _parse(place, line)
            row = _row(place, record, start=manifest.parent, out=out)
            if row["id"] in rows:
                remedy = f"is already the id of {first_line[row['id']]}; ids must differ"
                raise CorpusError(f"{place}, id", row["id"], remedy)
            rows[row["id"]] = row
            first_line[row["id"]] = place.removeprefix("manifest ")
            rates_hz.add(_sample_rate_hz(place, record))
        if len(rows) == before:
            raise CorpusError("manifest", manifest, "has no utterances")
    _refuse_other_corpus(out, rows)
    rate_hz = rates_hz.pop() if len(rates_hz) == 1 else 0
    return write_corpus(out, rows.values(), sample_rate_hz=rate_hz, licence=licence)


def _lines(manifest: Path) -> list[str]:
    try:
        # Not splitlines: it would also cut a line at characters that JSON allows inside strings.
        return manifest.read_text(encoding="utf-8-sig").split("\n")
    except OSError as error:
        raise CorpusError("manifest", manifest, f"can not be read ({error.strerror})") from None
    except UnicodeDecodeError as error:
        raise CorpusError("manifest", manifest, f"is not UTF-8 (byte {error.start})") from None


def _parse(place: str, line: str) -> Mapping[str, object]:
    try:
        record = json.loads(line)
    except json.JSONDecodeError as error:
        remedy = f"is not JSON ({error.msg}, column {error.colno})"
        raise CorpusError(f"{place}", line.strip(), remedy) from None
    if not isinstance(record, dict):
        raise CorpusError(f"{place}", line.strip(), "must be a JSON object")
    for name in (*_TEXT_FIELDS, "duration", "sample_rate"):
        if name not in record:
            raise CorpusError(f"{place}", record, f"has no field '{name}'")
    return record


def _row(place: str, record: Mapping[str, object], *, start: Path, out: Path) -> UtteranceRow:
    """Check and convert one line, apart from its sample rate."""
    for name in _TEXT_FIELDS:
        value = record[name]
        if not _is_text(value) or not (value or name in _MAY_BE_EMPTY):
            kind = "text" if name in _MAY_BE_EMPTY else "text that is not empty"
            raise CorpusError(f"{place}, {name}", value, f"must be {kind}")
    # Symbolic links are followed first: `..` after a link leads away from where it stands.
    audio = os.path.relpath((start / str(record["audio"])).resolve(), out.resolve())
    row = {name: record[name] for name in _TEXT_FIELDS}
    row |= {"audio": Path(audio).as_posix(), "start_s": 0.0}
    row["duration_s"] = _duration_s(place, record)
    return cast(UtteranceRow, row)


def _is_text(value: object) -> bool:
    """Tell whether a JSON value is a string that files and tables can hold."""
    if not isinstance(value, str) or "\0" in value:
        return False
    return not any("\ud800" <= character <= "\udfff" for character in value)


def _duration_s(place: str, record: Mapping[str, object]) -> float:
    value = record["duration"]
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not 0 <= cast(float, value) < _LONGEST_S:
        remedy = "must be a number of seconds, 0 or more"
        raise CorpusError(f"{place}, duration", value, remedy)
    return float(cast(float, value))


def _sample_rate_hz(place: str, record: Mapping[str, object]) -> int:
    value = record["sample_rate"]
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        remedy = "must be a whole number of Hz, 1 or more"
        raise CorpusError(f"{place}, sample_rate", value, remedy)
    return value


def _refuse_other_corpus(out: Path, rows: Mapping[str, UtteranceRow]) -> None:
    if not (out / TABLE_NAME).exists():
        return
    there = open_corpus(out).table.to_pylist()
    if there != [rows[key] for key in sorted(rows)]:
        remedy = f"holds another corpus of {len(there)} utterances; name a folder of its own"
        raise CorpusError("corpus", out, remedy)
