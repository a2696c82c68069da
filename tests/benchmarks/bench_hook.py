"""What the observing hook costs between events, as a share of a training step."""

import itertools
import time

from comparing import Bar, Comparison, Row, Side, Size, take_turns, timed
from recognisers import GROW_DROP, Trainee, an4_model, batch_for, models_of, sizes_of

from tuneprune.config import GrowDropConfig, ModelConfig

_FAR = 10**9  # steps of the run: the event never comes
_ALONE = GROW_DROP.model_copy(update={"watch": ()})


def compare(*, size: Size) -> list[Row]:
    """Measure the AN4 space's model, and in full one of d=512 with 12 blocks."""
    configs = models_of(size, an4_model(d_model=512, num_blocks=12, head_dim=64))
    repeats = {"full": (15, 5), "quick": (7,), "tiny": (1,)}[size]
    return [
        row
        for config, count in zip(configs, repeats, strict=True)
        for row in _rows(config, repeats=count)
    ]


def _rows(config: ModelConfig, *, repeats: int) -> list[Row]:
    """Time what the loop calls in ``score_every_steps`` steps, of which one is scored.

    Once with all three scores, as a run has them by default, and once with the deciding one alone.
    """
    trainee = Trainee.ours(config, batch_for(config))
    every = GROW_DROP.score_every_steps

    def observing(settings: GrowDropConfig) -> Side:
        hook = trainee.hook(settings, total_steps=_FAR)
        firsts = itertools.count(step=every)

        def observe_a_step() -> float:
            first = next(firsts)
            began = time.perf_counter()
            for step in range(first, first + every):
                hook.observe(step)
                assert hook.propose(step + 1) is None
            return (time.perf_counter() - began) / every

        return observe_a_step

    # The step comes first, so that there are gradients to observe.
    sides = {"step": timed(trainee.step), "3 scores": observing(GROW_DROP)}
    taken = take_turns({**sides, "1 score": observing(_ALONE)}, repeats=repeats)
    return [
        Comparison(
            what=f"hook, {scores} / step, {sizes_of(config)}",
            ours=taken[scores],
            baseline=taken["step"],
            bar=Bar(kind="ratio", limit=0.01),
        )
        for scores in ("3 scores", "1 score")
    ]
