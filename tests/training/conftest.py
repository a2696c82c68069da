"""A tone corpus for the tests of training."""

from pathlib import Path

import pytest

from tuneprune.testing.tones import make_tone_corpus


@pytest.fixture(scope="session")
def tones(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a tone corpus that tests share and do not change."""
    path = tmp_path_factory.mktemp("corpora") / "tones"
    make_tone_corpus(path)
    return path
