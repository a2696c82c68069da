"""Stages: whole or not there, never another history's, never damaged, never over the budget."""

import errno
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from tuneprune.config import build_config, with_overrides
from tuneprune.errors import ResultsError
from tuneprune.results.reader import open_results
from tuneprune.results.trial_rows import copy_rows, rows_before, rows_of_trial
from tuneprune.results.writer import TableWriter
from tuneprune.sweep.history import History, trunk_of
from tuneprune.sweep.stages import StageStore

TRUNK = History(trunk="t" * 16)
EVENT = "adaptation={method: grow_drop, at: 0.2, delta: 0.1, scorer: taylor}"


def save(path: Path) -> None:
    path.mkdir()
    (path / "model.safetensors").write_bytes(b"weights")


def publish(store: StageStore, history: History = TRUNK, step: int = 10, **given: object) -> Path:
    chosen = {"best": None, "rows": {}, "notes": {"by": "t00"}, **given}
    return store.publish(history, step, save, **chosen).path  # type: ignore[arg-type]


def config(*overrides: str):
    return build_config(with_overrides({"corpus": {"path": "x"}}, overrides))


def trunk(*overrides: str, corpus: str = "c", device: str = "cpu") -> str:
    return trunk_of(config(*overrides), corpus_fingerprint=corpus, device=device).key


def test_a_trunk_is_all_that_determines_training_and_nothing_of_events() -> None:
    assert trunk() == trunk(EVENT) == trunk(EVENT, "adaptation.scorer=magnitude")
    assert trunk() == trunk(EVENT, "adaptation.scorer=a:A", "adaptation.watch=[a:B]")
    orders = ("{x: 1, y: 2}", "{y: 2, x: 1}")
    one, other = (trunk(f"adaptation={{method: 'a:A', settings: {order}}}") for order in orders)
    assert one == other
    different = [
        trunk(),
        trunk("seed=2"),
        trunk("training.workers=2"),
        trunk("training.num_threads=2"),
        trunk("training.epochs=31"),
        trunk("optim.peak_lr=0.001"),
        trunk("model.dropout=0.2"),
        trunk(corpus="d"),
        trunk(device="cuda"),
        trunk(EVENT, "adaptation.scorer=learnable"),
        trunk(EVENT, "adaptation.scorer=learnable", "adaptation.gate_lr_scale=2"),
        trunk("adaptation={method: 'a:A'}"),
        trunk("adaptation={method: 'a:B'}"),
        trunk("adaptation={method: 'a:B', settings: {at: 0.1}}"),
        trunk("adaptation={method: 'a:B', settings: {at: 0.2}}"),
    ]
    assert len(set(different)) == len(different)


def test_a_history_is_its_outcomes_in_their_order() -> None:
    one, other = TRUNK.after("a").after("b"), TRUNK.after("b").after("a")
    assert len({TRUNK.key, TRUNK.after("a").key, one.key, other.key}) == 4
    assert History.from_json(json.loads(json.dumps(one.to_json()))) == one


def test_stages_of_a_history_are_found_the_deepest_first(tmp_path: Path) -> None:
    store = StageStore(tmp_path / "stages")
    assert store.find(TRUNK) == []
    for step in (10, 30, 20):
        publish(store, step=step)
    publish(store, TRUNK.after("a"), step=40)
    assert [stage.step for stage in store.find(TRUNK)] == [30, 20, 10]
    assert [stage.step for stage in store.find(TRUNK.after("a"))] == [40]
    assert store.notes(store.find(TRUNK)[0]) == {"by": "t00"}


def test_what_is_published_is_what_is_opened(tmp_path: Path) -> None:
    store, best = StageStore(tmp_path / "stages"), tmp_path / "best-00000005"
    save(best)
    with TableWriter(tmp_path, sweep_id="s", trial_id="t00", attempt=0, seed=1) as writer:
        writer.add("allocations", step=0, layer=0, kind="ff1", groups=4, params=100)
    rows = rows_of_trial(tmp_path, "t00")
    publish(store, best=best, rows=rows)
    (stage,) = store.find(TRUNK)
    opened = store.open(stage)
    assert opened is not None
    assert (opened.checkpoint / "model.safetensors").read_bytes() == b"weights"
    assert opened.best is not None
    assert opened.best.name == best.name
    assert (opened.best / "model.safetensors").samefile(best / "model.safetensors")
    assert opened.rows() == rows


def test_a_stage_is_published_once(tmp_path: Path) -> None:
    store = StageStore(tmp_path / "stages")
    publish(store)
    publish(store, notes={"by": "t01"})
    (stage,) = store.find(TRUNK)
    assert store.notes(stage) == {"by": "t00"}
    assert len(list((tmp_path / "stages").iterdir())) == 1


@pytest.mark.parametrize("harm", ["changed", "cut", "gone", "unreadable", "of another version"])
def test_a_damaged_stage_is_removed_and_can_be_published_again(tmp_path: Path, harm: str) -> None:
    store = StageStore(tmp_path / "stages")
    path = publish(store)
    (stage,) = store.find(TRUNK)
    match harm:
        case "changed":
            (path / "checkpoint" / "model.safetensors").write_bytes(b"weightz")
        case "cut":
            (path / "checkpoint" / "model.safetensors").unlink()
        case "gone":
            shutil.rmtree(path)
        case "unreadable":
            (path / "stage.json").write_text("{")
        case _:
            (path / "stage.json").write_text(json.dumps({"version": 0}))
    assert store.open(stage) is None
    assert store.find(TRUNK) == []
    publish(store)
    assert store.open(stage) == stage


def test_a_publishing_that_is_cut_leaves_nothing_to_be_found(tmp_path: Path) -> None:
    store = StageStore(tmp_path / "stages")

    def cut(path: Path) -> None:
        save(path)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.publish(TRUNK, 10, cut, best=None, rows={}, notes={})
    assert store.find(TRUNK) == []
    assert list((tmp_path / "stages").iterdir()) == []


def test_a_folder_that_can_not_be_written_is_one_line(tmp_path: Path) -> None:
    def broken(path: Path) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with pytest.raises(ResultsError, match=r"stages .*can not be written \(Input/output"):
        StageStore(tmp_path).publish(TRUNK, 10, broken, best=None, rows={}, notes={})


def full_until(room: Callable[[], bool]) -> Callable[[Path], None]:
    """Return what writes a checkpoint by halves where there is no room for it."""

    def save_some(path: Path) -> None:
        save(path)
        if not room():
            raise OSError(errno.ENOSPC, "No space left on device")

    return save_some


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_on_a_full_disk_without_stages_one_is_not_published(tmp_path: Path, code: int) -> None:
    def full(path: Path) -> None:
        save(path)
        raise OSError(code, os.strerror(code))

    store = StageStore(tmp_path)
    assert store.publish(TRUNK, 10, full, best=None, rows={}, notes={}) is None
    assert list(tmp_path.iterdir()) == []


def test_on_a_full_disk_the_stages_go_first_that_were_not_used_for_longest(tmp_path: Path) -> None:
    store = StageStore(tmp_path)
    for age, step in ((300, 10), (200, 20), (100, 30)):
        path = publish(store, step=step)
        moment = path.stat().st_mtime - age
        os.utime(path / "stage.json", (moment, moment))
    save_it = full_until(lambda: len(store.find(TRUNK)) == 1)
    stage = store.publish(TRUNK, 40, save_it, best=None, rows={}, notes={})
    assert stage is not None
    assert store.open(stage) is not None
    assert [stage.step for stage in store.find(TRUNK)] == [40, 30]


def test_on_a_full_disk_stages_that_are_kept_stay(tmp_path: Path) -> None:
    store = StageStore(tmp_path)
    kept = publish(store, step=20)
    publish(store, step=10)
    never = full_until(lambda: False)
    assert store.publish(TRUNK, 40, never, best=None, rows={}, notes={}, keep=[kept]) is None
    assert [stage.step for stage in store.find(TRUNK)] == [20]


def test_a_full_disk_that_gives_nothing_back_is_not_asked_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = StageStore(tmp_path)
    publish(store, step=20)

    def full(*paths: Path) -> Path:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "rename", full)
    assert store.publish(TRUNK, 40, save, best=None, rows={}, notes={}) is None


def test_a_stage_is_on_disk_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: set[int] = set()
    at_rename: dict[str, set[str]] = {}
    rename = Path.rename

    def note_and_rename(path: Path, target: Path) -> Path:
        found = {one for one in (path, *path.rglob("*")) if one.stat().st_ino not in synced}
        at_rename[target.name] = {one.name for one in found}
        return rename(path, target)

    fsync = os.fsync
    monkeypatch.setattr(
        os, "fsync", lambda handle: (synced.add(os.fstat(handle).st_ino), fsync(handle))
    )
    monkeypatch.setattr(Path, "rename", note_and_rename)
    best = tmp_path / "best-00000005"
    save(best)
    path = publish(StageStore(tmp_path / "stages"), best=best)
    assert at_rename == {path.name: set()}
    assert (tmp_path / "stages").stat().st_ino in synced, "the name itself"


def test_stages_that_are_cleared_are_gone(tmp_path: Path) -> None:
    store = StageStore(tmp_path)
    assert not store.clear()
    publish(store)
    assert store.clear()
    assert store.steps() == {}


def test_a_stage_holds_no_rows_of_an_event_or_evaluation_at_its_step(tmp_path: Path) -> None:
    step = {"loss": 1.0, "learning_rate": 0.1, "step_time_s": 0.1, "frames": 1,
            "padding_fraction": 0.0, "utterances": 1}  # fmt: skip
    recovery = {"event_step": 4, "loss_before": 1.0, "window_steps": 5}
    errors = {"split": "dev", "substitutions": 0, "deletions": 0, "insertions": 0}
    group = {"layer": 0, "kind": "ff1"}
    with TableWriter(tmp_path, sweep_id="s", trial_id="t00", attempt=0, seed=1) as writer:
        for at in (6, 12, 13):
            writer.add("steps", step=at, **step)
            writer.add("evaluations", step=at, wer=0.5, num_ref_words=1, **errors)
            writer.add("allocations", step=at, groups=4, params=100, **group)
        writer.add("recoveries", step=12, event=0, recovered=True, recovery_steps=8, **recovery)
        writer.add("recoveries", step=12, event=1, recovered=False, **recovery)
        writer.add("recoveries", step=9, event=2, recovered=False, **recovery)
    found = rows_before(12, rows_of_trial(tmp_path, "t00"))
    assert {table: rows["step"].to_pylist() for table, rows in found.items()} == {
        "steps": [6, 12], "evaluations": [6], "allocations": [6], "recoveries": [9, 12],
    }  # fmt: skip
    assert found["recoveries"]["event"].to_pylist() == [2, 0]


def test_over_the_budget_the_stages_go_that_were_not_used_for_longest(tmp_path: Path) -> None:
    store = StageStore(tmp_path / "stages")
    paths = [publish(store, step=step) for step in (10, 20, 30)]
    size = sum(file.stat().st_size for file in paths[0].rglob("*") if file.is_file())
    for age, path in zip((300, 200, 100), paths, strict=True):
        moment = path.stat().st_mtime - age
        os.utime(path / "stage.json", (moment, moment))
    assert store.open(store.find(TRUNK)[-1])  # step 10 is used again
    tight = StageStore(tmp_path / "stages", budget_bytes=int(3.5 * size))
    publish(tight, step=40)
    assert [stage.step for stage in tight.find(TRUNK)] == [40, 30, 10]
    kept = StageStore(tmp_path / "stages", budget_bytes=1)
    publish(kept, step=50, keep=[paths[0]])
    assert [stage.step for stage in kept.find(TRUNK)] == [50, 10]


def test_copied_rows_are_anothers_but_for_what_a_trial_has_itself(tmp_path: Path) -> None:
    event = {
        "event": 0, "scorer": "taylor", "applied": True, "origin": "g", "group_id": "g",
        "layer": 0, "kind": "ff1", "group_index": 0, "params": 9, "fate": "kept",
    }  # fmt: skip
    for trial, scores in (("t00", {"taylor": 1.0}), ("t01", {"taylor": 2.0, "gradient": 3.0})):
        with TableWriter(tmp_path, sweep_id="s", trial_id=trial, attempt=0, seed=1) as writer:
            for scorer, score in scores.items():
                named = {**event, "scorer": scorer, "score": score}
                writer.add("group_scores", step=10, **named)
            if trial == "t01":
                writer.add("allocations", step=10, layer=0, kind="ff1", groups=4, params=100)
    theirs, own = rows_of_trial(tmp_path, "t01"), rows_of_trial(tmp_path, "t00")
    with TableWriter(tmp_path, sweep_id="s", trial_id="t00", attempt=1, seed=1) as writer:
        copy_rows(theirs, writer, present=own)
    results = open_results(tmp_path)
    found = results.table("group_scores").select(["trial_id", "attempt", "scorer", "score"])
    assert found.filter(pa.compute.equal(found["trial_id"], "t00")).to_pylist() == [
        {"trial_id": "t00", "attempt": 0, "scorer": "taylor", "score": 1.0},
    ]
    copied = results.table("allocations").to_pylist()
    assert [(row["trial_id"], row["groups"]) for row in copied] == [("t00", 4), ("t01", 4)]


def test_rows_of_a_trial_are_not_those_of_one_whose_name_begins_alike(tmp_path: Path) -> None:
    for trial in ("t0", "t0-1", "t00"):
        with TableWriter(tmp_path, sweep_id="s", trial_id=trial, attempt=0, seed=1) as writer:
            writer.add("allocations", step=0, layer=0, kind="ff1", groups=4, params=100)
    assert rows_of_trial(tmp_path, "t0")["allocations"]["trial_id"].to_pylist() == ["t0"]
    assert rows_of_trial(tmp_path, "nobody") == {}
