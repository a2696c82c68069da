"""A small sweep, written through the real writer, for the tests of results."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tuneprune.results.writer import TableWriter

KINDS = ("ff1", "conv", "mhsa", "ff2")


def write_trial(
    root: Path,
    trial_id: str,
    *,
    sweep_id: str = "s",
    attempt: int = 0,
    seed: int = 1,
    status: str = "finished",
    settings: dict[str, object] | None = None,
    dev_wer: float | None = 0.5,
    wers: tuple[float, ...] = (1.0, 0.7, 0.5),
    event_step: int | None = None,
    dev_split: str = "dev",
    utterances: tuple[tuple[str, str, int, int], ...] = (),
    dev_utterances: tuple[tuple[str, str, int, int], ...] = (),
    config: dict[str, object] | None = None,
    params: int | None = None,
    **columns: object,
) -> None:
    """Write a whole trial: dev evaluations at 10, 20, ... and, with an event, one group moved.

    ``utterances`` are (id, speaker, reference words, substitutions) of the test split,
    ``dev_utterances`` of the dev split. ``config`` is beside what says how the splits are called;
    ``columns`` are more of the trials table.
    """
    splits = {"dev_split": dev_split, "test_split": "test"}
    keys = {"sweep_id": sweep_id, "trial_id": trial_id, "attempt": attempt, "seed": seed}
    with TableWriter(root, **keys) as writer:
        adapted = event_step is not None
        for index, wer in enumerate(wers):
            counts = {"substitutions": 0, "deletions": 0, "insertions": 0, "num_ref_words": 100}
            writer.add("evaluations", step=10 * (index + 1), split=dev_split, wer=wer, **counts)
        for layer in range(2):
            for kind in KINDS:
                writer.add("allocations", step=0, layer=layer, kind=kind, groups=4, params=400)
                moved = {"ff1": -1, "mhsa": 1}.get(kind, 0) if adapted and layer == 1 else 0
                groups = {"groups": 4 + moved, "params": 100 * (4 + moved)}
                if adapted:
                    writer.add("allocations", step=event_step, layer=layer, kind=kind, **groups)
        if adapted:
            changes = {"dropped_groups": 1, "grown_groups": 1}
            changes |= {"dropped_params": 100, "grown_params": 100}
            writer.add(
                "adaptations", step=event_step, event=0, method="grow_drop", scorer="taylor",
                delta=0.1, params_before=3200, params_after=3200, plan_fingerprint="f0", **changes,
            )  # fmt: skip
        for split, rows in (("test", utterances), (dev_split, dev_utterances)):
            for name, speaker, words, errors in rows:
                writer.add(
                    "utterances", step=30, split=split, utterance_id=name, speaker=speaker,
                    language="en", reference="a " * words, hypothesis="", num_ref_words=words,
                    substitutions=errors, deletions=0, insertions=0, num_ref_chars=0,
                    char_errors=0,
                )  # fmt: skip
        writer.add(
            "trials", step=10 * len(wers), status=status, method="grow_drop" if adapted else "none",
            is_baseline=trial_id.startswith("baseline"), settings=json.dumps(settings or {}),
            dev_wer=dev_wer, config=json.dumps({"corpus": splits, **(config or {})}),
            params=params, **columns,
        )  # fmt: skip


@pytest.fixture
def trial_writer(tmp_path: Path) -> Callable[..., None]:
    """Write a trial of the sweep in ``tmp_path`` or a folder of it; see ``write_trial``."""

    def write(trial_id: str, *, folder: str = ".", **options: object) -> None:
        write_trial(tmp_path / folder, trial_id, **options)

    return write
