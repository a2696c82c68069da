"""Masked weights do not act; what updates and decisions make of them is as settings say.

Blocks of the 4x4 matrix are 2x1; in `CHECKED` those of even columns are above, of odd ones below.
"""

import pytest
import torch
from torch.func import functional_call

from tuneprune.adaptation import InitialMasks

CHECKED = {"layers.0.weight": torch.tensor([[True, False, True, False], [False, True] * 2])}
OTHER = {"layers.0.weight": torch.tensor([[True, True, False, False]] * 2)}
KEPT = torch.tensor([[1.0, 0, 1, 0]] * 2 + [[0.0, 1, 0, 1]] * 2, dtype=torch.float64)
NAME = "layers.0.weight"


def under(masked, *, given=None, **settings):
    """Return a run whose first matrix has some masks; the second one has none."""
    initial = InitialMasks(blocks="2x1", masks=given or {"": CHECKED})
    return masked(
        4,
        4,
        3,
        initial=initial,
        sparsity=0.5,
        masks_from="given",
        weights=("layers.0.*",),
        **settings,
    )


def by_language(masked, **settings):
    return under(
        masked,
        given={"en": CHECKED, "fr": OTHER},
        scope="language",
        languages=["en", "fr"] * 8,
        **settings,
    )


@pytest.mark.parametrize("preset", [None, "imp", "lth", "parp", "rigl", "dynamic"])
def test_up_to_the_first_removal_a_run_is_bit_for_bit_one_without_masks(masked, preset):
    later = {"end": 0.5} | ({} if preset in ("imp", "lth") else {"schedule": {"kind": "cubic"}})
    if preset in ("imp", "lth"):
        later["schedule"] = {"kind": "stepwise", "rounds": 2}
    given = {
        "sparsity": 0.6,
        "prune_every": 0.25,
        **later,
        **({"preset": preset} if preset else {}),
    }
    plain, run = masked(4, 4, 3).train(), masked(4, 4, 3, **given).train()
    first = next(event.step for event in run.events if event.removed_blocks)
    assert first == 4
    assert run.losses[:4] == plain.losses[:4]
    assert run.losses[4] != plain.losses[4]


@pytest.mark.parametrize("gradient", ["dense", "masked"])
def test_a_mask_that_keeps_everything_changes_no_bit(masked, gradient):
    plain = masked(4, 4, 3).train()
    run = masked(
        4,
        4,
        3,
        languages=["en", "fr"] * 8,
        sparsity=0.0,
        scope="language",
        gradient=gradient,
        masked_values="zero",
        prune_every=0.25,
        adapt_after=0.5,
    ).train()
    assert len(run.events) > 3
    assert run.losses == plain.losses
    found = run.model.state_dict()
    assert all(torch.equal(found[name], one) for name, one in plain.model.state_dict().items())


def test_masked_weights_do_not_act_and_are_not_changed(masked):
    run = under(masked)
    run.decide()
    x, _ = run.data()
    stored = run.weight.detach().clone()
    with run.masking.weights(None):
        seen = run.model(x)
    expected = functional_call(run.model, {NAME: KEPT * stored}, (x,))
    assert torch.equal(seen, expected)
    assert torch.equal(run.weight, stored)
    run.weight.data += 1e3 * (1 - KEPT)
    perturbed = run.weight.detach().clone()
    with run.masking.weights(None):
        assert torch.equal(run.model(x), seen)
    assert torch.equal(run.weight, perturbed)
    assert not torch.equal(run.model(x), seen)


def test_each_language_sees_its_own_weights(masked):
    run = by_language(masked)
    run.decide()
    x, _ = run.data()
    kept = torch.tensor([[1.0, 1, 0, 0]] * 4, dtype=torch.float64)
    for language, mask in (("en", KEPT), ("fr", kept)):
        expected = functional_call(run.model, {NAME: mask * run.weight.detach()}, (x,))
        with torch.inference_mode(), run.masking.weights(language):
            assert torch.equal(run.model(x), expected)


def test_weights_are_back_also_after_an_error(masked):
    run = under(masked)
    run.decide()
    stored = run.weight.detach().clone()
    with pytest.raises(RuntimeError, match="some"), run.masking.weights(None):
        raise RuntimeError("some")
    assert torch.equal(run.weight, stored)


def test_the_dense_gradient_is_that_of_the_masked_weights_everywhere(masked):
    run = under(masked, gradient="dense")
    run.decide()
    product = (KEPT * run.weight.detach()).requires_grad_()
    x, wanted = run.data()
    (functional_call(run.model, {NAME: product}, (x,)) - wanted).square().mean().backward()
    with run.masking.weights(None):
        run.loss().backward()
    run.masking.take_gradients(0, None)
    torch.testing.assert_close(run.weight.grad, product.grad, rtol=0, atol=0)
    assert (run.weight.grad != 0).all()


def test_with_the_dense_gradient_masked_weights_are_trained(masked):
    run = under(masked, gradient="dense")
    run.decide()
    before = run.weight.detach().clone()
    run.update()
    assert (run.weight != before).all()


@pytest.mark.parametrize("warm", [False, True])
def test_with_the_masked_gradient_a_run_is_that_of_an_optimizer_over_what_is_kept(masked, warm):
    run = under(masked, gradient="masked", begin=0.25 if warm else 0.0)
    run.train(until=4 if warm else 0)
    vector = run.weight.detach()[KEPT == 1].clone().requires_grad_()
    others = {n: p.detach().clone().requires_grad_() for n, p in run.model.named_parameters()}
    masked_one = others.pop(NAME)
    optimizer = torch.optim.AdamW([vector, *others.values()], lr=0.05, weight_decay=0.1)
    if warm:
        state = run.optimizer.state
        for name, one in run.model.named_parameters():
            mine = vector if name == NAME else others[name]
            optimizer.state[mine] = {
                key: (value[KEPT == 1] if name == NAME and value.ndim else value).clone()
                for key, value in state[one].items()
            }
    frozen = run.weight.detach().clone()
    moments = {k: v.clone() for k, v in run.optimizer.state.get(run.weight, {}).items() if v.ndim}
    assert bool(moments) == warm
    for _ in range(5):
        x, wanted = run.data()
        whole = torch.zeros_like(masked_one).masked_scatter(KEPT == 1, vector)
        optimizer.zero_grad()
        output = functional_call(run.model, {NAME: whole, **others}, (x,))
        (output - wanted).square().mean().backward()
        optimizer.step()
        run.update()
        run.decide()
    torch.testing.assert_close(run.weight.detach()[KEPT == 1], vector.detach(), rtol=1e-12, atol=0)
    for name, one in others.items():
        found = run.model.get_parameter(name).detach()
        torch.testing.assert_close(found, one.detach(), rtol=1e-12, atol=1e-14)
    assert torch.equal(run.weight[KEPT == 0], frozen[KEPT == 0])
    for key, before in moments.items():
        now = run.optimizer.state[run.weight][key]
        assert torch.equal(now[KEPT == 0], before[KEPT == 0])
        assert (before != 0).all()
        assert (now != before)[KEPT == 1].all()


def test_what_the_update_is_not_to_see_is_no_part_of_the_norm_of_gradients(masked):
    run = under(masked, gradient="masked")
    run.decide()
    with run.masking.weights(None):
        run.loss().backward()
    dense = run.weight.grad.clone()
    run.masking.take_gradients(0, None)
    assert torch.equal(run.weight.grad, dense * KEPT)
    assert (dense != 0).all()


def test_with_the_masked_gradient_a_language_trains_nothing_of_others(masked):
    run = by_language(masked, gradient="masked")
    run.train(until=2)
    for language in ("en", "fr"):
        removed = run.removed(language)
        assert run.language() == language
        before = run.weight.detach().clone()
        moments = {k: v.clone() for k, v in run.optimizer.state[run.weight].items() if v.ndim}
        run.update()
        assert torch.equal(run.weight != before, ~removed)
        for key, one in moments.items():
            now = run.optimizer.state[run.weight][key]
            assert torch.equal(now[removed], one[removed])


def test_masked_values_are_kept_or_zero_where_nobody_keeps_them(masked):
    nobody = torch.tensor([[False] * 3 + [True]] * 2 + [[False, False, True, False]] * 2)
    for rule in ("keep_value", "zero"):
        run = by_language(masked, masked_values=rule)
        before = run.weight.detach().clone()
        run.decide()
        expected = torch.where(nobody, 0.0, before) if rule == "zero" else before
        assert torch.equal(run.weight, expected)


def test_what_is_trained_from_zero_while_masked_is_lost_by_staying_masked(masked):
    run = under(masked, preset="parp", prune_every=0.25)
    run.train(until=1)
    run.update()
    trained = run.weight.detach()[KEPT == 0].abs().max().item()
    assert trained > 0
    # Of 8 blocks 1 comes in for 0; the other three stay out, and are zero again.
    rows = [[0.1, 9, 9, 0.2]] * 2 + [[0.3, 9, 0.4, 9]] * 2
    assert run.set(rows).decide(2).removed_blocks == 1
    assert run.blocks() == ["0110", "0101"]
    expected = [[0.0, 9, 9, 0.0]] * 2 + [[0.0, 9, 0.0, 9]] * 2
    assert torch.equal(run.weight.data, torch.tensor(expected).double())


def test_values_of_zero_are_zero_also_after_going_back(masked):
    run = masked(
        4,
        4,
        sparsity=0.75,
        rewind=True,
        masked_values="zero",
        schedule={"kind": "stepwise", "rounds": 2},
        end=0.5,
    ).train(until=8)
    assert len(run.events) == 3
    removed = run.removed("")
    assert removed.sum() == 12
    assert (run.weight[removed] == 0).all()
    assert (run.weight[~removed] != 0).all()


@pytest.mark.parametrize("moments", ["clear", "keep"])
def test_moments_are_forgotten_exactly_where_weights_come_back(masked, moments):
    run = under(masked, moments=moments, prune_every=0.25, adapt_after=0.5, gradient="dense")
    run.train(until=1)
    run.update()
    before = {key: one.clone() for key, one in run.optimizer.state[run.weight].items()}
    # Above, 0 is the only one to stay; below, 4 and 6 come to 5, and 7 leaves.
    sizes = torch.tensor([[9.0, 1, 1, 1]] * 2 + [[9.0, 9, 9, 1]] * 2)
    event = run.set(sizes.tolist()).decide(2)
    assert run.blocks() == ["1000", "1110"]
    assert (event.revived_blocks, event.removed_blocks) == (2, 2)
    back = torch.tensor([[False] * 4] * 2 + [[True, False, True, False]] * 2)
    for key, one in run.optimizer.state[run.weight].items():
        if key == "step" or moments == "keep":
            assert torch.equal(one, before[key])
        else:
            assert torch.equal(one, torch.where(back, 0.0, before[key]))
            assert (before[key] != 0).all()


def test_moments_stay_where_another_language_had_kept_the_weight(masked):
    run = by_language(masked, prune_every=0.5, adapt_after=0.5, candidates="all", preset="dynamic")
    run.train(until=1)
    run.update()
    before = run.optimizer.state[run.weight]["exp_avg"].clone()
    # Now fr decides, at its first or second step: what en keeps comes in, and 3, which nobody kept.
    run.set([[1.0, 1, 9, 9]] * 2 + [[1.0, 9, 1, 9]] * 2)
    while run.decide() is None:
        run.update()
        run.set([[1.0, 1, 9, 9]] * 2 + [[1.0, 9, 1, 9]] * 2)
        before = run.optimizer.state[run.weight]["exp_avg"].clone()
    (name,) = run.events[-1].plan.masks
    now = run.optimizer.state[run.weight]["exp_avg"]
    assert run.blocks(name) == ["0011", "0101"]
    back = torch.tensor([[False, False, False, True]] * 2 + [[False] * 4] * 2)
    assert torch.equal(now, torch.where(back, 0.0, before))
