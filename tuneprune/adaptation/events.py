"""What an applied plan has done, as a value that the loop records: `AdaptationEvent`."""

import hashlib
import json
from collections.abc import Mapping, Sequence

from tuneprune.adaptation.base import AdaptationEvent, Fate, GroupFate
from tuneprune.structure.groups import GroupId, PrunableModule, all_groups
from tuneprune.structure.plan import AdaptationPlan
from tuneprune.structure.surgery import SurgeryReport


def describe_event(
    plan: AdaptationPlan,
    report: SurgeryReport,
    groups: tuple[GroupFate, ...],
    *,
    event: int,
    step: int,
    scorer: str,
    method: str = "",
    delta: float = 0.0,
    new_groups: str = "copy",
    outcome: str | None = None,
    watched: Mapping[str, tuple[GroupFate, ...]] | None = None,
) -> AdaptationEvent:
    """Return what the surgery of a plan was.

    Args:
        plan: that was applied.
        report: of the surgery, as ``apply_plan`` returns it.
        groups: of the model before, as ``fates_of`` returns them.
        method: its name; that of a plug-in is filled in.
        delta: as of `AdaptationEvent`; 0 where the method does not plan by a share.
        outcome: as of `AdaptationEvent`; if None, a hash of step, event and plan, which is enough
            where all else that decides over training is in the method's settings.
        watched: as of `AdaptationEvent`.

    All others are as of `AdaptationEvent`.
    """
    grown_params = sum(group.params for group in groups if group.fate == "grown")
    return AdaptationEvent(
        event=event,
        step=step,
        method=method,
        scorer=scorer,
        delta=delta,
        new_groups=new_groups,
        plan=plan,
        dropped_params=report.params_before + grown_params - report.params_after,
        grown_params=grown_params,
        params_before=report.params_before,
        params_after=report.params_after,
        groups=groups,
        outcome=outcome or hash_outcome([step, event, plan.fingerprint()]),
        watched=watched or {},
    )


def fates_of(
    modules: Sequence[PrunableModule],
    plan: AdaptationPlan,
    *,
    scores: Mapping[GroupId, float],
    origins: Mapping[GroupId, GroupId],
) -> tuple[GroupFate, ...]:
    """Return what a plan makes of each group, in model order.

    Args:
        modules: of the model before.
        plan: that was applied, or would have been.
        scores: of every group.
        origins: of every group, the one at the start of training that it descends from.
    """
    fates: dict[GroupId, Fate] = dict.fromkeys(plan.dropped, "dropped")
    fates |= dict.fromkeys(plan.grown, "grown")
    return tuple(
        GroupFate(
            group_id=group.id,
            origin=origins[group.id],
            layer=group.layer,
            kind=group.kind,
            index=group.index,
            score=scores[group.id],
            params=group.params,
            fate=fates.get(group.id, "kept"),
        )
        for group in all_groups(modules)
    )


def hash_outcome(done: Sequence[object]) -> str:
    """Return 16 hex digits, the same for the same things, which JSON must be able to hold."""
    return hashlib.sha256(json.dumps(done).encode()).hexdigest()[:16]
