"""The loop of a federated run: rounds, evaluations and checkpoints, until the end.

It is what `training.loop` is for other runs: finished rounds are its steps, and a run that is
killed goes on bit for bit where its last checkpoint is.
"""

import math
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import torch

from tuneprune.adaptation import NOTHING_MASKED, NoHook, networks_of
from tuneprune.config import RunConfig
from tuneprune.errors import ResourceError
from tuneprune.federated.dropout import layer_order
from tuneprune.federated.rounds import ClientOutcome, RoundOutcome, Rounds
from tuneprune.federated.server import apply_update_, build_server
from tuneprune.models.frontend import multiply_adds_per_s
from tuneprune.schedules import evaluation_steps
from tuneprune.training.best import Best
from tuneprune.training.checkpoint import (
    Checkpoint,
    checkpoint_name,
    keep_only,
    load_optimizer_tensors,
    save_checkpoint,
)
from tuneprune.training.context import RunContext
from tuneprune.training.evaluate import Evaluation, Evaluator
from tuneprune.training.initial_model import model_of_run
from tuneprune.training.prepare import Prepared
from tuneprune.training.progress import TrainingProgress
from tuneprune.training.recording import Recorder
from tuneprune.training.steering import Steering
from tuneprune.training.tasks import RunItems


class FederatedLoop:
    """The state of one federated run, and the rounds that change it.

    A model that it starts from is evaluated before the first round, too, to tell what the rounds
    are worth; that evaluation is never the best one.

    Args:
        config: of the run.
        prepared: its corpus, labels and features.
        context: of one process; its device is the server's.
        recorder: where rows go.
        checkpoints: folder in which the best and the last one are kept.
        start: the checkpoint to go on from; it is of the same settings, corpus and labels.
        steering: whether it goes on after an evaluation; it leaves no stages.
        run_items: where clients run.

    Raises:
        CheckpointError: tensors of ``start``, or of what the settings start from, can not be read.
        ConfigError: a round has more clients than there are, or no results rank the layers.
        ResourceError: from ``run``: until the first evaluation, all clients have failed.
    """

    def __init__(
        self,
        config: RunConfig,
        prepared: Prepared,
        context: RunContext,
        *,
        recorder: Recorder,
        checkpoints: Path,
        start: Checkpoint | None,
        steering: Steering,
        run_items: RunItems,
    ) -> None:
        assert config.federated is not None, "only such a run has rounds"
        assert context.world_size == 1, "checked by the settings"
        self._config, self._prepared, self._context = config, prepared, context
        self._recorder, self._steering = recorder, steering
        self._federated = config.federated
        self.checkpoints = checkpoints
        self.total_steps = config.federated.rounds
        self._order = _order(config, start)
        self.model = model_of_run(config, len(prepared.labels.labels), start).to(context.device)
        self._rounds = Rounds(config, prepared, self.model, order=self._order, run_items=run_items)
        self.optimizer = build_server(self.model, config.federated)
        self._dev = Evaluator(prepared.dev, prepared.labels, prepared.features, config)
        self._hook = NoHook()
        self.networks = networks_of(self._hook)
        self.unrecovered_events: int | None = None
        self.step, self.best = 0, Best()
        self.diverged = self.paused = self.stopped = False
        self._due: Literal["verdict"] | None = None
        self._last_loss = math.nan
        self._last_rates = (math.nan, math.nan)
        self._has_learned = start is not None  # else there would be no checkpoint
        self._last_failure: ClientOutcome | None = None
        if start is not None:
            self._restore(start)
        self._evaluate_at = evaluation_steps(config.training.evaluate_every, self.total_steps)

    def run(self, progress: TrainingProgress) -> None:
        """Train to the end, or until weights are not finite, or it is stopped.

        It has diverged, too, where no client could be used until the first evaluation.

        Raises:
            ResourceError: as the class says.
        """
        if self.step == 0:
            self._recorder.allocation(0, self.model.prunable_modules())
            if self._config.model.start_from is not None:
                self._look_at_start(progress)
        self._ask_for_verdict()
        while self.step < self.total_steps and not self.stopped:
            self._round(progress)
            if not _is_finite(self.model):
                self.diverged = True
                break
            progress.stepped(self.step, self._last_loss)
            if self.step in self._evaluate_at:
                if not self._has_learned:
                    self._give_up()
                    break
                self._evaluate(progress)
                self._ask_for_verdict()

    def _give_up(self) -> None:
        """End a run of which no client could be used so far: it is what it began with."""
        if self._last_failure is not None and self._last_failure.end == "failed":
            count = self._federated.clients_per_round
            reason = f"have all failed until round {self.step}: {self._last_failure.reason}"
            raise ResourceError("federated.clients_per_round", count, reason)
        self.diverged = True

    def epochs_at(self, step: int) -> float:
        """Return how often a client has gone through its utterances after ``step`` rounds, mean."""
        drawn = step * self._federated.clients_per_round
        return self._federated.local_epochs * drawn / len(self._rounds.clients)

    def multiply_adds_per_s(self) -> int:
        """Return what the model costs for a second of audio."""
        return multiply_adds_per_s(self.model.frame_macs(), self._config.features)

    def _round(self, progress: TrainingProgress) -> None:
        began = time.perf_counter()
        outcome = self._rounds.run(self.model, self.step)
        self._last_failure = next(iter(outcome.failed), None)
        if outcome.update is not None:
            self._has_learned = True
            apply_update_(self.model, self.optimizer, outcome.update)
            self._last_loss = outcome.loss if outcome.loss is not None else math.nan
        self.step += 1
        self._recorder.round(
            self.step,
            outcome.columns(),
            [asdict(client) for client in outcome.clients],
            model_params=self.model.num_params(),
            learning_rate=self._federated.server_lr,
            round_s=time.perf_counter() - began,
        )
        if outcome.failed:
            progress.say(_said_of_failed(self.step, outcome))

    def _look_at_start(self, progress: TrainingProgress) -> None:
        """Record what the model that the run starts from makes of the new domain."""
        result = self._evaluation()
        progress.evaluated(0, result.wer)

    def _evaluation(self) -> Evaluation:
        result = self._dev.evaluate(self.model, self._context, NOTHING_MASKED)
        self._recorder.evaluation(self.step, self.epochs_at(self.step), result)
        return result

    def _evaluate(self, progress: TrainingProgress) -> None:
        result = self._evaluation()
        found = Best.of(self.step, result, (), masked_params=0)
        if found.mean_wer < self.best.mean_wer:
            self.best = found
            self._save("best", to_go_on=False)
        self._last_rates = (result.wer, result.cer)
        self._due = "verdict"
        last = self._save("last", to_go_on=True)
        keep_only(self.checkpoints, {last.name, checkpoint_name("best", self.best.step)})
        progress.evaluated(self.step, result.wer)
        metrics = {
            "step": float(self.step),
            "total_steps": float(self.total_steps),
            "dev_wer": result.wer,
            "dev_cer": result.cer,
        }
        self._context.report({**metrics, "loss": self._last_loss}, last)

    def _ask_for_verdict(self) -> None:
        if self._due is None:
            return
        self._due = None
        if self._steering.wants_verdict(self.step, self.total_steps, events=0):
            self.stopped = self._steering.stops(self.step, *self._last_rates)

    def _save(self, role: str, *, to_go_on: bool) -> Path:
        return save_checkpoint(
            self.checkpoints,
            role,
            step=self.step,
            model=self.model,
            optimizer=self.optimizer if to_go_on else None,
            config=self._config,
            labels=self._prepared.labels,
            hook=self._hook.state_dict(),
            progress=self._progress(),
        )

    def _progress(self) -> dict[str, Any]:
        return {
            "due": self._due,
            "steering": dict(self._steering.state_dict()),
            "best": asdict(self.best),
            "last_loss": self._last_loss,
            "last_rates": list(self._last_rates),
            "layer_order": None if self._order is None else list(self._order),
            "corpus_fingerprint": self._prepared.corpus_fingerprint,
            "start_fingerprint": self._prepared.start_fingerprint,
            "masks_fingerprint": self._prepared.masks_fingerprint,
        }

    def _restore(self, start: Checkpoint) -> None:
        load_optimizer_tensors(start, self.model, self.optimizer)
        self._steering.load_state_dict(start.progress["steering"])
        self.step = start.step
        self._due = start.progress["due"]
        self.best = Best.from_state(start.progress["best"])
        self._last_loss = start.progress["last_loss"]
        wer, cer = start.progress["last_rates"]
        self._last_rates = (wer, cer)


def _order(config: RunConfig, start: Checkpoint | None) -> tuple[int, ...] | None:
    """Return the layers that dropout is aimed by: those that the run has begun with, if it has."""
    if start is None:
        return layer_order(config)
    kept = start.progress["layer_order"]
    return None if kept is None else tuple(kept)


def _is_finite(model: torch.nn.Module) -> bool:
    return math.isfinite(torch.nn.utils.get_total_norm(model.parameters()).item())


def _said_of_failed(step: int, outcome: RoundOutcome) -> str:
    first = outcome.failed[0]
    drawn, failed = len(outcome.clients), len(outcome.failed)
    what = "; the model stays as it is" if outcome.update is None else ""
    return (
        f"round {step}: {failed} of {drawn} clients left out{what} ({first.client}: {first.reason})"
    )
