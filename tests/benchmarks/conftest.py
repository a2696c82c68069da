"""Benchmarks import each other as they do when run.py is the script, and leave nothing behind."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def _beside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parent)


@pytest.fixture(autouse=True)
def _without_lazy_modules() -> Iterator[None]:
    """Forget SpeechBrain's lazy modules, which fail in whoever looks through all modules."""
    yield
    for name, module in list(sys.modules.items()):
        if any(kind.__name__ == "LazyModule" for kind in type(module).__mro__):
            del sys.modules[name]
