"""Adaptive pruning masks: initial masks, a schedule, candidates, a gradient rule and rewinding.

Dynamic ASR Pathways (Xie et al., arXiv 2309.13018) and its relatives are settings of this one
mechanism. At the times that `mask_times` knows, the masks that are due are decided one after the
other: from the size of all weights, among the blocks that may be kept, as many as sparsity says.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from tuneprune.adaptation.adaptive_mask_rules import (
    InitialMasks,
    begin_masks,
    mask_times_of,
    select_masked,
)
from tuneprune.adaptation.mask_event import MaskEvent, MaskPlan, describe_mask_event
from tuneprune.adaptation.mask_tensors import pack_given_masks, pack_masks, unpack_masks
from tuneprune.adaptation.mask_times import EVERYBODY, MaskTime, begin_step
from tuneprune.adaptation.masked_weights import MaskedWeights
from tuneprune.adaptation.observing import NOTHING_MORE, Watch, Watching
from tuneprune.config import AdaptiveMaskConfig
from tuneprune.errors import CheckpointError
from tuneprune.structure.blocks import NofM, block_scores, blocks_of, grid_shape, read_pattern
from tuneprune.structure.mask_exchange import drop_and_grow, exchange_fraction
from tuneprune.structure.mask_sets import Masks, candidates, check_alike, churn
from tuneprune.structure.maskable import Maskable
from tuneprune.structure.masks import top_blocks, top_n_of_m

EXCHANGE = 0.3
"""Share of kept blocks that RigL exchanges at first (Evci et al. 2020)."""
_START, _GRADIENT = "start/", "gradient/"


class AdaptiveMask:
    """The hook of one run.

    Args:
        model: whose weights are masked; it must be `Maskable`.
        optimizer: of its parameters.
        config: settings of the method.
        total_steps: optimizer steps of the run.
        languages: the language of each step; None where they mix.
        initial: masks to begin with; None: those of the largest weights.
        watch: scores that it takes for other runs.

    Raises:
        ConfigError: settings that do not suit model or run.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        config: AdaptiveMaskConfig,
        *,
        total_steps: int,
        languages: Sequence[str] | None = None,
        initial: InitialMasks | None = None,
        watch: Watch = NOTHING_MORE,
    ) -> None:
        maskable: Maskable = model  # type: ignore[assignment]  # nn.Module hides its methods
        selected = select_masked(config, maskable.maskable_weights())
        self._config, self._model, self._optimizer = config, model, optimizer
        self._total_steps = total_steps
        self._pattern = read_pattern("adaptation.blocks", config.blocks)
        self._blocks = blocks_of(self._pattern)
        self._weights = MaskedWeights(
            model, optimizer, [weight.name for weight in selected], self._blocks
        )
        self._initial = begin_masks(config, initial, self._dense(), languages)
        times = mask_times_of(config, self._initial, total_steps, languages)
        self._times: dict[int, list[MaskTime]] = {}
        for time in times:
            self._times.setdefault(time.step, []).append(time)
        self._names = sorted({time.language for time in times})
        for name in self._names:
            self._weights.put(name, self._dense())
        self._num_events = 0
        self._decided = -1  # the step of the last decision
        self._start: dict[str, Tensor] = {}
        self._gradients: dict[str, Tensor] = {}
        self._watching = Watching(model, watch) if watch.observations else None

    @property
    def is_per_language(self) -> bool:
        """Whether forward passes must say of which language they are.

        Not while masks keep everything: then a run evaluates in the batches of one without masks,
        so that its numbers are the same to the bit.
        """
        return self._config.scope == "language" and self._weights.removes

    @property
    def masked_params(self) -> int:
        """Parameters that act for no language."""
        return self._weights.removed_weights(self._weights.masks)

    def weights(self, language: str | None) -> AbstractContextManager[None]:
        """Return a context in which the model is what it is for a language; see `seen_by`."""
        return self._weights.seen_by(self._whose(language))

    def take_gradients(self, step: int, language: str | None) -> None:
        """Read what gradients are needed for, then take away what the update must not see.

        Args:
            step: finished steps before this one.
            language: of the step.
        """
        config = self._config
        if config.grow_by == "gradient" and self._adapts_at(step + 1):
            self._gradients = {
                name: self._score(_gradient(parameter))
                for name, parameter in self._weights.parameters.items()
            }
        if config.gradient == "masked":
            self._weights.freeze(self._whose(language))

    def updated(self) -> None:
        """Undo what the update has done to weights that it must leave as they are."""
        self._weights.thaw()

    def observe(self, step: int) -> None:
        """Take the scores that other runs will ask for."""
        if self._watching is not None:
            self._watching.observe(step)

    def propose(self, step: int) -> MaskPlan | None:
        """Return the masks that are due after ``step`` finished steps, if any are."""
        due = self._times.get(step, []) if step > self._decided else []
        if not due:
            return None
        before = self._weights.masks
        after = dict(before)
        for time in due:  # what one has decided, the next one knows
            after[time.language] = self._decide(time, after)
        changed = {time.language: after[time.language] for time in due}
        first = max(due, key=lambda time: (time.decision != "adapt", time.sparsity))
        return MaskPlan(
            decision=first.decision,
            sparsity=first.sparsity,
            masks=changed,
            changed=any(churn(before[name], one).fraction for name, one in changed.items()),
            rewinds=self._config.rewind and any(time.decision == "prune" for time in due),
        )

    def apply(self, plan: MaskPlan, step: int) -> MaskEvent:
        """Put the masks in place; weights and moments follow as the settings say."""
        config = self._config
        before = dict(self._weights.masks)
        for name, masks in plan.masks.items():
            check_alike(masks, before[name])
        for name, masks in plan.masks.items():
            self._weights.put(name, masks)
        if plan.decision == "begin" and config.rewind:
            self._start = {n: t.detach().clone() for n, t in self._model.state_dict().items()}
        if plan.rewinds:
            self._model.load_state_dict(self._start)
            self._optimizer.state.clear()
        # The weights of begin were stored before anything was masked.
        stored_under = {EVERYBODY: self._dense()} if plan.rewinds else before
        self._weights.change(
            stored_under, clear=config.moments == "clear", zero=config.masked_values == "zero"
        )
        self._gradients = {}
        event = describe_mask_event(
            plan,
            self._weights,
            before,
            event=self._num_events,
            step=step,
            config=config,
            params=sum(p.numel() for p in self._model.parameters()),
        )
        self._num_events += 1
        self._decided = step
        return event

    def lr_factor(self, step: int) -> float:
        return 1.0

    def state_dict(self) -> dict[str, Any]:
        """Return what is known beside the masks, as JSON can hold it."""
        watched = self._watching.state_dict()["observed"] if self._watching else {}
        return {
            "method": self._config.method,
            "events": self._num_events,
            "decided": self._decided,
            "languages": self._names,
            "observed": watched,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a ``state_dict``; that of a run without adaptation is the one before masks.

        Raises:
            CheckpointError: the state is of another method.
        """
        found = state.get("method")
        if found not in ("none", self._config.method):
            raise CheckpointError("adaptation.method", found, f"must be '{self._config.method}'")
        if self._watching is not None:
            self._watching.load_state_dict(state)
        if found != "none":
            self._num_events = int(state["events"])
            self._decided = int(state["decided"])

    def tensors(self, *, to_go_on: bool) -> dict[str, Tensor]:
        """Return the masks as bits, by language and weight; nothing before the first are made.

        Until then runs of other masks, or of none, are the same run and go on from here too.

        Args:
            to_go_on: with all else that a run needs to go on from here.
        """
        if self._decided < 0:
            return {}
        found = pack_masks(self._weights.masks)
        if to_go_on:
            found |= {f"{_START}{name}": tensor for name, tensor in self._start.items()}
            found |= {f"{_GRADIENT}{name}": one for name, one in self._gradients.items()}
            found |= pack_given_masks(self._initial or {})
        return found

    def load_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Go on from ``tensors``; without any, from before the first masks.

        Raises:
            CheckpointError: they are not of this model.
        """
        if not tensors:
            return
        own = self._model.state_dict()
        self._start = {
            name: tensors[f"{_START}{name}"].to(own[name])
            for name in own
            if f"{_START}{name}" in tensors
        }
        parameters = self._weights.parameters
        self._gradients = {
            name: tensors[f"{_GRADIENT}{name}"].to(parameters[name].device)
            for name in parameters
            if f"{_GRADIENT}{name}" in tensors
        }
        for name in self._names:
            self._weights.put(name, unpack_masks(tensors, name, self._dense()))

    def _adapts_at(self, step: int) -> bool:
        return any(time.decision == "adapt" for time in self._times.get(step, ()))

    def _whose(self, language: str | None) -> str:
        if not self.is_per_language:
            return EVERYBODY
        assert language is not None, "with a mask a language, every batch is of one"
        return language

    def _dense(self) -> Masks:
        return {
            name: torch.ones(
                grid_shape(parameter.shape, self._blocks), dtype=torch.bool, device=parameter.device
            )
            for name, parameter in self._weights.parameters.items()
        }

    def _score(self, tensor: Tensor) -> Tensor:
        return block_scores(tensor, self._blocks, norm=self._config.norm)

    def _decide(self, time: MaskTime, masks: Mapping[str, Masks]) -> Masks:
        """Return the mask of a language, from the size of the weights as they are stored."""
        config = self._config
        if time.decision == "begin" and self._initial is not None:
            return self._initial[time.language]
        if not time.sparsity:
            return self._dense()
        scores = {name: self._score(p) for name, p in self._weights.parameters.items()}
        if time.decision == "adapt" and config.grow_by == "gradient":
            return self._exchange(time, masks[time.language], scores)
        within: Masks | None = None
        if config.candidates == "kept":
            within = masks[time.language]
        elif config.candidates == "own_or_free":
            within = candidates(masks, time.language)
        if isinstance(self._pattern, NofM):
            return top_n_of_m(scores, self._pattern, within=within)
        return top_blocks(scores, time.sparsity, ranking=config.ranking, within=within)

    def _exchange(self, time: MaskTime, mask: Masks, scores: Mapping[str, Tensor]) -> Masks:
        config, total = self._config, self._total_steps
        begin = begin_step(config, total)
        until = total if config.adapt_until is None else round(config.adapt_until * total)
        fraction = exchange_fraction(
            (time.step - begin) / max(until - begin, 1), alpha=config.exchange or EXCHANGE
        )
        return drop_and_grow(mask, scores, self._gradients, fraction)


def _gradient(parameter: nn.Parameter) -> Tensor:
    return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
