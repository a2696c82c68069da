"""Federated runs on the tone corpus, and clients that fail on purpose, here or in a process."""

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from tuneprune.config import RunConfig
from tuneprune.federated.client import ClientTask, ClientUpdate, train_client
from tuneprune.federated.run import train_federated
from tuneprune.results.writer import TableWriter
from tuneprune.testing.tones import tone_config
from tuneprune.training.context import LocalContext
from tuneprune.training.summary import RunSummary
from tuneprune.training.tasks import RunItems, run_here

# What tone_config sets and a federated run has no use for, and small clients of two speakers.
FEDERATED = (
    "optim={}",
    "training.epochs=30",
    "federated={rounds: 4, clients_per_round: 3, clients_per_speaker: 3, client_lr: 0.05}",
)


def federated_config(corpus: Path, *overrides: str) -> RunConfig:
    """Return a federated run of four rounds, each of three of six clients with two utterances."""
    return tone_config(corpus, *FEDERATED, *overrides)


def run_federated(
    config: RunConfig,
    out: Path,
    *,
    checkpoint: Path | None = None,
    run_items: RunItems = run_here,
) -> RunSummary:
    """Train to the end, from a checkpoint if one is given, with tables and checkpoints in out."""
    context = LocalContext(device=torch.device("cpu"), checkpoint=checkpoint)
    with TableWriter(out, sweep_id="s", trial_id="t", attempt=0, seed=config.seed) as writer:
        return train_federated(
            config,
            context,
            writer=writer,
            checkpoint_dir=out / "checkpoints",
            run_items=run_items,
        )


def backwards(function, items: Sequence, /) -> list:
    """Run a function over items, the last one first."""
    return run_here(function, items[::-1])[::-1]


class Spoiled:
    """Runs clients here, and spoils what some of them do.

    Args:
        spoil: by client, ``raise``, ``nan_loss`` or ``inf_update``.
    """

    def __init__(self, **spoil: str) -> None:
        self._spoil = spoil

    def __call__(self, function, items: Sequence, /) -> list:
        return run_here(lambda task: self._run(function, task), items)

    def _run(self, function, task: ClientTask) -> ClientUpdate:
        how = self._spoil.get(task.name) or self._spoil.get("everybody")
        if how == "raise":
            raise ValueError("no battery\nleft")
        update = function(task)
        if how == "nan_loss":
            return replace(update, loss=float("nan"))
        if how == "inf_update":
            name = next(iter(update.tensors))
            spoiled = update.tensors[name].clone()
            spoiled.view(-1)[0] = float("inf")
            return replace(update, tensors={**update.tensors, name: spoiled})
        return update


def write_resets(folder: Path, increases: dict[str, list[float]]) -> None:
    """Write resets of one draw for each layer and trial."""
    for trial, by_layer in increases.items():
        with TableWriter(folder, sweep_id="s", trial_id=trial, attempt=0, seed=1) as writer:
            writer.add("trials", step=10, status="finished", is_baseline=False, settings="{}")
            for layer, increase in enumerate(by_layer):
                writer.add(
                    "layer_resets", step=10, split="dev", reset="re_rand", scope="block",
                    name=f"blocks.{layer}", draw=0, with_statistics=True, before_event=False,
                    layer=layer, params=1,
                    wer=0.1 + increase, wer_low=0.0, wer_high=1.0, cer=0.1, increase=increase,
                    increase_low=0.0, increase_high=1.0, num_ref_words=10,
                )  # fmt: skip


def square_or_die() -> Callable[[int], int]:
    """Return what squares a number, raises at 3, and kills its process at 5.

    A function within one, so that it travels to processes that can not import this module.
    """

    def run(number: int) -> int:
        if number == 3:
            raise ValueError("three\nis wrong")
        if number == 5:
            os._exit(1)
        return number * number

    return run


def train_or_die() -> Callable[[ClientTask], ClientUpdate]:
    """Return what does the same as `train_client`, but kills the process of one client."""

    def run(task: ClientTask) -> ClientUpdate:
        if task.name == "speaker-train-0.1":
            os._exit(1)
        return train_client(task)

    return run
