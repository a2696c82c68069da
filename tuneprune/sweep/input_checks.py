"""Look at what a sweep trains on, from this machine: corpora, labels, and what decodes them."""

from pathlib import Path

from tuneprune.data.checks import missing_recordings
from tuneprune.data.corpus import Corpus, is_corpus, open_corpus
from tuneprune.data.torchaudio_door import load_torchaudio
from tuneprune.errors import CorpusError, ResourceError, TunepruneError
from tuneprune.sweep.disk import CheckpointSizes
from tuneprune.sweep.findings import Finding, ok, problem
from tuneprune.sweep.space import Space, configs_to_prepare
from tuneprune.training.prepare import count_labels


def check_corpora_here(space: Space) -> tuple[list[Finding], dict[Path, str]]:
    """Look at the corpora of a space from here; return also the fingerprints of those there."""
    findings: dict[Path, Finding] = {}
    fingerprints: dict[Path, str] = {}
    for config in configs_to_prepare(space):
        path = config.corpus.path
        if path in findings:
            continue
        if config.corpus.synthesis is not None and not is_corpus(path):
            findings[path] = ok("corpus", f"{path} is made when the sweep begins")
            continue
        try:
            corpus = open_corpus(path)
        except CorpusError as error:
            findings[path] = problem("corpus", error)
            continue
        fingerprints[Path.cwd() / path] = corpus.fingerprint
        findings[path] = _check_recordings(corpus)
    return list(findings.values()), fingerprints


def _check_recordings(corpus: Corpus) -> Finding:
    count, missing = corpus.table.num_rows, missing_recordings(corpus)
    if not missing:
        return ok("corpus", f"{corpus.path}: the recordings of {count:,} utterances are there")
    remedy = (
        f"recordings of {len(missing):,} of {count:,} utterances are not there, such as "
        f"{missing[0]}; `tuneprune corpus check {corpus.path}` lists them all"
    )
    return problem("corpus", CorpusError("corpus.path", corpus.path, remedy))


def check_labels(space: Space) -> tuple[list[Finding], CheckpointSizes | None]:
    """Look whether texts can be spelled, without which no model has a size."""
    for config in configs_to_prepare(space):
        try:
            count_labels(config)
        except TunepruneError as error:
            return [problem("labels", error)], None
    return [], CheckpointSizes(lambda config: count_labels(config)[0])


def check_torchaudio() -> Finding:
    """Look whether torchaudio loads beside this torch."""
    try:
        return ok("torchaudio", f"{load_torchaudio().__version__} loads beside torch")
    except ResourceError as error:
        return problem("torchaudio", error)
