"""What makes an utterance unfit for training: every recording is read and judged here.

Nothing is mended, and nothing about labels is known: text.py says whether texts can be spelled.
"""

import contextlib
import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tuneprune.data.corpus import (
    Corpus,
    UtteranceRow,
    content_fingerprint,
    read_samples,
    write_beside,
)
from tuneprune.errors import CorpusError

Problem = Literal[
    "missing", "unreadable", "empty", "too short", "all zero", "constant", "non-finite", "no text"
]

_ROUNDING_S = 0.05  # manifests round durations; a tenth of a second is the coarsest seen
_VERDICT_NAME = "checked.json"
_SHOWN = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One thing wrong with one utterance; an utterance may have several."""

    utterance_id: str
    problem: Problem
    detail: str


def check_corpus(
    corpus: Corpus,
    *,
    splits: Collection[str] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[Finding]:
    """Read every recording and return all that is wrong, sorted by utterance id.

    Args:
        corpus: the corpus.
        splits: only these; None for all.
        progress: called with the number of utterances done and of all.
    """
    rows = _rows(corpus, splits)
    findings: list[Finding] = []
    # Threads, because decoding leaves the interpreter's lock.
    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
        judged = pool.map(lambda row: _judge(corpus.path, row), rows)
        for done, found in enumerate(judged, start=1):
            findings += found
            if progress is not None:
                progress(done, len(rows))
    return findings


def missing_recordings(corpus: Corpus) -> list[str]:
    """Return the ids of utterances whose recording is not there, sorted; none is opened."""
    audio = corpus.table["audio"].to_pylist()
    gone = {one for one in set(audio) if not (corpus.path / one).is_file()}
    ids = corpus.table["id"].to_pylist()
    return [name for name, one in zip(ids, audio, strict=True) if one in gone]


def require_sound(corpus: Corpus) -> None:
    """Return if every utterance is fit for training; what was found fit is remembered.

    The verdict is kept in the corpus folder under the fingerprint and every recording's size and
    time of change, so that asking again costs a look at each file's entry.

    Raises:
        CorpusError: how many utterances are unfit and the first of them; or all are fit, but the
            recordings are not those the fingerprint was taken of.
    """
    state = _file_state(corpus)
    if _remembered(corpus.path) == state:
        return
    findings = check_corpus(corpus)
    if findings:
        raise CorpusError("corpus", corpus.path, summarise(findings, corpus))
    if content_fingerprint(corpus.path, corpus.table.to_pylist()) != corpus.fingerprint:
        remedy = "its recordings changed since the corpus was made; import or synthesise it again"
        raise CorpusError("corpus", corpus.path, remedy)
    text = json.dumps({"sound": state})
    # A corpus in a folder that can not be written is read every time, which is slow but right.
    with contextlib.suppress(OSError):
        write_beside(corpus.path / _VERDICT_NAME, lambda beside: beside.write_text(text))


def summarise(findings: list[Finding], corpus: Corpus) -> str:
    """Return one line: how many utterances, how many of each problem, the first few, what to do."""
    unfit = len({finding.utterance_id for finding in findings})
    counts = Counter(finding.problem for finding in findings)
    kinds = ", ".join(f"{count} {problem}" for problem, count in sorted(counts.items()))
    first = "; ".join(f"{f.utterance_id} is {_phrase(f)}" for f in findings[:_SHOWN])
    more = "; ..." if len(findings) > _SHOWN else ""
    return (
        f"{unfit} of {corpus.table.num_rows} utterances are unfit for training ({kinds}): "
        f"{first}{more}; `tuneprune corpus check {corpus.path}` lists them all"
    )


def _phrase(finding: Finding) -> str:
    problem = "without text" if finding.problem == "no text" else finding.problem
    return f"{problem} ({finding.detail})" if finding.detail else problem


def _rows(corpus: Corpus, splits: Collection[str] | None) -> list[UtteranceRow]:
    table = corpus.table
    if splits is not None:
        for name in sorted(splits):
            corpus.split(name)  # refuses a name that the corpus does not have
        table = table.filter(pc.is_in(table["split"], value_set=pa.array(sorted(splits))))
    rows: list[UtteranceRow] = table.to_pylist()
    return rows


def _judge(folder: Path, row: UtteranceRow) -> list[Finding]:
    found = _judge_recording(folder / row["audio"], row)
    problems = [found] if found else []
    if not row["text"].strip():
        problems.append(("no text", ""))
    return [
        Finding(utterance_id=row["id"], problem=problem, detail=detail)
        for problem, detail in problems
    ]


def _judge_recording(path: Path, row: UtteranceRow) -> tuple[Problem, str] | None:
    if not path.is_file():
        return "missing", f"no file {os.path.normpath(path)}"
    try:
        samples, rate_hz = read_samples(path, start_s=row["start_s"], duration_s=row["duration_s"])
    except CorpusError as error:
        return "unreadable", f"{os.path.normpath(path)} {error.remedy}"
    if not len(samples):
        return "empty", f"no samples of {os.path.normpath(path)}"
    got_s, stated_s = len(samples) / rate_hz, row["duration_s"]
    if got_s < stated_s - _ROUNDING_S:
        return "too short", f"{got_s:.3f} s of {stated_s:.3f} s"
    return _judge_samples(samples)


def _judge_samples(samples: npt.NDArray[np.float32]) -> tuple[Problem, str] | None:
    low, high = samples.min(), samples.max()  # NaN anywhere makes both NaN
    if not (np.isfinite(low) and np.isfinite(high)):
        count = int(np.count_nonzero(~np.isfinite(samples)))
        return "non-finite", f"{count} of {len(samples)} samples"
    if low == high:
        return ("all zero", "") if low == 0 else ("constant", f"every sample is {low:.6g}")
    return None


def _file_state(corpus: Corpus) -> str:
    """Return a hash of the fingerprint and each recording's path, size and time of change."""
    total = hashlib.sha256(corpus.fingerprint.encode())
    for audio in sorted(set(corpus.table["audio"].to_pylist())):
        try:
            entry = (corpus.path / audio).stat()
            total.update(f"{audio}\0{entry.st_size}\0{entry.st_mtime_ns}\n".encode())
        except OSError:
            total.update(f"{audio}\0missing\n".encode())
    return total.hexdigest()


def _remembered(folder: Path) -> str | None:
    try:
        verdict = json.loads((folder / _VERDICT_NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None  # never checked, or a damaged note: the check itself is the truth
    sound = verdict.get("sound") if isinstance(verdict, dict) else None
    return sound if isinstance(sound, str) else None
