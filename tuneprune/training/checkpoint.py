"""A run on disk: tensors as safetensors, everything else as JSON; no pickle is ever read.

A checkpoint is a folder ``<role>-<step>``, written beside and renamed, so that one that can be
seen is whole. The allocation is read first, and the model is built in that shape.
"""

import json
import os
import re
import shutil
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from tuneprune.config import RunConfig, build_config
from tuneprune.data.text import LabelSet
from tuneprune.errors import CheckpointError, is_full_disk, unwritable
from tuneprune.models.build import build_model
from tuneprune.models.speech_model import SpeechModel
from tuneprune.results.folders import sync_folder
from tuneprune.structure.gates import GroupGates
from tuneprune.structure.groups import Allocation, allocation_of

VERSION = 3
HOOK_TENSORS = "hook.safetensors"
_ROLES = ("best", "last", "kept")
_NAMED_CHECKPOINTS = 4
_OUTPUT_OF_A_SUBNET = r"networks\.outputs\.\d+\.weight"
_NAME = re.compile(r"(best|last)-\d{8}|\.(best|last|kept)-\d{8}\.(new|old)-\w+")


@dataclass(frozen=True, kw_only=True, slots=True)
class Checkpoint:
    """What a checkpoint holds beside its tensors.

    ``progress`` is the loop's own record; ``torch_version`` is what the run was trained with.
    """

    path: Path
    step: int
    torch_version: str
    config: RunConfig
    labels: LabelSet
    allocation: Allocation
    hook: dict[str, Any]
    progress: dict[str, Any]


def save_checkpoint(folder: Path, role: str, *, step: int, **state: Any) -> Path:
    """Write ``folder/<role>-<step>`` and return it; see ``keep_only`` for what goes.

    Args:
        state: as of ``write_checkpoint``.

    Raises:
        FullDiskError: there is no room for it; what was there stays.
    """
    target = folder / checkpoint_name(role, step)
    save_checkpoint_as(target, step=step, **state)
    return target


def save_checkpoint_as(target: Path, *, step: int, **state: Any) -> None:
    """Write a checkpoint beside ``target`` and rename it; what was there goes.

    Args:
        target: the folder.
        step: finished steps.
        state: as of ``write_checkpoint``.

    Raises:
        FullDiskError: there is no room for it; what was there stays.
    """
    with _put_in_place(target) as beside:
        write_checkpoint(beside, step=step, **state)


def write_checkpoint(
    path: Path,
    *,
    step: int,
    model: SpeechModel,
    optimizer: torch.optim.Optimizer | None,
    config: RunConfig,
    labels: LabelSet,
    hook: dict[str, Any],
    progress: dict[str, Any],
    hook_tensors: Mapping[str, Tensor] | None = None,
) -> None:
    """Write a checkpoint into a folder that is not there yet; when it returns, it is on disk.

    Args:
        path: the folder.
        step: finished steps.
        model: with its weights.
        optimizer: None: it is not to go on from here.
        config: of the run.
        labels: of the model's outputs.
        hook: state of the adaptation, as JSON can hold it.
        progress: the loop's own record.
        hook_tensors: what the adaptation keeps beside its state, if anything.

    Raises:
        OSError: it can not be written.
    """
    path.mkdir(parents=True)
    _save(_contiguous(model.state_dict()), path / "model.safetensors")
    if optimizer is not None:
        _save(_optimizer_tensors(model, optimizer), path / "optimizer.safetensors")
    if hook_tensors:
        _save(_contiguous(dict(hook_tensors)), path / HOOK_TENSORS)
    state = {
        "version": VERSION,
        "step": step,
        "allocation": allocation_of(model.prunable_modules()).to_json(),
        "labels": labels.to_json(),
        "hook": hook,
        "progress": progress,
        "config": config.model_dump(mode="json"),
        "versions": {"torch": str(torch.__version__)},
    }
    (path / "state.json").write_text(json.dumps(state, indent=1))
    sync_files(path)


def adopt_checkpoint(
    source: Path,
    folder: Path,
    role: str,
    *,
    config: RunConfig,
    hook: Mapping[str, Any] | None = None,
) -> Path:
    """Make a checkpoint of another run with the same history one of ``config``'s own.

    Tensors are shared with ``source`` where the file system has hard links, else copied: files of
    a checkpoint are never written to.

    Args:
        source: the other run's checkpoint.
        folder: where ``config``'s run keeps its own.
        role: ``best`` or ``last``.
        config: of the run that is to go on.
        hook: state of its adaptation; that of the other run if None.

    Raises:
        CheckpointError: ``source`` is no checkpoint, or damaged.
        FullDiskError: there is no room for it; what was there stays.
    """
    step = read_checkpoint(source).step
    state = json.loads((source / "state.json").read_text())
    state |= {"config_fingerprint": config.fingerprint(), "config": config.model_dump(mode="json")}
    if hook is not None:
        state["hook"] = dict(hook)
    target = folder / checkpoint_name(role, step)
    with _put_in_place(target) as beside:
        beside.mkdir(parents=True)
        for tensors in source.glob("*.safetensors"):
            link_or_copy(tensors, beside / tensors.name)
        (beside / "state.json").write_text(json.dumps(state, indent=1))
        sync_files(beside)
    return target


def link_or_copy(source: Path, target: Path) -> None:
    """Give a file that is never written to again another name, or make a copy of it."""
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without hard links
        shutil.copyfile(source, target)


@contextmanager
def _put_in_place(target: Path) -> Iterator[Path]:
    """Name a folder to be written beside its place, then rename it; what was there goes.

    Whatever goes wrong, nothing is left beside: on a full disk, it would take the last room.
    """
    own = uuid.uuid4().hex[:8]
    beside, aside = (target.with_name(f".{target.name}.{kind}-{own}") for kind in ("new", "old"))
    try:
        yield beside
        try:
            if target.exists():  # the same step again, after going on from an earlier one
                os.rename(target, aside)
            os.rename(beside, target)
        except OSError:
            if aside.exists() and not target.exists():
                os.rename(aside, target)
            raise
        sync_folder(target.parent)
    except OSError as error:
        if not is_full_disk(error):
            raise
        raise unwritable("checkpoint", target, error) from None
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    shutil.rmtree(aside, ignore_errors=True)


def checkpoint_name(role: str, step: int) -> str:
    """Return the folder name of a checkpoint."""
    return f"{role}-{step:08d}"


def keep_only(folder: Path, names: set[str]) -> None:
    """Remove all other checkpoints of a run, and what a killed process left half-written."""
    for path in folder.iterdir():
        if path.name not in names and _NAME.fullmatch(path.name):
            shutil.rmtree(path, ignore_errors=True)


def find_checkpoint(folder: Path, role: str) -> Path | None:
    """Return the latest checkpoint of a role in a run's checkpoint folder, if there is one."""
    found = _of_role(folder, role)
    return found[-1] if found else _put_aside(folder, role)


def kept_checkpoints(folder: Path) -> list[Path]:
    """Return the checkpoints that a run has kept for good in its folder, by step."""
    return _of_role(folder, "kept")


def _put_aside(folder: Path, role: str) -> Path | None:
    """Put back the checkpoint of a role that a killed process had put aside for another one."""
    for aside in sorted(folder.glob(f".{role}-*.old-*")):
        target = aside.with_name(aside.name[1:].partition(".")[0])
        with suppress(OSError):  # another one is in its place by now
            os.rename(aside, target)
            return target
    return None


def read_checkpoint(path: Path) -> Checkpoint:
    """Read everything but the tensors.

    Raises:
        CheckpointError: not a checkpoint, damaged, or of another version.
    """
    try:
        state = json.loads((path / "state.json").read_text())
    except OSError:
        raise CheckpointError("checkpoint", path, "is not a checkpoint folder") from None
    except ValueError:
        raise CheckpointError("checkpoint", path, "has a damaged state.json") from None
    version = state.get("version") if isinstance(state, dict) else None
    if version != VERSION:
        raise CheckpointError("checkpoint", path, f"is of version {version}; this reads {VERSION}")
    try:
        return Checkpoint(
            path=path,
            step=state["step"],
            torch_version=state["versions"]["torch"],
            config=build_config(state["config"]),
            labels=LabelSet.from_json(state["labels"]),
            allocation=Allocation.from_json(state["allocation"]),
            hook=state["hook"],
            progress=state["progress"],
        )
    except (KeyError, TypeError, AttributeError, AssertionError) as error:
        raise CheckpointError("checkpoint", path, f"has a damaged state.json ({error!r})") from None


def open_checkpoint(path: str | Path) -> Checkpoint:
    """Read all of a checkpoint but its tensors; name those in a run's or a sweep's folder.

    Raises:
        CheckpointError: it is none, is damaged, or of another version.
    """
    folder = Path(path)
    if not (folder / "state.json").exists():
        found = _checkpoints_in(folder)
        if found:
            raise CheckpointError("checkpoint", folder, f"is not one, but holds {_listed(found)}")
    return read_checkpoint(folder)


def _checkpoints_in(folder: Path) -> list[str]:
    """Return checkpoints in a run's or a sweep's folder as paths from there, best ones first."""
    depths = ("*", "*/*", "*/*/*")  # checkpoints, runs, a sweep
    found = [path.parent for depth in depths for path in folder.glob(f"{depth}/state.json")]
    names = [
        p.relative_to(folder) for p in found if re.fullmatch(r"(best|last|kept)-\d{8}", p.name)
    ]
    return [str(path) for path in sorted(names, key=lambda p: (_ROLES.index(p.name[:4]), p))]


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _NAMED_CHECKPOINTS
    shown = ", ".join(names[:_NAMED_CHECKPOINTS])
    return f"{shown} and {more} more" if more > 0 else shown


def load_model_tensors(checkpoint: Checkpoint) -> SpeechModel:
    """Return the model of a checkpoint, in the allocation and with the weights it had."""
    model = build_model(
        checkpoint.config.model,
        num_bins=checkpoint.config.features.num_bins,
        num_labels=len(checkpoint.labels.labels),
        seed=checkpoint.config.seed,
        allocation=checkpoint.allocation,
    )
    tensors = _load(checkpoint.path / "model.safetensors")
    if "gates.logits" in tensors:  # taken while learnable scores were trained
        model.gates = GroupGates(len(tensors["gates.logits"]))
    if outputs := [name for name in tensors if re.fullmatch(_OUTPUT_OF_A_SUBNET, name)]:
        scores = tensors.get("networks.scores")
        model.open_networks(len(outputs), scores=scores, seed=checkpoint.config.seed)
    try:
        model.load_state_dict(tensors)
    except RuntimeError:
        remedy = "holds tensors of another shape than its state.json says"
        raise CheckpointError("checkpoint", checkpoint.path, remedy) from None
    return model


def load_hook_tensors(checkpoint: Checkpoint) -> dict[str, Tensor]:
    """Return what the adaptation kept beside its state; nothing if it kept nothing.

    Raises:
        CheckpointError: it can not be read.
    """
    path = checkpoint.path / HOOK_TENSORS
    return _load(path) if path.exists() else {}


def load_optimizer_tensors(
    checkpoint: Checkpoint, model: nn.Module, optimizer: torch.optim.Optimizer
) -> None:
    """Give every trained parameter the optimizer state that it had."""
    by_name: dict[str, dict[str, Tensor]] = {}
    for key, tensor in _load(checkpoint.path / "optimizer.safetensors").items():
        name, _, field = key.rpartition("/")
        by_name.setdefault(name, {})[field] = tensor
    for name, parameter in model.named_parameters():
        if name in by_name:
            optimizer.state[parameter] = {
                # AdamW keeps its step counter on the parameter's device when it is fused.
                field: tensor.to(parameter.device)
                for field, tensor in by_name[name].items()
            }


def _optimizer_tensors(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    return _contiguous(
        {
            f"{name}/{field}": value
            for name, parameter in model.named_parameters()
            for field, value in optimizer.state.get(parameter, {}).items()
        }
    )


def sync_files(folder: Path) -> None:
    """Force a folder and all in it to disk, so that none of it is renamed before it is there."""
    for path in (*folder.rglob("*"), folder):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _contiguous(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}


def _save(tensors: dict[str, Tensor], path: Path) -> None:
    """Write tensors.

    Raises:
        OSError: they can not be written. What safetensors raises has its number in the text only.
    """
    try:
        save_file(tensors, path)
    except SafetensorError as error:
        number = re.search(r"\(os error (\d+)\)", str(error))
        if number is None:
            raise
        raise OSError(int(number[1]), os.strerror(int(number[1])), str(path)) from None


def _load(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise CheckpointError("checkpoint", path, f"can not be read ({error})") from None


def _of_role(folder: Path, role: str) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(p for p in folder.iterdir() if re.fullmatch(rf"{role}-\d{{8}}", p.name))
