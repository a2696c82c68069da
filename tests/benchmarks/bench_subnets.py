"""Subnets by themselves against their supernet: what is left out must not take any time.

Each is exported as a checkpoint, loaded, and encodes and decodes the same 10 s utterances. The bar
is a share of the ratio of the multiply-adds of whole models, front-end and output included. Which
modules a subnet keeps is drawn; of the Conformer it is also all convolutions, which have the most
work beside their multiply-adds, and with what is left first comes first.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from comparing import Bar, Comparison, Row, Size, take_turns, timed
from rankings import convolutions_first, drawn_ranking
from recognisers import an4_config, an4_model, sizes_of
from torch import Tensor

from tuneprune.config import ModelConfig, RunConfig, SupernetConfig
from tuneprune.data.text import LabelSet
from tuneprune.models.build import build_model
from tuneprune.models.speech_model import SpeechModel
from tuneprune.training.checkpoint import save_checkpoint
from tuneprune.training.export import export_checkpoint
from tuneprune.training.recogniser import Recogniser, load_model

_SHARE = 0.85
_UTTERANCES, _UTTERANCE_S = 4, 10
_LABELS = LabelSet(labels=("<blank>", " ", *"abcdefghijklmnopqrstuvwxyz'.-"))


def compare(*, size: Size) -> list[Row]:
    """Measure subnets of 32 and 16 of the 48 modules of both encoders."""
    small = size == "tiny"
    wide = an4_model(
        d_model=16 if small else 256, num_blocks=3 if small else 12, head_dim=8 if small else 64
    )
    branches = {"encoder": "e_branchformer", "module_order": None, "conv_channels": None}
    models = [wide, ModelConfig.model_validate(wide.model_dump() | branches)]
    repeats = {"full": 15, "quick": 7, "tiny": 1}[size]
    drawn = [row for model in models for row in _rows(model, drawn_ranking, "", repeats)]
    return [*drawn, *_rows(wide, convolutions_first, ", conv first", repeats)]


def _rows(
    model: ModelConfig, ranking: Callable[[SpeechModel], list[str]], note: str, repeats: int
) -> list[Row]:
    modules = 4 * model.num_blocks
    sizes = (modules * 2 // 3, modules // 3)
    with tempfile.TemporaryDirectory() as folder:
        supernet = _supernet(model, ranking, sizes, Path(folder))
        networks = {modules: load_model(supernet)}
        for kept in sizes:
            exported = export_checkpoint(supernet, Path(folder) / str(kept), subnet=kept)
            networks[kept] = load_model(exported)
    sides = {str(kept): timed(_recognising(one)) for kept, one in networks.items()}
    taken = take_turns(sides, repeats=repeats)
    work = {kept: one.model.frame_macs() for kept, one in networks.items()}
    return [
        Comparison(
            what=f"{kept} of {modules}, {model.encoder}{note}, {sizes_of(model)}",
            ours=taken[str(kept)],
            baseline=taken[str(modules)],
            bar=Bar(kind="faster", limit=round(_SHARE * work[modules] / work[kept], 2)),
        )
        for kept in sizes
    ]


def _supernet(
    model: ModelConfig,
    ranking: Callable[[SpeechModel], list[str]],
    sizes: tuple[int, ...],
    folder: Path,
) -> Path:
    """Write the checkpoint of a supernet that was never trained, with some ranking."""
    adaptation = SupernetConfig(method="supernet", subnets=sizes)
    config = an4_config().model_copy(update={"model": model, "adaptation": adaptation})
    supernet = _model(config)
    supernet.open_networks(len(sizes), scores=None, seed=0)
    hook = {"ranking": ranking(supernet), "switched": True, "sizes": list(sizes)}
    return save_checkpoint(
        folder,
        "best",
        step=1,
        model=supernet,
        optimizer=None,
        config=config,
        labels=_LABELS,
        hook=hook,
        progress={},
    )


def _model(config: RunConfig) -> SpeechModel:
    num_bins, num_labels = config.features.num_bins, len(_LABELS)
    return build_model(config.model, num_bins=num_bins, num_labels=num_labels, seed=0)


def _recognising(recogniser: Recogniser) -> Callable[[], None]:
    features_BTF, num_frames_B = _speech(recogniser.config)

    @torch.inference_mode()
    def recognise() -> None:
        recogniser.model.decode(*recogniser.model(features_BTF, num_frames_B))

    return recognise


def _speech(config: RunConfig) -> tuple[Tensor, Tensor]:
    frames = round(_UTTERANCE_S * 1000 / config.features.hop_ms)
    shape = (_UTTERANCES, frames, config.features.num_bins)
    generator = torch.Generator().manual_seed(0)
    return torch.randn(shape, generator=generator), torch.full((_UTTERANCES,), frames)
