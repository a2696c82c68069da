"""Constraints are read strictly, and judged by numbers that are there."""

import math

import pytest

from tuneprune.sweep.constraints import METRIC_NAMES, parse_constraint, violated
from tuneprune.sweep.records import METRICS


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("params <= 1.0 * baseline", ("params", 1.0, True)),
        (" multiply_adds_per_s<=3e9 ", ("multiply_adds_per_s", 3e9, False)),
        ("dev_wer <= 0.3", ("dev_wer", 0.3, False)),
        ("params <= 1.02*baseline", ("params", 1.02, True)),
        ("dev_subnets_wer <= 0.3", ("dev_subnets_wer", 0.3, False)),
        ("real_time_factor <= 5.E-2", ("real_time_factor", 0.05, False)),
    ],
)
def test_a_constraint_is_a_metric_and_a_limit(text, expected):
    found = parse_constraint(text)
    assert (found.metric, found.number, found.of_baseline) == expected
    assert parse_constraint(found.text) == found


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("params < 3", "must read 'METRIC <= NUMBER'"),
        ("params >= 3", "must read"),
        ("params <= baseline", "must read"),
        ("params <= 2 * params", "must read"),
        ("params <= 1 * baseline + 1", "must read"),
        ("params <= -3", "must read"),
        ("params <= 3_000", "must read"),
        ("params <= __import__('os')", "must read"),
        ("params <= nan", "must read"),
        ("params <= ٣", "must read"),
        ("params <= 1e999", "above 0"),
        ("params <= 0", "above 0"),
        ("test_wer <= 0.2", "must limit one of dev_wer, "),
        ("parms <= 3", "must limit one of"),
        ("dev_subnets_wer <= 1 * baseline", "'dev_subnets_wer <= NUMBER': a baseline has no sub"),
        ("dev_subnets_cer <= 1.0*baseline", "'dev_subnets_cer <= NUMBER': a baseline has no sub"),
    ],
)
def test_anything_else_is_refused_in_one_line(text, said, refusal):
    assert said in refusal(parse_constraint, text)


def test_what_can_be_limited_is_told_after_a_restart():
    assert set(METRIC_NAMES) < set(METRICS)


@pytest.mark.parametrize(
    ("params", "macs", "expected"),
    [
        (1000, 3e9, None),  # both limits belong to what is allowed
        (1001, 3e9, "params <= 1.0 * baseline"),
        (1000, 3e9 + 1, "multiply_adds_per_s <= 3e9"),
        (1001, 4e9, "params <= 1.0 * baseline; multiply_adds_per_s <= 3e9"),
        (1000, None, "multiply_adds_per_s <= 3e9 (not known)"),
        (math.nan, 3e9, "params <= 1.0 * baseline (not known)"),
    ],
)
def test_what_a_trial_does_not_keep_is_named(params, macs, expected):
    texts = ("params <= 1.0 * baseline", "multiply_adds_per_s <= 3e9")
    limits = [parse_constraint(text) for text in texts]
    metrics = {"params": params, "multiply_adds_per_s": macs}
    assert violated(limits, metrics, {"params": 1000}) == expected


def test_without_a_finished_baseline_nobody_can_say_that_its_limit_is_kept():
    limit = parse_constraint("params <= 2 * baseline")
    assert violated([limit], {"params": 1}, {}) == "params <= 2 * baseline (not known)"


@pytest.mark.parametrize(
    ("value", "limit", "expected"), [(3.0, 2.0, 0.5), (1.0, 2.0, -0.5), (0.25, 0.0, 0.25)]
)
def test_the_excess_is_a_share_of_the_limit(value, limit, expected):
    found = parse_constraint("dev_wer <= 1 * baseline").excess(
        {"dev_wer": value}, {"dev_wer": limit}
    )
    assert found == pytest.approx(expected)
