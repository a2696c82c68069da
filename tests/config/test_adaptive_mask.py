"""Settings of adaptive masks: presets, what they give way to, and what has no effect."""

from typing import Any

import pytest

from tuneprune.config import (
    TO_CHANGE,
    AdaptiveMaskConfig,
    RunConfig,
    build_config,
    with_overrides,
)
from tuneprune.config.adaptive_mask import PRESETS
from tuneprune.errors import ConfigError

BASE: dict[str, Any] = {"corpus": {"path": "c"}, "training": {"languages": "one_per_batch"}}
ROUNDS = {"end": 0.5}  # of presets whose schedule is in rounds
NEEDED: dict[str, dict[str, Any]] = {
    "imp": ROUNDS,
    "lth": ROUNDS,
    "lap": ROUNDS,
    "pathways": {"masks_from": "there"},
}
ALL = {"masks_from": "there", **ROUNDS}  # with which any preset can be built

# Written down from the papers' summaries, not from the code: initial mask, candidates, gradient.
MEANT: dict[str, dict[str, Any]] = {
    "imp": {"candidates": "kept", "gradient": "masked", "rewind": False, "scope": "shared"},
    "lth": {"candidates": "kept", "gradient": "masked", "rewind": True, "scope": "shared"},
    "lap": {"candidates": "kept", "gradient": "masked", "rewind": False, "scope": "shared"},
    "pathways": {"candidates": "kept", "gradient": "masked", "adapt_after": None},
    "parp": {"candidates": "all", "gradient": "dense", "masked_values": "zero"},
    "rigl": {"grow_by": "gradient", "masked_values": "zero", "gradient": "masked"},
    "dynamic": {"candidates": "all", "gradient": "dense", "masked_values": "keep_value"},
    "dynamic_pathways": {"candidates": "own_or_free", "gradient": "dense", "scope": "language"},
}


def built(**adaptation: Any) -> RunConfig:
    chosen = {"method": "adaptive_mask", "sparsity": 0.7, **adaptation}
    return build_config({**BASE, "adaptation": chosen})


def masks(config: RunConfig) -> AdaptiveMaskConfig:
    assert isinstance(config.adaptation, AdaptiveMaskConfig)
    return config.adaptation


def same_but_for_preset(one: AdaptiveMaskConfig, other: AdaptiveMaskConfig) -> bool:
    names = [name for name in AdaptiveMaskConfig.model_fields if name != "preset"]
    return all(getattr(one, name) == getattr(other, name) for name in names)


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_each_preset_means_its_method(preset: str) -> None:
    found = masks(built(preset=preset, **NEEDED.get(preset, {})))
    assert {name: getattr(found, name) for name in MEANT[preset]} == MEANT[preset]
    in_rounds = preset in ("imp", "lth", "lap")
    assert found.schedule.kind == ("stepwise" if in_rounds else "one_shot")
    adapts = preset in ("parp", "rigl", "dynamic", "dynamic_pathways")
    assert (found.adapt_after is not None) == adapts


def test_every_preset_is_looked_at() -> None:
    assert MEANT.keys() == PRESETS.keys()


@pytest.mark.parametrize("preset", [None, *sorted(PRESETS)])
def test_settings_that_were_written_are_read_as_they_were(preset: str | None) -> None:
    config = built(preset=preset, **ALL)
    again = build_config(config.model_dump(mode="json"))
    assert again == config
    assert again.fingerprint() == config.fingerprint()


@pytest.mark.parametrize("first", [None, *sorted(PRESETS)])
@pytest.mark.parametrize("second", sorted(PRESETS))
def test_another_preset_over_written_settings_is_that_preset(
    first: str | None, second: str
) -> None:
    written = built(preset=first, **ALL).model_dump(mode="json", context=TO_CHANGE)
    changed = build_config(with_overrides(written, [f"adaptation.preset={second}"]))
    assert changed == built(preset=second, **ALL)


def test_a_dump_says_what_a_preset_gives_but_where_it_is_to_be_changed() -> None:
    config = built(preset="dynamic")
    assert config.model_dump()["adaptation"]["adapt_after"] == 0.5
    assert "adapt_after" not in config.model_dump(context=TO_CHANGE)["adaptation"]


def test_what_is_given_beside_a_preset_counts_before_it_and_stays_with_another() -> None:
    config = built(preset="imp", gradient="dense", **ALL)
    assert masks(config).gradient == "dense"
    written = config.model_dump(mode="json", context=TO_CHANGE)
    changed = build_config(with_overrides(written, ["adaptation.preset=pathways"]))
    assert masks(changed).gradient == "dense"
    assert masks(changed).candidates == "kept"


def test_a_preset_is_short_for_what_it_gives() -> None:
    spelt = built(**PRESETS["rigl"])
    assert same_but_for_preset(masks(spelt), masks(built(preset="rigl")))


def test_what_one_part_of_a_schedule_says_leaves_the_other_parts_of_it() -> None:
    changed = with_overrides(
        built(preset="imp", **ROUNDS).model_dump(mode="json"), ["adaptation.schedule.rounds=7"]
    )
    assert masks(build_config(changed)).schedule.rounds == 7


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"sparsity": 1.0}, "adaptation.sparsity = 1.0: must be less than 1"),
        ({"sparsity": -0.1}, "adaptation.sparsity = -0.1: must be greater than or equal to 0"),
        ({"sparsity": 0.2, "initial_sparsity": 0.3}, "initial_sparsity must not be above sparsi"),
        ({"initial_sparsity": 0.3}, "initial_sparsity has no effect"),
        ({"begin": 0.5, "end": 0.4}, "end must not be before begin"),
        ({"end": 1.0}, "adaptation.end = 1.0: must be less than 1"),
        ({"schedule": {"kind": "cubic"}}, "schedule: cubic needs an end that is after begin"),
        ({"schedule": {"kind": "cubit"}, "end": 0.5}, "adaptation.schedule.kind = 'cubit': must"),
        ({"schedule": {"kind": "stepwise"}, "end": 0.5}, "kind: stepwise needs rounds"),
        ({"schedule": {"kind": "cubic", "rounds": 3}, "end": 0.5}, "rounds has no effect without"),
        ({"schedule": {"course": "cubic"}, "end": 0.5}, "course has no effect without kind: ste"),
        ({"schedule": {"settings": {"a": 1}}}, "settings are for a schedule of module:Class"),
        ({"preset": ["imp"]}, "adaptation.preset = ['imp']: must be"),
        ({"blocks": 124}, "adaptation.blocks = 124: must read ROWSxCOLS, or"),
        ({"preset": "pathways"}, "candidates: kept would give all languages one mask for good"),
        ({"preset": "lth", "end": 0.5, "scope": "language"}, "rewind would undo for all languages"),
        ({"preset": "impp"}, "adaptation.preset = 'impp': must be"),
        ({"adapt_until": 0.5}, "adapt_until has no effect without adapt_after; leave it out"),
        ({"adapt_after": 0.5, "adapt_until": 0.1, "begin": 0.1}, "adapt_until must be after beg"),
        ({"adapt_after": 0.5, "candidates": "kept"}, "adapt_after has no effect on candidates: k"),
        ({"candidates": "own_or_free"}, "candidates: own_or_free needs scope: language; or set"),
        ({"grow_by": "gradient"}, "grow_by: gradient has no effect without adapt_after"),
        ({"exchange": 0.2}, "exchange has no effect without grow_by: gradient; leave it out"),
        ({"preset": "rigl", "scope": "language"}, "grow_by: gradient goes with scope: shared"),
        ({"masks_from": {"en": "a"}}, "masks_from for each language needs scope: language"),
        ({"masks_from": "a", "initial_sparsity": 0.1, "end": 0.5}, "initial_sparsity is that of"),
        ({"moments": "keep", "candidates": "kept"}, "moments: keep has no effect on candidates"),
        ({"prune_every": 0.1}, "prune_every has no effect where nothing is decided in rounds"),
        ({"prune_every": 0.1, "end": 0.5}, "prune_every has no effect where nothing is decided"),
        ({"bloks": "8x1"}, "adaptation.bloks"),
    ],
)
def test_a_wrong_setting_is_named_with_what_is_allowed(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        built(**given)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_mask_a_language_needs_batches_of_one() -> None:
    settings = {"method": "adaptive_mask", "preset": "dynamic_pathways", "sparsity": 0.7}
    with pytest.raises(ConfigError) as refused:
        build_config({"corpus": {"path": "c"}, "adaptation": settings})
    assert str(refused.value) == (
        "training.languages = 'mixed': must be one_per_batch with adaptation.scope: language; "
        "or set that to shared"
    )
