"""What of a supernet's settings must suit model and training, and what a run is given at first."""

from collections.abc import Sequence
from itertools import pairwise

from torch import nn

from tuneprune.adaptation.selectors import SelectionTask, build_selector
from tuneprune.adaptation.supernet_times import supernet_times
from tuneprune.config import SupernetConfig
from tuneprune.errors import ConfigError, StructureError
from tuneprune.structure.groups import PrunableModule
from tuneprune.structure.routes import Routed
from tuneprune.structure.subnets import budgets_of, module_costs, shrinking_budgets


def selection_task(
    config: SupernetConfig,
    modules: Sequence[PrunableModule],
    *,
    total_steps: int,
    seed: int,
) -> SelectionTask:
    """Return what the selector of a run is told.

    Args:
        config: settings of the method.
        modules: of the model.
        total_steps: optimizer steps of the run.
        seed: of whatever is drawn.

    Raises:
        ConfigError, StructureError: settings that do not suit model or run.
    """
    costs = module_costs(modules, config.budget)
    smallest = budgets_of(config.subnets, costs, config.budget)[-1]
    times = supernet_times(config, total_steps)
    return SelectionTask(
        config=config.selector,
        costs=costs,
        budgets=shrinking_budgets(sum(costs.values()), smallest, len(times.ends)),
        times=times,
        seed=seed,
    )


def check_supernet(
    config: SupernetConfig, modules: Sequence[PrunableModule], *, total_steps: int | None
) -> None:
    """Refuse settings that do not suit a model or a length of training.

    Args:
        config: settings of the method.
        modules: of the model before training.
        total_steps: optimizer steps of the run; None: not known, and times are not looked at.

    Raises:
        ConfigError: naming the setting and what would do.
    """
    try:
        costs = module_costs(modules, config.budget)
        budgets = budgets_of(config.subnets, costs, config.budget)
    except StructureError as error:
        raise ConfigError(error.field, error.value, error.remedy) from None
    smallest = int(budgets[-1]) if config.budget == "layers" else 1
    left_out = len(costs) - smallest
    rounds = config.selector.num_iterations
    if config.has_rounds and rounds > left_out:
        remedy = f"must be at most {left_out}: a subnet loses a module in each"
        raise ConfigError("adaptation.selector.iterations", rounds, remedy)
    if config.selector.kind == "early_exit":
        _check_exits(config, modules)
    if total_steps is not None:
        supernet_times(config, total_steps)


def _check_exits(config: SupernetConfig, modules: Sequence[PrunableModule]) -> None:
    some = [module for module in modules if module.groups]
    ends = [place for place, (a, b) in enumerate(pairwise(some), 1) if a.layer != b.layer]
    if any(int(size) not in ends for size in config.subnets):
        shown = ", ".join(map(str, ends))
        remedy = f"must be among {shown}: with selector.kind: early_exit subnets are whole blocks"
        raise ConfigError("adaptation.subnets", [int(size) for size in config.subnets], remedy)


def open_supernet(config: SupernetConfig, model: nn.Module, *, total_steps: int, seed: int) -> None:
    """Give a model what its subnets need; a restored one has it.

    Args:
        config: settings of the method.
        model: fresh or restored.
        total_steps: optimizer steps of the run.
        seed: of the run.
    """
    routed: Routed = model  # type: ignore[assignment]  # nn.Module hides its attributes
    if routed.networks is None:
        modules = routed.prunable_modules()
        task = selection_task(config, modules, total_steps=total_steps, seed=seed)
        scores = build_selector(task).initial_scores()
        routed.open_networks(len(config.subnets), scores=scores, seed=seed)
