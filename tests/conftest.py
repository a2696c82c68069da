"""What several tests need: real speech where there is some, tones where there is none."""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tuneprune import cli
from tuneprune.testing.tones import make_tone_corpus

LONG = ("ray", "distributed", "training", "sweep", "benchmarks", "analysis", "commands")


@pytest.fixture(scope="session")
def corpora() -> Path:
    """Return the folder of real corpora; tests that need it are skipped without one."""
    default = Path(__file__).resolve().parents[2] / "shared" / "corpora"
    folder = Path(os.environ.get("TUNEPRUNE_CORPORA", default))
    if not (folder / "an4" / "manifest.jsonl").is_file():
        pytest.skip(f"no real speech at {folder}; set TUNEPRUNE_CORPORA to the corpora folder")
    return folder


@pytest.fixture(scope="session")
def tones(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a tone corpus that tests share and do not change."""
    path = tmp_path_factory.mktemp("corpora") / "tones"
    make_tone_corpus(path)
    return path


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Return a function that runs the command line in an empty folder: exit code, out, err."""
    empty = tmp_path / "cwd"
    empty.mkdir()
    monkeypatch.chdir(empty)

    def run_it(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["tuneprune", *map(str, arguments)])
        with pytest.raises(SystemExit) as exit_info:
            cli.main()
        captured = capsys.readouterr()
        code = exit_info.value.code
        return (0 if code is None else int(code)), captured.out, captured.err

    return run_it


@pytest.fixture(autouse=True, scope="session")
def _interruptible() -> None:
    """Let tests send themselves Ctrl-C also where they were started in the background."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the folders whose files take minutes: at the end, one process would wait.

    Tests that start a Ray get the time that it takes beside another one.
    """
    names = {name: place for place, name in enumerate(LONG)}
    items.sort(key=lambda item: names.get(item.path.parent.name, len(LONG)))
    for item in items:
        if item.get_closest_marker("ray") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(300))


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)
