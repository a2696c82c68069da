"""Which constraints finished trials do not keep, written where everybody reads it: the tables.

A trial can not say so itself: its baseline may be training still. What is known is read off the
tables, so it does not matter which process of a sweep finds it out.
"""

import json
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tuneprune.errors import ResultsError
from tuneprune.results.reader import Results, open_results
from tuneprune.results.writer import TableWriter
from tuneprune.sweep.constraints import METRIC_NAMES, violated
from tuneprune.sweep.space import Space, baseline_key

_ENDED = ("finished", "diverged", "failed")
_KEYS = ("sweep_id", "trial_id", "attempt", "seed")
_JUDGED_BY = (
    *("trial_id", "seed", "status", "is_baseline", "settings", "replicate_of", "violated"),
    *METRIC_NAMES,
)


class Violations:
    """Fills the column ``violated`` of a sweep's trials.

    Args:
        space: of the sweep.
        out: its folder.
    """

    def __init__(self, space: Space, out: Path) -> None:
        self._space = space
        self._limits = space.search.limits
        self._out = out
        self._results: Results | None = None

    def record(self) -> None:
        """Judge every finished trial whose baseline has ended; write what the tables lack.

        Raises:
            ResultsError: the tables can not be read or written.
        """
        if not self._limits:
            return
        try:
            self._results = self._results or open_results(self._out)
        except ResultsError:  # nothing has been recorded yet
            return
        rows = self._results.table("trials").select(_JUDGED_BY).to_pylist()
        baselines = {
            self._key(row): row if row["status"] == "finished" else {}
            for row in rows
            if row["is_baseline"] and row["status"] in _ENDED
        }
        for row in rows:
            baseline = baselines.get(self._key(row))
            if row["status"] != "finished" or baseline is None:
                continue
            found = violated(self._limits, row, baseline)
            if found != row["violated"]:
                self._write(row["trial_id"], found)

    def _key(self, row: Mapping[str, Any]) -> str:
        seed = row["seed"] if row["replicate_of"] is not None else None
        return baseline_key(self._space, json.loads(row["settings"]), seed)

    def _write(self, trial_id: str, found: str | None) -> None:
        assert self._results is not None, "it was read from there"
        rows = self._results.table("trials").to_pylist()
        row = next(row for row in rows if row["trial_id"] == trial_id)
        keys = {name: row.pop(name) for name in _KEYS}
        # Later than the trial's own row, also where its machine's clock is ahead.
        row["time_s"] = max(time.time(), math.nextafter(row["time_s"], math.inf))
        with TableWriter(self._out, **keys) as writer:
            writer.add("trials", **{**row, "violated": found})
