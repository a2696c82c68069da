"""Who the clients of a corpus are, and which of them a round draws. Nothing is trained here."""

from dataclasses import dataclass

import numpy as np

from tuneprune.data.batching import Indices
from tuneprune.data.corpus import Split
from tuneprune.errors import ConfigError

_DRAW, _TRAIN, _UNITS = range(3)
"""What draws are for: each has a stream of its own, so that one does not shift another."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Client:
    """Utterances that never leave their owner.

    Args:
        name: of the speaker, and of which part of the speaker's utterances.
        index: place among all clients, by name of the speaker.
        utterances: indices in the training split, rising.
    """

    name: str
    index: int
    utterances: Indices


def clients_of(split: Split, *, per_speaker: int) -> tuple[Client, ...]:
    """Return the clients of a training split: its speakers, or parts of them.

    The utterances of a speaker are dealt in turn, in the order of their ids; a speaker with fewer
    of them than ``per_speaker`` is as many clients as there are utterances.
    """
    spoken_by = np.asarray(split.speakers)
    parts = [
        (speaker, part, np.flatnonzero(spoken_by == speaker)[part::per_speaker])
        for speaker in sorted(set(split.speakers))
        for part in range(per_speaker)
    ]
    width = len(str(per_speaker - 1))
    return tuple(
        Client(
            name=speaker if per_speaker == 1 else f"{speaker}.{part:0{width}d}",
            index=index,
            utterances=utterances,
        )
        for index, (speaker, part, utterances) in enumerate(one for one in parts if len(one[2]))
    )


def draw_clients(
    clients: tuple[Client, ...], count: int, *, seed: int, round_: int
) -> list[Client]:
    """Return the clients of a round, each at most once, in the order of all clients.

    Raises:
        ConfigError: there are not so many.
    """
    if count > len(clients):
        remedy = f"must be at most {len(clients)}, the clients that the training split makes"
        raise ConfigError("federated.clients_per_round", count, remedy)
    rng = np.random.default_rng([seed, round_, _DRAW])
    drawn = rng.choice(len(clients), size=count, replace=False)
    return [clients[place] for place in sorted(drawn.tolist())]


def training_seed(client: Client, *, seed: int, round_: int) -> int:
    """Return the seed of a client's batches, augmentation and dropout in a round."""
    sequence = np.random.SeedSequence([seed, round_, _TRAIN, client.index])
    return int(sequence.generate_state(1, np.uint64)[0] >> 33)


def units_generator(client: Client, *, seed: int, round_: int) -> np.random.Generator:
    """Return what draws the units that a client keeps in a round."""
    return np.random.default_rng([seed, round_, _UNITS, client.index])
