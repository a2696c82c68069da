"""Descriptions against sizes worked out by hand."""

from tuneprune.config import RunConfig, build_config
from tuneprune.models.describe import describe_model

SIZES = {
    "encoder": "e_branchformer",
    "d_model": 8,
    "num_blocks": 2,
    "head_dim": 4,
    "conv_kernel": 3,
    "merge_kernel": 5,
    "frontend": {"kind": "strided", "channels": [2, 3]},
}
UNEVEN = [
    {"ff1": 4, "mhsa": 0, "cgmlp": 4, "ff2": 1},
    {"ff1": 4, "mhsa": 3, "cgmlp": 4, "ff2": 4},
]


def run(**model: object) -> RunConfig:
    settings = {
        "corpus": {"path": "unused"},
        "features": {"num_bins": 9},
        "model": {**SIZES, **model},
    }
    return build_config(settings)


def test_costs_of_a_group_by_hand() -> None:
    modules = describe_model(run(), num_labels=5, num_labels_from="option")["modules"]
    # FFN 8 -> 32 -> 8 in 4; heads of 4; cgMLP 8 -> 2 x 24 -> 8 in 4, filters of 3.
    ffn = {
        "params": 568, "groups": 4, "group_cost": 142, "group_params": 136,
        "group_macs": 128, "group_macs_stacked": 128,
    }  # fmt: skip
    assert modules["ff1"] == modules["ff2"] == ffn
    heads = 4 * (3 * 8 + 8)
    assert modules["mhsa"]["group_macs"] == heads + 2 * 4 * 250
    assert modules["mhsa"]["group_params"] == heads + 12
    gated = 6 * (2 * 8 + 3 + 8)
    assert modules["cgmlp"]["group_macs"] == gated
    assert modules["cgmlp"]["group_params"] == gated + 6 * (2 + 1 + 2)


def test_an_uneven_allocation_is_listed_and_unit_costs_stay_those_of_the_full_module() -> None:
    even = describe_model(run(), num_labels=5, num_labels_from="option")
    uneven = describe_model(run(allocation=UNEVEN), num_labels=5, num_labels_from="option")
    assert uneven["modules"] == even["modules"]
    assert uneven["allocation"] == UNEVEN
    assert even["allocation"] == [{"ff1": 4, "mhsa": 2, "cgmlp": 4, "ff2": 4}] * 2
    assert uneven["groups"] == even["groups"] - 4
    macs = {kind: module["group_macs"] for kind, module in even["modules"].items()}
    saved = 3 * macs["ff2"] + macs["mhsa"]
    assert even["multiply_adds_per_s"] - uneven["multiply_adds_per_s"] == 25 * saved


def test_a_transducer_has_a_joiner_for_each_frame_and_groups_as_before() -> None:
    output = {"embedding_dim": 6, "hidden_dim": 5, "joiner_dim": 7}
    ctc = describe_model(run(), num_labels=5, num_labels_from="option")
    found = describe_model(run(transducer=output), num_labels=5, num_labels_from="option")
    assert found["modules"] == ctc["modules"]
    assert found["prunable_params"] == ctc["prunable_params"]
    joiner = 8 * 7 + 7 * 5
    assert found["multiply_adds_per_s"] - ctc["multiply_adds_per_s"] == 25 * (joiner - 8 * 5)
    predictor = 5 * 6 + 4 * 5 * (6 + 5 + 2) + 2 * 6 + 2 * 5
    biases_of_joiner = 7 + 5 * 7 + 7 + 5  # and the weight of its share of labels
    added = predictor + joiner + biases_of_joiner + (8 * 5 + 5)  # that of CTC, in training
    assert found["total_params"] - ctc["total_params"] == added - (8 * 5 + 5)


def test_an_emformer_has_no_groups() -> None:
    settings = {
        "corpus": {"path": "unused"},
        "features": {"num_bins": 9},
        "model": {
            "encoder": "emformer",
            "d_model": 8,
            "num_blocks": 2,
            "num_heads": 2,
            "frontend": {"kind": "stacked", "channels": []},
            "transducer": {},
        },
    }
    found = describe_model(build_config(settings), num_labels=5, num_labels_from="option")
    assert (found["modules"], found["allocation"], found["groups"]) == ({}, [], 0)
    assert found["prunable_params"] == 0 < found["rest_params"] == found["total_params"]


def test_multiply_adds_of_all_parts_by_hand() -> None:
    found = describe_model(run(), num_labels=5, num_labels_from="option")
    frontend = 2 * 5 * 9 * 2 + 3 * 9 * 6 + 9 * 8
    block = 2 * 512 + 4 * 8 * 8 + 2 * 2 * 4 * 250 + 4 * 162 + 16 * 5 + 16 * 8
    assert found["encoder"] == "e_branchformer"
    assert found["multiply_adds_per_s"] == 25 * (frontend + 2 * block + 5 * 8)


def test_the_merge_is_counted_with_the_rest() -> None:
    found = describe_model(run(), num_labels=5, num_labels_from="option")
    frontend = 9 * 2 + 2 + 9 * 6 + 3 + 9 * 8 + 8
    merge = 16 * 5 + 16 + 16 * 8 + 8
    assert found["rest_params"] == frontend + 2 * (merge + 16) + 5 * 8 + 5


def test_a_supernet_is_described_as_the_plain_model_that_it_is() -> None:
    plain = run(encoder="conformer", merge_kernel=None, num_blocks=2)
    settings = plain.model_dump(mode="json")
    settings["adaptation"] = {"method": "supernet", "subnets": [4, 2]}
    found = describe_model(build_config(settings), num_labels=5, num_labels_from="option")
    assert found == describe_model(plain, num_labels=5, num_labels_from="option")


def test_a_stack_of_frames_is_told_and_halves_what_later_groups_cost() -> None:
    plain = run(encoder="conformer", merge_kernel=None)
    stacked = run(encoder="conformer", merge_kernel=None, stacking={"after_block": 1})
    before = describe_model(plain, num_labels=5, num_labels_from="option")
    found = describe_model(stacked, num_labels=5, num_labels_from="option")
    assert (before["stacking"], found["stacking"]) == (None, {"after_block": 1, "factor": 2})
    assert found["encoder_params"] - before["encoder_params"] == 2 * 8 * 8 + 8 + 2 * 8
    for kind, module in before["modules"].items():
        half = module["group_macs"] / 2 - (500 if kind == "mhsa" else 0)
        assert found["modules"][kind] == {**module, "group_macs_stacked": half}
    # Of the second block half is saved, and of its attention to 250 frames three quarters.
    block = 2 * 512 + 4 * 8 * 8 + 4 * 2 * (3 * 8 + 3)
    saved = block // 2 + 2 * 2 * 4 * 250 * 3 // 4 - 2 * 8 * 8 // 2 + 5 * 8 // 2
    assert before["multiply_adds_per_s"] - found["multiply_adds_per_s"] == 25 * saved
