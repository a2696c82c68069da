"""Which utterances of a corpus a run uses: asked by everything that opens the splits of a run."""

from tuneprune.config import CorpusConfig
from tuneprune.data.corpus import Corpus, Split
from tuneprune.errors import CorpusError

FIELD = "corpus.languages"


def used_corpus(corpus: Corpus, config: CorpusConfig) -> Corpus:
    """Return a corpus with the utterances that a run uses alone; all, unless it names languages.

    Its fingerprint is that of the whole corpus, and says nothing of which languages are used.

    Raises:
        CorpusError: it names a language that the corpus does not have, or that has no training
            utterance; or a split is missing, or has none of these languages.
    """
    if config.languages is None:
        return corpus
    for name in config.languages:
        if name not in corpus.languages:
            there = ", ".join(corpus.languages)
            remedy = f"is no language of {corpus.path}, which has: {there}"
            raise CorpusError(FIELD, name, remedy)
    train, *evaluated = (_split(corpus, config, role) for role in ("train", "dev", "test"))
    for name in config.languages:
        if name not in train.languages:
            remedy = f"has no utterance in split '{train.name}'; add some, or leave it out"
            raise CorpusError(FIELD, name, remedy)
    for split in evaluated:
        if not {*config.languages} & {*split.languages}:
            there = ", ".join(sorted({*split.languages}))
            remedy = f"has no utterance in split '{split.name}', which has: {there}"
            raise CorpusError(FIELD, list(config.languages), remedy)
    return corpus.of_languages(config.languages)


def used_splits(corpus: Corpus, config: CorpusConfig) -> tuple[Corpus, dict[str, Split]]:
    """Return ``used_corpus`` and its splits by their role: train, dev and test.

    Raises:
        CorpusError: as of ``used_corpus``; or a split is missing.
    """
    used = used_corpus(corpus, config)
    return used, {role: _split(used, config, role) for role in ("train", "dev", "test")}


def training_split(corpus: Corpus, config: CorpusConfig) -> Split:
    """Return the training utterances of a run; raises as ``used_corpus`` does."""
    return _split(used_corpus(corpus, config), config, "train")


def _split(corpus: Corpus, config: CorpusConfig, role: str) -> Split:
    return corpus.split(getattr(config, f"{role}_split"), field=f"corpus.{role}_split")
