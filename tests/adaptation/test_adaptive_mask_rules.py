"""Masks that a run is given to begin with: whose they become, and which are refused."""

import pytest
import torch

from tuneprune.adaptation import InitialMasks
from tuneprune.adaptation.adaptive_mask_rules import check_adaptive_mask
from tuneprune.config import AdaptiveMaskConfig
from tuneprune.errors import ConfigError
from tuneprune.structure.maskable import MaskableWeight

NAME = "layers.0.weight"
LEFT = torch.tensor([[True, True, False, False]] * 2)
RIGHT = ~LEFT
TURNS = ["en", "fr"] * 8


def given(*, blocks="2x1", name=NAME, **masks):
    named = {"" if language == "all" else language: {name: one} for language, one in masks.items()}
    return InitialMasks(blocks=blocks, masks=named)


def begun(masked, initial, **settings):
    chosen = {"sparsity": 0.5, "masks_from": "a/best-00000001", **settings}
    run = masked(4, 4, initial=initial, languages=TURNS, **chosen)
    run.decide()
    return run


def test_a_shared_mask_is_taken_as_it_is(masked):
    run = begun(masked, given(all=RIGHT))
    assert run.blocks() == ["0011", "0011"]
    assert run.events[0].params_after == 4 + 8


def test_each_language_takes_its_own_mask(masked):
    run = begun(masked, given(en=LEFT, fr=RIGHT, nl=LEFT), preset="pathways")
    assert (run.blocks("en"), run.blocks("fr")) == (["1100"] * 2, ["0011"] * 2)
    assert run.events[0].params_after == 4 + 16  # together they keep everything


def test_a_mask_of_all_is_handed_to_every_language(masked):
    run = begun(masked, given(all=LEFT), preset="pathways")
    assert run.blocks("en") == run.blocks("fr") == ["1100"] * 2


def test_masks_at_a_middle_sparsity_are_pruned_on_from_there(masked):
    run = begun(masked, given(en=LEFT, fr=RIGHT), preset="pathways", sparsity=0.75, end=0.5)
    run.set([[1.0, 2, 3, 4]] * 2 + [[5.0, 6, 7, 8]] * 2).decide(8)
    assert (run.blocks("en"), run.blocks("fr")) == (["0000", "1100"], ["0000", "0011"])


@pytest.mark.parametrize(
    ("initial", "settings", "message"),
    [
        (given(all=LEFT, blocks="1x2"), {}, "has masks of blocks 1x2; set adaptation.blocks to"),
        (given(all=LEFT[:1]), {}, "masks other weights than adaptation.weights selects in this"),
        (given(all=LEFT, name="other"), {}, "masks other weights than adaptation.weights select"),
        (given(en=LEFT, fr=RIGHT), {}, "has a mask for each language; set adaptation.scope: lan"),
        (given(en=LEFT, nl=RIGHT), {"scope": "language"}, "has no mask for 'fr'; it has en, nl"),
        (
            given(all=LEFT),
            {"sparsity": 0.2},
            "adaptation.sparsity = 0.2: must be at least 0.500, the sparsity of adaptation.masks_",
        ),
        (
            given(en=LEFT, fr=LEFT & RIGHT),
            {"scope": "language", "sparsity": 0.5},
            "= 'en 0.500, fr 1.000': must be equal for all languages",
        ),
        (given(all=LEFT), {"sparsity": 0.75}, "adaptation.sparsity = 0.75: must be 0.5, the spar"),
        (
            given(en=LEFT, fr=LEFT, nl=LEFT),
            {"scope": "language", "masks_from": {"en": "a", "fr": "b", "nl": "c"}},
            "adaptation.masks_from.nl = 'c': is of no language of training; there are en, fr",
        ),
    ],
)
def test_masks_that_do_not_suit_the_run_are_refused(masked, initial, settings, message):
    with pytest.raises(ConfigError) as refused:
        begun(masked, initial, **settings)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


WEIGHTS = (
    MaskableWeight(name="encoder.weight", shape=(8, 8), by_default=True),
    MaskableWeight(name="joiner.weight", shape=(8, 8), by_default=False),
)


def refusal(*, model=WEIGHTS, total=100, **settings):
    config = AdaptiveMaskConfig(**{"method": "adaptive_mask", "sparsity": 0.5} | settings)
    with pytest.raises(ConfigError) as refused:
        check_adaptive_mask(config, model, total_steps=total, languages=None)
    assert "\n" not in str(refused.value)
    return str(refused.value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"weights": ("encodr.*",)}, "adaptation.weights = 'encodr.*': matches no weight that ca"),
        ({"blocks": "8 by 1"}, "adaptation.blocks = '8 by 1': must read ROWSxCOLS"),
        ({"blocks": "0x1"}, "adaptation.blocks = '0x1': must read"),
        ({"blocks": "4:2"}, "adaptation.blocks = '4:2': must keep no more than there are"),
        ({"blocks": "2:4", "sparsity": 0.7}, "adaptation.sparsity = 0.7: must be 0.5 with blocks"),
        ({"blocks": "2:4", "norm": "l2"}, "adaptation.norm = 'l2': has no effect on blocks 2:4"),
        ({"blocks": "2:4", "ranking": "global"}, "adaptation.ranking = 'global': has no effect"),
        (
            {"blocks": "2:4", "schedule": {"kind": "linear"}, "end": 0.5},
            "adaptation.blocks = '2:4': knows one sparsity, 0.5: leave schedule",
        ),
        ({"end": 0.999}, "adaptation.end = 0.999: is step 100 of 100"),
    ],
)
def test_settings_that_do_not_suit_model_or_length_are_refused(settings, message):
    assert refusal(**settings).startswith(message)


def test_a_model_with_nothing_to_mask_by_default_is_refused():
    found = refusal(model=WEIGHTS[1:])
    assert found.startswith("adaptation.weights = None: finds no weight in this model that can be")


def test_of_an_unknown_length_only_times_are_not_looked_at():
    config = AdaptiveMaskConfig(method="adaptive_mask", sparsity=0.5, end=0.999)
    check_adaptive_mask(config, WEIGHTS, total_steps=None, languages=None)
    assert "'8y1'" in refusal(blocks="8y1", total=None)
