"""Ask every machine of the running cluster the same question; none is waited for for ever."""

import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

T = TypeVar("T")

ANSWER_TIMEOUT_S = 60.0
"""A node that imports torch from a cold network disk takes half of it."""

THIS_MACHINE = "this machine"


@dataclass(frozen=True, kw_only=True, slots=True)
class NoAnswer:
    """A node that was asked and said nothing, or whose process failed; why, in one line."""

    reason: str


def ask_nodes(
    question: Callable[[int], T], *, timeout_s: float = ANSWER_TIMEOUT_S
) -> dict[str, T | NoAnswer]:
    """Return what each machine answers that trials can be put on, by its name.

    A head node without CPUs is not asked. Ray must be running. Where this process has started it
    for itself, the question is answered here and no process is started.

    Args:
        question: is called with the number of the node, from 0. It travels by Ray's own
            serialisation, so what it is made of must be importable on every node.
        timeout_s: of all nodes together; those that have not answered by then never will.
    """
    found: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    alive = sorted((node for node in found if node["Alive"]), key=lambda node: node["NodeID"])
    alive = [node for node in alive if node["Resources"].get("CPU")] or alive
    if len(alive) == 1 and "RAY_ADDRESS" not in os.environ:
        return {THIS_MACHINE: question(0)}
    ask: Any = ray.remote(num_cpus=0, max_retries=0)(_answer)
    asked = {
        ask.options(
            scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        ).remote(question, number): name
        for number, (node, name) in enumerate(zip(alive, _names(alive), strict=True))
    }
    done, _ = ray.wait(list(asked), num_returns=len(asked), timeout=timeout_s)
    answers = {}
    for one, name in asked.items():
        if one in done:
            answers[name] = _outcome(one)
        else:
            ray.cancel(one, force=True)
            answers[name] = NoAnswer(reason=f"did not answer within {timeout_s:g} s")
    return answers


def _answer(question: Callable[[int], T], number: int) -> T:
    return question(number)


def _outcome(asked: Any) -> Any:
    try:
        return ray.get(asked)
    except Exception as error:  # Ray raises what the node raised, whatever that was
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        return NoAnswer(reason=lines[-1] if lines else type(error).__name__)


def _names(nodes: Sequence[dict[str, Any]]) -> list[str]:
    """Return the address of each node, with its id where several nodes are at one address."""
    addresses = [str(node["NodeManagerAddress"]) for node in nodes]
    count = Counter(addresses)
    return [
        address if count[address] == 1 else f"{address} ({node['NodeID'][:6]})"
        for address, node in zip(addresses, nodes, strict=True)
    ]
