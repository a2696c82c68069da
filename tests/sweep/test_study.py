"""What a sweep does around its trials; Ray and the trials themselves are in tests/ray."""

import contextlib
import errno
import signal

import pytest

from tuneprune.distributed.cluster import NodeResources
from tuneprune.errors import FullDiskError, Interrupted, ResourceError, ResultsError
from tuneprune.sweep import folder, study
from tuneprune.sweep.folder import begin_sweep, contents_of, end_sweep, read_sweep_file
from tuneprune.sweep.live import LiveTable, quiet_table
from tuneprune.sweep.lock import sole_use
from tuneprune.sweep.resources import TrialResources
from tuneprune.sweep.space import build_space
from tuneprune.sweep.study import run_sweep
from tuneprune.sweep.task import SweepTask

RESOURCES = TrialResources(cpus_per_worker=1, workers=1, use_gpu=False, concurrent=2)


@pytest.fixture
def space(settings):
    return build_space(settings)


@pytest.fixture(autouse=True)
def trials(monkeypatch):
    """Stand in for Ray and for all trials; return the tasks that were to be run."""
    ran = []

    def run_trials(task: SweepTask, resources, view, sharers, *, retry_failed):
        ran.append(task)
        (task.out / "mine").write_text("")

    monkeypatch.setattr(study, "ray_cluster", contextlib.nullcontext)
    monkeypatch.setattr(study, "cluster_nodes", lambda: [NodeResources(cpus=2, gpus=0)])
    monkeypatch.setattr(study, "refuse_unfit_cluster", lambda space, **known: None)
    monkeypatch.setattr(study, "run_trials", run_trials)
    monkeypatch.setattr(study, "read_outcome", lambda *known, **options: (known, options))
    return ran


def nothing(config):
    return None


def test_only_restart_moves_what_is_there(tmp_path, space):
    out = tmp_path / "a"
    begin_sweep(out, contents_of(space))
    run_sweep(space, out=out, prepare=nothing, restart=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "a.1"]
    assert read_sweep_file(out).finished_s is not None
    assert read_sweep_file(tmp_path / "a.1").finished_s is None


def test_a_folder_that_another_process_takes_meanwhile_stays_its(tmp_path, space, trials):
    out = tmp_path / "a"

    def slow(config):
        if not out.exists():
            begin_sweep(out, contents_of(space))

    with pytest.raises(ResultsError, match="was begun by another process meanwhile"):
        run_sweep(space, out=out, prepare=slow)
    assert trials == []
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_what_would_end_a_sweep_badly_stops_it_before_anything_is_written(
    tmp_path, space, trials, monkeypatch
):
    def refuse(space, *, out, prepared, begun):
        assert (list(prepared.values()), begun) == ([None], False)
        raise ResourceError("torch", ["2.0", "2.1"], "versions differ between nodes")

    monkeypatch.setattr(study, "refuse_unfit_cluster", refuse)
    with pytest.raises(ResourceError, match="versions differ"):
        run_sweep(space, out=tmp_path / "a", prepare=nothing)
    assert (trials, list(tmp_path.iterdir())) == ([], [])


def test_a_cluster_is_looked_at_before_anything_is_prepared_for_it(tmp_path, space, monkeypatch):
    order = []

    def look(space, *, out, prepared, begun):
        order.append("looked" if prepared else "looked at machines")

    monkeypatch.setattr(study, "this_machine", lambda: None)
    monkeypatch.setattr(study, "refuse_unfit_cluster", look)
    run_sweep(space, out=tmp_path, prepare=lambda config: order.append("prepared"))
    assert order == ["looked at machines", "prepared", "looked"]


def test_a_sweep_that_was_cut_off_is_gone_on_with(tmp_path, space, trials):
    begun = begin_sweep(tmp_path, contents_of(space))
    run_sweep(space, out=tmp_path, prepare=nothing)
    assert [task.sweep_id for task in trials] == [begun.sweep_id]
    assert read_sweep_file(tmp_path).finished_s is not None


def test_a_sweep_that_another_process_runs_is_left_to_it(tmp_path, space, trials):
    begin_sweep(tmp_path, contents_of(space))
    with sole_use(tmp_path), pytest.raises(ResultsError, match="is in use"):
        run_sweep(space, out=tmp_path, prepare=nothing)
    assert trials == []


def test_resume_begins_nothing_and_goes_not_with_restart(tmp_path, space, trials, refusal):
    text = refusal(run_sweep, space, out=tmp_path / "a", resume=True, prepare=nothing)
    assert "holds no sweep to go on with" in text
    for option in ("resume", "retry_failed"):
        text = refusal(run_sweep, space, out=tmp_path / "a", restart=True, **{option: True})
        assert "give one of the two" in text
    assert (trials, list(tmp_path.iterdir())) == ([], [])


def test_a_finished_sweep_is_read_and_said_to_be_only_read(tmp_path, space, trials):
    begun = begin_sweep(tmp_path, contents_of(space))
    ended = end_sweep(tmp_path, begun.sweep_id)
    known, options = run_sweep(space, out=tmp_path)
    assert known == (tmp_path, ended, space)
    assert options == {"reread": True}
    assert trials == []


@pytest.mark.parametrize(
    ("table", "shown"), [(LiveTable, True), (quiet_table, False), (None, False)]
)
def test_preparation_shows_a_bar_where_the_table_is_shown(
    tmp_path, space, monkeypatch, table, shown
):
    seen = []
    monkeypatch.setattr(
        study.training, "prepare", lambda config, *, progress: seen.append(progress)
    )
    run_sweep(space, out=tmp_path / "a", live=table(space) if table else None)
    assert seen == [shown]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_before_the_trials_leaves_nothing(tmp_path, space, number):
    with pytest.raises(Interrupted, match="the same command"):
        run_sweep(space, out=tmp_path / "a", prepare=lambda config: signal.raise_signal(number))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("moment", ["in the trials", "at the end"])
def test_a_full_disk_ends_a_sweep_in_one_line_and_it_has_not_finished(
    tmp_path, space, monkeypatch, moment
):
    def full(*arguments, **options):
        raise OSError(errno.EDQUOT, "Disk quota exceeded", str(tmp_path / "a" / "file"))

    place = (study, "run_trials") if moment == "in the trials" else (folder, "replace_json")
    monkeypatch.setattr(*place, full)
    out = tmp_path / "a"
    with pytest.raises(FullDiskError, match=rf"^out = {out}: its disk is full \(.* with --resume"):
        run_sweep(space, out=out, prepare=nothing)
    assert read_sweep_file(out).finished_s is None
    assert [path.name for path in out.glob("*.tmp")] == []
