"""Measure what the design and the README promise, each against its baseline; `make bench`.

    python tests/benchmarks/run.py [NAME...] [--quick | --tiny] [--threads N]

Every benchmark measures both sides in the same run, in turns (A B A B ...), and takes medians; what
stands behind a ± is half the width of the middle half of the repeats. Nothing here fails because
of a time: the table says what was met, and people read it. A row without a bar was not promised
and is shown for what it is; a peer whose package is not here says so on its row. Everything takes
about twenty minutes, `--quick` about five. `--tiny` shows only that everything runs.

A quiet machine, without which the numbers mean little: nothing else computes on it (a load below
0.2 when it starts; the line under the table shows it), no other user, no swapping, mains power and
no thermal throttling, at least one core more than threads are asked for, and the temporary folder
on a local disk. A shared virtual machine is never quite quiet: run twice, and if the two ratios
differ by more than their ±, or a bar lies within the ±, it is not decided.
"""

import argparse
import os
import sys
import time
import traceback
from collections.abc import Callable, Sequence

import bench_after_event
import bench_compile
import bench_engine
import bench_epoch
import bench_event
import bench_hook
import bench_many
import bench_masks
import bench_networks
import bench_padding
import bench_query
import bench_resets
import bench_sharing
import bench_step
import bench_subnets
import bench_transducer
import torch
from comparing import Row, Size
from rich.console import Console
from showing import WIDTH, table_of

BENCHMARKS: dict[str, Callable[..., list[Row]]] = {
    "step": bench_step.compare,
    "compile": bench_compile.compare,
    "hook": bench_hook.compare,
    "event": bench_event.compare,
    "after_event": bench_after_event.compare,
    "masks": bench_masks.compare,
    "networks": bench_networks.compare,
    "subnets": bench_subnets.compare,
    "resets": bench_resets.compare,
    "transducer": bench_transducer.compare,
    "padding": bench_padding.compare,
    "epoch": bench_epoch.compare,
    "query": bench_query.compare,
    "engine": bench_engine.compare,
    "many": bench_many.compare,
    "sharing": bench_sharing.compare,
}
_LEGEND = """\
Medians, ± half the width of the middle half. d=96 x 4: model width x blocks. Ratio: baseline over
ours for ≥, peers and torch.compile; ours over baseline for ≤ and products (the matrix products and
convolutions of the step alone). A bar with a unit is held against ours itself."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the named benchmarks and print one table; return 1 if one could not be run at all."""
    options = _parser().parse_args(arguments)
    # As a run has it; both sides profit. oneDNN reads it when it compiles its first kernel.
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "8192")
    threads_before = torch.get_num_threads()
    torch.set_num_threads(options.threads)
    machine = _machine(options.threads)
    try:
        rows, broken = _run(options.names or list(BENCHMARKS), options.size)
    finally:
        torch.set_num_threads(threads_before)
    console = Console(width=WIDTH, highlight=False)
    console.print(table_of(rows))
    console.print(f"\n{_LEGEND}\n{machine}", style="dim")
    if broken:
        console.print(f"could not be run: {', '.join(broken)}", style="bold red")
    return 1 if broken else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Measure both sides of what is promised.")
    # Not `choices`: with nargs="*" it refuses the empty list.
    parser.add_argument("names", nargs="*", type=_known, metavar="NAME", help=", ".join(BENCHMARKS))
    sizes = parser.add_mutually_exclusive_group()
    for size, what in (("quick", "smaller sizes and fewer repeats"), ("tiny", "only that it runs")):
        sizes.add_argument(f"--{size}", dest="size", action="store_const", const=size, help=what)
    parser.set_defaults(size="full")
    parser.add_argument("--threads", type=int, default=1, help="of torch, for both sides")
    return parser


def _known(name: str) -> str:
    if name not in BENCHMARKS:
        raise argparse.ArgumentTypeError(f"'{name}' is none of {', '.join(BENCHMARKS)}")
    return name


def _run(names: Sequence[str], size: Size) -> tuple[list[Row], list[str]]:
    """Run one after the other; one that breaks must not take the others' numbers with it."""
    rows: list[Row] = []
    broken: list[str] = []
    for name in names:
        began = time.perf_counter()
        print(f"{name} ...", end=" ", file=sys.stderr, flush=True)
        try:
            rows += BENCHMARKS[name](size=size)
        except Exception:
            traceback.print_exc()
            broken.append(name)
        print(f"{time.perf_counter() - began:.0f} s", file=sys.stderr, flush=True)
    return rows, broken


def _machine(threads: int) -> str:
    load = os.getloadavg()[0]
    quiet = "" if load < 0.2 else ": NOT QUIET, see the head of run.py"
    return (
        f"{os.cpu_count()} cores, {threads} thread{'' if threads == 1 else 's'}, "
        f"torch {torch.__version__}, load {load:.1f} before the start{quiet}"
    )


if __name__ == "__main__":
    sys.exit(main())
