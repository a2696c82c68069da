"""Whole federated runs on a tiny corpus: repeatable, resumable bit for bit, and recorded."""

from pathlib import Path

import torch
from federated_runs import federated_config, run_federated

from tuneprune.results.reader import open_results
from tuneprune.training.checkpoint import find_checkpoint, load_model_tensors, read_checkpoint


def weights(out: Path, role: str = "last") -> dict[str, torch.Tensor]:
    found = find_checkpoint(out / "checkpoints", role)
    assert found is not None
    return load_model_tensors(read_checkpoint(found)).state_dict()


def same_weights(a: Path, b: Path) -> bool:
    first, second = weights(a), weights(b)
    assert first.keys() == second.keys()
    return all(torch.equal(first[name], second[name]) for name in first)


def test_smoke(tones: Path, tmp_path: Path) -> None:
    config = federated_config(tones, "federated.dropout={aim: flat, rate: 0.5}")
    summary = run_federated(config, tmp_path / "r")
    print(summary)
    results = open_results(tmp_path / "r")
    for row in results.table("rounds").to_pylist() + results.table("clients").to_pylist()[:3]:
        print(row)
