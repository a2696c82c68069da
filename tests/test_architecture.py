"""Imports point one way, and each library has one door. Read from the source, not by importing."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1] / "tuneprune"

# Lower may not import higher; packages of one level do not import each other.
LEVELS = {
    "errors": -1,
    "yaml_files": 0,
    "plugins": 0,
    "config": 1,
    "schedules": 1,
    "sparsity_schedules": 1,
    "results": 1,
    "structure": 2,
    "data": 2,
    "models": 3,
    "adaptation": 3,
    "training": 4,
    "analysis": 5,
    "federated": 5,
    "distributed": 5,
    "testing": 5,
    "sweep": 6,
    "show": 7,
    "commands": 8,
    "cli": 9,
    "__init__": 10,
    "__main__": 10,
}

DOORS = {
    "ray.train": ("distributed/",),
    "ray.tune": ("sweep/", "distributed/ray_train.py"),  # there: handing metrics on to Tune
    "optuna": ("sweep/",),
    "pyarrow": ("results/", "data/", "show.py"),
    "jiwer": ("training/wer.py",),
    "rapidfuzz": ("results/mapsswe.py", "results/side_by_side.py"),
    "torchaudio": ("data/", "models/transducer.py"),
    "matplotlib": ("results/",),
    "duckdb": ("results/",),
    "scipy": ("results/",),
    "mlflow": ("results/neighbours/to_mlflow.py",),
    "tensorboard": ("results/neighbours/to_tensorboard.py",),
    "wandb": ("results/neighbours/to_wandb.py",),
    "pickle": (),
}

FILES = sorted(ROOT.rglob("*.py"))


def imported(path: Path) -> set[str]:
    """Return the full names of all modules that a file imports, also inside functions."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names.add(node.module or "")
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def package_of(path: Path) -> str:
    part = path.relative_to(ROOT).parts[0]
    return part.removesuffix(".py")


def identity(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", FILES, ids=identity)
def test_imports_point_from_high_to_low(path: Path) -> None:
    here = package_of(path)
    for name in imported(path):
        if not name.startswith("tuneprune."):
            continue
        there = name.split(".")[1]
        if there not in LEVELS or there == here:  # a name of the top package itself
            continue
        assert LEVELS[there] < LEVELS[here], f"{identity(path)} imports {name}"


@pytest.mark.parametrize("path", FILES, ids=identity)
def test_each_library_has_one_door(path: Path) -> None:
    for name in imported(path):
        for library, doors in DOORS.items():
            if name == library or name.startswith(f"{library}."):
                assert identity(path).startswith(doors or ("nowhere",)), f"imports {name}"


def test_every_package_has_its_level() -> None:
    found = {package_of(path) for path in FILES}
    assert found <= LEVELS.keys(), f"no level for {found - LEVELS.keys()}"
