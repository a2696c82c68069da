"""Times and settings are said as people say them."""

import pytest

from tuneprune.sweep.wording import duration, points, short_settings


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(9.4, "9 s"), (59.6, "1 min 00 s"), (310, "5 min 10 s"), (7500, "2 h 05 min")],
)
def test_durations_are_said_as_people_say_them(seconds, text):
    assert duration(seconds) == text


def test_settings_are_named_by_the_last_part_of_their_paths():
    values = {"optim.peak_lr": 0.000321, "model.encoder": "conformer", "seed": 3}
    assert short_settings(values) == "peak_lr 0.000321, encoder conformer, seed 3"


def test_differences_have_a_sign():
    assert [points(one) for one in (0.051, -0.02, None)] == ["+5.1", "-2.0", "-"]
