"""Whether trials have what a space judges them by, where that is the error of their subnets."""

from collections.abc import Iterator

from tuneprune.errors import ConfigError
from tuneprune.sweep.constraints import SUBNET_RATES
from tuneprune.sweep.grid import deciding_combinations
from tuneprune.sweep.search_settings import Search

_METHOD = ("adaptation", "adaptation.method")


def check_subnets(search: Search, base_method: str) -> None:
    """Refuse to judge trials by their subnets where some have none.

    Args:
        search: of a space whose fields are checked by themselves.
        base_method: ``adaptation.method`` of a trial where the search decides nothing.

    Raises:
        ConfigError: naming the objective or the constraint, and the methods that trials can have.
    """
    others = sorted(set(_methods(search, base_method)) - {"supernet"})
    have = f"adaptation.method: {' or '.join(others)}"
    for field, value, metric in _judged(search) if others else ():
        remedy = (
            f"{metric} needs subnets, and trials can have {have}; "
            "give adaptation.method: supernet to all (search.set), or judge by another metric"
        )
        raise ConfigError(field, value, remedy)


def _judged(search: Search) -> Iterator[tuple[str, str, str]]:
    """Yield where the error of subnets is asked for, what stands there, and the metric."""
    for number, metric in enumerate(search.objectives):
        if metric in SUBNET_RATES:
            yield f"search.objectives.{number}", metric, metric
    for number, limit in enumerate(search.limits):
        if limit.metric in SUBNET_RATES:
            yield f"search.constraints.{number}", search.constraints[number], limit.metric


def _methods(search: Search, base_method: str) -> Iterator[str]:
    """Yield the methods that trials can have, in the order in which fields are put in place."""
    ties = {tied: path for tied, path in search.tie.items() if tied in _METHOD}
    deciding = {*_METHOD, *ties.values()}
    for values in deciding_combinations(search.space, deciding.__contains__):
        tied = {one: values[path] for one, path in ties.items() if path in values}
        method = base_method
        for path, value in {**search.shared, **values, **tied}.items():
            if path in _METHOD:
                method = value if path == "adaptation.method" else value["method"]
        yield method
