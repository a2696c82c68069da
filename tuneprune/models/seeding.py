"""Fresh weights from a seed, without touching the random state of whoever asks for them."""

import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def drawn_from(seed: int, purpose: str) -> Iterator[None]:
    """Seed torch's default generator for what is drawn inside, and put it back afterwards.

    Args:
        seed: of the run.
        purpose: what is drawn, so that other draws with the same seed are others.
    """
    place = (seed, zlib.crc32(purpose.encode()))
    own = int(np.random.SeedSequence(place).generate_state(1, np.uint64)[0])
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(own)
        yield
