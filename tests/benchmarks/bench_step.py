"""A training step of our Conformer against others' of the same sizes, and against its products.

The row that counts is the one against the fastest of the peers. The same step in bfloat16 is held
against that peer in float32, for that is what one would have without it.
"""

from functools import partial

import numpy as np
from comparing import Bar, Comparison, Missing, Row, Side, Size, take_turns, timed
from peers import PEERS, PeerMissingError, peer
from products import Products
from recognisers import Trainee, an4_model, batch_for, models_of, sizes_of

from tuneprune.config import ModelConfig
from tuneprune.training.batches import Batch

_PLAIN = Bar(kind="faster", limit=None)
_OVER_FLOOR = Bar(kind="ratio", limit=None)


def compare(*, size: Size) -> list[Row]:
    """Measure the AN4 space's model, and in full one of d=256 with 12 blocks."""
    configs = models_of(size, an4_model(d_model=256, num_blocks=12, head_dim=64))
    repeats = {"full": (21, 9), "quick": (11,), "tiny": (1,)}[size]
    return [
        row
        for config, count in zip(configs, repeats, strict=True)
        for row in _rows(config, repeats=count)
    ]


def _rows(config: ModelConfig, *, repeats: int) -> list[Row]:
    batch, sizes = batch_for(config), sizes_of(config)
    peers, missing = _peers(config, batch)
    ours, lower = Trainee.ours(config, batch), Trainee.ours(config, batch)
    sides: dict[str, Side] = {name: timed(trainee.step) for name, trainee in peers.items()}
    sides |= {"ours": timed(ours.step), "bfloat16": timed(partial(lower.step, "bfloat16"))}
    for name, trainee in {"ours": ours, **peers}.items():
        sides[f"{name}, floor"] = timed(Products(trainee.step, convolutions=True).run)
    sides["ours, matrices"] = timed(Products(ours.step, convolutions=False).run)
    lowered = Products(partial(lower.step, "bfloat16"), convolutions=True)
    sides["bfloat16, floor"] = timed(lowered.run)
    taken = take_turns(sides, repeats=repeats)

    def against(what: str, ours: str, baseline: str, bar: Bar) -> Comparison:
        return Comparison(
            what=f"{what}, {sizes}", ours=taken[ours], baseline=taken[baseline], bar=bar
        )

    names = {"ours": "step", "bfloat16": "bfloat16"}
    rows: list[Row] = [against(f"step / {name}", "ours", name, _PLAIN) for name in peers]
    rows += [Missing(what=f"step / {name}, {sizes}", why=why) for name, why in missing.items()]
    if peers:
        fastest = min(peers, key=lambda name: float(np.median(taken[name])))
        held = {"ours": 1.0, "bfloat16": 1.5}
        rows += [
            against(f"{names[side]} / {fastest}", side, fastest, Bar(kind="faster", limit=limit))
            for side, limit in held.items()
        ]
        rows.append(against(f"{fastest} / its products", fastest, f"{fastest}, floor", _OVER_FLOOR))
    rows += [
        against(f"{names[side]} / its products", side, f"{side}, floor", _OVER_FLOOR)
        for side in ("ours", "bfloat16")
    ]
    rows.append(against("step / those of matrices", "ours", "ours, matrices", _OVER_FLOOR))
    return rows


def _peers(config: ModelConfig, batch: Batch) -> tuple[dict[str, Trainee], dict[str, str]]:
    """Return the peers that there are, and why there are not the others."""
    found: dict[str, Trainee] = {}
    missing: dict[str, str] = {}
    for name in PEERS:
        try:
            found[name] = peer(name, config, batch)
        except PeerMissingError as error:
            missing[name] = str(error)
    return found, missing
