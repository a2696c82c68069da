"""Nothing acknowledged is lost or doubled while writers die, readers read and one compacts."""

import importlib.util
import os
from pathlib import Path

import pytest

_SCRIPT = Path(__file__).parent / "chaos.py"


@pytest.mark.slow
def test_no_acknowledged_row_is_lost_or_doubled_and_no_reader_fails(tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("chaos", _SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    chaos = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(chaos)
    counts = chaos.run(tmp_path, float(os.environ.get("TUNEPRUNE_CHAOS_S", "8")))
    print(dict(counts))
    assert counts["acknowledged"] > 0
    assert counts["found"] >= counts["acknowledged"]
    assert counts["reads"] > 0
    assert (counts["lost"], counts["doubled"], counts["processes that failed"]) == (0, 0, 0)
