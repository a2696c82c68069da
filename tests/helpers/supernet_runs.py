"""Whole runs of small supernets on the tone corpus, in folders as `tuneprune train` leaves them."""

from pathlib import Path

from tuneprune.sweep.single import train_single
from tuneprune.testing.tones import tone_config
from tuneprune.training.checkpoint import find_checkpoint

TOP_K = "{method: supernet, subnets: [5, 2], select_until: 0.5, selector: {iterations: 2}}"
EXITS = "{method: supernet, subnets: [8, 4], select_until: 0, selector: {kind: early_exit}}"
BY_PARAMS = (
    "{method: supernet, subnets: [0.75, 0.4], budget: params, select_until: 0.25, "
    "selector: {kind: magnitude, iterations: 1}}"
)
RUNS: dict[str, tuple[str, ...]] = {
    "conformer": (f"adaptation={TOP_K}",),
    "relative": (f"adaptation={BY_PARAMS}", "model.positions=relative", "model.conv_norm=group"),
    "e_branchformer": (f"adaptation={TOP_K}", "model.encoder=e_branchformer"),
    "early_exit": (f"adaptation={EXITS}", "model.num_blocks=3"),
    "early_exit_e": (
        f"adaptation={EXITS}",
        "model.num_blocks=3",
        "model.encoder=e_branchformer",
    ),
}


def trained_supernet(corpus: Path, out: Path, kind: str, *overrides: str) -> Path:
    """Train one of ``RUNS`` for a second or two; return its last checkpoint.

    The best one may be of a step before its subnets were of any use.
    """
    config = tone_config(corpus, "training.log_every_steps=8", *RUNS[kind], *overrides)
    train_single(config, name=kind, out=out, restart=False, resume=False)
    found = find_checkpoint(out / "checkpoints" / "run", "last")
    assert found is not None
    return found
