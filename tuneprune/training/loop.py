"""The training loop: steps, evaluations, adaptation events and checkpoints, until the end.

It knows nothing of Ray, of sweeps, or of what an adaptation method does.
"""

import math
import time
from dataclasses import asdict
from pathlib import Path
from statistics import fmean
from typing import Any, Literal

import torch

from tuneprune.adaptation import (
    AdaptationEvent,
    build_hook,
    masking_of,
    networks_of,
    prepare_model,
)
from tuneprune.config import RunConfig
from tuneprune.models.frontend import multiply_adds_per_s
from tuneprune.schedules import evaluation_steps, marked_steps
from tuneprune.structure.layer_churn import churn_of
from tuneprune.training.batches import StepPlan, TrainingBatches
from tuneprune.training.best import Best
from tuneprune.training.checkpoint import (
    Checkpoint,
    checkpoint_name,
    keep_only,
    load_hook_tensors,
    load_optimizer_tensors,
    save_checkpoint,
    write_checkpoint,
)
from tuneprune.training.context import RunContext
from tuneprune.training.evaluate import Evaluator
from tuneprune.training.initial_masks import initial_masks
from tuneprune.training.initial_model import initial_model, initial_tensors, model_of_run
from tuneprune.training.meter import Meter
from tuneprune.training.optim import build_optimizer, learning_rate, set_learning_rate
from tuneprune.training.prepare import Prepared
from tuneprune.training.progress import TrainingProgress
from tuneprune.training.recording import Recorder
from tuneprune.training.recovery import Recovery, RecoveryWatch, recovery_window
from tuneprune.training.reduce import (
    agree,
    from_rank_0,
    share_buffers,
    sum_gradients,
    sum_over_ranks,
    weights_fingerprint,
)
from tuneprune.training.steering import Steering
from tuneprune.training.step import backward, seed_step

Due = Literal["event", "evaluation", "verdict"] | None
"""What is still to be done at the present step: this, and what comes after it."""


class TrainingLoop:
    """One worker's state of one run, and the steps that change it.

    Args:
        config: of the run.
        prepared: its corpus, labels and features.
        context: rank, device and whom to report to.
        recorder: where rows go; on ranks above 0 one that writes nothing.
        checkpoints: folder in which rank 0 keeps the best and the last one.
        start: the checkpoint to go on from; it is of the same settings, corpus and labels.
        steering: where it leaves stages for others, and whether it goes on after an event.

    Raises:
        CheckpointError: tensors of ``start``, or of what the settings start from, can not be read
            or do not fit its own description.
        StructureError: the model can not be built in the allocation that is asked for, or
            describes itself wrongly; from ``run`` also: the optimizer can not follow a change.
        ResourceError: ranks do not agree on the initial weights; from ``run``: on a plan.
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
    ) -> None:
        self._config = config
        self._steering = steering
        self._prepared = prepared
        self._context = context
        self._recorder = recorder
        self.checkpoints = checkpoints
        store = prepared.features
        self.batches = TrainingBatches(prepared.train, prepared.labels, store, config)
        self._dev = Evaluator(prepared.dev, prepared.labels, store, config)
        self.total_steps = self.batches.total_steps
        self.model = model_of_run(config, len(prepared.labels.labels), start).to(context.device)
        prepare_model(config.adaptation, self.model, total_steps=self.total_steps, seed=config.seed)
        self.optimizer = build_optimizer(self.model, config.optim)
        self.hook = build_hook(
            config.adaptation,
            self.model,
            self.optimizer,
            total_steps=self.total_steps,
            seed=config.seed,
            watch=steering.watch,
            languages=self.batches.languages,
            masks=initial_masks(config, self.model, resumed=start),
        )
        self.masking = masking_of(self.hook)
        self.networks = networks_of(self.hook)
        self.step = 0
        self.best = Best()
        self.diverged = False
        self.paused = False
        self.stopped = False
        self._due: Due = "event"
        self.unrecovered_events: int | None = None
        self._events = 0
        self._last_loss = math.nan
        # WER and CER of the last evaluation; with subnets, means over the model and all of them.
        self._last_rates = (math.nan, math.nan)
        self._recovery = RecoveryWatch(recovery_window(self.total_steps))
        self._meter = Meter()
        if start is not None:
            self._restore(start)
        if context.world_size > 1:
            agree("initial weights", weights_fingerprint(self.model), context.world_size)
        self._evaluate_at = evaluation_steps(config.training.evaluate_every, self.total_steps)
        self._keep_at = marked_steps(config.training.keep_checkpoints, self.total_steps)
        self._churn_at = marked_steps(config.training.churn_at, self.total_steps)

    def run(self, progress: TrainingProgress) -> None:
        """Train to the end, or until the loss diverges, it pauses, or it is stopped.

        Raises:
            StructureError, ResourceError: at an event, as the class says.
        """
        if self.step == 0:
            self._recorder.allocation(0, self.model.prunable_modules())
        self.model.train()
        self._arrive(progress)
        while self.step < self.total_steps and not (self.paused or self.stopped):
            began = time.perf_counter()
            if not self._train_step():
                self.diverged = True
                break
            took_s = time.perf_counter() - began
            self._settle(self._recovery.stepped(self.step, self._last_loss, took_s), progress)
            progress.stepped(self.step, self._last_loss)
            self._due = "event"
            self._arrive(progress)
        if not self.paused:
            self._settle(self._recovery.end(self.step), progress)

    def epochs_at(self, step: int) -> float:
        """Return how many passes over the training split ``step`` finished steps are."""
        return self._config.training.epochs * step / self.total_steps

    def multiply_adds_per_s(self) -> int:
        """Return what the model as it is now costs for a second of audio."""
        return multiply_adds_per_s(self.model.frame_macs(), self._config.features)

    def _train_step(self) -> bool:
        """Make one update; return False, and make none, if loss or gradient is not finite."""
        config, context = self._config, self._context
        plan = self.batches.plan(self.step)
        generator = seed_step(config.seed, self.step, context.rank)
        share = self.batches.share(
            plan, rank=context.rank, world_size=context.world_size, generator=generator
        )
        with self.masking.weights(plan.language):
            part = backward(
                self.model,
                share,
                encoder_frames=self.batches.encoder_frames(plan),
                device=context.device,
                precision=config.training.precision,
                routes=lambda: self.networks.routes(self.step),
                penalty=self._penalty(),
            )
        loss = sum_over_ranks(part, context.world_size)
        if context.world_size > 1:
            sum_gradients(self.model)
        self.masking.take_gradients(self.step, plan.language)
        gradients = [p.grad for p in self.model.parameters() if p.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients)
        grad_norm = norm.item()
        if not (math.isfinite(loss) and math.isfinite(grad_norm)):
            return False
        self.hook.observe(self.step)
        rate = learning_rate(config.optim, self.step, self.total_steps)
        rate *= self.hook.lr_factor(self.step)
        self._update(rate, norm)
        self.masking.updated()
        self.step += 1
        self._last_loss = loss
        self._record_step(plan, loss, rate, grad_norm)
        return True

    def _penalty(self) -> torch.Tensor | None:
        """Return this rank's part of what the method adds to the loss."""
        penalty = self.networks.penalty(self.step)
        return None if penalty is None else penalty / self._context.world_size

    def _update(self, rate: float, grad_norm: torch.Tensor) -> None:
        limit = self._config.optim.clip_grad_norm
        if limit is not None:
            trained = [p for p in self.model.parameters() if p.grad is not None]
            torch.nn.utils.clip_grads_with_norm_(trained, limit, grad_norm)
        set_learning_rate(self.optimizer, rate)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

    def _arrive(self, progress: TrainingProgress) -> None:
        """Do what is due once a step is made: publish it, adapt, evaluate, ask for a verdict."""
        if self._due == "event":
            if self._steering.wants_stage(self.step):
                self._publish()
            self._keep()
            self._adapt(progress)
            if self.paused:
                self._save("last", with_optimizer=True, due="evaluation")
                return
            self._due = "evaluation"
        if self._due == "evaluation":
            self._due = None
            if self.step in self._evaluate_at:
                self._evaluate(progress)
                self._due = "verdict"
        if self._due == "verdict":
            self._ask_for_verdict()
            self._due = None

    def _publish(self) -> None:
        if self._context.rank:
            return
        began = time.perf_counter()
        self._recorder.flush()

        def save(path: Path) -> None:
            write_checkpoint(path, **self._state(with_optimizer=True, due="event"))

        self._steering.publish(self.step, save)
        self._meter.left_out(began)

    def _keep(self) -> None:
        """Keep what was asked for of this step: its weights, and how far they have moved."""
        if self._context.rank or self.step not in self._keep_at | self._churn_at:
            return
        began = time.perf_counter()
        if self.step in self._keep_at:
            self._save("kept", with_optimizer=False, due="event")
        if self.step in self._churn_at:
            first = initial_model(self._config, len(self._prepared.labels.labels))
            initial = initial_tensors(first, self.model, self.hook.state_dict())
            modules = self.model.prunable_modules()
            present = dict(self.model.named_parameters())
            self._recorder.churn(
                self.step,
                churn_of(modules, initial, present),
                before_event=self.hook.propose(self.step) is not None,
            )
        self._meter.left_out(began)

    def _adapt(self, progress: TrainingProgress) -> None:
        plan = self.hook.propose(self.step)
        if plan is None:
            return
        began = time.perf_counter()
        agree("adaptation plan", plan.fingerprint(), self._context.world_size)
        macs_before = self.multiply_adds_per_s()
        share_buffers(self.model, self._context.world_size)  # an event may keep a copy of them
        event = self.hook.apply(plan, self.step)
        self._events += bool(event.outcome)
        if event.renews_best:
            self.best = Best()
        self._recorder.event(
            event,
            loss_before=self._last_loss if self.step else None,
            event_s=time.perf_counter() - began,
            multiply_adds_per_s_before=macs_before,
            multiply_adds_per_s_after=self.multiply_adds_per_s(),
            per_s=lambda macs: multiply_adds_per_s(macs, self._config.features),
        )
        if isinstance(event, AdaptationEvent):
            self._recorder.allocation(self.step, self.model.prunable_modules())
        self.unrecovered_events = self.unrecovered_events or 0
        if event.disturbs and self.step:
            self._settle(self._recovery.begin(event.event, self.step), progress)
        goes_on = from_rank_0(lambda: self._steering.goes_on(event), self._context)
        self.paused = not goes_on
        self._meter.left_out(began)
        progress.say(f"step {self.step}: {event.sentence}")

    def _ask_for_verdict(self) -> None:
        """Ask whether it goes on, but not while it recovers: that says nothing of how it ends."""
        asks = self._steering.wants_verdict(self.step, self.total_steps, events=self._events)
        if asks and not self._recovery.is_open:
            wer, cer = self._last_rates
            self.stopped = from_rank_0(
                lambda: self._steering.stops(self.step, wer, cer), self._context
            )

    def _settle(self, recovery: Recovery | None, progress: TrainingProgress) -> None:
        if recovery is None:
            return
        self._recorder.recovery(self.step, recovery)
        if not recovery.recovered:
            self.unrecovered_events = (self.unrecovered_events or 0) + 1
            progress.say(
                f"step {self.step}: the loss is not back to {recovery.loss_before:.3f}, what it "
                f"was before the event at step {recovery.event_step}"
            )

    def _evaluate(self, progress: TrainingProgress) -> None:
        share_buffers(self.model, self._context.world_size)
        result = self._dev.evaluate(self.model, self._context, self.masking)
        subnets = self._dev.evaluate_subnets(self.model, self._context, self.networks)
        for one in (result, *subnets):
            self._recorder.evaluation(self.step, self.epochs_at(self.step), one)
        found = Best.of(self.step, result, subnets, masked_params=self.masking.masked_params)
        if found.mean_wer < self.best.mean_wer:
            self.best = found
            self._save("best", with_optimizer=False)
        mean_cer = fmean(one.cer for one in (result, *subnets))
        self._last_rates = (found.mean_wer, mean_cer)
        self._meter = Meter()  # its row was written with the step
        last = self._save("last", with_optimizer=True, due="verdict")
        if last is not None:  # only now: until it was there, the one before named its own best
            keep_only(self.checkpoints, {last.name, checkpoint_name("best", self.best.step)})
        progress.evaluated(self.step, result.wer)
        metrics = {
            "step": float(self.step),
            "total_steps": float(self.total_steps),
            "dev_wer": result.wer,
            "dev_cer": result.cer,
        }
        self._context.report({**metrics, "loss": self._last_loss}, last)
        self._meter = Meter()

    def _record_step(self, plan: StepPlan, loss: float, rate: float, grad_norm: float) -> None:
        padded_frames = self.batches.padded_frames(plan, world_size=self._context.world_size)
        self._meter.stepped(plan, loss=loss, padded_frames=padded_frames)
        if self._is_logged(self.step):
            row = self._meter.row()
            self._recorder.step(self.step, learning_rate=rate, grad_norm=grad_norm, **row)
            self._meter = Meter()

    def _is_logged(self, step: int) -> bool:
        """Return whether a row of steps ends here; always where time is taken by an evaluation."""
        return step % self._config.training.log_every_steps == 0 or step in self._evaluate_at

    def _save(self, role: str, *, with_optimizer: bool, due: Due = None) -> Path | None:
        if self._context.rank:
            return None
        state = self._state(with_optimizer=with_optimizer, due=due)
        return save_checkpoint(self.checkpoints, role, **state)

    def _state(self, *, with_optimizer: bool, due: Due) -> dict[str, Any]:
        """Return what a checkpoint is made of; ``due`` is what is still to be done at its step."""
        return {
            "step": self.step,
            "model": self.model,
            "optimizer": self.optimizer if with_optimizer else None,
            "config": self._config,
            "labels": self._prepared.labels,
            "hook": self.hook.state_dict(),
            "hook_tensors": self.masking.tensors(to_go_on=with_optimizer),
            "progress": {
                "due": due,
                "steering": dict(self._steering.state_dict()),
                "best": asdict(self.best),
                "last_loss": self._last_loss,
                "last_rates": list(self._last_rates),
                "meter": self._meter.state_dict(),
                "recovery": self._recovery.state_dict(),
                "events": self._events,
                "unrecovered_events": self.unrecovered_events,
                "corpus_fingerprint": self._prepared.corpus_fingerprint,
                "start_fingerprint": self._prepared.start_fingerprint,
                "masks_fingerprint": self._prepared.masks_fingerprint,
            },
        }

    def _restore(self, start: Checkpoint) -> None:
        load_optimizer_tensors(start, self.model, self.optimizer)
        self.hook.load_state_dict(start.hook)
        self.masking.load_tensors(load_hook_tensors(start))
        self._steering.load_state_dict(start.progress["steering"])
        self.step = start.step
        self._due = start.progress["due"]
        self._meter = Meter.from_state(start.progress["meter"])
        self.best = Best.from_state(start.progress["best"])
        self._last_loss = start.progress["last_loss"]
        wer, cer = start.progress["last_rates"]
        self._last_rates = (wer, cer)
        self._recovery.load_state_dict(start.progress["recovery"])
        self._events = start.progress["events"]
        self.unrecovered_events = start.progress["unrecovered_events"]
