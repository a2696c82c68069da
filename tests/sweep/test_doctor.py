"""Doctor looks at a folder, a corpus and the room for trials, and leaves nothing behind."""

import dataclasses
import fcntl
import io
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
from rich.console import Console

from tuneprune.data.corpus import open_corpus
from tuneprune.distributed.cluster import NodeResources
from tuneprune.distributed.nodes import THIS_MACHINE, NoAnswer
from tuneprune.distributed.ray_train import FAILURES
from tuneprune.errors import ResourceError, ResultsError
from tuneprune.show import findings_table
from tuneprune.sweep import doctor as module
from tuneprune.sweep import input_checks, node_report
from tuneprune.sweep.doctor import examine, refuse_unfit_cluster
from tuneprune.sweep.findings import Finding
from tuneprune.sweep.node_report import LOCK, TOKEN, Question, held_lock, look_around
from tuneprune.sweep.preparation import preparation_of
from tuneprune.sweep.space import Space, build_space
from tuneprune.sweep.study import run_sweep
from tuneprune.testing.tones import make_tone_corpus, tone_config
from tuneprune.training.prepare import prepare


@pytest.fixture(autouse=True)
def _one_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this machine be a cluster of two CPUs, without a Ray."""
    monkeypatch.setattr(module, "ask_nodes", lambda question: {THIS_MACHINE: question(0)})
    monkeypatch.setattr(module, "cluster_nodes", lambda: [NodeResources(cpus=2.0, gpus=0.0)])


def space_over(corpus: Path, *overrides: str) -> Space:
    return build_space(
        {
            "name": "tones",
            "question": "Which delta suits tones?",
            "base": tone_config(corpus, *overrides).model_dump(mode="json"),
            "search": {
                "sampler": {"kind": "grid"},
                "set": {
                    "adaptation.method": "grow_drop",
                    "adaptation.scorer": "taylor",
                    "adaptation.score_every_steps": 1,
                },
                "space": {
                    "adaptation.at": {"choice": [0.3]},
                    "adaptation.delta": {"choice": [0.1, 0.2]},
                },
            },
        }
    )


def by_check(findings: list[Finding]) -> dict[str, Finding]:
    return {one.check: one for one in findings}


def test_a_sound_space_is_well_and_nothing_is_left_behind(tones: Path, tmp_path: Path) -> None:
    found = by_check(examine(space_over(tones), out=tmp_path / "not" / "there"))
    assert {one.status for one in found.values()} == {"ok"}, found
    assert "2 trials at once, 1 x 1 threads each, on 1 x (2 CPUs, 0 GPUs)" in found["room"].line
    assert "20 utterances" in found["corpus"].line
    assert list(tmp_path.iterdir()) == []


def test_without_a_space_the_machine_and_the_folder_are_looked_at(tmp_path: Path) -> None:
    found = by_check(examine(None, out=tmp_path))
    assert {"versions", "folder", "files", "disk", "torchaudio"} <= found.keys()
    assert "room" not in found


def test_the_table_fits_and_says_how_many_problems_there_are(tmp_path: Path) -> None:
    findings = examine(space_over(tmp_path / ("long" * 40)), out=tmp_path)
    console = Console(width=100, file=io.StringIO())
    console.print(findings_table(findings))
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert max(map(len, lines)) <= 100
    assert lines[-1] == "1 problem"


def test_a_folder_that_can_not_be_written_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    found = by_check(examine(None, out=tmp_path / "file" / "out"))["folder"]
    assert found.status == "problem"
    assert "can not be written here (Not a directory)" in found.line


def test_a_node_whose_writing_is_not_seen_here_has_another_storage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def elsewhere(question: Any) -> dict[str, Any]:
        report = question(0)
        wrote = dataclasses.replace(report.folder, wrote="node-on-another-disk")
        return {"10.0.0.1": dataclasses.replace(report, folder=wrote)}

    monkeypatch.setattr(module, "ask_nodes", elsewhere)
    monkeypatch.setattr(module, "_SEEN_WITHIN_S", 0.1)
    found = by_check(examine(None, out=tmp_path))["folder"]
    assert found.status == "problem"
    assert "what node 10.0.0.1 writes there is not seen here" in found.line


def test_missing_recordings_are_counted_and_the_first_is_named(tmp_path: Path) -> None:
    make_tone_corpus(tmp_path / "c")
    for name in ("train-003", "dev-001"):
        (tmp_path / "c" / "audio" / f"{name}.wav").unlink()
    found = by_check(examine(space_over(tmp_path / "c"), out=tmp_path))["corpus"]
    assert found.status == "problem"
    assert "2 of 20 utterances are not there, such as dev-001" in found.line


def test_too_few_cpus_are_a_problem_with_the_arithmetic(tones: Path, tmp_path: Path) -> None:
    found = by_check(examine(space_over(tones, "training.workers=8"), out=tmp_path))["room"]
    assert found.status == "problem"
    assert "8 x 1 threads need 8 CPUs at once, and there are 2 (1 machine)" in found.line


def test_a_text_that_can_not_be_spelled_is_a_problem(tones: Path, tmp_path: Path) -> None:
    space = space_over(tones, "text.unit=phonemes", f"text.lexicon={tmp_path / 'none.txt'}")
    found = by_check(examine(space, out=tmp_path))["labels"]
    assert found.status == "problem"
    assert "none.txt" in found.line


def test_a_broken_torchaudio_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise ResourceError("torchaudio", None, "is not installed")

    monkeypatch.setattr(input_checks, "load_torchaudio", broken)
    assert by_check(examine(None, out=tmp_path))["torchaudio"].status == "problem"


def test_a_node_of_other_versions_stops_a_sweep_before_it_writes(
    tones: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ask(question: Any) -> dict[str, Any]:
        with monkeypatch.context() as there:
            there.setattr(node_report, "package_versions", lambda: {"torch": "2.0.0"})
            other = question(0)
            there.setattr(node_report, "package_versions", lambda: {"torch": "2.1.0"})
            return {"10.0.0.1": other, "10.0.0.2": question(1)}

    monkeypatch.setattr(module, "ask_nodes", ask)
    with pytest.raises(ResourceError, match=r"2\.0\.0 on 10\.0\.0\.1; 2\.1\.0 on 10\.0\.0\.2"):
        refuse_unfit_cluster(space_over(tones), out=tmp_path / "out", prepared={}, begun=False)
    assert list(tmp_path.iterdir()) == []


def test_a_silent_node_stops_a_sweep(
    tones: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = {"10.0.0.2": NoAnswer(reason="did not answer within 60 s")}
    monkeypatch.setattr(module, "ask_nodes", lambda question: answers)
    with pytest.raises(ResourceError, match="did not answer"):
        refuse_unfit_cluster(space_over(tones), out=tmp_path, prepared={}, begun=False)


def test_a_full_disk_stops_a_sweep_but_not_one_whose_checkpoints_are_there(
    tones: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    space = space_over(tones)
    prepared = {preparation_of(space.base): prepare(space.base)}
    monkeypatch.setattr(node_report, "_free_bytes", lambda path: 1000)
    with pytest.raises(ResultsError, match=r"has 0\.0 MB free, and checkpoints take about"):
        refuse_unfit_cluster(space, out=tmp_path, prepared=prepared, begun=True)
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "tensors").write_bytes(b"0" * 2_000_000)
    refuse_unfit_cluster(space, out=tmp_path, prepared=prepared, begun=True)


def test_looking_before_a_sweep_costs_little_on_one_machine(tones: Path, tmp_path: Path) -> None:
    space = space_over(tones)
    prepared = {preparation_of(space.base): prepare(space.base)}
    refuse_unfit_cluster(space, out=tmp_path, prepared=prepared, begun=True)  # imports, once
    began = time.perf_counter()
    refuse_unfit_cluster(space, out=tmp_path, prepared=prepared, begun=True)
    assert time.perf_counter() - began < 0.5


def test_eight_workers_on_two_cores_are_refused_in_seconds_and_no_ray_is_started(
    tones: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1}, raising=False)
    monkeypatch.setattr(ray, "init", lambda **options: pytest.fail("Ray was started"))
    began = time.perf_counter()
    with pytest.raises(ResourceError, match="8 x 1 threads need 8 CPUs at once, and there are 2 "):
        run_sweep(space_over(tones, "training.workers=8"), out=tmp_path / "out")
    assert time.perf_counter() - began < 3
    assert list(tmp_path.iterdir()) == []


def test_ray_train_tries_nothing_for_ever() -> None:
    limits = (
        FAILURES.max_failures,
        FAILURES.controller_failure_limit,
        FAILURES.max_preemption_failures,
    )
    assert all(0 <= limit < 100 for limit in limits)  # -1 would be for ever


@pytest.fixture
def asked(tmp_path: Path) -> Iterator[Path]:
    """Return a folder as the asker leaves it to the nodes."""
    (tmp_path / TOKEN).write_text("t")
    with held_lock(tmp_path / LOCK):
        yield tmp_path


def test_a_node_reads_the_token_and_writes_it_back(asked: Path) -> None:
    report = look_around(Question(folder=asked), 3).folder
    assert (report.token, report.trouble, report.keeps_locks, report.links) == (
        "t",
        None,
        True,
        True,
    )
    assert (asked / report.wrote).read_text() == "t"
    assert report.free_bytes == pytest.approx(shutil.disk_usage(asked).free, rel=0.05)


def test_a_node_says_where_files_have_no_locks_or_links(
    asked: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", refuse)
    monkeypatch.setattr(os, "link", refuse)
    report = look_around(Question(folder=asked), 0).folder
    assert (report.trouble, report.keeps_locks, report.links) == (None, False, False)


def test_a_node_says_why_it_can_not_write(asked: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path, target: Path) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(Path, "rename", refuse)
    report = look_around(Question(folder=asked), 0).folder
    assert (report.token, report.trouble) == ("t", "Read-only file system")


def test_a_node_opens_some_recordings_of_a_corpus(asked: Path, tmp_path: Path) -> None:
    make_tone_corpus(tmp_path / "c")
    question = Question(folder=asked, corpora=(tmp_path / "c", tmp_path / "none"))
    found = look_around(question, 0).corpora
    assert found[tmp_path / "c"].fingerprint == open_corpus(tmp_path / "c").fingerprint
    assert "is not a folder" in str(found[tmp_path / "none"].trouble)
    (tmp_path / "c" / "audio" / "dev-000.wav").write_bytes(b"no audio")
    again = look_around(question, 1).corpora[tmp_path / "c"]
    assert "dev-000.wav" in str(again.trouble)
