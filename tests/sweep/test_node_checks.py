"""What is wrong with machines is judged from what they say, and named in one line."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tuneprune.distributed.nodes import NoAnswer
from tuneprune.sweep import node_checks as checks
from tuneprune.sweep.findings import Finding, raise_problem
from tuneprune.sweep.node_report import CorpusReport, FolderReport, NodeReport

OUT = Path("results/x")
FOLDER = FolderReport(
    token="t", trouble=None, wrote="node-0", keeps_locks=True, links=True, free_bytes=5_000_000_000
)
VERSIONS = {"python": "3.11.7", "tuneprune": "0.1.0", "torch": "2.14.1", "ray": "2.60.0"}
CORPUS = Path("/corpora/x")
NODE = NodeReport(
    versions=VERSIONS,
    processor="x86_64 AVX2",
    folder=FOLDER,
    corpora={CORPUS: CorpusReport(fingerprint="f" * 64, trouble=None)},
    memory_bytes=8_000_000_000,
    shm_bytes=1_000_000_000,
)


def cluster(**second: Any) -> dict[str, NodeReport]:
    """Return the reports of two nodes, the second of which differs."""
    return {"10.0.0.1": NODE, "10.0.0.2": replace(NODE, **second)}


def folder(**changes: Any) -> dict[str, NodeReport]:
    return cluster(folder=replace(FOLDER, **changes))


def seen(*tokens: str | None) -> dict[str, str | None]:
    return dict(zip(("10.0.0.1", "10.0.0.2"), tokens, strict=True))


def assert_found(finding: Finding, status: str, *parts: str) -> None:
    assert finding.status == status
    assert "\n" not in finding.line
    for part in parts:
        assert part in finding.line


def test_equal_nodes_are_well() -> None:
    nodes = cluster()
    found = [
        *checks.check_answers(nodes),
        checks.check_versions(nodes),
        checks.check_processors(nodes),
        checks.check_folder(OUT, "t", nodes, seen("t", "t")),
        *checks.check_files(OUT, nodes),
        checks.check_disk(OUT, nodes, needed=10, stages=10),
        *checks.check_corpora({CORPUS: "f" * 64}, nodes),
        checks.check_memory(nodes, needed=10),
        checks.check_object_store(nodes),
    ]
    assert {one.status for one in found if one} == {"ok"}
    raise_problem(one for one in found if one)


def test_other_versions_on_a_node_are_a_problem_that_names_both() -> None:
    nodes = cluster(versions={**VERSIONS, "torch": "2.13.0"})
    found = checks.check_versions(nodes)
    assert_found(found, "problem", "torch = ", "2.13.0 on 10.0.0.2", "2.14.1 on 10.0.0.1")
    with pytest.raises(ValueError, match="install the same everywhere"):
        raise_problem([found])


def test_other_processors_are_a_warning() -> None:
    found = checks.check_processors(cluster(processor="x86_64 AVX512"))
    assert_found(found, "warning", "AVX512 on 10.0.0.2")


@pytest.mark.parametrize(
    ("second", "there", "part"),
    [
        ({"token": None, "trouble": "No such file"}, "t", "node 10.0.0.2 sees no such folder"),
        ({"token": "u"}, "t", "node 10.0.0.2 sees another folder of that name"),
        ({"trouble": "Read-only"}, None, "can not be written on node 10.0.0.2 (Read-only)"),
        ({}, None, "what node 10.0.0.2 writes there is not seen here"),
    ],
)
def test_a_folder_that_is_not_one_for_all_is_a_problem(
    second: dict[str, Any], there: str | None, part: str
) -> None:
    found = checks.check_folder(OUT, "t", folder(**second), seen("t", there))
    assert_found(found, "problem", "out = results/x: ", part)


def test_a_folder_without_locks_or_links_can_be_used() -> None:
    locks, links = checks.check_files(OUT, folder(keeps_locks=False, links=False))
    assert_found(locks, "warning", "has no locks (10.0.0.2)", "two sweeps")
    assert_found(links, "warning", "has no hard links (10.0.0.2)")


@pytest.mark.parametrize(
    ("needed", "stages", "status"),
    [
        (None, None, "ok"),
        (4_000_000_000, 1_000_000_000, "ok"),
        (4_000_000_000, 1_000_000_001, "warning"),
        (5_000_000_001, None, "problem"),
    ],
)
def test_room_on_disk_is_what_is_free_against_what_is_needed(
    needed: int | None, stages: int | None, status: str
) -> None:
    found = checks.check_disk(OUT, folder(free_bytes=5_000_000_000), needed=needed, stages=stages)
    assert_found(found, status, "5.0 GB free")


def test_a_corpus_that_a_node_can_not_read_or_that_is_another_one_is_a_problem() -> None:
    gone = CorpusReport(fingerprint=None, trouble="a.wav: can not be read as audio")
    (found,) = checks.check_corpora({CORPUS: "f" * 64}, cluster(corpora={CORPUS: gone}))
    assert_found(found, "problem", "corpus.path = /corpora/x", "on node 10.0.0.2 (a.wav")
    other = CorpusReport(fingerprint="e" * 64, trouble=None)
    (found,) = checks.check_corpora({CORPUS: "f" * 64}, cluster(corpora={CORPUS: other}))
    assert_found(found, "problem", "another corpus on node 10.0.0.2", "e" * 16, "f" * 16)


def test_a_node_that_says_nothing_is_a_problem() -> None:
    answers = {"10.0.0.1": NODE, "10.0.0.2": NoAnswer(reason="did not answer within 60 s")}
    (found,) = checks.check_answers(answers)
    assert_found(found, "problem", "node = '10.0.0.2'", "did not answer within 60 s")


def test_memory_below_what_models_alone_take_and_a_small_shm_are_warnings() -> None:
    nodes = cluster(memory_bytes=1_000_000_000, shm_bytes=64_000_000)
    assert_found(checks.check_memory(nodes, needed=2_000_000_000), "warning", "1.0 GB", "2.0 GB")
    store = checks.check_object_store(nodes)
    assert store is not None
    assert_found(store, "warning", "/dev/shm", "64.0 MB")
    assert checks.check_object_store({"a": replace(NODE, shm_bytes=None)}) is None
