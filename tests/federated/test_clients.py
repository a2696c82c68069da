"""Who clients are, and that rounds draw them by the seed alone."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from tuneprune.data.corpus import Split, open_corpus
from tuneprune.errors import ConfigError
from tuneprune.federated.clients import clients_of, draw_clients, training_seed, units_generator


@pytest.fixture
def split(tones: Path) -> Split:
    return open_corpus(tones).split("train")  # twelve utterances, of two speakers in turn


def test_clients_are_speakers_in_the_order_of_their_names(split: Split) -> None:
    first, second = clients_of(split, per_speaker=1)
    assert (first.name, second.name) == ("speaker-train-0", "speaker-train-1")
    assert first.utterances.tolist() == [0, 2, 4, 6, 8, 10]
    assert second.utterances.tolist() == [1, 3, 5, 7, 9, 11]


def test_a_speaker_may_be_several_clients_and_no_utterance_is_lost(split: Split) -> None:
    clients = clients_of(split, per_speaker=4)
    assert [client.name for client in clients[:4]] == [f"speaker-train-0.{n}" for n in range(4)]
    assert [client.utterances.tolist() for client in clients[:4]] == [[0, 8], [2, 10], [4], [6]]
    assert [client.index for client in clients] == list(range(8))
    held = Counter(int(u) for client in clients for u in client.utterances)
    assert held == Counter(range(12))


def test_a_speaker_is_at_most_as_many_clients_as_utterances(split: Split) -> None:
    clients = clients_of(split, per_speaker=10)
    assert len(clients) == 12
    assert clients[6].name == "speaker-train-1.0"


def test_draws_are_a_function_of_seed_and_round(split: Split) -> None:
    clients = clients_of(split, per_speaker=6)
    draws = {
        (seed, round_): [c.index for c in draw_clients(clients, 4, seed=seed, round_=round_)]
        for seed in (1, 2)
        for round_ in range(20)
    }
    again = [c.index for c in draw_clients(clients, 4, seed=1, round_=7)]
    assert draws[1, 7] == again
    assert all(found == sorted(set(found)) for found in draws.values())
    assert len({tuple(found) for found in draws.values()}) > 20
    counts = Counter(index for found in draws.values() for index in found)
    assert set(counts) == set(range(12))


def test_more_clients_than_there_are_can_not_be_drawn(split: Split) -> None:
    with pytest.raises(ConfigError, match=r"clients_per_round = 5: must be at most 2"):
        draw_clients(clients_of(split, per_speaker=1), 5, seed=1, round_=0)


def test_every_client_of_every_round_draws_by_itself(split: Split) -> None:
    clients = clients_of(split, per_speaker=6)
    seeds = {
        training_seed(client, seed=seed, round_=round_)
        for client in clients for seed in (1, 2) for round_ in range(3)
    }  # fmt: skip
    assert len(seeds) == 12 * 2 * 3
    assert all(0 <= seed < 2**31 for seed in seeds)
    drawn = [
        units_generator(client, seed=1, round_=round_).random()
        for client in clients for round_ in range(3)
    ]  # fmt: skip
    assert len(np.unique(drawn)) == 36
