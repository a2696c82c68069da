"""One client: it gets the tensors of its sub-model, trains them on its own, and sends back changes.

A function of its task alone, so that it may run in any process.
"""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from tuneprune.config import FederatedConfig, RunConfig
from tuneprune.data.corpus import Split
from tuneprune.data.features import FeatureStore
from tuneprune.data.text import LabelSet
from tuneprune.models.build import build_model
from tuneprune.models.speech_model import SpeechModel
from tuneprune.structure.groups import Allocation
from tuneprune.structure.units import set_tensors_
from tuneprune.training.batches import TrainingBatches
from tuneprune.training.step import backward, seed_step


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ClientTask:
    """All that a client is told.

    Args:
        name: of the client.
        config: of the run.
        allocation: groups of the whole model.
        labels: of its outputs.
        features: file of the corpus's features.
        utterances: of the client.
        seed: of its batches, augmentation and dropout in this round.
        tensors: parameters and buffers of its sub-model, by name.
    """

    name: str
    config: RunConfig
    allocation: Allocation
    labels: LabelSet
    features: Path
    utterances: Split
    seed: int
    tensors: Mapping[str, Tensor]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ClientUpdate:
    """What a client sends back.

    Args:
        tensors: what training has added to each parameter.
        loss: mean of its training in nats an encoder frame.
        local_steps: that it has made.
        client_s: wall time.
    """

    tensors: Mapping[str, Tensor]
    loss: float
    local_steps: int
    client_s: float


def train_client(task: ClientTask) -> ClientUpdate:
    """Train a sub-model by plain gradient descent on the utterances of one client.

    On the CPU, wherever the server is. A loss or gradient that is not finite ends the training
    with what there is; whether it can be used is for the server to say.
    """
    began = time.perf_counter()
    config = _as_of_client(task)
    torch.set_num_threads(config.training.num_threads)
    store = FeatureStore.open(task.features)
    batches = TrainingBatches(task.utterances, task.labels, store, config)
    model = _model_of(task)
    rule = _rule_of(config)
    optimizer = torch.optim.SGD(model.parameters(), lr=rule.client_lr)
    steps, frames, loss = 0, 0, 0.0
    for step in range(batches.total_steps):
        plan = batches.plan(step)
        generator = seed_step(config.seed, step, rank=0)
        encoder_frames = batches.encoder_frames(plan)
        part = backward(
            model,
            batches.share(plan, rank=0, world_size=1, generator=generator),
            encoder_frames=encoder_frames,
            device=torch.device("cpu"),
            precision=config.training.precision,
        ).item()
        steps, frames, loss = steps + 1, frames + encoder_frames, loss + part * encoder_frames
        if not _step_(optimizer, model, part, rule.client_clip_grad_norm):
            loss = math.nan
            break
    return ClientUpdate(
        tensors={name: p.detach() - task.tensors[name] for name, p in model.named_parameters()},
        loss=loss / frames,
        local_steps=steps,
        client_s=time.perf_counter() - began,
    )


def _rule_of(config: RunConfig) -> FederatedConfig:
    assert config.federated is not None, "only such a run has clients"
    return config.federated


def _as_of_client(task: ClientTask) -> RunConfig:
    """Return a run of the client alone, whose batches are its own."""
    config = task.config
    training = config.training.model_copy(update={"epochs": _rule_of(config).local_epochs})
    return config.model_copy(update={"seed": task.seed, "training": training})


def _model_of(task: ClientTask) -> SpeechModel:
    with torch.device("meta"):  # all it is to have is in the task
        model = build_model(
            task.config.model,
            num_bins=task.config.features.num_bins,
            num_labels=len(task.labels),
            seed=0,
            allocation=task.allocation,
        )
    set_tensors_(model, {name: tensor.clone() for name, tensor in task.tensors.items()})
    return model.train()


def _step_(
    optimizer: torch.optim.Optimizer, model: SpeechModel, loss: float, limit: float | None
) -> bool:
    """Make one update; return False, and make none, if loss or gradient is not finite."""
    trained = [p for p in model.parameters() if p.grad is not None]
    norm = torch.nn.utils.get_total_norm([p.grad for p in trained if p.grad is not None])
    if not (math.isfinite(loss) and math.isfinite(norm.item())):
        return False
    if limit is not None:
        torch.nn.utils.clip_grads_with_norm_(trained, limit, norm)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return True
