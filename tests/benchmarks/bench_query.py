"""The best trial of a thousand: our tables against ``ResultGrid.get_dataframe``.

Ours are written by the real TableWriter: a row when a trial starts, its evaluations, the scores of
30 groups, a row when it ends (a real trial flushes every evaluation; the query for the best trial
reads none of them). They are asked as they lie while a sweep runs, and compacted, as at its end.
Tune's files are made, not run: ``result.json`` as its logger writes it, with the fields that Tune
adds to every report, and an experiment state of real ``Trial`` objects. Both name the same trial.

In full it needs about 400 MB in the temporary folder.
"""

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from comparing import Bar, Comparison, Row, Size, take_turns, timed
from numpy.typing import NDArray
from recognisers import an4_config

from tuneprune.results.compaction import compact
from tuneprune.results.reader import open_results
from tuneprune.results.writer import TableWriter

_METRIC = "dev_wer"
_RUN_S = 60.0


def compare(*, size: Size) -> list[Row]:
    """Ask over 1,000 trials of 500 evaluations; of 20 if quick."""
    trials, evaluations, repeats = {
        "full": (1_000, 500, 3),
        "quick": (1_000, 20, 5),
        "tiny": (3, 2, 1),
    }[size]
    with tempfile.TemporaryDirectory(prefix="tp-") as folder:
        return _compare_stored(
            Path(folder), trials=trials, evaluations=evaluations, repeats=repeats
        )


def _compare_stored(folder: Path, *, trials: int, evaluations: int, repeats: int) -> list[Row]:
    """Store that many trials both ways, then ask both for the best."""
    rates = _learning_curves(trials, evaluations)
    ours, theirs = folder / "ours", folder / "tune"
    _store_ours(ours, rates)
    _store_tunes(theirs, rates)
    live = folder / "live"
    shutil.copytree(ours, live)
    for _ in compact(ours):
        pass
    opened, grid = open_results(ours), _open_grid(theirs)
    names = opened.best(_METRIC)["trial_id"].to_pylist(), _best_in(grid)
    if names[0] != [names[1]]:
        raise RuntimeError(f"the two sides found different trials: {names}")
    taken = take_turns(
        {
            "while it runs, opened anew": timed(lambda: open_results(live).best(_METRIC)),
            "opened anew": timed(lambda: open_results(ours).best(_METRIC)),
            "opened anew, Tune": timed(lambda: _best_in(_open_grid(theirs))),
            "open": timed(lambda: opened.best(_METRIC)),
            "open, Tune": timed(lambda: _best_in(grid)),
        },
        repeats=repeats,
    )
    bars = [
        ("while it runs, opened anew", "opened anew, Tune", Bar(kind="faster", limit=20)),
        ("opened anew", "opened anew, Tune", Bar(kind="faster", limit=20)),
        ("opened anew", "opened anew, Tune", Bar(kind="value", limit=0.05)),
        ("open", "open, Tune", Bar(kind="value", limit=0.05)),
    ]
    return [
        *(
            Comparison(
                what=f"best of {trials:,} x {evaluations}, {state} / Tune",
                ours=taken[state],
                baseline=taken[theirs_state],
                bar=bar,
            )
            for state, theirs_state, bar in bars
        ),
        _memory(ours, trials),
    ]


def _memory(root: Path, trials: int) -> Row:
    """Return Arrow's most memory in a process that asks for one trial, over that for all."""
    one, whole = (
        subprocess.run(
            [sys.executable, "-c", _ASK, str(root), trial], capture_output=True, check=True
        ).stdout
        for trial in (_name(trials // 2), "")
    )
    return Comparison(
        what="memory of one trial's evaluations / of all",
        ours=[int(one) / int(whole)],
        baseline=[1.0],
        bar=Bar(kind="ratio", limit=None),
        unit="fraction",
    )


_ASK = """
import sys, pyarrow
from tuneprune.results.reader import Results
Results(sys.argv[1]).evaluations(sys.argv[2] or None)
print(pyarrow.default_memory_pool().max_memory())
"""


def _learning_curves(trials: int, evaluations: int) -> NDArray[np.float64]:
    """Return error rates [trial, evaluation] that fall, with noise."""
    rng = np.random.default_rng(0)
    fall = np.exp(-np.linspace(0, 3, evaluations))
    return 0.1 + 0.8 * fall + 0.05 * rng.random((trials, evaluations))


def _name(number: int) -> str:
    return f"t{number:04d}"


def _settings(number: int) -> dict[str, Any]:
    rng = np.random.default_rng(number)
    return {
        "adaptation.delta": float(rng.uniform(0.1, 0.25)),
        "adaptation.at": float(rng.uniform(0.1, 0.3)),
        "adaptation.scorer": ("magnitude", "gradient", "taylor")[int(rng.integers(3))],
    }


def _store_ours(root: Path, rates: NDArray[np.float64]) -> None:
    config = json.dumps(an4_config().model_dump(mode="json"))
    for number, curve in enumerate(rates):
        known = {
            "is_baseline": False,
            "settings": json.dumps(_settings(number), sort_keys=True),
            "method": "grow_drop",
            "config": config,
        }
        with TableWriter(
            root, sweep_id="many", trial_id=_name(number), attempt=0, seed=number
        ) as writer:
            writer.add("trials", step=0, status="running", **known)
            writer.flush()
            for step, rate in enumerate(curve, start=1):
                writer.add(
                    "evaluations", step=step, split="dev", wer=float(rate), cer=float(rate) / 2,
                    loss=float(rate), substitutions=1, deletions=1, insertions=1,
                    num_ref_words=100, eval_s=0.5, epoch=float(step),
                )  # fmt: skip
            for group in range(30):
                writer.add(
                    "group_scores", step=1, event=0, scorer="taylor", group_id=f"layers.0.{group}",
                    origin=f"layers.0.{group}", layer=0, kind="ff1", group_index=group,
                    score=float(group), params=100, fate="kept", applied=True,
                )  # fmt: skip
            writer.flush()
            writer.add(
                "trials", step=len(curve), status="finished", params=10**6,
                prunable_params=10**6, total_steps=len(curve), best_step=int(curve.argmin()) + 1,
                dev_wer=float(curve.min()), dev_cer=0.1, test_wer=0.2, test_cer=0.1,
                train_s=_RUN_S, setup_s=1.0, **known,
            )  # fmt: skip


def _store_tunes(root: Path, rates: NDArray[np.float64]) -> None:
    """Write a Tune experiment as it lies on disk after its end."""
    import tuneprune.distributed  # noqa: F401, I001  sets Ray's environment before Ray reads it
    from ray.train._internal.storage import StorageContext
    from ray.tune.experiment import Trial
    from ray.tune.utils.serialization import TuneFunctionEncoder

    storage = StorageContext(storage_path=str(root.parent), experiment_dir_name=root.name)
    states = []
    for number, curve in enumerate(rates):
        name, settings = _name(number), _settings(number)
        trial = Trial("train", config=settings, trial_id=name, storage=storage, stub=True)
        trial.create_placement_group_factory()
        trial.relative_logdir = trial.storage.trial_dir_name = name
        reports = [_report(name, settings, step, rate) for step, rate in enumerate(curve, start=1)]
        (root / name).mkdir()
        lines = "".join(f"{json.dumps(report)}\n" for report in reports)
        (root / name / "result.json").write_text(lines)
        trial.update_last_result({**reports[-1], "done": True})
        trial.status = Trial.TERMINATED
        states.append(trial.get_json_state())
    whole = {"trial_data": states, "runner_data": {}, "stats": {"start_time": 0.0}}
    text = json.dumps(whole, cls=TuneFunctionEncoder)
    (root / "experiment_state-2026-01-01_00-00-00.json").write_text(text)


def _report(name: str, settings: dict[str, Any], step: int, rate: float) -> dict[str, Any]:
    return {
        "status": "running", "step": step, "total_steps": 500, _METRIC: float(rate),
        "dev_cer": float(rate) / 2, "loss": float(rate), "timestamp": 1_760_000_000 + step,
        "checkpoint_dir_name": None, "done": False, "training_iteration": step, "trial_id": name,
        "date": "2026-01-01_00-00-00", "time_this_iter_s": 0.12, "time_total_s": 0.12 * step,
        "pid": 4321, "hostname": "node", "node_ip": "127.0.0.1", "config": settings,
        "time_since_restore": 0.12 * step, "iterations_since_restore": step,
    }  # fmt: skip


def _open_grid(root: Path) -> Any:
    """Return what ``Tuner.restore(...).get_results()`` returns."""
    from ray.tune import ExperimentAnalysis, ResultGrid

    return ResultGrid(ExperimentAnalysis(root))


def _best_in(grid: Any) -> str:
    rows = grid.get_dataframe(filter_metric=_METRIC, filter_mode="min")
    return str(rows.loc[rows[_METRIC].idxmin(), "trial_id"])
