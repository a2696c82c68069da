"""A small sweep whose texts hold markup, its report, and a browser to look at it."""

import importlib.util
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tuneprune.results.reader import Results, open_results
from tuneprune.results.report import write_report

MARKUP = '<script>alert("1")</script> & <b>'
COMMAND = "tuneprune sweep spaces/my.yaml --set optim.peak_lr=1.0e-3 --out r"


def sweep_json(**changes: Any) -> str:
    base = {"corpus": {"dev_split": "dev", "test_split": "test"}, "adaptation": {"method": "none"}}
    searched = {"adaptation.delta": {}, "adaptation.scorer": {}}
    sweep = {
        "version": 2,
        "question": f"Does {MARKUP} help?",
        "trials": 5,
        "command": COMMAND,
        "packages": {"python": "3.11.7", "torch": "2.14.1"},
        "started_s": 1_700_000_000.0,
        "finished_s": 1_700_003_600.0,
        "space": {"base": base, "search": {"objectives": ["dev_wer"], "space": searched}},
    }
    return json.dumps({**sweep, **changes})


@pytest.fixture
def sweep(tmp_path: Path, trial_writer: Callable[..., None]) -> Results:
    """Return a baseline, three trials and one that failed; t2 is the best on dev."""

    def heard(errors: int) -> tuple[tuple[str, str, int, int], ...]:
        return tuple((f"u{n:02d}", f"s{n % 6}", 10, errors) for n in range(24))

    common = {"total_steps": 30, "seed": 1, "train_s": 3725.0, "time_s": 1_700_000_100.0}
    trial_writer(
        "baseline", folder="s", dev_wer=0.45, test_wer=0.2, params=1000,
        executed_steps=30, utterances=heard(2), **common,
    )  # fmt: skip
    for name, dev_wer, delta, scorer, errors in (
        ("t1", 0.5, 0.1, "taylor", 2),
        ("t2", 0.4, 0.2, "taylor", 3),
        ("t3", 0.6, 0.3, MARKUP, 2),
    ):
        settings = {"adaptation.delta": delta, "adaptation.scorer": scorer}
        trial_writer(
            name, folder="s", dev_wer=dev_wer, test_wer=errors / 10, settings=settings,
            event_step=15, params=900, utterances=heard(errors), executed_steps=15,
            shared_from="baseline", config={"adaptation": {"method": "grow_drop", "delta": delta}},
            **common,
        )  # fmt: skip
    trial_writer(
        "t4", folder="s", status="failed", dev_wer=None, reason=f"no room {MARKUP}\x1b[31m",
        traceback=f"Traceback\n  {MARKUP}\n", settings={"adaptation.delta": 0.4}, wers=(), **common,
    )  # fmt: skip
    (tmp_path / "s" / "sweep.json").write_text(sweep_json(), encoding="utf-8")
    return open_results(tmp_path / "s")


_made: list[bytes] = []


@pytest.fixture
def report(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Return the report of ``sweep``, drawn once: pictures take a second."""
    out = tmp_path / "report.html"
    if not _made:
        write_report(request.getfixturevalue("sweep"), out)
        _made.append(out.read_bytes())
    out.write_bytes(_made[0])
    return out


def load_browser() -> Any:
    path = Path(__file__).parent / "browser.py"
    spec = importlib.util.spec_from_file_location("report_browser", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Return a headless Chromium."""
    found = load_browser()
    if found.find_browser() is None:
        pytest.skip(f"none of {', '.join(found.BROWSERS)} is installed")
    with found.browsing(tmp_path_factory.mktemp("profile")) as started:
        yield started


@pytest.fixture
def page(browser: Any) -> Any:
    """Return a new page of it."""
    browser.renew()
    return browser
