"""Adaptive masks: what they add to a training step, and what it takes to decide one anew.

The masked step is the same step of the same model on the same batch, inside the hook's masks and
with all that the loop asks of it: with the dense gradient, and with the masked one, which must also
put back what AdamW does to masked weights. A decision is ``propose`` and ``apply``, of one mask for
all, and of one of four languages, which must not take what the others have.
"""

from collections.abc import Callable, Sequence

from comparing import Bar, Comparison, Row, Size, take_turns, timed
from recognisers import Trainee, an4_model, batch_for, models_of, sizes_of

from tuneprune.adaptation import AdaptiveMask
from tuneprune.config import AdaptiveMaskConfig, ModelConfig

_LANGUAGES = ("en", "fr", "it", "nl")
_STEPS = 400


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
    trainee = Trainee.ours(config, batch_for(config))
    shared, each = _hook(trainee, preset="dynamic"), _hook(trainee, preset="dynamic_pathways")
    frozen = _hook(trainee, preset="dynamic", gradient="masked")
    sides = {
        "step": timed(trainee.step),
        "masked step": timed(_step(trainee, shared)),
        "masked step, masked gradient": timed(_step(trainee, frozen)),
        "decision": timed(_deciding(shared, None)),
        "decision, 1 of 4": timed(_deciding(each, "fr")),
    }
    taken = take_turns(sides, repeats=repeats)
    millions = sum(p.numel() for p in trainee.model.parameters()) / 1e6
    bars = {"masked step": 1.1, "decision": 1.0}
    return [
        Comparison(
            what=f"{what} / step, {millions:.1f} M, {sizes_of(config)}",
            ours=taken[what],
            baseline=taken["step"],
            bar=Bar(kind="ratio", limit=bars[what.partition(",")[0]]),
        )
        for what in taken
        if what != "step"
    ]


def _hook(trainee: Trainee, **settings: str) -> AdaptiveMask:
    """Return a hook whose masks were made, at 70 % sparsity."""
    given = {"method": "adaptive_mask", "sparsity": 0.7, "prune_every": 0.1, **settings}
    config = AdaptiveMaskConfig.model_validate(given)
    languages: Sequence[str] = _LANGUAGES * (_STEPS // len(_LANGUAGES))
    hook = AdaptiveMask(
        trainee.model,
        trainee.optimizer,
        config,
        total_steps=_STEPS,
        languages=languages if config.scope == "language" else None,
    )
    hook.apply(hook.propose(0), 0)
    return hook


def _step(trainee: Trainee, hook: AdaptiveMask) -> Callable[[], None]:
    def step() -> None:
        trainee.masked_step(hook)

    return step


def _deciding(hook: AdaptiveMask, language: str | None) -> Callable[[], None]:
    """Return what decides again and again at the first step that asks for it."""
    steps = (step for step in range(1, _STEPS) if hook.propose(step) is not None)
    due = next(step for step in steps if language in (None, *hook.propose(step).masks))

    def decide() -> None:
        hook.apply(hook.propose(due), due)
        hook.load_state_dict({**hook.state_dict(), "decided": 0})

    return decide
