"""Sub-models by hidden units: what is taken out, what it computes, and that it goes back."""

import copy
from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from tuneprune.config import ModelConfig
from tuneprune.errors import StructureError
from tuneprune.models.build import build_model
from tuneprune.models.speech_model import SpeechModel
from tuneprune.structure.groups import (
    Cut,
    PrunableModule,
    TensorSlice,
    describe_module,
    tensors_of,
)
from tuneprune.structure.units import (
    Kept,
    ModuleUnits,
    SubModels,
    num_dropped,
    set_tensors_,
    units_of,
)

HEADS = "mhsa"


class Gated(nn.Module):
    """Two stacked halves of two groups of two rows each, and the columns behind them."""

    def __init__(self) -> None:
        super().__init__()
        self.into = nn.Parameter(torch.arange(8.0)[:, None] * torch.ones(2))
        self.out = nn.Parameter(torch.arange(4.0) * torch.ones(3, 1))
        self.bias = nn.Parameter(torch.ones(3))


def declared(owner: nn.Module) -> PrunableModule:
    return describe_module(
        owner,
        name="m",
        layer=0,
        kind="conv",
        cuts={"into": Cut(dim=0, unit=2, sections=2), "out": Cut(dim=1, unit=2)},
        scored=("into",),
        outgoing=("out",),
        shared=("bias",),
    )


def whole(owner: nn.Module) -> dict[str, Tensor]:
    return {f"m.{name}": tensor for name, tensor in tensors_of(owner).items()}


def test_units_of_stacked_halves_by_hand() -> None:
    owner = Gated()
    units = units_of(declared(owner), whole_groups=False)
    assert units.count == 4
    sub_models = SubModels([units])
    taken = sub_models.take(whole(owner), {"m": (0, 3)})
    # Rows 0 and 3 of the first half, and the same of the second, which begins at row 4.
    assert taken["m.into"][:, 0].tolist() == [0, 3, 4, 7]
    assert taken["m.out"].tolist() == [[0, 3]] * 3
    assert torch.equal(taken["m.bias"], owner.bias)


def test_a_unit_may_be_a_whole_group() -> None:
    owner = Gated()
    units = units_of(declared(owner), whole_groups=True)
    assert units.count == 2
    taken = SubModels([units]).take(whole(owner), {"m": (1,)})
    assert taken["m.into"][:, 0].tolist() == [2, 3, 6, 7]
    assert taken["m.out"][0].tolist() == [2, 3]


def test_changes_go_back_where_they_came_from_and_nowhere_else() -> None:
    owner = Gated()
    sub_models = SubModels([units_of(declared(owner), whole_groups=False)])
    kept = {"m": (1, 2)}
    totals = {name: torch.zeros_like(tensor) for name, tensor in whole(owner).items()}
    ones = {name: torch.ones_like(t) for name, t in sub_models.take(whole(owner), kept).items()}
    sub_models.add_back_(totals, ones, kept)
    assert totals["m.into"][:, 0].tolist() == [0, 1, 1, 0, 0, 1, 1, 0]
    assert totals["m.out"][0].tolist() == [0, 1, 1, 0]
    assert totals["m.bias"].tolist() == [1, 1, 1]


def test_only_what_leaves_a_module_has_a_share() -> None:
    sub_models = SubModels([units_of(declared(Gated()), whole_groups=False)])
    shares = [sub_models.share(f"m.{name}", {"m": (0, 1, 3)}) for name in ("into", "out", "bias")]
    assert shares == [1.0, 0.75, 1.0]
    assert sub_models.share("m.out", {}) == 1.0


def test_a_module_without_groups_has_no_units() -> None:
    nothing = PrunableModule(name="m", layer=0, kind="ff1", groups=(), shared=(), params=0)
    assert units_of(nothing, whole_groups=False).count == 0


def test_slices_that_do_not_divide_alike_are_refused() -> None:
    (first, *_) = declared(Gated()).groups
    odd = TensorSlice(parameter="m.other", dim=0, section=0, start=0, stop=3)
    twice = TensorSlice(parameter="m.out", dim=0, section=0, start=0, stop=2)
    for slices, said in (((*first.slices, odd), "multiple of 2"), ((*first.slices, twice), "two")):
        group = replace(first, slices=slices)
        module = PrunableModule(
            name="m", layer=0, kind="conv", groups=(group,), shared=(), params=0
        )
        with pytest.raises(StructureError, match=said):
            units_of(module, whole_groups=False)


@pytest.mark.parametrize(
    ("rate", "count", "dropped"),
    [(0.0, 8, 0), (0.1, 384, 38), (0.1, 4, 0), (0.5, 4, 2), (0.125, 4, 1), (0.99, 4, 3),
     (0.5, 1, 0)],
)  # fmt: skip
def test_a_rate_drops_the_nearest_number_of_units_and_never_all(
    rate: float, count: int, dropped: int
) -> None:
    assert num_dropped(rate, count) == dropped


SIZES = {
    "d_model": 16,
    "num_blocks": 2,
    "head_dim": 4,
    "ffn_dim": 24,
    "conv_kernel": 3,
    "frontend": {"kind": "strided", "channels": [4, 4]},
}


def model_of(**settings: object) -> SpeechModel:
    config = ModelConfig.model_validate({**SIZES, **settings})
    return build_model(config, num_bins=12, num_labels=5, seed=3).double().eval()


def divided(model: SpeechModel, kinds: Sequence[str]) -> list[ModuleUnits]:
    return [
        units_of(module, whole_groups=module.kind == HEADS)
        for module in model.prunable_modules()
        if module.kind in kinds
    ]


def silenced(model: SpeechModel, modules: Sequence[ModuleUnits], kept: Kept, factor: float):
    """Return the model with the outgoing weights of dropped units at 0, of others times factor."""
    other = copy.deepcopy(model)
    tensors = tensors_of(other)
    with torch.no_grad():
        for module in modules:
            for cut in module.cuts:
                if cut.is_outgoing:
                    tensor, places = tensors[cut.parameter], cut.positions(kept[module.module])
                    scale = torch.zeros(tensor.shape[cut.dim], dtype=tensor.dtype)
                    scale[places] = factor
                    tensor.mul_(scale if cut.dim == tensor.ndim - 1 else scale[:, None])
    return other


@pytest.mark.parametrize(
    ("kinds", "settings"),
    [
        (("ff1", "ff2"), {}),
        (("ff1", "ff2"), {"conv_norm": "group"}),
        (("mhsa",), {}),
        (("mhsa",), {"positions": "relative"}),
        (("ff1", "mhsa"), {"encoder": "e_branchformer", "cgmlp_dim": 32}),
        (("conv", "ff1"), {"conv_norm": "batch"}),  # the only one that knows channels by themselves
        (("cgmlp",), {"encoder": "e_branchformer", "cgmlp_dim": 32, "conv_norm": "batch"}),
    ],
)
@pytest.mark.parametrize("rescale", [False, True])
def test_a_sub_model_is_the_model_with_silenced_units(
    kinds: Sequence[str], settings: dict[str, object], rescale: bool
) -> None:
    model = model_of(**settings)
    modules = divided(model, kinds)
    kept = {one.module: tuple(range(1, one.count, 2)) for one in modules}  # the odd half
    sub_models = SubModels(modules)
    tensors = sub_models.take(tensors_of(model), kept)
    if rescale:
        tensors = {name: one / sub_models.share(name, kept) for name, one in tensors.items()}
    small = copy.deepcopy(model)
    set_tensors_(small, tensors)
    assert small.num_params() < model.num_params()
    x_BTF = torch.randn(2, 32, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    frames_B = torch.tensor([32, 21])
    found, _ = small(x_BTF, frames_B)
    wanted, _ = silenced(model, modules, kept, 2.0 if rescale else 1.0)(x_BTF, frames_B)
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-6)


def test_a_sub_model_narrower_than_a_group_still_counts_and_drops_less() -> None:
    model = model_of()
    modules = divided(model, ("ff1",))
    kept = {one.module: (0, 1, 2) for one in modules}  # groups are of six units
    set_tensors_(model, SubModels(modules).take(tensors_of(model), kept))
    module = model.get_submodule("blocks.0.ff1")
    assert module.scaled(0.1) == pytest.approx(0.1 * 3 / 24)
    x_BTF, frames_B = torch.ones(1, 16, 12, dtype=torch.float64), torch.tensor([16])
    before, _ = model(x_BTF, frames_B)
    with torch.no_grad():
        module.linear_out.weight.add_(1)
    assert not torch.equal(before, model(x_BTF, frames_B)[0])


@pytest.mark.parametrize("kinds", [("ff1", "conv", "mhsa", "ff2")])
def test_what_is_taken_and_put_back_is_the_model(kinds: Sequence[str]) -> None:
    model = model_of(positions="relative")
    modules = divided(model, kinds)
    sub_models = SubModels(modules)
    kept = {one.module: tuple(range(one.count // 2)) for one in modules}
    others = {one.module: tuple(range(one.count // 2, one.count)) for one in modules}
    whole_ = tensors_of(model)
    totals = {name: torch.zeros_like(tensor) for name, tensor in whole_.items()}
    for part in (kept, others):
        sub_models.add_back_(totals, sub_models.take(whole_, part), part)
    for name, tensor in whole_.items():
        times = 1 if any(name == cut.parameter for one in modules for cut in one.cuts) else 2
        assert torch.equal(totals[name], times * tensor), name
