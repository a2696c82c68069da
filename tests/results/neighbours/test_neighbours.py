"""Each tracker's own reader finds in an export what was recorded."""

import json
import struct
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tuneprune.errors import ResultsError
from tuneprune.results.neighbours import export_runs
from tuneprune.results.reader import Results, open_results

Metrics = dict[str, list[tuple[int, float]]]


def test_tensorboard_reads_every_number_setting_and_note(
    sweep: Results, tmp_path: Path, expected: Metrics, whole: dict[str, float]
) -> None:
    pytest.importorskip("tensorboard", reason="not installed: `pip install tensorboard`")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams import plugin_data_pb2

    out = tmp_path / "out"
    assert export_runs(sweep, out, to="tensorboard") == f"tensorboard --logdir {out}"
    assert sorted(path.name for path in (out / "s").iterdir()) == ["baseline", "t1", "t2"]
    read = EventAccumulator(str(out / "s" / "t1"))
    read.Reload()
    found = {tag: [(e.step, e.value) for e in read.Scalars(tag)] for tag in read.Tags()["scalars"]}
    ends = {f"trial/{name}": [(20, value)] for name, value in whole.items()}
    assert found == {**expected, **ends}
    assert {e.wall_time for tag in found for e in read.Scalars(tag)} == {1_000_064.0}
    content = read.PluginTagToContent("hparams")["_hparams_/session_start_info"]
    settings = plugin_data_pb2.HParamsPluginData.FromString(content).session_start_info.hparams
    assert settings["adaptation.delta"].number_value == 0.25
    assert settings["adaptation.scorer"].string_value == "taylor"
    assert settings["baseline"].string_value == "false"
    failed = EventAccumulator(str(out / "s" / "t2"))
    failed.Reload()
    (note,) = failed.Tensors("note")
    assert note.tensor_proto.string_val[0] == b"no memory left"


def test_the_same_rows_give_tensorboard_the_same_bytes(sweep: Results, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="not installed: `pip install tensorboard`")
    for name in ("a", "b"):
        export_runs(sweep, tmp_path / name, to="tensorboard")
    first, second = (
        {path.relative_to(tmp_path / name): path.read_bytes()
         for path in sorted((tmp_path / name).rglob("events.*"))}
        for name in ("a", "b")
    )  # fmt: skip
    assert first == second
    assert len(first) == 3


@pytest.mark.slow
def test_mlflow_reads_every_number_setting_and_tag(
    sweep: Results, tmp_path: Path, expected: Metrics, whole: dict[str, float]
) -> None:
    mlflow = pytest.importorskip("mlflow", reason="not installed: `pip install mlflow`")
    export_runs(sweep, tmp_path / "out", to="mlflow")
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{tmp_path}/out/mlflow.db")
    experiment = client.get_experiment_by_name("s")
    runs = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
    assert {name: run.info.status for name, run in runs.items()} == {
        "baseline": "FINISHED", "t1": "FINISHED", "t2": "FAILED",
    }  # fmt: skip
    run = runs["t1"]
    assert (run.info.start_time, run.info.end_time) == (1_000_000_000, 1_000_064_000)
    assert run.data.params == {
        "adaptation.delta": "0.25", "adaptation.scorer": "taylor", "model.sizes": "[1, 2]",
        "seed": "1",
    }  # fmt: skip
    assert (run.data.tags["baseline"], run.data.tags["status"]) == ("false", "finished")
    assert runs["t2"].data.tags["mlflow.note.content"] == "no memory left"
    found = {
        name: [(m.step, m.value) for m in client.get_metric_history(run.info.run_id, name)]
        for name in run.data.metrics
    }
    assert found == {**expected, **{name: [(20, value)] for name, value in whole.items()}}
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["mlflow.db"]
    assert str(tmp_path).encode() not in (tmp_path / "out" / "mlflow.db").read_bytes()


@pytest.mark.slow
def test_wandb_reads_every_number_setting_and_tag(
    sweep: Results, tmp_path: Path, expected: Metrics, whole: dict[str, float]
) -> None:
    pytest.importorskip("wandb", reason="not installed: `pip install wandb`")
    export_runs(sweep, tmp_path / "out", to="wandb-offline")
    read = {path.stem: read_wandb(path) for path in (tmp_path / "out").rglob("*.wandb")}
    assert sorted(read) == ["run-s-baseline", "run-s-t1", "run-s-t2"]
    run, history, summary, exit_code = read["run-s-t1"]
    assert (run["project"], run["name"], exit_code) == ("s", "t1", 0)
    assert run["config"] == {
        "adaptation.delta": 0.25, "adaptation.scorer": "taylor", "model.sizes": "[1, 2]", "seed": 1,
    }  # fmt: skip
    assert run["tags"] == ["baseline: false", "method: grow_drop", "status: finished"]
    assert history == expected
    assert {name: summary[name] for name in whole} == whole
    assert (summary["started_s"], summary["ended_s"]) == (1_000_000.0, 1_000_064.0)
    assert (read["run-s-t2"][0]["notes"], read["run-s-t2"][3]) == ("no memory left", 1)


def read_wandb(path: Path) -> tuple[dict[str, Any], Metrics, dict[str, float], int]:
    """Return what W&B's own messages in a file say: run, history, summary and exit code."""
    from wandb.proto.wandb_internal_pb2 import Record

    told: dict[str, Any] = {}
    history: Metrics = defaultdict(list)
    summary: dict[str, float] = {}
    exit_code = -1
    for record in map(Record.FromString, wandb_records(path)):
        if record.HasField("run"):
            run = record.run
            config = {one.key: json.loads(one.value_json) for one in run.config.update}
            config.pop("_wandb")
            told = {"project": run.project, "name": run.display_name, "notes": run.notes}
            told |= {"tags": sorted(run.tags), "config": config}
        elif record.HasField("history"):
            for item in record.history.item:
                (name,) = item.nested_key
                if not name.startswith("_"):
                    history[name].append((record.history.step.num, json.loads(item.value_json)))
        elif record.HasField("summary"):
            updates = record.summary.update
            summary |= {one.key or one.nested_key[0]: json.loads(one.value_json) for one in updates}
        elif record.HasField("exit"):
            exit_code = record.exit.exit_code
    return told, dict(history), summary, exit_code


def wandb_records(path: Path) -> Iterator[bytes]:
    """Yield the messages of a .wandb file, a log as LevelDB writes them behind a header."""
    content = path.read_bytes()
    assert content[:4] == b":W&B"
    at, message = 7, b""
    while at < len(content):
        left = 32_768 - at % 32_768
        if left < 7:  # no room for a header in this block
            at += left
            continue
        length, kind = struct.unpack("<HB", content[at + 4 : at + 7])
        message += content[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in {1, 4}:  # a whole one, or the last part of one
            yield message
            message = b""


def test_a_library_that_is_not_there_is_named_with_how_to_get_it(
    sweep: Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(ResultsError, match=r"to = 'wandb-offline': .*`pip install wandb`"):
        export_runs(sweep, tmp_path / "out", to="wandb-offline")
    assert [path.name for path in tmp_path.iterdir()] == ["sweep"]


def test_what_can_not_be_exported_is_refused_and_nothing_is_left(
    sweep: Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)
    with pytest.raises(ResultsError, match="to = 'aim': must be one of mlflow, tensorboard"):
        export_runs(sweep, tmp_path / "out", to="aim")  # type: ignore[arg-type]
    with pytest.raises(ResultsError, match="must be a local folder for mlflow"):
        export_runs(sweep, "s3://bucket/out", to="mlflow")
    with pytest.raises(ResultsError, match="holds something already"):
        export_runs(sweep, tmp_path / "sweep", to="tensorboard")
    (tmp_path / "two").mkdir()
    for name in ("a", "b"):
        (tmp_path / "two" / name).symlink_to(tmp_path / "sweep")
    with pytest.raises(ResultsError, match="must be the folder of one sweep; it holds a, b"):
        export_runs(open_results(tmp_path / "two"), tmp_path / "out", to="tensorboard")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["sweep", "two"]
