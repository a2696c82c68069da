"""Rows of a trial that trained a supernet, small enough to work all numbers out by hand.

Two blocks of four modules; the model has 1000 parameters, 340 of which are in no module. At step 5
the subnet shrinks to 6 modules, at 10 to 4, and at 15 the ranking is fixed and subnets are 4 and 2.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from tuneprune.results.writer import TableWriter

PARAMS = {"ff1": 100, "conv": 50, "mhsa": 80, "ff2": 100}
MULTIPLY_ADDS_PER_PARAM = 10

FIRST = "0.ff1 1.mhsa 1.ff1 0.conv 1.ff2 0.mhsa 0.ff2 1.conv"
LAST = "0.ff1 1.mhsa 0.conv 0.ff2 1.ff2 0.mhsa 1.conv 1.ff1"
EVENTS: tuple[tuple[int, str, tuple[int, ...], str], ...] = (
    (5, "shrink", (6,), FIRST),
    (10, "shrink", (4,), LAST),
    (15, "switch", (4, 2), LAST),
)

Said = tuple[tuple[str, str, int, int], ...]
"""Utterances as (id, speaker, reference words, substitutions)."""


def write_networks(
    root: Path,
    trial_id: str,
    *,
    sweep_id: str = "s",
    seed: int = 1,
    events: Sequence[tuple[int, str, tuple[int, ...], str]] = EVENTS,
    rates: Mapping[tuple[int, str, int], float],
    said: Mapping[tuple[str, int], Said],
) -> None:
    """Write what a trial has of subnets: rankings, error rates and utterances.

    ``rates`` are word error rates by step, split and size, character error rates are half of them;
    ``said`` are utterances by split and size, at step 30.
    """
    keys = {"sweep_id": sweep_id, "trial_id": trial_id, "attempt": 0, "seed": seed}
    counts = {"substitutions": 0, "deletions": 0, "insertions": 0, "num_ref_words": 100}
    with TableWriter(root, **keys) as writer:
        for event, (step, decision, sizes, ranking) in enumerate(events):
            writer.add(
                "adaptations", step=step, event=event, method="supernet", dropped_groups=0,
                grown_groups=0, dropped_params=0, grown_params=0, params_before=1000,
                params_after=1000, plan_fingerprint="f0", decision=decision,
            )  # fmt: skip
            add_ranking(writer, step, event, sizes, ranking.split())
        for (step, split, size), wer in rates.items():
            writer.add(
                "evaluations", step=step, split=split, subnet=size, wer=wer, cer=wer / 2, **counts
            )
        for (split, size), utterances in said.items():
            for name, speaker, words, errors in utterances:
                writer.add(
                    "utterances", step=30, split=split, subnet=size, utterance_id=name,
                    speaker=speaker, language="en", reference="a " * words, hypothesis="",
                    num_ref_words=words, substitutions=errors, deletions=0, insertions=0,
                    num_ref_chars=0, char_errors=0,
                )  # fmt: skip


def add_ranking(
    writer: TableWriter, step: int, event: int, sizes: Sequence[int], ranking: Sequence[str]
) -> None:
    for rank, name in enumerate(ranking):
        layer, kind = name.split(".")
        writer.add(
            "subnets", step=step, event=event, layer=int(layer), kind=kind, rank=rank,
            gate=1 - rank / 8, subnet=min((size for size in sizes if rank < size), default=None),
            params=PARAMS[kind], multiply_adds_per_s=MULTIPLY_ADDS_PER_PARAM * PARAMS[kind],
        )  # fmt: skip
