"""A training step of our Conformer against one around torchaudio's, same sizes and batch."""

from functools import partial

from comparing import Bar, Comparison, take_turns, timed
from recognisers import Trainee, an4_config, an4_like_batch, an4_model, sizes_of

from tuneprune.config import ModelConfig


def compare(*, quick: bool) -> list[Comparison]:
    """Measure the AN4 space's model, and unless ``quick`` one of d=256 with 12 blocks."""
    rows = _rows(an4_model(), repeats=7 if quick else 15)
    if not quick:
        rows += _rows(an4_model(d_model=256, num_blocks=12, head_dim=64), repeats=5)
    return rows


def _rows(config: ModelConfig, *, repeats: int) -> list[Comparison]:
    batch = an4_like_batch(config, num_bins=an4_config().features.num_bins)
    taken = take_turns(
        {
            "float32": timed(Trainee.ours(config, batch).step),
            "bfloat16": timed(partial(Trainee.ours(config, batch).step, "bfloat16")),
            "torchaudio": timed(Trainee.torchaudios(config, batch).step),
        },
        repeats=repeats,
    )
    return [
        Comparison(
            what=f"step {precision} / torchaudio, {sizes_of(config)}",
            ours=taken[precision],
            baseline=taken["torchaudio"],
            bar=Bar(kind="faster", limit=limit),
        )
        for precision, limit in (("float32", 1.0), ("bfloat16", 1.5))
    ]
