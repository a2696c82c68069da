"""Look at all that a sweep needs before it is begun: machines, folder, corpus, room.

What is looked at on every node is in node_report.py, how it is judged in node_checks.py. Nothing
stays behind.
"""

import math
import shutil
import time
import uuid
from collections import Counter
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from tuneprune.config import RunConfig
from tuneprune.distributed.cluster import cluster_nodes
from tuneprune.distributed.nodes import NoAnswer, ask_nodes
from tuneprune.errors import ConfigError, ResourceError, ResultsError, is_full_disk
from tuneprune.sweep.disk import CheckpointSize, CheckpointSizes, checkpoints_bytes
from tuneprune.sweep.dry_run import dry_run
from tuneprune.sweep.findings import Finding, ok, problem, raise_problem
from tuneprune.sweep.input_checks import check_corpora_here, check_labels, check_torchaudio
from tuneprune.sweep.node_checks import (
    check_answers,
    check_corpora,
    check_disk,
    check_files,
    check_folder,
    check_memory,
    check_object_store,
    check_processors,
    check_versions,
)
from tuneprune.sweep.node_report import LOCK, TOKEN, NodeReport, Question, held_lock, look_around
from tuneprune.sweep.preparation import preparation_of
from tuneprune.sweep.resources import TrialResources, plan_resources
from tuneprune.sweep.space import Space, baseline_config, configs_to_prepare
from tuneprune.training.prepare import Prepared

Answers = Mapping[str, NodeReport | NoAnswer]

_SEEN_WITHIN_S = 5.0  # network file systems show what others wrote a little later


def examine(space: Space | None, *, out: Path, max_concurrent: int | None = None) -> list[Finding]:
    """Return what is found of this machine, or of the cluster that has been joined.

    Ray must be running. Recordings are looked for, and only a few of them opened:
    ``tuneprune corpus check`` reads them all.

    Args:
        space: to be swept; None: only what every sweep needs is looked at.
        out: folder of the sweep, which need not be there.
        max_concurrent: at most so many trials at once.
    """
    if space is None:
        return [*_check_nodes(out, {}), check_torchaudio()]
    fit, resources = _check_fit(space, max_concurrent)
    corpora, fingerprints = check_corpora_here(space)
    labels, sizes = check_labels(space)
    needed = memory = stages = None
    if sizes is not None:
        settings, stages = _check_settings(space)
        labels.append(settings)
        needed = checkpoints_bytes(space, sizes)
        memory = _state_bytes(sizes(baseline_config(space)), resources) if resources else None
    return [
        *_check_nodes(out, fingerprints, needed=needed, stages=stages, memory=memory),
        fit,
        *corpora,
        *labels,
        check_torchaudio(),
    ]


def refuse_unfit_cluster(
    space: Space, *, out: Path, prepared: Mapping[str, Prepared | None], begun: bool
) -> None:
    """Raise the first problem of the machines of the running Ray; write nothing that stays.

    On one machine it takes hundredths of a second.

    Args:
        space: to be swept.
        out: folder of the sweep, which need not be there.
        prepared: what was found of corpora, by what decides over it; empty before that is known.
        begun: the folder holds some of this sweep's checkpoints already.

    Raises:
        TunepruneError: naming what is wrong and what to do.
    """
    known = {key: one for key, one in prepared.items() if one is not None}
    fingerprints = {
        Path.cwd() / config.corpus.path: known[preparation_of(config)].corpus_fingerprint
        for config in configs_to_prepare(space)
        if preparation_of(config) in known
    }

    def labels(config: RunConfig) -> int:
        return len(known[preparation_of(config)].labels)

    left = None
    if known and None not in prepared.values():
        needed = checkpoints_bytes(space, CheckpointSizes(labels))
        left = max(0, needed - _taken(out / "checkpoints")) if begun else needed
    raise_problem(_check_nodes(out, fingerprints, needed=left))


def _check_nodes(
    out: Path,
    fingerprints: Mapping[Path, str],
    *,
    needed: int | None = None,
    stages: int | None = None,
    memory: int | None = None,
) -> list[Finding]:
    """Ask every node, and judge what they say; see ``check_disk`` and ``check_memory``."""
    token = uuid.uuid4().hex
    try:
        answers, seen = _ask(out, token, tuple(fingerprints))
    except OSError as error:
        instead = "make room, or choose another" if is_full_disk(error) else "choose another folder"
        remedy = f"can not be written here ({error.strerror or error}); {instead}"
        return [problem("folder", ResultsError("out", out, remedy))]
    reports = {name: one for name, one in answers.items() if isinstance(one, NodeReport)}
    findings = check_answers(answers)
    if not reports:
        return findings
    store = check_object_store(reports)
    return [
        *findings,
        check_versions(reports),
        check_processors(reports),
        check_folder(out, token, reports, seen),
        *check_files(out, reports),
        check_disk(out, reports, needed=needed, stages=stages),
        check_memory(reports, needed=memory),
        *([store] if store else []),
        *check_corpora(fingerprints, reports),
    ]


def _ask(out: Path, token: str, corpora: tuple[Path, ...]) -> tuple[Answers, dict[str, str | None]]:
    """Ask every node about a folder that is made for it, and return what is seen of them there."""
    folder = _nearest(out.absolute()) / f".tuneprune-doctor-{token[:8]}"
    folder.mkdir()
    try:
        (folder / TOKEN).write_text(token)
        with held_lock(folder / LOCK):
            answers: Answers = ask_nodes(
                partial(look_around, Question(folder=folder, corpora=corpora))
            )
        deadline = time.monotonic() + _SEEN_WITHIN_S
        seen = {
            name: _wait_for(folder / report.folder.wrote, token, deadline)
            for name, report in answers.items()
            if isinstance(report, NodeReport)
        }
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return answers, seen


def _nearest(path: Path) -> Path:
    """Return a folder, or what is there of the way to it."""
    return next(one for one in (path, *path.parents) if one.exists())


def _wait_for(path: Path, token: str, deadline: float) -> str | None:
    """Return what a file holds once it holds the token, or whatever it does at the deadline."""
    while True:
        try:
            found = path.read_text()
        except OSError:
            found = None
        if found == token or time.monotonic() > deadline:
            return found
        time.sleep(0.05)


def _check_settings(space: Space) -> tuple[Finding, int | None]:
    """Look whether trials can be trained as they are set; return also the bytes of their stages."""
    try:
        found = dry_run(space).sharing
    except ConfigError as error:
        return problem("settings", error), None
    said = "no trial that is known beforehand fails before its first step"
    return ok("settings", said), found.stages_bytes


def _check_fit(space: Space, limit: int | None) -> tuple[Finding, TrialResources | None]:
    nodes = cluster_nodes()
    try:
        plan = plan_resources(space.base.training, nodes, limit=limit)
    except ResourceError as error:
        return problem("room", error), None
    sizes = Counter(f"{node.cpus:g} CPUs, {node.gpus:g} GPUs" for node in nodes)
    have = " + ".join(f"{count} x ({what})" for what, count in sorted(sizes.items()))
    each = f"{plan.workers} x {plan.cpus_per_worker} threads{' with a GPU' * plan.use_gpu}"
    trials = "trial" if plan.concurrent == 1 else "trials"
    return ok("room", f"{plan.concurrent} {trials} at once, {each} each, on {have}"), plan


def _state_bytes(size: CheckpointSize, resources: TrialResources) -> int:
    """Return what models, gradients and optimizers of the trials of a node take at least."""
    workers = math.ceil(resources.concurrent * resources.workers / len(cluster_nodes()))
    return workers * (size.resumable + size.weights)  # a gradient is as large as its weight


def _taken(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
