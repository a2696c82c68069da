"""The door to MLflow: a store in one SQLite file, filled by its tracking client."""

import logging
import os
import shlex
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Any

from tuneprune.errors import ResultsError
from tuneprune.results.neighbours.runs import Run

_STORE = "mlflow.db"
_NO_ARTIFACTS = "mlflow-artifacts:/"  # else it would note a folder of this machine
_MOST_A_CALL = 1000  # metrics that a call of MLflow takes

_STATUSES = {
    "finished": "FINISHED",
    "running": "RUNNING",
    "stopped": "KILLED",
    "diverged": "FAILED",
    "failed": "FAILED",
}


def show_mlflow(out: Path) -> str:
    """Return the command that shows what was written."""
    return f"mlflow server --backend-store-uri {shlex.quote(f'sqlite:///{out / _STORE}')}"


def write_mlflow(runs: Iterable[Run], folder: Path) -> None:
    """Write ``mlflow.db`` into a folder.

    A trial's own numbers (``dev_wer``, ...) are metrics at its last step. All metrics of a trial
    have the time at which it ended.

    Raises:
        ResultsError: MLflow refuses a name or a value.
    """
    # Set before it is loaded: it would tell its makers of its use.
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    for talker in ("alembic", "mlflow.store.db.utils"):  # they tell of every table that is made
        logging.getLogger(talker).setLevel(logging.WARNING)
    client = MlflowClient(tracking_uri=f"sqlite:///{folder.absolute() / _STORE}")
    experiments: dict[str, str] = {}
    try:
        for run in runs:
            if run.experiment not in experiments:
                experiments[run.experiment] = client.create_experiment(
                    run.experiment, artifact_location=_NO_ARTIFACTS
                )
            _write_run(client, experiments[run.experiment], run)
    except MlflowException as error:
        raise ResultsError("to", "mlflow", f"it refuses what it is given: {error}") from None


def _write_run(client: Any, experiment: str, run: Run) -> None:
    from mlflow.entities import Metric, Param

    ended_ms = round(1000 * run.ended_s)
    made = client.create_run(
        experiment, start_time=round(1000 * run.started_s), tags=_tags(run), run_name=run.name
    )
    name = made.info.run_id
    client.log_batch(name, params=[Param(key, str(value)) for key, value in run.params.items()])
    metrics = (
        Metric(key, value, ended_ms, step)
        for step, values in (*run.metrics, (run.step, run.summary))
        for key, value in values.items()
    )
    while batch := list(islice(metrics, _MOST_A_CALL)):
        client.log_batch(name, metrics=batch)
    if run.status != "running":
        client.set_terminated(name, _STATUSES[run.status], end_time=ended_ms)


def _tags(run: Run) -> dict[str, str]:
    note = {"mlflow.note.content": run.note} if run.note else {}
    return {**run.tags, **note}
