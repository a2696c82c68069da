"""What is measured: a model of the AN4 space or of other sizes, a batch like its, and a step.

Legend: B batch, T frames, F mel bins.
"""

from collections.abc import Sequence

import numpy as np
import torch
from comparing import Size
from speech_lengths import ROOT, an4_like_frames
from torch import nn

from tuneprune.adaptation import Masking
from tuneprune.adaptation.grow_drop import GrowDrop
from tuneprune.config import (
    GrowDropConfig,
    ModelConfig,
    OptimConfig,
    RunConfig,
    build_config,
    read_run_settings,
)
from tuneprune.data.batching import epoch_batches
from tuneprune.models.build import build_model
from tuneprune.models.frontend import encoder_frames
from tuneprune.structure.routes import Route
from tuneprune.training.batches import Batch, collate
from tuneprune.training.optim import build_optimizer
from tuneprune.training.step import backward

NUM_LABELS = 30
TOTAL_STEPS = 10  # of a run with an event: it comes after the first
GROW_DROP = GrowDropConfig(method="grow_drop", at=0.1, delta=0.2, scorer="taylor")

# Small, so that repeating one batch for minutes stays in the range of usual numbers.
_OPTIM = OptimConfig(peak_lr=1e-5)


def an4_config() -> RunConfig:
    """Return the base run of the AN4 search space."""
    return build_config(read_run_settings(ROOT / "search_spaces" / "dmao_an4.yaml"))


def an4_model(*, d_model: int = 0, num_blocks: int = 0, head_dim: int = 0) -> ModelConfig:
    """Return the AN4 space's model, with the sizes that are given instead of its own."""
    given = {"d_model": d_model, "num_blocks": num_blocks, "head_dim": head_dim}
    changes = {name: size for name, size in given.items() if size}
    return ModelConfig.model_validate({**an4_config().model.model_dump(), **changes})


def tiny_model() -> ModelConfig:
    """Return the smallest model with all parts of the AN4 space's."""
    return an4_model(d_model=16, num_blocks=1, head_dim=8)


def models_of(size: Size, *large: ModelConfig) -> tuple[ModelConfig, ...]:
    """Return the AN4 space's model, in full with ``large`` ones, or the tiny one alone."""
    if size == "tiny":
        return (tiny_model(),)
    return (an4_model(), *large) if size == "full" else (an4_model(),)


def sizes_of(config: ModelConfig) -> str:
    """Return width and number of blocks, as the table shows them."""
    return f"d={config.d_model} x {config.num_blocks}"


def batch_for(config: ModelConfig) -> Batch:
    """Return one batch as training deals them from lengths like AN4's: the one of median length.

    Features and labels are random; there is a label for every 12 frames. The tiny model gets the
    first two utterances of it.
    """
    frames, run = an4_like_frames(), an4_config()
    batches = epoch_batches(
        frames,
        seed=0,
        epoch=0,
        batch_frames=run.training.batch_frames,
        max_utterances=run.training.max_batch_utterances,
    )
    indices = sorted(batches, key=lambda batch: float(frames[batch].mean()))[len(batches) // 2]
    if config == tiny_model():
        indices = indices[:2]
    rng, generator = np.random.default_rng(0), torch.Generator().manual_seed(0)
    num_bins = run.features.num_bins
    return collate(
        [torch.randn(int(t), num_bins, generator=generator) for t in frames[indices]],
        [rng.integers(1, NUM_LABELS, size=int(t) // 12).tolist() for t in frames[indices]],
    )


class Trainee:
    """A model, its AdamW and one batch, to be stepped again and again.

    A step ends with its gradients still there, as a hook sees them.
    """

    def __init__(self, model: nn.Module, config: ModelConfig, batch: Batch) -> None:
        self.model = model.train()
        self.optimizer = build_optimizer(model, _OPTIM)
        self._run = model  # what is called; a compiled one shares its parameters with the model
        self._batch = batch
        self._frames = int(encoder_frames(config, batch.num_frames_B).sum())

    @classmethod
    def ours(cls, config: ModelConfig, batch: Batch) -> "Trainee":
        num_bins = batch.features_BTF.shape[2]
        model = build_model(config, num_bins=num_bins, num_labels=NUM_LABELS, seed=0)
        return cls(model, config, batch)

    def compile(self, backend: str) -> None:
        """From the next step on, run what torch.compile makes of the model for this batch."""
        self._run = torch.compile(self.model, backend=backend, dynamic=False)

    def step(self, precision: str = "float32") -> None:
        """Do forward, CTC, backward and update on the batch."""
        self.optimizer.zero_grad(set_to_none=True)
        loss = self._backward(precision)
        assert loss.isfinite(), "a step of numbers that are none takes another time"
        self.optimizer.step()

    def masked_step(self, masking: Masking) -> None:
        """Do the same under masks, with what the training loop asks of them."""
        self.optimizer.zero_grad(set_to_none=True)
        with masking.weights(None):
            loss = self._backward("float32")
        masking.take_gradients(0, None)
        assert loss.isfinite(), "a step of numbers that are none takes another time"
        self.optimizer.step()
        masking.updated()

    def networks_step(self, routes: Sequence[Route], *, together: bool) -> None:
        """Do the same for several networks and update once: in one pass, or one after the other."""
        self.optimizer.zero_grad(set_to_none=True)
        for part in [routes] if together else [[route] for route in routes]:
            loss = self._backward("float32", part)
            assert loss.isfinite(), "a step of numbers that are none takes another time"
        self.optimizer.step()

    def hook(self, config: GrowDropConfig = GROW_DROP, *, total_steps: int) -> GrowDrop:
        """Return the hook of a run of the model in the state that it is in now."""
        return GrowDrop(self.model, self.optimizer, config, total_steps=total_steps, seed=0)

    def _backward(self, precision: str, routes: Sequence[Route] = ()) -> torch.Tensor:
        return backward(
            self._run,
            [self._batch],
            encoder_frames=self._frames,
            device=torch.device("cpu"),
            precision=precision,
            routes=lambda: routes,
        )
