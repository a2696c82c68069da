"""What is made of how Ray Tune ends; Tune itself and the trials are in tests/ray."""

import errno

import pytest
from ray import tune

from tuneprune.errors import FullDiskError, Interrupted
from tuneprune.sweep import tuning
from tuneprune.sweep.live import quiet_table
from tuneprune.sweep.resources import TrialResources
from tuneprune.sweep.sharers import Sharers
from tuneprune.sweep.space import build_space
from tuneprune.sweep.task import SweepTask

RESOURCES = TrialResources(cpus_per_worker=1, workers=1, use_gpu=False, concurrent=2)


@pytest.fixture
def space(settings):
    return build_space(settings)


def test_whatever_tune_raises_of_a_full_disk_stops_what_runs(tmp_path, space, monkeypatch):
    stopped = []

    class Tuner:
        def __init__(self, *arguments, **options):
            pass

        def fit(self):
            cause = OSError(errno.EDQUOT, "Disk quota exceeded", str(tmp_path / "file"))
            raise EOFError from cause

    class Watch(tune.Callback):
        is_full = False

        def stop_running(self, reason):
            stopped.append(reason)

    monkeypatch.setattr(tuning.tune, "Tuner", Tuner)
    task = SweepTask(
        space=space, sweep_id="s", out=tmp_path, folder=tmp_path, train=None, use_gpu=False
    )
    with pytest.raises(FullDiskError):
        tuning._fit(task, RESOURCES, None, Watch())
    assert stopped == ["the disk was full"]


def test_what_could_not_be_recorded_is_printed_at_the_end(tmp_path, space, monkeypatch, capsys):
    def fit(task, resources, queue, watch):
        watch.unrecorded.append("t01 failed: why; not recorded: OSError")
        raise KeyboardInterrupt

    monkeypatch.setattr(tuning, "_fit", fit)
    task = SweepTask(
        space=space, sweep_id="s", out=tmp_path, folder=tmp_path, train=None, use_gpu=False
    )
    with pytest.raises(Interrupted, match=r"what there is: .*results show"):
        tuning.run_trials(task, RESOURCES, quiet_table(space), Sharers(space, {}, RESOURCES))
    assert capsys.readouterr().err == "t01 failed: why; not recorded: OSError\n"
