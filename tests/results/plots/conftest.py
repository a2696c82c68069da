"""A small sweep that has something for every kind of picture."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tuneprune.results.reader import Results, open_results
from tuneprune.results.writer import TableWriter

WriteTrial = Callable[..., None]

# at, delta, scorer, errors in 40 words, dev WER, params in thousands
TRIALS = {
    "t1": (0.1, 0.1, "taylor", 12, 0.40, 900),
    "t2": (0.1, 0.2, "magnitude", 8, 0.30, 1100),
    "t3": (0.2, 0.1, "taylor", 10, 0.20, 1200),
}
FATES = ("kept", "grown", "dropped", "kept")


def write_scores(folder: Path, trial: str, *, scorer: str = "taylor", applied: bool = True) -> None:
    """Write the scores of event 0: in layer 0, ff1 has four groups, and mhsa has two."""
    with TableWriter(folder, sweep_id="s", trial_id=trial, attempt=0, seed=1) as writer:
        for kind, count in (("ff1", 4), ("mhsa", 2)):
            for index in range(count):
                writer.add(
                    "group_scores", step=15, event=0, scorer=scorer, layer=0, kind=kind,
                    group_id=f"layers.0.{kind}.{index}", group_index=index, params=100,
                    score=1.0 + index, fate=FATES[index], applied=applied,
                )  # fmt: skip


@pytest.fixture
def sweep(tmp_path: Path, trial_writer: WriteTrial) -> Results:
    def heard(errors: int) -> tuple[tuple[str, str, int, int], ...]:
        return (("u1", "ann", 20, errors), ("u2", "bob", 20, 0))

    trial_writer(
        "baseline", dev_wer=0.5, params=1_000_000, total_steps=30, executed_steps=30,
        utterances=heard(12), dev_utterances=heard(12),
    )  # fmt: skip
    for name, (at, delta, scorer, errors, dev_wer, params) in TRIALS.items():
        settings = {"adaptation.at": at, "adaptation.delta": delta, "adaptation.scorer": scorer}
        trial_writer(
            name, dev_wer=dev_wer, settings=settings, params=1000 * params, event_step=15,
            total_steps=30, executed_steps=15, shared_from="baseline", utterances=heard(errors),
            dev_utterances=heard(errors),
        )  # fmt: skip
        write_scores(tmp_path / ".", name)
    trial_writer("t4", status="failed", dev_wer=None, settings={"adaptation.at": 0.2})
    return open_results(tmp_path)
