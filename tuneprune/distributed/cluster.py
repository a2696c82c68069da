"""Start Ray for this process, or join the cluster that RAY_ADDRESS names; say what it has."""

import logging
import os
import shutil
import signal
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import ray

from tuneprune.errors import ResourceError

# Ray's object store holds only what Ray itself passes around: no audio, features or weights.
OBJECT_STORE_BYTES = 200_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class NodeResources:
    """What one machine of the cluster has, busy or not."""

    cpus: float
    gpus: float


@contextmanager
def ray_cluster(*, log_to_driver: bool = False) -> Iterator[None]:
    """Make sure that Ray runs inside the ``with`` block, and stop what was started for it.

    Joins a running cluster only if RAY_ADDRESS says so; otherwise Ray would take any that
    another user of the machine has left behind.

    Args:
        log_to_driver: print what workers print.

    Raises:
        ResourceError: no cluster answers at RAY_ADDRESS, or it can not be joined.
    """
    if ray.is_initialized():
        yield
        return
    # Ray's socket paths must stay below 107 bytes, so TMPDIR, which may be long, is not used.
    folder = tempfile.mkdtemp(prefix="tp-", dir="/tmp" if os.path.isdir("/tmp") else None)
    try:
        with _kept_sigterm():
            _start(folder, log_to_driver=log_to_driver)
        yield
    finally:
        ray.shutdown()
        shutil.rmtree(folder, ignore_errors=True)


def this_machine() -> NodeResources | None:
    """Return what trials will have if this machine is all there is; None where a cluster is joined.

    GPUs are not counted: they are known only to a Ray that runs.
    """
    if ray.is_initialized() or "RAY_ADDRESS" in os.environ:
        return None
    return NodeResources(cpus=float(usable_cpus()), gpus=0.0)


def usable_cpus() -> int:
    """Return the CPUs that this process may run on, of which a batch system may give it a few."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cluster_nodes() -> list[NodeResources]:
    """Return the machines that are up."""
    nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    resources = [node["Resources"] for node in nodes if node["Alive"]]
    return [NodeResources(cpus=r.get("CPU", 0.0), gpus=r.get("GPU", 0.0)) for r in resources]


@contextmanager
def _kept_sigterm() -> Iterator[None]:
    """Keep the handler of SIGTERM, which Ray replaces by one that exits with nothing recorded."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if callable(before) and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)


def _start(folder: str, *, log_to_driver: bool) -> None:
    for name in ("ray", "ray.tune", "ray.train"):
        # What goes wrong in a trial is in the trials table; Ray would print it a second time.
        logging.getLogger(name).setLevel(logging.CRITICAL)
    address = os.environ.get("RAY_ADDRESS")
    if address:
        try:
            ray.init(address=address, log_to_driver=log_to_driver, logging_level=logging.CRITICAL)
        except (ConnectionError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
            raise ResourceError("RAY_ADDRESS", address, _refusal(error)) from None
        return
    ray.init(
        address="local",
        num_cpus=usable_cpus(),
        include_dashboard=False,
        log_to_driver=log_to_driver,
        logging_level=logging.CRITICAL,
        object_store_memory=OBJECT_STORE_BYTES,
        _temp_dir=folder,
    )


def _refusal(error: Exception) -> str:
    """Say why a cluster can not be joined, and what to do."""
    said = str(error.__cause__ or error).strip() or type(error).__name__
    if "Version mismatch" in said:
        told = " ".join(said.split())
        return f"runs other versions than this; use the same Ray and Python in both. {told}"
    last = said.splitlines()[-1].strip()
    return f"no Ray cluster can be joined there ({last}); start one, or unset RAY_ADDRESS"
