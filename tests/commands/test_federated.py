"""The federated command takes federated runs, the others leave them alone, each in one line."""

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from federated_runs import federated_config

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def file(tones: Path, tmp_path: Path) -> Path:
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump(federated_config(tones).model_dump(mode="json")))
    return path


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["train"], "federated = 'given': is for `tuneprune federated`; start that, or leave it"),
        (["federated", "--set", "federated=null"], "federated = None: must be given: rounds"),
        (
            ["federated", "--set", "federated.clients_per_round=9"],
            "federated.clients_per_round = 9: must be at most 6, the clients that the training",
        ),
        (["federated", "--resume", "--restart"], "give one of the two"),
        (
            [
                "federated",
                "--set",
                "federated.dropout={aim: critical, layers: 1, ranking: nowhere}",
            ],
            "federated.dropout.ranking = 'nowhere': can not be used: results = nowhere: is not a",
        ),
    ],
)
def test_what_can_not_be_started_is_said_in_one_line_and_leaves_nothing(
    run: Run, file: Path, words: list[str], said: str
) -> None:
    command, *options = words
    code, out, error = run(command, file, "--out", "r", *options)
    assert (code, out) == (2, "")
    assert said in error.strip().splitlines()[-1]
    assert not Path("r").exists()


def test_none_at_once_is_no_number_of_clients(run: Run, file: Path) -> None:
    code, _, error = run("federated", file, "--clients-at-once", 0)
    assert code == 2
    assert "clients-at-once" in error
