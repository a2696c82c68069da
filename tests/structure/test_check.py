"""A description that does not fit its model is refused, naming what does not fit."""

import dataclasses

import pytest

from tuneprune.errors import StructureError
from tuneprune.structure import check_modules
from tuneprune.testing import TinyAdaptable, TinySizes


def changed(modules, place, **fields):
    """Return the modules with fields of the group at ``place`` = (module, index) replaced."""
    number, index = place
    module = modules[number]
    groups = list(module.groups)
    groups[index] = dataclasses.replace(groups[index], **fields)
    module = dataclasses.replace(module, groups=tuple(groups))
    return (*modules[:number], module, *modules[number + 1 :])


def test_description_of_a_sound_model_is_accepted():
    for norm in ("none", "layer", "batch"):
        model = TinyAdaptable(TinySizes(conv_norm=norm))
        check_modules(model, model.prunable_modules())


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"params": 1}, "blocks.0.ff1.1 params = 1: must be 39"),
        ({"id": "other"}, "group 1 of blocks.0.ff1"),
        ({"scored": ()}, "must score some of its own slices"),
        ({"slices": ()}, "must score some of its own slices"),
        ({"outgoing": ()}, r"blocks\.0\.ff1\.1 outgoing = \(\): must be own slices"),
        ({"frame_macs": 35}, "frame_macs = 35: must be at least 36"),  # 3 * 6 in, 6 * 3 out
        ({"frame_macs": 37}, r"blocks\.0\.ff1 frame_macs = \[0, 1\].*same number"),
    ],
)
def test_description_with_a_wrong_group_is_refused(fields, message):
    model = TinyAdaptable()
    with pytest.raises(StructureError, match=message):
        check_modules(model, changed(model.prunable_modules(), (0, 1), **fields))


@pytest.mark.parametrize(("start", "stop"), [(2, 6), (4, 6), (3, 5), (3, 7)])
def test_description_with_a_gap_or_an_overlap_is_refused(start, stop):
    model = TinyAdaptable()
    modules = model.prunable_modules()
    first, *rest = modules[0].groups[1].slices
    moved = dataclasses.replace(first, start=start, stop=stop)
    bad = changed(modules, (0, 1), slices=(moved, *rest), scored=(moved,))
    with pytest.raises(StructureError, match="in order"):
        check_modules(model, bad)


def test_description_that_names_an_unknown_tensor_is_refused():
    model = TinyAdaptable()
    module = dataclasses.replace(model.prunable_modules()[0], shared=("blocks.0.ff1.nothing",))
    with pytest.raises(StructureError, match=r"blocks\.0\.ff1\.nothing"):
        check_modules(model, (module,))


def test_description_with_a_tensor_both_cut_and_shared_is_refused():
    model = TinyAdaptable()
    module = model.prunable_modules()[0]
    module = dataclasses.replace(module, shared=(*module.shared, "blocks.0.ff1.linear_in.bias"))
    with pytest.raises(StructureError, match="either cut or shared"):
        check_modules(model, (module,))


def test_description_with_a_forgotten_shared_tensor_is_refused():
    model = TinyAdaptable()
    module = dataclasses.replace(model.prunable_modules()[0], shared=())
    with pytest.raises(StructureError, match="params"):
        check_modules(model, (module,))


def test_the_same_module_twice_is_refused():
    model = TinyAdaptable()
    module = model.prunable_modules()[0]
    with pytest.raises(StructureError, match="twice"):
        check_modules(model, (module, module))


@pytest.mark.parametrize("leaf", ["linear_in.bias", "linear_out.bias"])
def test_description_whose_outgoing_slice_is_a_bias_or_of_another_group_is_refused(leaf):
    model = TinyAdaptable()
    modules = model.prunable_modules()
    group = modules[0].groups[1]
    parts = [part for part in group.slices if part.parameter.endswith(leaf)]
    other = modules[0].groups[0].outgoing  # the output bias is in no group
    message = "two or more dimensions" if parts else "must be own slices"
    with pytest.raises(StructureError, match=message):
        check_modules(model, changed(modules, (0, 1), outgoing=tuple(parts) or other))


def test_an_outgoing_slice_can_not_be_a_buffer():
    model = TinyAdaptable()
    modules = model.prunable_modules()
    group = modules[1].groups[0]
    (mean,) = (part for part in group.slices if part.parameter.endswith("running_mean"))
    with pytest.raises(StructureError, match="no bias, norm or buffer"):
        check_modules(model, changed(modules, (1, 0), outgoing=(mean,)))
