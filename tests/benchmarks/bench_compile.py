"""What torch.compile makes of our training step, on one batch shape and compiled beforehand.

The seconds on a row are those that compiling took, with nothing kept from an earlier run.
"""

import contextlib
import os
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from unittest import mock

import torch
from comparing import Bar, Comparison, Missing, Row, Size, take_turns, timed
from recognisers import Trainee, batch_for, models_of

from tuneprune.config import ModelConfig


def compare(*, size: Size) -> list[Row]:
    """Measure the AN4 space's model, in both precisions; in float32 alone unless in full.

    The tiny model is traced, and no kernels are made of it: they take a minute at any size.
    """
    (config,) = models_of("tiny" if size == "tiny" else "quick")
    precisions = ("float32", "bfloat16") if size == "full" else ("float32",)
    backend = "eager" if size == "tiny" else "inductor"
    repeats = {"full": 15, "quick": 7, "tiny": 1}[size]
    return [_row(config, precision, backend=backend, repeats=repeats) for precision in precisions]


def _row(config: ModelConfig, precision: str, *, backend: str, repeats: int) -> Row:
    batch = batch_for(config)
    eager, compiled = Trainee.ours(config, batch), Trainee.ours(config, batch)
    compiled.compile(backend)
    with _nothing_compiled():
        began = time.perf_counter()
        try:
            compiled.step(precision)
        except Exception as error:  # whatever a compiler that is missing or fails raises
            return Missing(what=f"torch.compile {precision}", why=_reason(error))
        seconds = time.perf_counter() - began
        taken = take_turns(
            {
                "compiled": timed(partial(compiled.step, precision)),
                "eager": timed(partial(eager.step, precision)),
            },
            repeats=repeats,
        )
    return Comparison(
        what=f"torch.compile {precision} ({seconds:.0f} s) / eager",
        ours=taken["compiled"],
        baseline=taken["eager"],
        bar=Bar(kind="faster", limit=None),
    )


@contextlib.contextmanager
def _nothing_compiled() -> Iterator[None]:
    """Begin with empty caches in memory and on disk, and leave none behind."""
    torch.compiler.reset()
    with (
        tempfile.TemporaryDirectory(prefix="tp-") as folder,
        mock.patch.dict(os.environ, TORCHINDUCTOR_CACHE_DIR=folder),
    ):
        yield
    torch.compiler.reset()


def _reason(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
