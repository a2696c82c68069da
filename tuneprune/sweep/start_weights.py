"""The weights that runs of a space start from: a sweep goes on only with those that it began with.

Each run looks after its own; here it is about trials that are still to begin.
"""

from tuneprune.sweep.space import Space, configs_to_prepare
from tuneprune.training.warm_start import weights_hash


def start_weights(space: Space) -> dict[str, str]:
    """Return the fingerprints of all weights to start from, by what a person calls them.

    Raises:
        ConfigError: some can not be read.
    """
    paths = {config.model.start_from for config in configs_to_prepare(space)}
    found = sorted(path for path in paths if path is not None)
    return {f"the weights in {path}": weights_hash(path) for path in found}
