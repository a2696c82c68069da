"""The optimizer of a run and the learning rate of each step."""

import torch
from torch import nn

from tuneprune.config import OptimConfig
from tuneprune.schedules import one_cycle_lr


def build_optimizer(model: nn.Module, config: OptimConfig) -> torch.optim.AdamW:
    """Return AdamW (Loshchilov and Hutter 2019) with decay on matrices and filters only.

    Biases and the affine parameters of normalisations, all one-dimensional, are not decayed.
    """
    trained = [p for p in model.parameters() if p.requires_grad]
    return torch.optim.AdamW(
        [
            {"params": [p for p in trained if p.ndim > 1], "weight_decay": config.weight_decay},
            {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
        ],
        lr=config.peak_lr,
        betas=config.betas,
        eps=config.eps,
        fused=True,
    )


def learning_rate(config: OptimConfig, step: int, total_steps: int) -> float:
    """Return the rate for the update that makes ``step`` finished steps into ``step + 1``."""
    return one_cycle_lr(
        step,
        total_steps,
        peak=config.peak_lr,
        start_fraction=config.start_lr_fraction,
        middle_fraction=config.middle_lr_fraction,
        final=config.final_lr,
        legs=config.legs,
    )


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the next update's rate; a parameter group with an ``lr_scale`` gets so much of it."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group.get("lr_scale", 1.0)
