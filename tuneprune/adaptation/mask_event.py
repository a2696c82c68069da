"""What a decision over masks is, before it is applied and after: plan and event."""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

from torch import Tensor

from tuneprune.adaptation.events import hash_outcome
from tuneprune.adaptation.mask_times import EVERYBODY, Decision
from tuneprune.adaptation.masked_weights import MaskedWeights
from tuneprune.config import AdaptiveMaskConfig
from tuneprune.structure.blocks import Blocks, kept_entries
from tuneprune.structure.mask_bits import masks_fingerprint, pack_mask
from tuneprune.structure.mask_sets import Masks, churn, union


@dataclass(frozen=True, kw_only=True, slots=True)
class MaskPlan:
    """What is to be masked from now on, and for whom.

    Args:
        decision: what kind of decision it is; where several are made at a step, the one that
            removes most.
        sparsity: of its mask.
        masks: the new ones, of blocks, by language and then by weight.
        changed: whether one differs from what there was.
        rewinds: whether all weights go back to what they were when the first masks were made.
    """

    decision: Decision
    sparsity: float
    masks: Mapping[str, Masks]
    changed: bool
    rewinds: bool

    @property
    def is_empty(self) -> bool:
        """Whether nothing changes."""
        return not (self.changed or self.rewinds)

    def fingerprint(self) -> str:
        """Return 16 hex digits, equal on two ranks exactly if their plans are."""
        held = {language: masks_fingerprint(masks) for language, masks in self.masks.items()}
        text = json.dumps([self.decision, self.sparsity, held, self.rewinds], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True, kw_only=True, slots=True)
class MaskRow:
    """One matrix under one mask, or under what the masks of two languages both keep.

    Args:
        language: whose mask it is; None where all share one.
        other_language: the second of two; None for one mask.
        matrix: name of the weight.
        blocks: that it has.
        kept_blocks: of these.
        weights: its entries.
        kept_weights: of these.
        revived_blocks: that came back with the event; None of two masks.
        removed_blocks: that left with it; None of two masks.
        bits: the mask, as `structure.mask_bits.pack_mask` packs it; None of two masks.
    """

    language: str | None
    other_language: str | None
    matrix: str
    blocks: int
    kept_blocks: int
    weights: int
    kept_weights: int
    revived_blocks: int | None
    removed_blocks: int | None
    bits: bytes | None


@dataclass(frozen=True, kw_only=True, slots=True)
class MaskEvent:
    """That masks were decided, and what has changed.

    Args:
        event: number of the event in the run, from 0.
        step: finished optimizer steps when it was applied.
        method: its name in the settings.
        scorer: by what blocks came in: ``magnitude`` or ``gradient``.
        plan: the decision.
        language: whose masks were decided; None: all there are.
        removed_blocks: that left a mask, over all masks that were decided.
        revived_blocks: that came into one, likewise.
        dropped_params: weights that some mask had kept, and none keeps now.
        grown_params: weights that none had kept, and one keeps now.
        params_before: parameters that act for some language, before.
        params_after: ``params_before - dropped_params + grown_params``.
        rows: what became of each matrix.
        outcome: as of `AdaptationEvent`.
    """

    event: int
    step: int
    method: str
    scorer: str
    plan: MaskPlan
    language: str | None
    removed_blocks: int
    revived_blocks: int
    dropped_params: int
    grown_params: int
    params_before: int
    params_after: int
    rows: tuple[MaskRow, ...]
    outcome: str

    @property
    def disturbs(self) -> bool:
        """Whether the model is another one now: smaller, or what it was long ago."""
        return self.plan.rewinds or (self.plan.changed and self.plan.decision != "adapt")

    @property
    def renews_best(self) -> bool:
        return self.disturbs

    @property
    def sentence(self) -> str:
        """What has happened, for whoever looks on."""
        whose = f" of '{self.language}'" if self.language else ""
        return (
            f"masks{whose} at sparsity {self.plan.sparsity:.3g}: removed {self.removed_blocks:,} "
            f"blocks, revived {self.revived_blocks:,}; {self.params_after:,} parameters act"
        )


def describe_mask_event(
    plan: MaskPlan,
    weights: MaskedWeights,
    before: Mapping[str, Masks],
    *,
    event: int,
    step: int,
    config: AdaptiveMaskConfig,
    params: int,
) -> MaskEvent:
    """Return what a plan has done that was applied.

    Args:
        plan: the decision.
        weights: under the masks that there are now.
        before: the masks that there were.
        event: its number in the run.
        step: finished optimizer steps.
        config: settings of the method.
        params: of the model, masked or not.
    """
    decided = sorted(plan.masks)
    changes = [churn(before[name], plan.masks[name]) for name in decided]
    removed_before = weights.removed_weights(before)
    removed_after = weights.removed_weights(weights.masks)
    both = weights.removed_weights({"before": union(before), "after": union(weights.masks)})
    by_gradient = plan.decision == "adapt" and config.grow_by == "gradient"
    return MaskEvent(
        event=event,
        step=step,
        method=config.method,
        scorer="gradient" if by_gradient else "magnitude",
        plan=plan,
        language=decided[0] or None if len(decided) == 1 else None,
        removed_blocks=sum(one.removed for one in changes),
        revived_blocks=sum(one.revived for one in changes),
        dropped_params=removed_after - both,
        grown_params=removed_before - both,
        params_before=params - removed_before,
        params_after=params - removed_after,
        rows=mask_rows(
            before,
            weights.masks,
            decided,
            blocks=weights.blocks,
            shapes={name: weights.shape(name) for name in weights.parameters},
        ),
        outcome=hash_outcome([step, event, plan.fingerprint(), config.model_dump(mode="json")]),
    )


def mask_rows(
    before: Mapping[str, Masks],
    after: Mapping[str, Masks],
    decided: Sequence[str],
    *,
    blocks: Blocks,
    shapes: Mapping[str, Sequence[int]],
) -> tuple[MaskRow, ...]:
    """Return what became of each matrix under the masks that were decided, and under pairs.

    Args:
        before: masks by language, or by ``EVERYBODY``.
        after: the same ones later.
        decided: languages whose masks were decided.
        blocks: how masks divide a weight.
        shapes: of the weights.
    """
    pairs = sorted({(min(a, b), max(a, b)) for a, b in product(decided, after) if a != b})
    single = [
        _row_of_one(language, name, before[language][name], mask, blocks, shapes[name])
        for language in decided
        for name, mask in after[language].items()
    ]
    double = [
        _row(first, second, name, mask & after[second][name], blocks, shapes[name])
        for first, second in pairs
        for name, mask in after[first].items()
    ]
    return (*single, *double)


def _row_of_one(
    language: str,
    name: str,
    before: Tensor,
    after: Tensor,
    blocks: Blocks,
    shape: Sequence[int],
) -> MaskRow:
    return _row(
        None if language == EVERYBODY else language,
        None,
        name,
        after,
        blocks,
        shape,
        revived=int((after & ~before).sum()),
        removed=int((before & ~after).sum()),
        bits=pack_mask(after).cpu().numpy().tobytes(),
    )


def _row(
    language: str | None,
    other: str | None,
    name: str,
    mask: Tensor,
    blocks: Blocks,
    shape: Sequence[int],
    *,
    revived: int | None = None,
    removed: int | None = None,
    bits: bytes | None = None,
) -> MaskRow:
    return MaskRow(
        language=language,
        other_language=other,
        matrix=name,
        blocks=mask.numel(),
        kept_blocks=int(mask.sum()),
        weights=math.prod(shape),
        kept_weights=kept_entries(mask, blocks, shape),
        revived_blocks=revived,
        removed_blocks=removed,
        bits=bits,
    )
