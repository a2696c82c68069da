"""Write, read, compact and kill at once, for some seconds; count what is lost or doubled.

    python tests/results/chaos.py FOLDER SECONDS

A writer notes every row that ``flush`` has acknowledged; a reader knows what was noted before it
began to read, and asks for no less, and for no row twice.
"""

import multiprocessing
import os
import random
import sys
import time
from collections import Counter
from multiprocessing.context import ForkProcess
from pathlib import Path

from tuneprune.results.compaction import compact
from tuneprune.results.reader import Results
from tuneprune.results.writer import TableWriter

WRITERS, READERS = 8, 2


def run(folder: Path, seconds: float) -> Counter[str]:
    """Return counts: rows acknowledged, found, lost, doubled; reads, compactions, kills, errors."""
    names = [f"write-{number}" for number in range(WRITERS)]
    names += [f"read-{number}" for number in range(READERS)] + ["compact-0"]
    for below in ("sweep", "notes"):
        (folder / below).mkdir(parents=True)
    alive = {name: _start(folder, name) for name in names}
    rng = random.Random(0)
    counts: Counter[str] = Counter()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(rng.uniform(0.05, 0.6))
        writers = [name for name in names if name.startswith("write")]
        victim = "compact-0" if rng.random() < 0.03 else rng.choice(writers)
        alive[victim].kill()
        alive[victim].join()
        counts["kills"] += 1
        alive[victim] = _start(folder, victim)
    counts["processes that failed"] = sum(not process.is_alive() for process in alive.values())
    for process in alive.values():
        process.kill()
        process.join()
    counts.update(_count(folder))
    return counts


def _start(folder: Path, name: str) -> ForkProcess:
    act = {"write": _write, "read": _read, "compact": _compact}[name.partition("-")[0]]
    process = multiprocessing.get_context("fork").Process(target=act, args=(folder, name))
    process.start()
    return process


def _count(folder: Path) -> Counter[str]:
    rows = Results(folder / "sweep").steps()
    found = Counter(zip(rows["trial_id"].to_pylist(), rows["step"].to_pylist(), strict=True))
    acknowledged = _acknowledged(folder)
    counts = Counter(
        acknowledged=len(acknowledged),
        found=len(found),
        lost=len(acknowledged - found.keys()),
        doubled=sum(count > 1 for count in found.values()),
    )
    for role in ("read", "compact"):
        for notes in (folder / "notes").glob(f"{role}-*"):
            counts[{"read": "reads", "compact": "compactions"}[role]] += len(
                notes.read_text().split()
            )
    return counts


def _acknowledged(folder: Path) -> set[tuple[str, int]]:
    found = set()
    for notes in sorted((folder / "notes").glob("write-*")):
        lines = notes.read_text().split("\n")[:-1]  # the last line may be cut off
        found |= {(notes.name, int(line)) for line in lines}
    return found


def _write(folder: Path, name: str) -> None:
    path = folder / "notes" / name
    done = max((step for trial, step in _acknowledged(folder) if trial == name), default=0)
    rng = random.Random(os.getpid())
    with (
        TableWriter(folder / "sweep", sweep_id="s", trial_id=name, attempt=done, seed=0) as writer,
        path.open("a", buffering=1) as notes,
    ):
        while True:
            steps = range(done + 1, done + 1 + rng.randint(1, 20))
            for step in steps:
                writer.add(
                    "steps", step=step, loss=float(step), learning_rate=0.1, step_time_s=0.1,
                    frames=1, padding_fraction=0.0, utterances=1,
                )  # fmt: skip
            writer.flush()
            notes.write("".join(f"{step}\n" for step in steps))
            done = steps[-1]


def _read(folder: Path, name: str) -> None:
    results = Results(folder / "sweep")
    while True:
        wanted = _acknowledged(folder)
        rows = results.steps()
        found = list(zip(rows["trial_id"].to_pylist(), rows["step"].to_pylist(), strict=True))
        assert len(found) == len(set(found)), "a row is doubled"
        assert wanted <= set(found), f"{len(wanted - set(found))} acknowledged rows are not there"
        assert not results.warnings, results.warnings
        with (folder / "notes" / name).open("a") as notes:
            notes.write("1\n")
        if random.random() < 0.2:  # also as one who has read nothing yet
            results = Results(folder / "sweep")


def _compact(folder: Path, name: str) -> None:
    while True:
        for _ in compact(folder / "sweep", tables=["steps"]):
            with (folder / "notes" / name).open("a") as notes:
                notes.write("1\n")
        time.sleep(0.2)


if __name__ == "__main__":
    for key, value in sorted(run(Path(sys.argv[1]), float(sys.argv[2])).items()):
        print(f"{key}: {value:,}")
