"""What the settings of adaptive masks mean in one run, and which of them it refuses."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tuneprune.adaptation.mask_times import (
    EVERYBODY,
    MaskTime,
    make_course,
    mask_times,
)
from tuneprune.config import AdaptiveMaskConfig
from tuneprune.errors import ConfigError, StructureError
from tuneprune.structure.blocks import NofM, blocks_of, grid_shape, read_pattern
from tuneprune.structure.mask_sets import Masks, check_alike, density
from tuneprune.structure.maskable import MaskableWeight, select_weights

ALIKE = 0.005
"""Sparsities that differ by no more are the same one, or by what whole blocks make of them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class InitialMasks:
    """Masks that were decided elsewhere.

    Args:
        blocks: how they divide weights, as the setting says it.
        masks: by language, or by ``EVERYBODY``, and then by weight.
    """

    blocks: str
    masks: Mapping[str, Masks]


def check_adaptive_mask(
    config: AdaptiveMaskConfig,
    weights: Sequence[MaskableWeight],
    *,
    total_steps: int | None,
    languages: Sequence[str] | None,
    initial: InitialMasks | None = None,
) -> None:
    """Refuse settings that suit no run of this model, or not this one.

    Args:
        config: settings of the method.
        weights: what of the model can be masked.
        total_steps: optimizer steps of the run; None: not known, and nothing of times is looked at.
        languages: of each step; None where they mix, or are not known.
        initial: masks to begin with; None: none are given, or they are not known.

    Raises:
        ConfigError: naming the setting and what would do.
    """
    selected = select_masked(config, weights)
    knows_languages = config.scope == "shared" or languages is not None
    knows_masks = config.masks_from is None or initial is not None
    if total_steps is None or not (knows_languages and knows_masks):
        return
    masks = begin_masks(config, initial, dense_masks(config, selected), languages)
    mask_times_of(config, masks, total_steps, languages)


def select_masked(
    config: AdaptiveMaskConfig, weights: Sequence[MaskableWeight]
) -> tuple[MaskableWeight, ...]:
    """Return the weights that are masked.

    Raises:
        ConfigError: a pattern matches nothing, or blocks and sparsity do not go together.
    """
    pattern = read_pattern("adaptation.blocks", config.blocks)
    if isinstance(pattern, NofM):
        _check_n_of_m(config, pattern)
    return select_weights(weights, config.weights, field="adaptation.weights")


def dense_masks(config: AdaptiveMaskConfig, weights: Sequence[MaskableWeight]) -> dict[str, Tensor]:
    """Return masks of these weights that keep everything."""
    blocks = blocks_of(read_pattern("adaptation.blocks", config.blocks))
    return {
        weight.name: torch.ones(grid_shape(weight.shape, blocks), dtype=torch.bool)
        for weight in weights
    }


def mask_times_of(
    config: AdaptiveMaskConfig,
    initial: Mapping[str, Masks] | None,
    total_steps: int,
    languages: Sequence[str] | None,
) -> tuple[MaskTime, ...]:
    """Return all decisions of a run in order.

    Args:
        config: settings of the method.
        initial: masks to begin with, by language.
        total_steps: optimizer steps of the run.
        languages: of each step; None where they mix.

    Raises:
        ConfigError: times that the run does not have, or settings without effect in it.
    """
    assert languages is not None or config.scope == "shared", "checked by RunConfig"
    first = None if initial is None else _sparsity_of(initial, config.sparsity)
    course = make_course(config, total_steps, initial=first)
    if not course.begin <= course.end < total_steps:
        remedy = f"is step {course.end} of {total_steps}; training must go on after it"
        raise ConfigError("adaptation.end", config.last_prune, remedy)
    if first is not None and first < config.sparsity and course.end == course.begin:
        remedy = (
            f"must be {first:.3g}, the sparsity of adaptation.masks_from, where nothing is pruned "
            "later; or give an end after begin"
        )
        raise ConfigError("adaptation.sparsity", config.sparsity, remedy)
    whose = languages if config.scope == "language" and languages else total_steps
    if not isinstance(whose, int) and EVERYBODY in whose:
        remedy = "must be a code, for each has a mask; or set adaptation.scope: shared"
        raise ConfigError("language of training utterances", EVERYBODY, remedy)
    times = mask_times(config, course, whose)
    if config.rewind and not any(time.decision == "prune" for time in times):
        remedy = "has no effect, for nothing is pruned after begin; give a schedule and end"
        raise ConfigError("adaptation.rewind", config.rewind, remedy)
    if config.adapt_after is not None and not any(time.decision == "adapt" for time in times):
        remedy = "is reached by no round; make rounds shorter, or begin or adapt_until fit them"
        raise ConfigError("adaptation.adapt_after", config.adapt_after, remedy)
    return times


def begin_masks(
    config: AdaptiveMaskConfig,
    initial: InitialMasks | None,
    dense: Masks,
    languages: Sequence[str] | None,
) -> dict[str, Masks] | None:
    """Return the masks to begin with for each language of the run, or for ``EVERYBODY``.

    One mask that was shared is every language's.

    Args:
        config: settings of the method.
        initial: masks that are given; None: none are.
        dense: masks of this model that keep everything.
        languages: of each step; None where they mix.

    Raises:
        ConfigError: they are of other weights, other blocks, or not of these languages.
    """
    if initial is None:
        return None
    field = "adaptation.masks_from"
    if initial.blocks != config.blocks:
        remedy = f"has masks of blocks {initial.blocks}; set adaptation.blocks to that"
        raise ConfigError(field, config.masks_from, remedy)
    for masks in initial.masks.values():
        try:
            check_alike(masks, dense)
        except StructureError:
            remedy = "masks other weights than adaptation.weights selects in this model"
            raise ConfigError(field, config.masks_from, remedy) from None
    if config.scope == "shared":
        if EVERYBODY not in initial.masks:
            remedy = "has a mask for each language; set adaptation.scope: language"
            raise ConfigError(field, config.masks_from, remedy)
        return {EVERYBODY: _on_device(initial.masks[EVERYBODY], dense)}
    found: dict[str, Masks] = {}
    for language in sorted(set(languages or ())):
        one = initial.masks.get(language, initial.masks.get(EVERYBODY))
        if one is None:
            remedy = f"has no mask for '{language}'; it has {', '.join(sorted(initial.masks))}"
            raise ConfigError(field, config.masks_from, remedy)
        found[language] = _on_device(one, dense)
    if isinstance(config.masks_from, dict):
        for language in sorted(config.masks_from.keys() - found.keys()):
            remedy = f"is of no language of training; there are {', '.join(found)}"
            raise ConfigError(f"{field}.{language}", config.masks_from[language], remedy)
    return found


def _on_device(masks: Masks, like: Masks) -> dict[str, Tensor]:
    return {name: mask.to(like[name].device) for name, mask in masks.items()}


def _sparsity_of(masks: Mapping[str, Masks], wanted: float) -> float:
    """Return the sparsity of given masks: what is wanted, if they have it but for rounding.

    Raises:
        ConfigError: languages have different ones, or they are above what is wanted.
    """
    found = {name: 1 - density(one) for name, one in masks.items()}
    lowest, highest = min(found.values()), max(found.values())
    alike = max(ALIKE, *(_rounding(one) for one in masks.values()))
    if highest - lowest > alike:
        shown = ", ".join(f"{name} {one:.3f}" for name, one in sorted(found.items()))
        remedy = "must be equal for all languages"
        raise ConfigError("sparsity of adaptation.masks_from", shown, remedy)
    if abs(highest - wanted) <= alike:
        return wanted
    if highest > wanted:
        remedy = f"must be at least {highest:.3f}, the sparsity of adaptation.masks_from"
        raise ConfigError("adaptation.sparsity", wanted, remedy)
    return lowest


def _rounding(masks: Masks) -> float:
    """Return by how much sparsity can be off where each matrix rounds to a whole block."""
    return 0.5 * len(masks) / sum(mask.numel() for mask in masks.values())


def _check_n_of_m(config: AdaptiveMaskConfig, pattern: NofM) -> None:
    if abs(config.sparsity - pattern.sparsity) > 1e-9:
        remedy = f"must be {pattern.sparsity:g} with blocks {pattern}"
        raise ConfigError("adaptation.sparsity", config.sparsity, remedy)
    if config.schedule.kind != "one_shot" or config.initial_sparsity:
        remedy = f"knows one sparsity, {pattern.sparsity:g}: leave schedule and initial_sparsity"
        raise ConfigError("adaptation.blocks", config.blocks, remedy)
    for name, only in (("ranking", "per_matrix"), ("norm", "l1"), ("grow_by", "magnitude")):
        if getattr(config, name) != only:
            remedy = f"has no effect on blocks {pattern}; leave it at {only}"
            raise ConfigError(f"adaptation.{name}", getattr(config, name), remedy)
