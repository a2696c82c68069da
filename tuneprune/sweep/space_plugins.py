"""The plug-ins that a space names, looked for before any trial needs them.

Apart from space.py, because what reads a folder of results needs neither them nor torch.
"""

from tuneprune.adaptation import load_plugins
from tuneprune.config import RunConfig
from tuneprune.plugins import source_fingerprint
from tuneprune.sweep.ranges import Values
from tuneprune.sweep.schedulers import PluginScheduler
from tuneprune.sweep.space import Space, build_trial_config
from tuneprune.sweep.space_checks import check_samples


def check_plugins(space: Space) -> dict[str, str]:
    """Import every class that some trial may name, so that none fails for want of it.

    That is not done where a space is read, for also the folder of a finished sweep holds one.

    Returns:
        The fingerprint of each one's source, by its name in the settings.

    Raises:
        ConfigError: one of them can not be used.
    """
    found: dict[str, str] = {}
    scheduler = space.search.scheduler
    if isinstance(scheduler, PluginScheduler):
        found[scheduler.kind] = source_fingerprint(type(scheduler.build()))

    def build(values: Values) -> RunConfig:
        config = build_trial_config(space, values)
        found.update(load_plugins(config.adaptation))
        return config

    check_samples(space.search.space, space.search.shared, build)
    return found
