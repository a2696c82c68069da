"""Federated dropout (Caldas et al. 2018, arXiv 1812.07210): which units clients go without.

Rates are by layer: flat, or higher where layers are ambient or critical (arXiv 2110.04267).
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from tuneprune.config import FederatedDropoutConfig, RunConfig
from tuneprune.errors import ConfigError, ResultsError
from tuneprune.results.layer_ranking import layer_ranking
from tuneprune.results.reader import open_results
from tuneprune.structure.groups import PrunableModule
from tuneprune.structure.units import ModuleUnits, num_dropped, units_of

WHOLE_GROUPS = ("mhsa",)
"""Kinds of which a unit is a whole group: the dimensions of a head make one product."""

_RANKING = "federated.dropout.ranking"


def layer_order(config: RunConfig) -> tuple[int, ...] | None:
    """Return the layers that dropout is aimed by, the most ambient first; None without an aim.

    Raises:
        ConfigError: the results that are to rank them can not be read, or rank others.
    """
    dropout = None if config.federated is None else config.federated.dropout
    if dropout is None or dropout.aim == "flat":
        return None
    if dropout.order is not None:
        return dropout.order
    assert dropout.ranking is not None, "checked by the settings"
    try:
        order = _ranked(dropout.ranking)
    except ResultsError as error:
        raise ConfigError(_RANKING, dropout.ranking, f"can not be used: {error}") from None
    layers = set(range(config.model.num_blocks))
    lacking = layers - set(dropout.exclude_layers) - set(order)
    for of_one, said in ((lacking, "ranks no layer"), (set(order) - layers, "ranks layer")):
        if of_one:
            named = ", ".join(map(str, sorted(of_one)))
            where = "of" if of_one is lacking else "that is not in"
            raise ConfigError(_RANKING, dropout.ranking, f"{said} {named} {where} this model")
    return tuple(order)


def _ranked(ranking: str) -> list[int]:
    """Return the layers as FOLDER, or FOLDER@TRIAL, ranks them: on its test split, if on several.

    Raises:
        ResultsError: there are no results, or none that rank layers.
    """
    trial: str | None
    folder, at, trial = ranking.rpartition("@")
    if not at or Path(ranking).is_dir():
        folder, trial = ranking, None
    elif not trial:
        raise ResultsError("trial", "", "is named by nothing after the @; leave out both")
    results = open_results(folder)
    blocks = results.resets(trial, by="row", scope="block", reset="re_rand")
    splits = set(blocks["split"].to_pylist())
    split = results.split_name("test") if len(splits) > 1 else None
    return layer_ranking(results, trial, split=split)


def layer_rates(
    dropout: FederatedDropoutConfig, order: Sequence[int] | None, num_layers: int
) -> dict[int, float]:
    """Return the share of units that is dropped of each layer.

    Args:
        dropout: the settings.
        order: layers, the most ambient first; None with a flat aim.
        num_layers: of the model.
    """
    layers = [layer for layer in range(num_layers) if layer not in dropout.exclude_layers]
    if dropout.aim == "flat":
        assert dropout.rate is not None, "checked by the settings"
        return dict.fromkeys(layers, dropout.rate)
    assert order is not None, "it is aimed by one"
    ranked = [layer for layer in order if layer in layers]
    ranked = ranked if dropout.aim == "ambient" else ranked[::-1]
    aimed = set(ranked[: dropout.layers])
    return {layer: dropout.target_rate if layer in aimed else dropout.base_rate for layer in layers}


def divided_modules(
    modules: Iterable[PrunableModule], kinds: Sequence[str]
) -> tuple[ModuleUnits, ...]:
    """Return the units of the modules of some kinds that have any."""
    found = (
        units_of(module, whole_groups=module.kind in WHOLE_GROUPS)
        for module in modules
        if module.kind in kinds
    )
    return tuple(one for one in found if one.count)


def draw_units(
    modules: Iterable[ModuleUnits], rates: Mapping[int, float], rng: np.random.Generator
) -> dict[str, tuple[int, ...]]:
    """Return the units that one client keeps of each module that it does not have whole."""
    kept: dict[str, tuple[int, ...]] = {}
    for module in modules:
        dropped = num_dropped(rates.get(module.layer, 0.0), module.count)
        if dropped:
            drawn = rng.choice(module.count, size=module.count - dropped, replace=False)
            kept[module.module] = tuple(sorted(drawn.tolist()))
    return kept
