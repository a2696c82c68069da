"""Rows of an ambient study and of federated training, small enough to work out by hand."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from tuneprune.results.writer import TableWriter

CONFIG = {"corpus": {"dev_split": "dev", "test_split": "test"}}


def writer_of(
    root: Path, trial_id: str, *, seed: int = 1, sweep_id: str = "s", attempt: int = 0
) -> TableWriter:
    return TableWriter(root, sweep_id=sweep_id, trial_id=trial_id, attempt=attempt, seed=seed)


def add_trial(
    writer: TableWriter,
    settings: Mapping[str, object] | None = None,
    *,
    status: str = "finished",
    **columns: object,
) -> None:
    given = {"is_baseline": False, "dev_wer": 0.2, **columns}
    writer.add(
        "trials", step=30, status=status, settings=json.dumps(settings or {}),
        config=json.dumps(CONFIG), **given,
    )  # fmt: skip


def scope_of(name: str) -> tuple[str, int | None, str | None, int | None]:
    """Return scope, layer, kind and place of what is named as the tables name it."""
    parts = name.split(".")
    if name == "model":
        return "model", None, None, None
    scope = ("block", "module", "group")[len(parts) - 2]
    kind = parts[2] if len(parts) > 2 else None
    return scope, int(parts[1]), kind, int(parts[3]) if len(parts) > 3 else None


def add_reset(
    writer: TableWriter,
    name: str,
    wers: Sequence[float],
    *,
    base: float,
    reset: str = "re_rand",
    step: int = 30,
    split: str = "dev",
    reach: Sequence[float] = (),
    origin: str | None = None,
    with_statistics: bool = True,
) -> None:
    """Write a row for each draw; its interval ends ``reach`` on both sides, 0.05 if not told."""
    scope, layer, kind, place = scope_of(name)
    for draw, (wer, far) in enumerate(zip(wers, reach or [0.05] * len(wers), strict=True)):
        writer.add(
            "layer_resets", step=step, split=split, reset=reset, scope=scope, name=name, draw=draw,
            with_statistics=with_statistics, before_event=False, layer=layer, kind=kind,
            group_index=place,
            origin=origin, params=100, wer=wer, wer_low=wer - far, wer_high=wer + far, cer=wer / 2,
            increase=wer - base, increase_low=wer - base - far, increase_high=wer - base + far,
            num_ref_words=100,
        )  # fmt: skip


def write_resets(
    root: Path,
    trial_id: str,
    layers: Sequence[Sequence[float]],
    *,
    base: float = 0.2,
    seed: int = 1,
    settings: Mapping[str, object] | None = None,
    sweep_id: str = "s",
    **where: object,
) -> None:
    """Write a trial whose blocks were reset: the WER of each draw for each layer."""
    with writer_of(root, trial_id, seed=seed, sweep_id=sweep_id) as writer:
        add_trial(writer, settings)
        at = {name: value for name, value in where.items() if name in ("step", "split")}
        add_reset(writer, "model", [base], base=base, reset="nothing", **at)
        for layer, wers in enumerate(layers):
            add_reset(writer, f"blocks.{layer}", wers, base=base, **where)


def write_churn(
    root: Path,
    trial_id: str,
    distances: Mapping[str, Sequence[float]],
    *,
    step: int = 30,
    seed: int = 1,
    settings: Mapping[str, object] | None = None,
    tensor: str | None = None,
    trial: bool = True,
) -> None:
    """Write distances of kinds by layer, and the churn that they are."""
    with writer_of(root, trial_id, seed=seed) as writer:
        if trial:
            add_trial(writer, settings)
        for kind, by_layer in distances.items():
            largest = max(by_layer)
            for layer, distance in enumerate(by_layer):
                writer.add(
                    "churn", step=step, before_event=False, layer=layer, kind=kind, tensor=tensor,
                    params=100, distance=distance, initial_norm=10.0,
                    churn=distance / largest if largest else None,
                )  # fmt: skip


def add_round(
    writer: TableWriter, step: int, *, dropped: float = 100.0, failed: int = 0, wer: object = None
) -> None:
    writer.add(
        "rounds", step=step, clients=4 - failed, failed_clients=failed, utterances=40,
        model_params=1000, dropped_params=dropped, bytes_down=4000, bytes_up=3000, loss=1.5,
        update_norm=0.5, learning_rate=1.0, round_s=2.0,
    )  # fmt: skip
    counts = {"substitutions": 0, "deletions": 0, "insertions": 0, "num_ref_words": 100}
    if wer is not None:
        writer.add("evaluations", step=step, split="dev", wer=wer, **counts)


def add_said(writer: TableWriter, errors: Sequence[int], *, split: str = "test") -> None:
    """Write utterances of ten words each, with so many errors in them."""
    for place, wrong in enumerate(errors):
        writer.add(
            "utterances", step=30, split=split, utterance_id=f"u{place}", speaker=f"p{place}",
            language="en", reference="a " * 10, hypothesis="", num_ref_words=10,
            substitutions=wrong, deletions=0, insertions=0, num_ref_chars=0, char_errors=0,
        )  # fmt: skip


def write_rounds(
    root: Path,
    trial_id: str,
    *,
    wers: Sequence[float | None] = (0.5, 0.4),
    dropped: Sequence[float] = (100.0, 200.0),
    errors: Sequence[int] = (1, 2, 3),
    failed: int = 0,
    seed: int = 1,
    settings: Mapping[str, object] | None = None,
    status: str = "finished",
    **columns: object,
) -> None:
    """Write federated training, a round for each of ``dropped``, with WERs on dev."""
    with writer_of(root, trial_id, seed=seed) as writer:
        add_trial(writer, settings, status=status, **columns)
        for place, (wer, lacked) in enumerate(zip(wers, dropped, strict=True)):
            add_round(writer, place + 1, dropped=lacked, failed=failed, wer=wer)
        add_said(writer, errors if status == "finished" else ())


def add_client(
    writer: TableWriter, step: int, client: str, *, end: str = "done", **columns: object
) -> None:
    given = {
        "utterances": 10, "local_steps": 5, "dropped_params": 100, "bytes_down": 1000,
        "bytes_up": 900, "loss": 1.0, "update_norm": 0.5, "client_s": 2.0, **columns,
    }  # fmt: skip
    writer.add("clients", step=step, client=client, end=end, **given)
