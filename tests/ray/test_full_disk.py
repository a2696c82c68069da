"""A sweep that finds its disk full ends in one line, and goes on to the tables it was to have."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tuneprune.distributed.cluster import ray_cluster
from tuneprune.distributed.ray_train import Train
from tuneprune.errors import FullDiskError
from tuneprune.results.reader import open_results
from tuneprune.results.schema import TABLES
from tuneprune.sweep.space import build_space
from tuneprune.sweep.study import run_sweep
from tuneprune.testing.tones import tone_config

pytestmark = [pytest.mark.ray, pytest.mark.slow]

MEASURED = {
    "step_time_s", "eval_s", "event_s", "step_time_before_s", "step_time_after_s", "train_s",
    "setup_s", "time_s", "real_time_factor", "sweep_id", "attempt", "executed_steps", "shared_from",
}  # fmt: skip
ROOM = "30m"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Return a folder with a small disk of its own."""
    path = tmp_path / "disk"
    path.mkdir()
    try:
        command = ["mount", "-t", "tmpfs", "-o", f"size={ROOM}", "tmpfs", str(path)]
        done = subprocess.run(command, capture_output=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no mount here")
    if done.returncode:
        pytest.skip(f"no small disk can be mounted: {done.stderr.decode().strip()}")
    yield path
    subprocess.run(["umount", "-l", str(path)], check=True)


def filling(folder: Path) -> Train:
    """Return a training that fills the disk of a folder at every evaluation of a trial.

    ``folder/fill`` is made as large as there is room, until there is ``folder/room``.
    """

    def train(config, context, *, writer, checkpoint_dir, progress=False, steering=None):  # type: ignore[no-untyped-def]
        from typing import Any

        from tuneprune.training import run

        class Filling:
            def __getattr__(self, name: str) -> Any:
                return getattr(context, name)

            def report(self, metrics: dict[str, float], checkpoint: Any) -> None:
                if checkpoint_dir.name != "t00" and not (folder / "room").exists():
                    self.fill()
                context.report(metrics, checkpoint)

            def fill(self) -> None:
                try:
                    with (folder / "fill").open("ab", buffering=0) as file:
                        while True:
                            file.write(bytes(4096))
                except OSError:  # it is full
                    pass

        return run.train(
            config, Filling(), writer=writer, checkpoint_dir=checkpoint_dir, steering=steering
        )

    return train


def rows(out: Path, table: str) -> list[dict[str, Any]]:
    found = open_results(out).table(table)
    return found.drop_columns(sorted(MEASURED & set(found.column_names))).to_pylist()


def test_a_sweep_on_a_full_disk_goes_on_once_there_is_room(
    tones: Path, disk: Path, tmp_path: Path
) -> None:
    space = build_space(
        {
            "name": "full",
            "question": "Is anything lost?",
            "base": tone_config(tones, "model.dropout=0.1").model_dump(mode="json"),
            "search": {
                "trials": 2,
                "sampler": {"kind": "tpe", "seed": 1, "startup_trials": 1},
                "set": {"adaptation.method": "grow_drop", "adaptation.at_steps": [12],
                        "adaptation.score_every_steps": 1, "adaptation.scorer": "taylor"},
                "space": {"adaptation.delta": {"uniform": [0.1, 0.4]}},
            },
        }
    )  # fmt: skip
    out, full = disk / "out", disk / "fill"
    with ray_cluster():
        expected = run_sweep(space, out=tmp_path / "expected", max_concurrent=1)
        assert expected.counts == {"finished": 3}
        with pytest.raises(FullDiskError, match=rf"^out = {out}: its disk is full") as caught:
            run_sweep(space, out=out, max_concurrent=1, trainable=filling(disk))
        assert "\n" not in str(caught.value)
        assert full.stat().st_size > 10_000_000
        assert "failed" not in open_results(out).table("trials")["status"].to_pylist()
        full.unlink()
        (disk / "room").touch()
        run_sweep(space, out=out, max_concurrent=1, resume=True, trainable=filling(disk))
    for table in TABLES:
        assert rows(out, table) == rows(tmp_path / "expected", table), table
    left = [path for path in out.rglob(".*") if path.is_file() and path.parent.name != "tune"]
    assert [path.name for path in left] == [".lock"]
