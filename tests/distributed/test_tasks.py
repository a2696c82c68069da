"""A function over items gives the same here and in processes of Ray, those that fail included."""

import pytest
from federated_runs import square_or_die

from tuneprune.distributed.cluster import ray_cluster
from tuneprune.distributed.tasks import RayTasks
from tuneprune.errors import ConfigError
from tuneprune.training.tasks import Failure, run_here


def test_here_failures_are_values_and_results_keep_their_places() -> None:
    assert run_here(square_or_die(), [2, 3, 4]) == [
        4,
        Failure(reason="ValueError: three is wrong"),
        16,
    ]


def test_what_ends_a_process_is_no_failure_of_an_item() -> None:
    def interrupted(item: int) -> int:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_here(interrupted, [1])


@pytest.mark.parametrize("at_once", [0, -1])
def test_none_at_once_is_refused(at_once: int) -> None:
    with pytest.raises(ConfigError, match="at least 1"):
        RayTasks(at_once=at_once)


@pytest.mark.ray
def test_in_processes_a_killed_one_fails_one_item_and_the_others_are_as_here() -> None:
    items = [1, 3, 2, 5, 4]
    with ray_cluster():
        few, one = (
            RayTasks(at_once=2)(square_or_die(), items),
            RayTasks(at_once=1)(square_or_die(), []),
        )
    assert one == []
    assert few[:3] == run_here(square_or_die(), items[:3])
    assert isinstance(few[3], Failure)
    assert "its process died" in few[3].reason
    assert few[4] == 16
