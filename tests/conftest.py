"""What several tests need: real speech where there is some, and one thread a test."""

import os
from pathlib import Path

import pytest
import torch


@pytest.fixture(scope="session")
def corpora() -> Path:
    """Return the folder of real corpora; tests that need it are skipped without one."""
    default = Path(__file__).resolve().parents[2] / "shared" / "corpora"
    folder = Path(os.environ.get("TUNEPRUNE_CORPORA", default))
    if not (folder / "an4" / "manifest.jsonl").is_file():
        pytest.skip(f"no real speech at {folder}; set TUNEPRUNE_CORPORA to the corpora folder")
    return folder


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)
