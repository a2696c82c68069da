"""A step of a supernet: three networks in one pass against one after the other.

The step is that of joint training: forward, CTC and backward of the model and of subnets of two
thirds and one third of its modules, then one update, which both sides make once. What a subnet
keeps is drawn (`rankings.py`), so that little of the encoder is in common beside the front-end;
early exits have all in common. How much is shared is counted: modules and front-ends that run, of
those that would run for each network by itself.
"""

from collections.abc import Callable, Sequence

from comparing import Bar, Comparison, Row, Size, take_turns, timed
from rankings import drawn_ranking
from recognisers import Trainee, an4_model, batch_for, sizes_of, tiny_model

from tuneprune.config import ModelConfig
from tuneprune.models.speech_model import SpeechModel
from tuneprune.structure.routes import Route, whole

_VGG = {"frontend": {"kind": "vgg", "channels": [32, 64, 64, 32]}}


def compare(*, size: Size) -> list[Row]:
    """Measure a model of the AN4 spaces, and in full one with the published front-end."""
    published = an4_model(d_model=256, num_blocks=12, head_dim=64).model_dump() | _VGG
    models = {
        "full": [an4_model(num_blocks=6), ModelConfig.model_validate(published)],
        "quick": [an4_model(num_blocks=6)],
        "tiny": [tiny_model()],
    }[size]
    repeats = {"full": 7, "quick": 7, "tiny": 1}[size]
    return [row for model in models for row in _rows(model, repeats=repeats)]


def _rows(config: ModelConfig, *, repeats: int) -> list[Row]:
    trainee = Trainee.ours(config, batch_for(config))
    model = trainee.model
    assert isinstance(model, SpeechModel)
    model.open_networks(2, scores=None, seed=0)
    names = [module.name for module in model.prunable_modules()]
    rankings = {"drawn": drawn_ranking(model), "exits": names}
    rows: list[Row] = []
    for what, ranking in rankings.items():
        routes = _routes(names, ranking, exits=what == "exits")
        sides = {
            "together": timed(_step(trainee, routes, together=True)),
            "alone": timed(_step(trainee, routes, together=False)),
        }
        taken = take_turns(sides, repeats=repeats)
        runs, alone = (_runs(trainee, routes, together=one) for one in (True, False))
        rows.append(
            Comparison(
                what=f"3 networks / 1 by 1, {what}, {runs}/{alone} parts, {sizes_of(config)}",
                ours=taken["together"],
                baseline=taken["alone"],
                bar=Bar(kind="ratio", limit=0.95),
            )
        )
    return rows


def _routes(names: Sequence[str], ranking: Sequence[str], *, exits: bool) -> list[Route]:
    """Return the model, and subnets of two thirds and of one third of its modules."""
    routes = [whole(len(names))]
    for output, share in enumerate((2 / 3, 1 / 3)):
        kept = set(ranking[: max(round(share * len(names)), 1)])
        blocks = max(round(share * len(names)) // 4, 1) if exits else None
        keeps = tuple(name in kept for name in names)
        routes.append(Route(keeps=keeps, output=output, weight=0.3, blocks=blocks))
    return routes


def _step(trainee: Trainee, routes: Sequence[Route], *, together: bool) -> Callable[[], None]:
    def step() -> None:
        trainee.networks_step(routes, together=together)

    return step


def _runs(trainee: Trainee, routes: Sequence[Route], *, together: bool) -> int:
    """Count how often the front-end and the modules run in a step."""
    count = 0

    def ran(*_: object) -> None:
        nonlocal count
        count += 1

    model = trainee.model
    assert isinstance(model, SpeechModel)
    parts = ["frontend", *(module.name for module in model.prunable_modules())]
    handles = [model.get_submodule(name).register_forward_hook(ran) for name in parts]
    trainee.networks_step(routes, together=together)
    for handle in handles:
        handle.remove()
    return count
