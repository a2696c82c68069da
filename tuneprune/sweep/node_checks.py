"""Judge what the machines of a cluster say of themselves. Pure: nothing is asked or read here."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from tuneprune.distributed.cluster import OBJECT_STORE_BYTES
from tuneprune.distributed.nodes import THIS_MACHINE, NoAnswer
from tuneprune.errors import CorpusError, ResourceError, ResultsError
from tuneprune.sweep.findings import Finding, ok, problem, warning
from tuneprune.sweep.node_report import NodeReport
from tuneprune.sweep.wording import gigabytes

Reports = Mapping[str, NodeReport]
"""What each node says, by its name."""

_SHOWN = ("tuneprune", "torch", "ray", "python")


def check_answers(answers: Mapping[str, NodeReport | NoAnswer]) -> list[Finding]:
    """Return a problem for each node that did not answer, else how many nodes did."""
    silent = [
        problem("nodes", ResourceError("node", name, f"{answer.reason}; mend or remove this node"))
        for name, answer in answers.items()
        if isinstance(answer, NoAnswer)
    ]
    return silent or [ok("nodes", _counted(len(answers)))]


def check_versions(reports: Reports) -> Finding:
    """Judge whether all nodes run the same versions of Python and of every package."""
    for package in _first(reports).versions:
        found = _by_value(reports, lambda report, name=package: report.versions[name])  # type: ignore[misc]
        if len(found) > 1:
            remedy = f"versions differ between nodes ({_told(found)}); install the same everywhere"
            return problem("versions", ResourceError(package, sorted(found), remedy))
    versions = _first(reports).versions
    return ok("versions", ", ".join(f"{name} {versions[name]}" for name in _SHOWN))


def check_processors(reports: Reports) -> Finding:
    """Judge whether a number comes out the same wherever it is computed."""
    found = _by_value(reports, lambda report: report.processor)
    if len(found) > 1:
        remedy = f"differ ({_told(found)}), and so do last bits of numbers; use one kind of node"
        return warning("processors", ResourceError("processors", sorted(found), remedy))
    return ok("processors", _first(reports).processor)


def check_folder(
    out: Path, token: str, reports: Reports, seen: Mapping[str, str | None]
) -> Finding:
    """Judge whether all nodes read and write in the one results folder.

    Args:
        out: the folder.
        token: that lay there.
        reports: what the nodes could do.
        seen: what this process saw of each node's writing; None: nothing.
    """
    for name, report in reports.items():
        if report.folder.token != token:
            told = "another folder of that name" if report.folder.token else "no such folder"
            remedy = f"{_at(name)} sees {told}; use storage that every node has at this path"
            return problem("folder", ResultsError("out", out, remedy))
        if report.folder.trouble is not None:
            remedy = f"can not be written {_at(name, 'on')} ({report.folder.trouble})"
            return problem("folder", ResultsError("out", out, f"{remedy}; choose another folder"))
        if seen.get(name) != token:
            remedy = f"what {_at(name)} writes there is not seen here; use one storage for all"
            return problem("folder", ResultsError("out", out, remedy))
    return ok("folder", f"{out} is written and read by {_counted(len(reports))}")


def check_files(out: Path, reports: Reports) -> list[Finding]:
    """Judge whether locks are kept in the folder, and files can have two names."""
    lawless = [name for name, report in reports.items() if not report.folder.keeps_locks]
    alone = [name for name, report in reports.items() if not report.folder.links]
    findings = []
    if lawless:
        remedy = f"has no locks ({', '.join(lawless)}): never start two sweeps in this folder"
        findings.append(warning("locks", ResultsError("out", out, remedy)))
    if alone:
        remedy = f"has no hard links ({', '.join(alone)}): stages are copied, which takes more room"
        findings.append(warning("links", ResultsError("out", out, remedy)))
    return findings or [ok("files", "locks are kept, renames and hard links work")]


def check_disk(out: Path, reports: Reports, *, needed: int | None, stages: int | None) -> Finding:
    """Judge whether what is to be written has room.

    Args:
        out: the folder.
        reports: of the nodes.
        needed: bytes that checkpoints will take; None: not known.
        stages: bytes that stages may take beside, while the sweep runs; None: not known.
    """
    free = min(report.folder.free_bytes for report in reports.values())
    if needed is None:
        return ok("disk", f"{gigabytes(free)} free")
    if free < needed:
        remedy = f"has {gigabytes(free)} free, and checkpoints take about {gigabytes(needed)}"
        return problem("disk", ResultsError("out", out, f"{remedy}; make room, or choose another"))
    if free < needed + (stages or 0):
        remedy = (
            f"has {gigabytes(free)} free, and stages may take {gigabytes(stages or 0)} beside "
            f"checkpoints of {gigabytes(needed)}; make room, or lower --stages-gb"
        )
        return warning("disk", ResultsError("out", out, remedy))
    return ok("disk", f"{gigabytes(free)} free; checkpoints take about {gigabytes(needed)}")


def check_corpora(fingerprints: Mapping[Path, str], reports: Reports) -> list[Finding]:
    """Judge whether every node reads the corpora that this process knows.

    Args:
        fingerprints: of corpora as this process sees them, by path.
        reports: of the nodes.
    """
    findings = [_corpus(path, fingerprint, reports) for path, fingerprint in fingerprints.items()]
    return [one for one in findings if one is not None]


def check_memory(reports: Reports, *, needed: int | None) -> Finding:
    """Judge whether weights, gradients and optimizer state of the trials of a node have room.

    Args:
        reports: of the nodes.
        needed: bytes that the trials on one node hold at least; None: not known.
    """
    known = [one.memory_bytes for one in reports.values() if one.memory_bytes is not None]
    if not known:
        return ok("memory", "not known on this system")
    free = min(known)
    if needed is not None and free < needed:
        remedy = (
            f"less than {gigabytes(needed)}, which models and optimizers alone take; lower "
            "--max-concurrent"
        )
        return warning("memory", ResourceError("memory", gigabytes(free), remedy))
    return ok("memory", f"{gigabytes(free)} free")


def check_object_store(reports: Reports) -> Finding | None:
    """Judge whether Ray's own store fits ``/dev/shm``; None where there is none."""
    known = [one.shm_bytes for one in reports.values() if one.shm_bytes is not None]
    if not known:
        return None
    if min(known) < OBJECT_STORE_BYTES:
        remedy = (
            f"less than {gigabytes(OBJECT_STORE_BYTES)} free, so that Ray uses a disk; enlarge it"
        )
        return warning("shared memory", ResourceError("/dev/shm", gigabytes(min(known)), remedy))
    return ok("shared memory", f"{gigabytes(min(known))} free in /dev/shm")


def _corpus(path: Path, fingerprint: str, reports: Reports) -> Finding | None:
    for name, report in reports.items():
        seen = report.corpora.get(path)
        if seen is None:
            continue
        if seen.trouble is not None:
            remedy = f"can not be read {_at(name, 'on')} ({seen.trouble}); use shared storage"
            return problem("corpus", CorpusError("corpus.path", path, remedy))
        if seen.fingerprint != fingerprint:
            remedy = (
                f"is another corpus {_at(name, 'on')} (fingerprint {str(seen.fingerprint)[:16]}"
            )
            remedy = f"{remedy}, here {fingerprint[:16]}); use shared storage"
            return problem("corpus", CorpusError("corpus.path", path, remedy))
    if len(reports) == 1:
        return None
    return ok("corpus", f"{path} is the same on {_counted(len(reports))}")


def _first(reports: Reports) -> NodeReport:
    return next(iter(reports.values()))


def _by_value(reports: Reports, value: Callable[[NodeReport], str]) -> dict[str, list[str]]:
    """Return the nodes of each value."""
    found: dict[str, list[str]] = {}
    for name, report in reports.items():
        found.setdefault(value(report), []).append(name)
    return found


def _told(found: Mapping[str, Sequence[str]]) -> str:
    return "; ".join(_told_one(found))


def _told_one(found: Mapping[str, Sequence[str]]) -> Iterator[str]:
    for value, names in sorted(found.items()):
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        yield f"{value} on {names[0]}{more}"


def _at(name: str, before: str = "") -> str:
    where = name if name == THIS_MACHINE else f"node {name}"
    return f"{before} {where}".strip()


def _counted(count: int) -> str:
    return f"{count} node{'' if count == 1 else 's'}"
