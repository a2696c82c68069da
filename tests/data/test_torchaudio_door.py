"""What a user reads when torchaudio is missing or of another build than torch."""

import importlib

import pytest
import torch

from tuneprune.data.torchaudio_door import load_torchaudio
from tuneprune.errors import ResourceError


def failing_with(error):
    def fail(name):
        raise error

    return fail


def test_the_door_gives_the_library():
    assert load_torchaudio().__name__ == "torchaudio"


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ModuleNotFoundError("torchaudio"), "torchaudio = None: is not installed; run `pip"),
        (OSError("libc10_cuda.so: cannot open\nmore"), "libc10_cuda.so: cannot open': can not be"),
        (ImportError("undefined symbol"), "undefined symbol': can not be loaded beside torch"),
    ],
)
def test_each_way_to_fail_becomes_one_line_with_a_command(monkeypatch, error, message):
    monkeypatch.setattr(importlib, "import_module", failing_with(error))
    with pytest.raises(ResourceError) as caught:
        load_torchaudio()
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_cpu_torch_is_told_the_index_of_cpu_wheels(monkeypatch):
    monkeypatch.setattr(torch, "__version__", "2.13.0+cpu")
    monkeypatch.setattr(importlib, "import_module", failing_with(OSError("libc10_cuda.so")))
    with pytest.raises(ResourceError, match=r"--index-url https://download\.pytorch\.org/whl/cpu"):
        load_torchaudio()
