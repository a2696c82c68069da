"""A small sweep, written through the real writer, for the tests of results."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from supernet_rows import write_networks

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


# Which blocks masks keep, by language and matrix: for each event, what it decided. The last block
# of MATRICES[1] has 4 entries, all others have 8. Block 10 is behind block 2, not before it.
MATRICES = ("blocks.2.ff1.linear_in.weight", "blocks.10.ff1.linear_in.weight")
DENSE = ("1111", "111111")
EVENTS: tuple[tuple[int, str, float, str | None, dict[str, tuple[str, str]]], ...] = (
    (0, "begin", 0.0, None, {"en": DENSE, "fr": DENSE}),
    (10, "prune", 0.5, "en", {"en": ("1100", "111000")}),
    (20, "adapt", 0.5, None, {"en": ("1010", "110001"), "fr": ("0110", "110110")}),
)


def write_masks(
    root: Path, trial_id: str, *, shared: bool = False, attempt: int = 0, last: int = 3
) -> None:
    """Write the events of masks of two languages; or as ``shared``, what en's are, for all."""
    keys = {"sweep_id": "s", "trial_id": trial_id, "attempt": attempt, "seed": 1}
    kept = dict.fromkeys(("en", "fr"), DENSE)
    with TableWriter(root, **keys) as writer:
        for event, (step, decision, sparsity, language, masks) in enumerate(EVENTS[:last]):
            writer.add(
                "adaptations", step=step, event=event, method="adaptive_mask", dropped_groups=1,
                grown_groups=1, dropped_params=8, grown_params=8, params_before=76,
                params_after=76, plan_fingerprint="f0", decision=decision, sparsity=sparsity,
                language=language,
            )  # fmt: skip
            decided = {"en": masks["en"]} if shared else masks
            for one, bits in decided.items():
                for place in range(2):
                    before = kept[one][place]
                    add_mask(
                        writer, step, event, place, bits[place], before, None if shared else one
                    )
            kept |= decided
            for place in range(0 if shared else 2):
                pair = zip(kept["en"][place], kept["fr"][place], strict=True)
                add_pair(writer, step, event, place, [one == other == "1" for one, other in pair])


def add_mask(
    writer: TableWriter, step: int, event: int, place: int, kept: str, before: str, language: object
) -> None:
    moves = [f"{a}{b}" for a, b in zip(before, kept, strict=True)]
    entries = [8] * (len(kept) - place) + [4] * place
    writer.add(
        "masks", step=step, event=event, language=language, matrix=MATRICES[place],
        blocks=len(kept), kept_blocks=kept.count("1"), weights=sum(entries),
        kept_weights=sum(size for size, one in zip(entries, kept, strict=True) if one == "1"),
        revived_blocks=moves.count("01"), removed_blocks=moves.count("10"),
        bits=int(kept[::-1], 2).to_bytes(1),
    )  # fmt: skip


def add_pair(writer: TableWriter, step: int, event: int, place: int, both: list[bool]) -> None:
    writer.add(
        "masks", step=step, event=event, language="en", other_language="fr",
        matrix=MATRICES[place], blocks=len(both), kept_blocks=sum(both),
        weights=8 * len(both) - 4 * place,
        kept_weights=8 * sum(both) - 4 * (place * both[-1]),
    )  # fmt: skip


@pytest.fixture
def mask_writer(tmp_path: Path) -> Callable[..., None]:
    """Write masks of a trial in ``tmp_path`` or a folder of it; see ``write_masks``."""

    def write(trial_id: str, *, folder: str = ".", **options: bool) -> None:
        write_masks(tmp_path / folder, trial_id, **options)

    return write


@pytest.fixture
def masked(tmp_path: Path) -> Path:
    """Return the sweep ``masked``: t1 has masks of two languages, t2 one for both, others none."""
    folder = tmp_path / "masked"
    write_trial(folder, "baseline")
    write_trial(folder, "t1", dev_wer=0.3)
    write_trial(folder, "t2", dev_wer=0.4)
    write_trial(folder, "t3", dev_wer=0.2, event_step=15)
    write_masks(folder, "t1")
    write_masks(folder, "t2", shared=True)
    return folder


# By size: of 10 test words of u1 and of u2 and 20 of u3, how many are wrong; None: the whole model.
TEST_ERRORS: dict[int | None, tuple[int, int, int]] = {None: (1, 1, 2), 4: (2, 1, 3), 2: (4, 3, 5)}
SUBNET_RATES = {
    (20, "dev", 4): 0.9, (20, "dev", 2): 0.95, (30, "dev", 4): 0.6, (30, "dev", 2): 0.8,
    (30, "test", 4): 0.15, (30, "test", 2): 0.3,
}  # fmt: skip


def said(errors: tuple[int, ...]) -> tuple[tuple[str, str, int, int], ...]:
    known = (("u1", "ann", 10), ("u2", "ann", 10), ("u3", "bob", 20))
    return tuple((*one, count) for one, count in zip(known, errors, strict=True))


def write_supernet(
    root: Path,
    trial_id: str,
    *,
    more_errors: int = 0,
    seed: int = 1,
    sweep_id: str = "s",
    networks: dict[str, object] | None = None,
    **options: object,
) -> None:
    """Write a trial of a supernet: see supernet_rows.py; ``more_errors`` in u1 of each network."""
    by_size = {
        size: said((errors[0] + more_errors, *errors[1:])) for size, errors in TEST_ERRORS.items()
    }
    write_trial(
        root, trial_id, sweep_id=sweep_id, seed=seed, utterances=by_size[None],
        dev_utterances=by_size[None],
        **{"params": 1000, "multiply_adds_per_s": 10_000, "best_step": 30, "test_wer": 0.1,
           "dev_cer": 0.25, "test_cer": 0.05, **options},
    )  # fmt: skip
    said_by_subnets = {(split, size): by_size[size] for split in ("dev", "test") for size in (4, 2)}
    given = {"rates": SUBNET_RATES, "said": said_by_subnets, **(networks or {})}
    write_networks(root, trial_id, sweep_id=sweep_id, seed=seed, **given)


@pytest.fixture
def supernet_writer(tmp_path: Path) -> Callable[..., None]:
    """Write a supernet's trial of the sweep in ``tmp_path`` or a folder; see ``write_supernet``."""

    def write(trial_id: str, *, folder: str = ".", **options: object) -> None:
        write_supernet(tmp_path / folder, trial_id, **options)

    return write


@pytest.fixture
def supernets(tmp_path: Path) -> Path:
    """Return the sweep ``supernets``: t1 and t2 with subnets, a baseline and a plain t3."""
    folder = tmp_path / "supernets"
    plain = {
        name: {"utterances": said(errors), "dev_utterances": said(errors)}
        for name, errors in (("baseline", (1, 0, 1)), ("t3", (2, 2, 2)))
    }
    write_trial(folder, "baseline", dev_wer=0.45, params=1000, **plain["baseline"])
    write_supernet(folder, "t1", settings={"adaptation.selector.kind": "simple_top_k"})
    write_supernet(
        folder, "t2", dev_wer=0.4, settings={"adaptation.selector.kind": "random"}, more_errors=1
    )
    write_trial(folder, "t3", dev_wer=0.6, event_step=15, params=700, **plain["t3"])
    return folder


@pytest.fixture
def trial_writer(tmp_path: Path) -> Callable[..., None]:
    """Write a trial of the sweep in ``tmp_path`` or a folder of it; see ``write_trial``."""

    def write(trial_id: str, *, folder: str = ".", **options: object) -> None:
        write_trial(tmp_path / folder, trial_id, **options)

    return write
