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
