"""A masked recogniser in one file: the weights that some mask keeps, and the masks as bits.

It is a safetensors file, whose metadata holds labels, settings and allocation as JSON; no pickle.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from tuneprune.adaptation import InitialMasks, pack_masks, read_masks
from tuneprune.config import AdaptiveMaskConfig, RunConfig, build_config
from tuneprune.data.corpus import write_beside
from tuneprune.data.text import LabelSet
from tuneprune.errors import CheckpointError
from tuneprune.models.build import build_model
from tuneprune.models.speech_model import SpeechModel
from tuneprune.structure.blocks import blocks_of, expand_mask, read_pattern
from tuneprune.structure.groups import Allocation, allocation_of
from tuneprune.structure.mask_sets import union

COMPACT_VERSION = 1
_NEITHER = "is not a checkpoint folder, nor can it be read as a compact model ({})"
_KEPT, _WHOLE = "kept/", "whole/"


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class CompactModel:
    """What a file holds: a model whose weights are zero where no mask keeps them, and its masks."""

    model: SpeechModel
    masks: InitialMasks
    labels: LabelSet
    config: RunConfig


def write_compact(held: CompactModel, path: Path) -> int:
    """Write a masked model; return the bytes of the file.

    Args:
        held: of a checkpoint.
        path: the file; one that is there is replaced, once the new one is whole.

    Raises:
        OSError: it can not be written.
    """
    blocks = blocks_of(read_pattern("adaptation.blocks", held.masks.blocks))
    kept = union(held.masks.masks)
    tensors: dict[str, Tensor] = {}
    for name, tensor in held.model.state_dict().items():
        if name in kept:
            mask = expand_mask(kept[name].cpu(), blocks, tensor.shape)
            tensors[f"{_KEPT}{name}"] = tensor.cpu()[mask]
        else:
            tensors[f"{_WHOLE}{name}"] = tensor.cpu().contiguous()
    tensors |= {name: bits.cpu() for name, bits in pack_masks(held.masks.masks).items()}
    about = {
        "version": COMPACT_VERSION,
        "labels": held.labels.to_json(),
        "config": held.config.model_dump(mode="json"),
        "allocation": allocation_of(held.model.prunable_modules()).to_json(),
        "languages": sorted(held.masks.masks),
    }
    metadata = {"tuneprune": json.dumps(about)}
    write_beside(path, lambda beside: save_file(tensors, beside, metadata))
    return path.stat().st_size


def read_compact(path: Path) -> CompactModel:
    """Return what ``write_compact`` has written.

    Raises:
        CheckpointError: the file is none, damaged, or of another version.
    """
    about, tensors = _read(path)
    try:
        config = build_config(about["config"])
        labels = LabelSet.from_json(about["labels"])
        model = build_model(
            config.model,
            num_bins=config.features.num_bins,
            num_labels=len(labels),
            seed=config.seed,
            allocation=Allocation.from_json(about["allocation"]),
        )
        assert isinstance(config.adaptation, AdaptiveMaskConfig)
        masks = read_masks(config.adaptation, model, tensors, about["languages"])
        _fill(model, masks, tensors)
    except (KeyError, TypeError, AttributeError, AssertionError, RuntimeError) as error:
        raise CheckpointError("model", path, f"is damaged ({error!r})") from None
    return CompactModel(model=model, masks=masks, labels=labels, config=config)


def _fill(model: SpeechModel, masks: InitialMasks, tensors: Mapping[str, Tensor]) -> None:
    blocks = blocks_of(read_pattern("adaptation.blocks", masks.blocks))
    kept = union(masks.masks)
    full: dict[str, Tensor] = {}
    for name, tensor in model.state_dict().items():
        if name in kept:
            full[name] = torch.zeros_like(tensor)
            full[name][expand_mask(kept[name], blocks, tensor.shape)] = tensors[f"{_KEPT}{name}"]
        else:
            full[name] = tensors[f"{_WHOLE}{name}"]
    model.load_state_dict(full)


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    try:
        with safe_open(path, framework="pt") as file:
            about = json.loads((file.metadata() or {}).get("tuneprune", "{}"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError, ValueError) as error:
        raise CheckpointError("model", path, _NEITHER.format(error)) from None
    found = about.get("version", "none") if isinstance(about, dict) else "none"
    if found != COMPACT_VERSION:
        raise CheckpointError("model", path, _NEITHER.format(f"version {found}"))
    return about, tensors
