"""What a checkpoint refuses, and which of them stay."""

import errno
import json
from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from tuneprune.errors import CheckpointError, FullDiskError
from tuneprune.testing.tones import make_tone_corpus, tone_config
from tuneprune.training import checkpoint as module
from tuneprune.training.checkpoint import (
    adopt_checkpoint,
    find_checkpoint,
    keep_only,
    load_model_tensors,
    read_checkpoint,
    save_checkpoint,
)
from tuneprune.training.context import LocalContext
from tuneprune.training.recogniser import load_model
from tuneprune.training.run import train


@pytest.fixture
def checkpoints(tones: Path, tmp_path: Path) -> Path:
    """Return the checkpoint folder of a finished run."""
    context = LocalContext(device=torch.device("cpu"))
    train(tone_config(tones), context, writer=None, checkpoint_dir=tmp_path / "c")
    return tmp_path / "c"


def last(checkpoints: Path) -> Path:
    found = find_checkpoint(checkpoints, "last")
    assert found is not None
    return found


def test_a_run_leaves_its_best_and_its_last(checkpoints: Path) -> None:
    names = sorted(path.name for path in checkpoints.iterdir())
    best = read_checkpoint(last(checkpoints)).progress["best"]["step"]
    assert names == [f"best-{best:08d}", "last-00000032"]


def test_nothing_in_a_checkpoint_is_a_pickle(checkpoints: Path) -> None:
    names = {path.suffix for path in last(checkpoints).iterdir()}
    assert names == {".json", ".safetensors"}


@pytest.mark.parametrize("content", ["[]", "{}", '{"version": 1}', '{"version": 9}', "{"])
def test_a_damaged_state_is_refused_in_one_line(checkpoints: Path, content: str) -> None:
    (last(checkpoints) / "state.json").write_text(content)
    with pytest.raises(CheckpointError):
        read_checkpoint(last(checkpoints))


def test_tensors_of_another_shape_are_refused(checkpoints: Path) -> None:
    path = last(checkpoints) / "model.safetensors"
    tensors = load_file(path)
    tensors["output.weight"] = tensors["output.weight"][:-1].contiguous()
    save_file(tensors, path)
    with pytest.raises(CheckpointError, match="another shape"):
        load_model_tensors(read_checkpoint(last(checkpoints)))


def test_a_truncated_file_is_refused(checkpoints: Path) -> None:
    path = last(checkpoints) / "model.safetensors"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(CheckpointError, match="can not be read"):
        load_model_tensors(read_checkpoint(last(checkpoints)))


def test_only_checkpoints_and_their_left_overs_are_removed(tmp_path: Path) -> None:
    names = ("best-00000010", "last-00000020", ".last-00000020.new-77", "notes", "best-x")
    for name in names:
        (tmp_path / name).mkdir()
    keep_only(tmp_path, {"last-00000020"})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["best-x", "last-00000020", "notes"]


def rewritten(checkpoint: Path, **changes: object) -> Path:
    """Put other values at the top of a checkpoint's state."""
    state = checkpoint / "state.json"
    state.write_text(json.dumps({**json.loads(state.read_text()), **changes}))
    return checkpoint


def test_another_torch_does_not_resume_but_recognises(
    checkpoints: Path, tones: Path, tmp_path: Path
) -> None:
    found = rewritten(last(checkpoints), versions={"torch": "1.0"})
    context = LocalContext(device=torch.device("cpu"), checkpoint=found)
    with pytest.raises(CheckpointError, match=r"resume with torch 1\.0, or --restart") as refused:
        train(tone_config(tones), context, writer=None, checkpoint_dir=tmp_path / "again")
    assert "\n" not in str(refused.value)
    load_model(found)


def test_a_key_that_nothing_reads_does_not_matter(checkpoints: Path) -> None:
    written = json.loads((last(checkpoints) / "state.json").read_text())
    assert "config_fingerprint" not in written  # as earlier checkpoints of this version have it
    assert read_checkpoint(rewritten(last(checkpoints), config_fingerprint="0")).step == 32


def test_a_corpus_that_changed_is_not_trained_on_further(tmp_path: Path) -> None:
    make_tone_corpus(tmp_path / "tones")
    config = tone_config(tmp_path / "tones")
    context = LocalContext(device=torch.device("cpu"))
    train(config, context, writer=None, checkpoint_dir=tmp_path / "c")
    state = last(tmp_path / "c") / "state.json"
    held = json.loads(state.read_text())
    held["progress"]["corpus_fingerprint"] = "another"
    state.write_text(json.dumps(held))
    again = LocalContext(device=torch.device("cpu"), checkpoint=last(tmp_path / "c"))
    with pytest.raises(CheckpointError, match="before it changed"):
        train(config, again, writer=None, checkpoint_dir=tmp_path / "c")


def full(*arguments: object, **options: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def safetensors_full(*arguments: object) -> None:
    said = "Error while serializing: I/O error: No space left on device (os error 28)"
    raise SafetensorError(said)


@pytest.mark.parametrize("moment", ["tensors", "state", "sync", "rename"])
@pytest.mark.parametrize("how", ["saved", "adopted"])
def test_on_a_full_disk_the_checkpoint_before_stays_and_nothing_is_left_beside(
    checkpoints: Path, moment: str, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = read_checkpoint(last(checkpoints))
    model = load_model_tensors(found)
    before = {path: path.read_bytes() for path in checkpoints.rglob("*") if path.is_file()}
    match moment:
        case "tensors":
            monkeypatch.setattr(module, "save_file", safetensors_full)
            monkeypatch.setattr(module, "link_or_copy", full)
        case "state":
            monkeypatch.setattr(Path, "write_text", full)
        case "sync":
            monkeypatch.setattr(module.os, "fsync", full)
        case _:
            monkeypatch.setattr(module.os, "rename", full)
    adopted = partial(adopt_checkpoint, last(checkpoints), checkpoints / "a", config=found.config)
    saved = partial(
        save_checkpoint, checkpoints, step=40, model=model, optimizer=None, config=found.config,
        labels=found.labels, hook={}, progress={},
    )  # fmt: skip
    write = saved if how == "saved" else adopted
    with pytest.raises(FullDiskError, match="its disk is full") as caught:
        write(role="last")
    assert "\n" not in str(caught.value)
    after = {path: path.read_bytes() for path in checkpoints.rglob("*") if path.is_file()}
    assert after == before


def test_what_safetensors_says_of_something_else_is_not_a_full_disk(
    checkpoints: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object) -> None:
        raise SafetensorError("I/O error: Read-only file system (os error 30)")

    found = read_checkpoint(last(checkpoints))
    model = load_model_tensors(found)
    monkeypatch.setattr(module, "save_file", refuse)
    with pytest.raises(OSError, match="Read-only") as caught:
        save_checkpoint(
            checkpoints, "last", step=40, model=model, optimizer=None, config=found.config,
            labels=found.labels, hook={}, progress={},
        )  # fmt: skip
    assert caught.value.errno == errno.EROFS


def test_a_checkpoint_put_aside_for_one_that_never_came_is_put_back(tmp_path: Path) -> None:
    (tmp_path / ".last-00000010.old-0a1b2c3d").mkdir()
    assert find_checkpoint(tmp_path, "best") is None
    assert find_checkpoint(tmp_path, "last") == tmp_path / "last-00000010"
    assert [path.name for path in tmp_path.iterdir()] == ["last-00000010"]
