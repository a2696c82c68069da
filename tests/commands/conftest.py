"""A small sweep under ``results`` of the folder that commands are run in."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tuneprune.results.writer import TableWriter

SAID = {  # reference, and what t0 and t1 made of it
    "u1": ("the cat sat", "the cat sat", "the cat"),
    "u2": ("on the mat", "on a mat", "on at all the bat"),
    "u3": ("so there", "so there", "so there"),
}
ERRORS = {  # substitutions, deletions, insertions
    ("t0", "u2"): (1, 0, 0),
    ("t1", "u1"): (0, 1, 0),
    ("t1", "u2"): (1, 0, 2),
}
WERS = {"t0": (1.0, 0.5), "t1": (0.75, 0.25)}
PARAMS = {"t0": 1000, "t1": 2000}
LOSSES = {"t0": (2.0, 1.0), "t1": (1.5, 0.5)}


@pytest.fixture
def sweep(run: Callable[..., object]) -> Path:
    """Return a sweep ``small`` of a baseline t0 and a t1 that adapted between its evaluations."""
    folder = Path("results/small")
    for number, trial_id in enumerate(("t0", "t1")):
        keys = {"sweep_id": "s", "trial_id": trial_id, "attempt": 0, "seed": 1}
        with TableWriter(folder, **keys) as writer:
            write_training(writer, trial_id)
            write_texts(writer, trial_id, number)
            if trial_id == "t1":
                write_event(writer)
            writer.add(
                "trials", step=20, status="finished", is_baseline=number == 0,
                dev_wer=WERS[trial_id][-1], params=PARAMS[trial_id],
                settings=json.dumps({"adaptation.delta": 0.1} if number else {}),
                config=json.dumps({"corpus": {"dev_split": "dev", "test_split": "eval"}}),
            )  # fmt: skip
    return folder.absolute()


def write_training(writer: TableWriter, trial_id: str) -> None:
    counts = {"substitutions": 0, "deletions": 0, "insertions": 0, "num_ref_words": 100}
    for index, step in enumerate((10, 20)):
        writer.add(
            "steps", step=step, loss=LOSSES[trial_id][index], learning_rate=0.5, step_time_s=0.1,
            frames=10, padding_fraction=0.125, utterances=2,
        )  # fmt: skip
        writer.add("evaluations", step=step, split="dev", wer=WERS[trial_id][index], **counts)
    writer.add("allocations", step=0, layer=0, kind="ff1", groups=4, params=400)


def write_texts(writer: TableWriter, trial_id: str, number: int) -> None:
    for name, texts in SAID.items():
        substituted, deleted, inserted = ERRORS.get((trial_id, name), (0, 0, 0))
        writer.add(
            "utterances", step=20, split="eval", utterance_id=name, speaker="anna", language="en",
            reference=texts[0], hypothesis=texts[1 + number], num_ref_words=len(texts[0].split()),
            substitutions=substituted, deletions=deleted, insertions=inserted,
            num_ref_chars=len(texts[0]), char_errors=0,
        )  # fmt: skip


def write_event(writer: TableWriter) -> None:
    writer.add(
        "adaptations", step=15, event=0, method="grow_drop", scorer="taylor", delta=0.1,
        dropped_groups=1, grown_groups=0, dropped_params=100, grown_params=0, params_before=1000,
        params_after=900, plan_fingerprint="f0",
    )  # fmt: skip
    writer.add(
        "recoveries", step=18, event=0, event_step=15, loss_before=1.5, spike_loss=1.75,
        recovered=True, recovery_steps=3, window_steps=1,
    )  # fmt: skip
    writer.add("allocations", step=15, layer=0, kind="ff1", groups=3, params=300)
    for scorer, applied in (("taylor", True), ("magnitude", False)):
        for index, fate in enumerate(("dropped", "kept", "kept", "kept")):
            writer.add(
                "group_scores", step=15, event=0, scorer=scorer, applied=applied, layer=0,
                kind="ff1", group_id=f"blocks.0.ff1.{index}", group_index=index, score=index / 4,
                params=100, fate=fate,
            )  # fmt: skip
