"""Which fields decide over corpus, stored features and what can be trained on, and which of their
values can meet."""

import json
from collections.abc import Mapping
from typing import Any

from tuneprune.config import RunConfig
from tuneprune.sweep.grid import deciding_combinations
from tuneprune.sweep.ranges import Parameter

_OF_MODEL = ("model.frontend", "model.stacking", "model.transducer", "model.start_from")


def needs_preparation(path: str) -> bool:
    """Return whether another value at ``path`` means another preparation.

    Of the model only the front-end, frame stacking and the kind of output do, which decide which
    utterances are long enough, and the checkpoint to start from, which has labels.
    """
    prepared = path.split(".")[0] in ("corpus", "features", "text") or path == "model"
    prepared |= path.startswith(_OF_MODEL)
    return prepared and not path.startswith("features.spec_augment")


def preparation_of(config: RunConfig) -> str:
    """Return what runs have in common that are prepared by the same."""
    features = config.features.model_dump(mode="json", exclude={"spec_augment"})
    others = (config.corpus, config.text, config.model.frontend)
    settings = [features, *(one.model_dump(mode="json") for one in others)]
    model = config.model
    start = None if model.start_from is None else str(model.start_from)
    of_model = (model.frames_joined, model.transducer is None, start)
    return json.dumps([*settings, *of_model], sort_keys=True)


def length_of(config: RunConfig) -> str:
    """Return what runs have in common that are of as many steps."""
    beside = {"precision", "workers", "num_threads", "evaluate_every", "log_every_steps"}
    training = config.training.model_dump(mode="json", exclude=beside)
    rounds = None if config.federated is None else config.federated.rounds
    return json.dumps([preparation_of(config), training, rounds, config.seed])


def prepared_combinations(parameters: Mapping[str, Parameter]) -> list[dict[str, Any]]:
    """Return the values that can meet in fields to be prepared and in those they depend on."""
    return deciding_combinations(parameters, needs_preparation)
