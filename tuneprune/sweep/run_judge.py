"""Whether one run could be trained at all: judged by its settings alone, nothing is trained."""

import json
from collections.abc import Callable, Sequence

import torch

from tuneprune.adaptation import check_settings
from tuneprune.config import RunConfig
from tuneprune.errors import ConfigError, CorpusError, StructureError, TunepruneError
from tuneprune.models.ctc import build_model
from tuneprune.structure.groups import PrunableModule
from tuneprune.sweep.preparation import preparation_of
from tuneprune.sweep.sharing_plan import RunLengths
from tuneprune.training.expected import expected_steps
from tuneprune.training.prepare import ASSUMED_LABELS

StepsOf = Callable[[RunConfig], int | None]
"""Returns the optimizer steps of a run; None where they are not known."""


class RunJudge:
    """Says what is wrong with runs, each model built once, without its weights.

    Args:
        steps_of: of a run. Where it raises a CorpusError, they are taken as not known: what is
            wrong with a corpus is said where it is opened.
    """

    def __init__(self, steps_of: StepsOf) -> None:
        self._steps_of = steps_of
        self._models: dict[tuple[str, int], Sequence[PrunableModule]] = {}

    def refusal(self, config: RunConfig) -> TunepruneError | None:
        """Return why a run would fail before its first step; None if nothing is known to."""
        try:
            modules = self._modules(config)
            try:
                steps = self._steps_of(config)
            except CorpusError:
                steps = None
            check_settings(config.adaptation, modules, steps)
        except (ConfigError, StructureError) as error:
            return error
        return None

    def _modules(self, config: RunConfig) -> Sequence[PrunableModule]:
        key = (config.model.model_dump_json(), config.features.num_bins)
        if key not in self._models:
            with torch.device("meta"):
                model = build_model(
                    config.model,
                    num_bins=config.features.num_bins,
                    num_labels=ASSUMED_LABELS,  # outputs are in no group
                    seed=0,
                )
            self._models[key] = model.prunable_modules()
        return self._models[key]


class ExpectedSteps:
    """Steps of runs as the tables of their corpora state them, each computed once."""

    def __init__(self) -> None:
        self._known: dict[str, int | TunepruneError | None] = {}

    def __call__(self, config: RunConfig) -> int | None:
        """Return the steps of a run; see ``expected_steps``, also for what it raises."""
        training = config.training.model_dump(
            include={"epochs", "batch_frames", "max_batch_utterances"}
        )
        key = json.dumps([preparation_of(config), training, config.seed])
        if key not in self._known:
            try:
                self._known[key] = expected_steps(config)
            except TunepruneError as error:
                self._known[key] = error
        found = self._known[key]
        if isinstance(found, TunepruneError):
            raise found
        return found


def exact_steps(lengths: RunLengths) -> StepsOf:
    """Return the steps of runs on corpora that are ready; None for one of another corpus."""

    def steps(config: RunConfig) -> int | None:
        return lengths(config).total_steps if lengths.knows(config) else None

    return steps
