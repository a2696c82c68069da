"""Churn written in training is that measured from checkpoints, and both are by hand."""

from collections.abc import Callable

import pytest
import torch

from tuneprune.analysis import measure_churn
from tuneprune.errors import ResultsError
from tuneprune.results import Results
from tuneprune.training.checkpoint import find_checkpoint, load_model_tensors, read_checkpoint
from tuneprune.training.recogniser import ungated_model

pytestmark = pytest.mark.slow

Finished = Callable[[str], Results]


def tensors(results: Results, name: str) -> dict[str, torch.Tensor]:
    path = results.path / "checkpoints" / "run" / name
    return ungated_model(read_checkpoint(path)).state_dict()


def test_what_training_wrote_is_the_distance_of_its_checkpoints(finished: Finished) -> None:
    results = finished("plain")
    last = find_checkpoint(results.path / "checkpoints" / "run", "last")
    assert last is not None
    first, present = tensors(results, "kept-00000000"), tensors(results, last.name)
    rows = results.table("churn").to_pylist()
    assert {row["step"] for row in rows} == {0, read_checkpoint(last).step}
    before = [row for row in rows if row["step"] == 0]
    assert all(row["distance"] == 0 and row["churn"] is None for row in before)
    assert all(row["initial_norm"] > 0 for row in before if row["tensor"] is None)
    after = {(r["layer"], r["kind"], r["tensor"]): r for r in rows if r["step"]}
    for (layer, kind, tensor), row in after.items():
        prefix = f"blocks.{layer}.{kind}."
        names = [n for n in first if n.startswith(prefix) and tensor in (None, n[len(prefix) :])]
        both = torch.cat([(present[n] - first[n]).double().flatten() for n in names])
        assert row["distance"] == pytest.approx(float(both.norm()), rel=1e-6)
        assert row["params"] == both.numel()
        largest = max(after[one, kind, tensor]["distance"] for one in range(2))
        assert row["churn"] == row["distance"] / largest
    assert {(kind, None) for _, kind, _ in after} == {
        (k, None) for k in ("ff1", "conv", "mhsa", "ff2")
    }


def test_checkpoints_are_measured_once(finished: Finished) -> None:
    results = finished("batch")
    there = results.table("churn").num_rows
    assert measure_churn(results, checkpoints=("kept", "last")) == 1, "the ends are there"
    rows = results.table("churn").to_pylist()
    assert len(rows) == there * 3 // 2
    assert measure_churn(results, checkpoints=("kept", "last")) == 0
    assert not [row for row in rows if "running" in (row["tensor"] or "")], "they are no weights"


def test_moved_groups_are_compared_with_where_they_come_from(finished: Finished) -> None:
    results = finished("moved")
    measure_churn(results, checkpoints=("last",))
    last = find_checkpoint(results.path / "checkpoints" / "run", "last")
    assert last is not None
    held = read_checkpoint(last)
    first, present = tensors(results, "kept-00000000"), ungated_model(held)
    now, key = present.state_dict(), "linear_in.weight"
    for module in present.prunable_modules():
        if not module.kind.startswith("ff") or not module.groups:
            continue
        width = module.groups[0].slices[0].width
        places = [int(held.hook["origins"][group.id].split(".")[-1]) for group in module.groups]
        before = torch.cat([first[f"{module.name}.{key}"].split(width)[place] for place in places])
        distance = float((now[f"{module.name}.{key}"] - before).double().norm())
        (row,) = [
            row
            for row in results.table("churn").to_pylist()
            if row["step"] == held.step
            and (row["layer"], row["kind"], row["tensor"]) == (module.layer, module.kind, key)
        ]
        assert row["distance"] == pytest.approx(distance, rel=1e-6)


def test_without_a_kept_checkpoint_the_seed_says_what_was_there(finished: Finished) -> None:
    results = finished("learned")
    kept = results.path / "checkpoints" / "run" / "kept-00000000"
    with_it = results.table("churn").to_pylist()
    kept.rename(kept.with_name("gone"))
    for part in (results.path / "parts" / "churn").iterdir():
        part.unlink()
    for table in (results.path / "tables").glob("churn*"):
        table.unlink()
    assert measure_churn(results, checkpoints=("last",)) == 1
    last = max(row["step"] for row in with_it)
    found = [row for row in results.table("churn").to_pylist() if row["step"] == last]
    assert found == [row for row in with_it if row["step"] == last]


def test_gates_are_no_part_of_the_weights(finished: Finished) -> None:
    results = finished("gated")
    path = results.path / "checkpoints" / "run" / "kept-00000016"
    raw = load_model_tensors(read_checkpoint(path))
    assert raw.gates is not None
    measure_churn(results, checkpoints=("kept",))
    first = tensors(results, "kept-00000000")
    key = "blocks.0.ff1.linear_out.weight"
    distance = float((raw.state_dict()[key] - first[key]).double().norm())
    (row,) = [
        row
        for row in results.table("churn").to_pylist()
        if (row["step"], row["layer"], row["kind"], row["tensor"])
        == (16, 0, "ff1", "linear_out.weight")
    ]
    assert row["distance"] == pytest.approx(distance, rel=1e-6)


def test_wrong_input_is_one_line(finished: Finished) -> None:
    with pytest.raises(ResultsError, match="trial = 'x': must be a finished trial: run"):
        measure_churn(finished("plain"), trials=["x"])
