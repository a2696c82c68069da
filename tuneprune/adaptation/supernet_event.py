"""What a decision over the subnets of a supernet is, before it is applied and after."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from tuneprune.structure.groups import PrunableModule

SubnetDecision = Literal["shrink", "zero_out", "switch"]


@dataclass(frozen=True, kw_only=True, slots=True)
class SupernetPlan:
    """Which modules matter most at a step, and what follows from it.

    Args:
        decision: ``shrink``: the subnet of step 1 is smaller from here on; ``zero_out``: the gates
            outside it are closed; ``switch``: masks are fixed, and step 2 begins.
        ranking: names of the modules, the most important one first.
        subnets: names that each subnet keeps, from the largest to the smallest; before the switch
            there is one.
    """

    decision: SubnetDecision
    ranking: tuple[str, ...]
    subnets: tuple[tuple[str, ...], ...]

    @property
    def is_empty(self) -> bool:
        """Whether nothing changes; something always does."""
        return False

    @property
    def sizes(self) -> tuple[int, ...]:
        """Modules that each subnet keeps."""
        return tuple(len(names) for names in self.subnets)

    def fingerprint(self) -> str:
        """Return 16 hex digits, equal on two ranks exactly if their plans are."""
        text = json.dumps([self.decision, self.ranking, self.sizes])
        return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True, kw_only=True, slots=True)
class SubnetRow:
    """One module at an event.

    Args:
        layer: encoder block.
        kind: of the module.
        rank: its place in the ranking, 0 for the most important.
        gate: how much of it the subnet has by the scores, after the event: the relaxed top-k, of
            which straight-through makes 0 or 1, the sigmoid, or what the ranks of the subnet hold.
            None where nothing is learned.
        subnet: size of the smallest subnet that keeps it; None: the supernet alone has it.
        params: that a subnet is smaller by without it.
        frame_macs: multiply-adds for an encoder frame, likewise.
    """

    layer: int
    kind: str
    rank: int
    gate: float | None
    subnet: int | None
    params: int
    frame_macs: int


@dataclass(frozen=True, kw_only=True, slots=True)
class SupernetEvent:
    """That subnets were decided on.

    Args:
        event: number of the event in the run, from 0.
        step: finished optimizer steps when it was applied.
        method: its name in the settings.
        scorer: kind of the selector.
        plan: the decision.
        params: of the supernet, which stays what it is.
        rows: what becomes of each module, in running order.
        outcome: as of `AdaptationEvent`; "" before the switch, which all settings of step 1 lead
            to.
    """

    event: int
    step: int
    method: str
    scorer: str
    plan: SupernetPlan
    params: int
    rows: tuple[SubnetRow, ...]
    outcome: str

    disturbs = False
    """The supernet is what it was before."""

    @property
    def renews_best(self) -> bool:
        """Whether evaluations are of other networks from here on."""
        return self.plan.decision == "switch"

    @property
    def sentence(self) -> str:
        """What has happened, for whoever looks on."""
        sizes = " and ".join(map(str, self.plan.sizes))
        if self.plan.decision == "switch":
            return f"subnets of {sizes} modules are fixed; all networks are trained from here on"
        done = "closed all gates but" if self.plan.decision == "zero_out" else "shrank to"
        return f"the subnet {done} {sizes} of {len(self.plan.ranking)} modules"


def subnet_rows(
    plan: SupernetPlan,
    modules: Sequence[PrunableModule],
    *,
    gates: Mapping[str, float],
    beside: Mapping[str, tuple[int, int]],
) -> tuple[SubnetRow, ...]:
    """Return what a plan makes of each module that it ranks, in running order.

    Args:
        plan: the decision.
        modules: of the model.
        gates: of modules by name, where they are learned.
        beside: parameters and multiply-adds of what else a subnet lacks without a module.
    """
    rank_of = {name: rank for rank, name in enumerate(plan.ranking)}
    smallest = {name: len(names) for names in plan.subnets for name in names}
    return tuple(
        SubnetRow(
            layer=module.layer,
            kind=module.kind,
            rank=rank_of[module.name],
            gate=gates.get(module.name),
            subnet=smallest.get(module.name),
            params=module.params + beside.get(module.name, (0, 0))[0],
            frame_macs=module.frame_macs + beside.get(module.name, (0, 0))[1],
        )
        for module in modules
        if module.name in rank_of
    )
