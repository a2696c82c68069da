"""What the observing hook costs between events, as a share of a training step."""

import itertools
import time

from comparing import Bar, Comparison, take_turns, timed
from recognisers import GROW_DROP, Trainee, an4_config, an4_like_batch, an4_model, sizes_of

from tuneprune.adaptation.grow_drop import GrowDrop
from tuneprune.config import ModelConfig

_FAR = 10**9  # steps of the run: the event never comes


def compare(*, quick: bool) -> list[Comparison]:
    """Measure the AN4 space's model, and unless ``quick`` one of d=512 with 12 blocks."""
    rows = [_row(an4_model(), repeats=7 if quick else 15)]
    if not quick:
        rows.append(_row(an4_model(d_model=512, num_blocks=12, head_dim=64), repeats=5))
    return rows


def _row(config: ModelConfig, *, repeats: int) -> Comparison:
    """Time what the loop calls in ``score_every_steps`` steps, of which one is scored."""
    batch = an4_like_batch(config, num_bins=an4_config().features.num_bins)
    trainee = Trainee.ours(config, batch)
    hook = GrowDrop(trainee.model, trainee.optimizer, GROW_DROP, total_steps=_FAR)
    every = GROW_DROP.score_every_steps
    firsts = itertools.count(step=every)

    def observe_a_step() -> float:
        first = next(firsts)
        began = time.perf_counter()
        for step in range(first, first + every):
            hook.observe(step)
            assert hook.propose(step + 1) is None
        return (time.perf_counter() - began) / every

    # The step comes first, so that there are gradients to observe.
    taken = take_turns({"step": timed(trainee.step), "hook": observe_a_step}, repeats=repeats)
    return Comparison(
        what=f"hook / step, {GROW_DROP.scorer}, {sizes_of(config)}",
        ours=taken["hook"],
        baseline=taken["step"],
        bar=Bar(kind="ratio", limit=0.01),
    )
