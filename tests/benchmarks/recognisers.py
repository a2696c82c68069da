"""The models that are measured: ours, and one around torchaudio's Conformer of the same sizes.

Legend: B batch, T frames, U encoder frames, F mel bins, D model width, V labels.
"""

import numpy as np
import torch
from speech_lengths import ROOT, an4_like_frames
from torch import Tensor, nn
from torch.nn import functional

from tuneprune.config import (
    GrowDropConfig,
    ModelConfig,
    OptimConfig,
    RunConfig,
    build_config,
    read_run_settings,
)
from tuneprune.data.batching import epoch_batches
from tuneprune.data.torchaudio_door import load_torchaudio
from tuneprune.models.ctc import build_model
from tuneprune.models.frontend import build_frontend, encoder_frames
from tuneprune.training.batches import Batch, collate
from tuneprune.training.optim import build_optimizer
from tuneprune.training.step import backward

NUM_LABELS = 30
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


def sizes_of(config: ModelConfig) -> str:
    """Return width and number of blocks, as the table shows them."""
    return f"d={config.d_model} x {config.num_blocks}"


def an4_like_batch(config: ModelConfig, *, num_bins: int) -> Batch:
    """Return one batch as training deals them from lengths like AN4's: the one of median length.

    Features and labels are random; there is a label for every 12 frames.
    """
    frames, training = an4_like_frames(), an4_config().training
    batches = epoch_batches(
        frames,
        seed=0,
        epoch=0,
        batch_frames=training.batch_frames,
        max_utterances=training.max_batch_utterances,
    )
    indices = sorted(batches, key=lambda batch: float(frames[batch].mean()))[len(batches) // 2]
    rng, generator = np.random.default_rng(0), torch.Generator().manual_seed(0)
    return collate(
        [torch.randn(int(t), num_bins, generator=generator) for t in frames[indices]],
        [rng.integers(1, NUM_LABELS, size=int(t) // 12).tolist() for t in frames[indices]],
    )


class TorchaudioCtc(nn.Module):
    """Our front-end, input dropout and output layer around ``torchaudio.models.Conformer``.

    It has the BatchNorm that is its default; ours has what its configuration says. It does not
    mask padding in its convolutions.
    """

    def __init__(self, config: ModelConfig, *, num_bins: int, num_labels: int) -> None:
        super().__init__()
        order = config.module_order
        assert config.conv_width == config.d_model, "torchaudio's Conformer has no other width"
        assert config.attention_dropout == config.dropout, "nor two rates of dropout"
        self.frontend = build_frontend(config.frontend, num_bins=num_bins, d_model=config.d_model)
        self.dropout = nn.Dropout(config.dropout)
        self.encoder = load_torchaudio().models.Conformer(
            input_dim=config.d_model,
            num_heads=config.heads,
            ffn_dim=config.ffn_width,
            num_layers=config.num_blocks,
            depthwise_conv_kernel_size=config.conv_kernel,
            dropout=config.dropout,
            convolution_first=order.index("conv") < order.index("mhsa"),
        )
        self.output = nn.Linear(config.d_model, num_labels)

    def forward(self, x_BTF: Tensor, num_frames_B: Tensor) -> tuple[Tensor, Tensor]:
        """Return log-probabilities [B, U, V] and the encoder frames of each utterance."""
        x_BUD, num_frames_B = self.frontend(x_BTF, num_frames_B)
        x_BUD, _ = self.encoder(self.dropout(x_BUD), num_frames_B)
        return functional.log_softmax(self.output(x_BUD), dim=-1), num_frames_B


class Trainee:
    """A model, its AdamW and one batch, to be stepped again and again.

    A step ends with its gradients still there, as a hook sees them.
    """

    def __init__(self, model: nn.Module, config: ModelConfig, batch: Batch) -> None:
        self.model = model.train()
        self.optimizer = build_optimizer(model, _OPTIM)
        self._batch = batch
        self._frames = int(encoder_frames(config.frontend, batch.num_frames_B).sum())

    @classmethod
    def ours(cls, config: ModelConfig, batch: Batch) -> "Trainee":
        num_bins = batch.features_BTF.shape[2]
        model = build_model(config, num_bins=num_bins, num_labels=NUM_LABELS, seed=0)
        return cls(model, config, batch)

    @classmethod
    def torchaudios(cls, config: ModelConfig, batch: Batch) -> "Trainee":
        num_bins = batch.features_BTF.shape[2]
        return cls(TorchaudioCtc(config, num_bins=num_bins, num_labels=NUM_LABELS), config, batch)

    def step(self, precision: str = "float32") -> None:
        """Do forward, CTC, backward and update on the batch."""
        self.optimizer.zero_grad(set_to_none=True)
        loss = backward(
            self.model,
            [self._batch],
            encoder_frames=self._frames,
            world_size=1,
            device=torch.device("cpu"),
            precision=precision,
        )
        assert loss.isfinite(), "a step of numbers that are none takes another time"
        self.optimizer.step()
