"""What trials on shared stages save: one study with them and without, in turns.

The study is a grid of twelve trials and their baseline: three scores, two deltas and two times, the
AN4 space's model on AN4 for two epochs (tones, where it is not there). Both sides run on the same
Ray with the same number of trials at once, and their tables must be the same, bit for bit.
"""

import itertools
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from bench_epoch import corpus_of
from comparing import Bar, Comparison, Row, Size, take_turns

from tuneprune.config import RunConfig
from tuneprune.results.reader import open_results
from tuneprune.results.schema import TABLES

if TYPE_CHECKING:
    from tuneprune.sweep.space import Space

_MEASURED = {
    "step_time_s", "eval_s", "event_s", "step_time_before_s", "step_time_after_s", "train_s",
    "setup_s", "time_s", "sweep_id", "attempt", "executed_steps", "shared_from",
    "real_time_factor",
}  # fmt: skip


def compare(*, size: Size) -> list[Row]:
    """Run the study with and without sharing, twice in turn; once if quick."""
    from tuneprune.distributed.cluster import ray_cluster

    with tempfile.TemporaryDirectory(prefix="tp-") as name, ray_cluster():
        folder = Path(name)
        corpus, config = corpus_of(folder, size)
        space = _study(config, epochs=8 if size == "tiny" else 2)
        numbers = itertools.count()
        taken = take_turns(
            {
                "shared": lambda: _sweep(space, folder / f"shared-{next(numbers)}", share=True),
                "alone": lambda: _sweep(space, folder / f"alone-{next(numbers)}", share=False),
            },
            repeats=2 if size == "full" else 1,
            warmups=0,
        )
        folders = [sorted(folder.glob(f"{kind}-*"))[0] for kind in ("shared", "alone")]
        _check_same(*folders)
        executed, asked = _steps(folders[0])
    return [
        Comparison(
            what=f"steps of {space.num_runs} trials, {corpus}, shared / asked for",
            ours=[executed / asked],
            baseline=[1.0],
            bar=Bar(kind="ratio", limit=0.75),
            unit="fraction",
        ),
        Comparison(
            what=f"wall time of {space.num_runs} trials, {corpus}, shared / not",
            ours=taken["shared"],
            baseline=taken["alone"],
            bar=Bar(kind="ratio", limit=None),
        ),
    ]


def _study(config: RunConfig, *, epochs: int) -> "Space":
    from tuneprune.sweep.space import build_space

    settings: dict[str, Any] = config.model_dump(mode="json")
    settings["training"] |= {"epochs": epochs, "evaluate_every": 0.25, "num_threads": 1}
    return build_space(
        {
            "name": "sharing",
            "question": "How many steps need not be trained again?",
            "base": settings,
            "search": {
                "sampler": {"kind": "grid"},
                "set": {"adaptation.method": "grow_drop", "adaptation.score_every_steps": 1},
                "space": {
                    "adaptation.scorer": {"choice": ["magnitude", "gradient", "taylor"]},
                    "adaptation.delta": {"choice": [0.1, 0.2]},
                    "adaptation.at": {"choice": [0.25, 0.5]},
                },
            },
        }
    )


def _sweep(space: "Space", out: Path, *, share: bool) -> float:
    """Return the seconds of a sweep."""
    from tuneprune.sweep.study import run_sweep

    began = time.perf_counter()
    outcome = run_sweep(space, out=out, share_stages=share)
    seconds = time.perf_counter() - began
    if outcome.counts != {"finished": space.num_runs}:
        raise RuntimeError(f"trials ended otherwise: {outcome.counts}")
    return seconds


def _check_same(one: Path, other: Path) -> None:
    for table in TABLES:
        tables: list[pa.Table] = []
        for folder in (one, other):
            rows = open_results(folder).table(table)
            tables.append(rows.drop_columns(sorted(_MEASURED & set(rows.column_names))))
        if tables[0].to_pylist() != tables[1].to_pylist():
            raise RuntimeError(f"{table} of trials on shared stages is another one")


def _steps(out: Path) -> tuple[int, int]:
    """Return the steps that the trials of a sweep have trained, and those they asked for."""
    trials = open_results(out).table("trials")
    return sum(trials["executed_steps"].to_pylist()), sum(trials["total_steps"].to_pylist())
