"""Losses in, recoveries out: spikes, means and settlements counted by hand."""

import json
from dataclasses import asdict

import pytest

from tuneprune.results.schema import KEY_FIELDS, TABLES
from tuneprune.training.recovery import Recovery, RecoveryWatch, recovery_window


def feed(watch: RecoveryWatch, first_step: int, losses: list[float], time_s: float = 0.5):
    """Take in losses from a step on; return the recoveries by the step they came at."""
    found = {}
    for step, loss in enumerate(losses, first_step):
        recovery = watch.stepped(step, loss, time_s)
        if recovery is not None:
            found[step] = recovery
    return found


def test_a_spike_that_comes_back_is_settled_when_a_window_of_its_own_is_as_low() -> None:
    watch = RecoveryWatch(3)
    assert feed(watch, 1, [9.0, 4.0, 3.0, 2.0], 0.5) == {}
    assert watch.begin(0, 4) is None
    # Means of three after the event: (6 + 8 + 3) / 3, (8 + 3 + 2) / 3, (3 + 2 + 3) / 3 < 3.
    found = feed(watch, 5, [6.0, 8.0, 3.0, 2.0, 3.0, 1.0], 0.25)
    assert found == {
        9: Recovery(
            event=0, event_step=4, loss_before=3.0, spike_loss=8.0, spike_step=6, recovered=True,
            recovery_steps=5, window_steps=3, step_time_before_s=0.5, step_time_after_s=0.25,
        )
    }  # fmt: skip
    assert watch.end(10) is None


def test_losses_from_before_the_event_do_not_count_as_recovered() -> None:
    watch = RecoveryWatch(4)
    feed(watch, 1, [1.0, 5.0, 5.0, 5.0])  # mean 4
    watch.begin(0, 4)
    # The last four have a mean of 4 and of 3 after one step and two, but hold old ones.
    assert feed(watch, 5, [1.0, 1.0, 9.0, 9.0, 1.0]) == {}
    assert list(feed(watch, 10, [1.0, 1.0])) == [11]


def test_exactly_as_low_is_back() -> None:
    watch = RecoveryWatch(2)
    feed(watch, 1, [3.0, 1.0])
    watch.begin(0, 2)
    assert feed(watch, 3, [2.5, 1.5])[4].recovery_steps == 2


def test_the_next_event_and_the_end_settle_what_is_still_watched_as_not_recovered() -> None:
    watch = RecoveryWatch(2)
    feed(watch, 1, [1.0, 1.0])
    watch.begin(0, 2)
    feed(watch, 3, [5.0, 5.0, 4.0])
    first = watch.begin(1, 5)
    assert first is not None
    assert (first.event, first.recovered, first.recovery_steps) == (0, False, None)
    assert (first.spike_loss, first.spike_step) == (5.0, 3)
    feed(watch, 6, [9.0])
    second = watch.end(6)
    assert second is not None
    # What counts before an event is the window before it, spike and all.
    assert (second.event, second.loss_before, second.spike_step) == (1, 4.5, 6)
    assert (second.recovered, watch.end(6)) == (False, None)


def test_an_event_that_no_step_follows_has_no_spike_and_no_time_after() -> None:
    watch = RecoveryWatch(5)
    feed(watch, 1, [2.0, 4.0], 0.5)
    watch.begin(0, 2)
    settled = watch.end(2)
    assert settled is not None
    assert (settled.loss_before, settled.step_time_before_s) == (3.0, 0.5)
    assert settled.spike_loss is settled.spike_step is settled.step_time_after_s is None


@pytest.mark.parametrize("cut", range(1, 12))
def test_a_resumed_watch_settles_the_same_but_for_times(cut: int) -> None:
    losses = [3.1, 2.2, 2.7, 2.9, 6.3, 5.1, 3.3, 2.6, 2.5, 2.4, 2.8, 0.1]

    def run(resume_at: int | None) -> list[dict[str, object]]:
        watch, settled = RecoveryWatch(3), []
        for step, loss in enumerate(losses, 1):
            settled.append(watch.stepped(step, loss, 0.5))
            if step in (4, 6):
                settled.append(watch.begin(step // 5, step))
            if step == resume_at:
                state = json.loads(json.dumps(watch.state_dict()))
                watch = RecoveryWatch(3)
                watch.load_state_dict(state)
        found = [asdict(one) for one in (*settled, watch.end(12)) if one is not None]
        return [{key: row[key] for key in row if "time" not in key} for row in found]

    assert run(cut) == run(None)
    assert [row["recovered"] for row in run(None)] == [False, True]


def test_a_resumed_watch_knows_no_times_from_before() -> None:
    watch = RecoveryWatch(2)
    feed(watch, 1, [1.0, 1.0])
    watch.begin(0, 2)
    feed(watch, 3, [4.0])
    again = RecoveryWatch(2)
    again.load_state_dict(watch.state_dict())
    feed(again, 4, [3.0], 0.125)
    settled = again.end(4)
    assert settled is not None
    assert (settled.step_time_before_s, settled.step_time_after_s) == (None, 0.125)
    assert (settled.spike_loss, settled.spike_step) == (4.0, 3)


@pytest.mark.parametrize(
    ("total_steps", "window"),
    [(10, 5), (500, 5), (560, 6), (5855, 59), (10_000, 100), (10**6, 100)],
)
def test_the_window_is_a_hundredth_of_the_run_within_bounds(total_steps: int, window: int) -> None:
    assert recovery_window(total_steps) == window


def test_a_recovery_is_a_row_of_its_table() -> None:
    keys = {field.name for field in KEY_FIELDS}
    assert [name for name in TABLES["recoveries"].names if name not in keys] == list(
        Recovery.__dataclass_fields__
    )
