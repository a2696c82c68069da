"""Start Ray for this process, or join the cluster that RAY_ADDRESS names; say what it has."""

import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import ray

from tuneprune.errors import ResourceError

# Ray's object store holds only what Ray itself passes around: no audio, features or weights.
_OBJECT_STORE_BYTES = 200_000_000


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
        ResourceError: no cluster answers at RAY_ADDRESS.
    """
    if ray.is_initialized():
        yield
        return
    # Ray's socket paths must stay below 107 bytes, so TMPDIR, which may be long, is not used.
    folder = tempfile.mkdtemp(prefix="tp-", dir="/tmp" if os.path.isdir("/tmp") else None)
    try:
        _start(folder, log_to_driver=log_to_driver)
        yield
    finally:
        ray.shutdown()
        shutil.rmtree(folder, ignore_errors=True)


def cluster_nodes() -> list[NodeResources]:
    """Return the machines that are up."""
    nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    resources = [node["Resources"] for node in nodes if node["Alive"]]
    return [NodeResources(cpus=r.get("CPU", 0.0), gpus=r.get("GPU", 0.0)) for r in resources]


def _start(folder: str, *, log_to_driver: bool) -> None:
    for name in ("ray", "ray.tune", "ray.train"):
        # What goes wrong in a trial is in the trials table; Ray would print it a second time.
        logging.getLogger(name).setLevel(logging.CRITICAL)
    address = os.environ.get("RAY_ADDRESS")
    if address:
        try:
            ray.init(address=address, log_to_driver=log_to_driver, logging_level=logging.CRITICAL)
        except (ConnectionError, RuntimeError, ValueError):
            remedy = "no Ray cluster answers there; start one, or unset RAY_ADDRESS"
            raise ResourceError("RAY_ADDRESS", address, remedy) from None
        return
    ray.init(
        address="local",
        include_dashboard=False,
        log_to_driver=log_to_driver,
        logging_level=logging.CRITICAL,
        object_store_memory=_OBJECT_STORE_BYTES,
        _temp_dir=folder,
    )
