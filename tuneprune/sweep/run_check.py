"""Whether one run could be trained at all: judged by its settings alone, nothing is trained."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from tuneprune.adaptation import check_settings
from tuneprune.config import RunConfig
from tuneprune.errors import ConfigError, CorpusError, StructureError, TunepruneError
from tuneprune.models.build import build_model
from tuneprune.structure.groups import PrunableModule
from tuneprune.structure.maskable import MaskableWeight
from tuneprune.sweep.preparation import length_of, preparation_of
from tuneprune.sweep.sharing_plan import RunLengths
from tuneprune.training.expected import StatedCorpus, read_stated
from tuneprune.training.prepare import ASSUMED_LABELS
from tuneprune.training.warm_start import with_start_allocation

StepsOf = Callable[[RunConfig], int | None]
"""Returns the optimizer steps of a run; None where they are not known."""


STATED_SLACK = 0.02
"""Share of the steps of a run by which they may differ from what its corpus states."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Parts:
    """What of a model can be moved, and what can be masked."""

    modules: Sequence[PrunableModule]
    weights: Sequence[MaskableWeight]


class RunCheck:
    """Says what is wrong with runs, each model built once, without its weights.

    Args:
        steps_of: of a run. Where it raises, they are taken as not known: what is wrong with a
            corpus, or with its batches, is said where it is opened.
        slack: share of the steps by which they may be off; nothing is refused that would do with
            some number of steps as near as that.
    """

    def __init__(self, steps_of: StepsOf, *, slack: float = 0.0) -> None:
        self._steps_of = steps_of
        self._slack = slack
        self._parts: dict[tuple[str, int], _Parts] = {}

    def refusal(self, config: RunConfig) -> TunepruneError | None:
        """Return why a run would fail before its first step; None if nothing is known to."""
        try:
            parts, may_be = self._parts_of(config), self._may_be(config)
        except (ConfigError, StructureError) as error:
            return error
        refused = [self._refused(config, parts, steps) for steps in may_be]
        return refused[0] if all(refused) else None

    def _refused(
        self, config: RunConfig, parts: _Parts, steps: int | None
    ) -> TunepruneError | None:
        try:
            check_settings(config.adaptation, parts.modules, steps, weights=parts.weights)
        except (ConfigError, StructureError) as error:
            return error
        return None

    def _may_be(self, config: RunConfig) -> tuple[int | None, ...]:
        """Return the steps of a run, then others that it may have as well."""
        try:
            steps = self._steps_of(config)
        except CorpusError:
            return (None,)
        except ConfigError:
            if not self._slack:
                raise
            return (None,)
        if steps is None or not self._slack:
            return (steps,)
        off = math.ceil(self._slack * steps)
        return (steps, max(1, steps - off), steps + off)

    def _parts_of(self, run: RunConfig) -> _Parts:
        config = with_start_allocation(run)
        key = (config.model.model_dump_json(), config.features.num_bins)
        if key not in self._parts:
            with torch.device("meta"):
                model = build_model(
                    config.model,
                    num_bins=config.features.num_bins,
                    num_labels=ASSUMED_LABELS,  # outputs are in no group
                    seed=0,
                )
            self._parts[key] = _Parts(
                modules=model.prunable_modules(), weights=model.maskable_weights()
            )
        return self._parts[key]


class ExpectedSteps:
    """Steps of runs as the tables of their corpora state them, each table read once."""

    def __init__(self) -> None:
        self._stated: dict[str, StatedCorpus | None] = {}
        self._known: dict[str, int | TunepruneError | None] = {}

    def __call__(self, config: RunConfig) -> int | None:
        """Return the steps of a run; None where its corpus is not there.

        Raises:
            CorpusError: the corpus can not be trained on so.
            ConfigError: no batch holds the longest utterance.
        """
        key = length_of(config)
        if key not in self._known:
            try:
                self._known[key] = self._steps(config)
            except TunepruneError as error:
                self._known[key] = error
        found = self._known[key]
        if isinstance(found, TunepruneError):
            raise found
        return found

    def _steps(self, config: RunConfig) -> int | None:
        corpus = preparation_of(config)
        if corpus not in self._stated:
            self._stated[corpus] = read_stated(config)
        stated = self._stated[corpus]
        return None if stated is None else stated.steps(config)


def exact_steps(lengths: RunLengths) -> StepsOf:
    """Return the steps of runs on corpora that are ready; None for one of another corpus."""

    def steps(config: RunConfig) -> int | None:
        return lengths(config).total_steps if lengths.knows(config) else None

    return steps
