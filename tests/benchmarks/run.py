"""Measure what the design and the README promise, each against its baseline; `make bench`.

    python tests/benchmarks/run.py [NAME...] [--quick] [--threads N]

Every benchmark measures both sides in the same run, in turns (A B A B ...), and takes medians; what
stands behind a ± is half the width of the middle half of the repeats. Nothing here fails because
of a time: the table says what was met, and people read it. Everything takes about a quarter of an
hour, `--quick` about five minutes, most of it the baseline of `engine`.

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
import bench_engine
import bench_epoch
import bench_event
import bench_hook
import bench_padding
import bench_query
import bench_step
import torch
from comparing import Comparison, table_of
from rich.console import Console

BENCHMARKS: dict[str, Callable[..., list[Comparison]]] = {
    "step": bench_step.compare,
    "hook": bench_hook.compare,
    "event": bench_event.compare,
    "after_event": bench_after_event.compare,
    "padding": bench_padding.compare,
    "epoch": bench_epoch.compare,
    "query": bench_query.compare,
    "engine": bench_engine.compare,
}
_LEGEND = (
    "≥: baseline over ours. ≤: ours over baseline, or, with a unit, ours itself. Medians, ± half "
    "the\nwidth of the middle half. d=96 x 4: model width x blocks."
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the named benchmarks and print one table; return 1 if one could not be run at all."""
    options = _parser().parse_args(arguments)
    threads_before = torch.get_num_threads()
    torch.set_num_threads(options.threads)
    machine = _machine(options.threads)
    try:
        rows, broken = _run(options.names or list(BENCHMARKS), quick=options.quick)
    finally:
        torch.set_num_threads(threads_before)
    console = Console(width=100, highlight=False)
    console.print(table_of(rows))
    console.print(f"\n{_LEGEND}\n{machine}", style="dim")
    if broken:
        console.print(f"could not be run: {', '.join(broken)}", style="bold red")
    return 1 if broken else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Measure both sides of what is promised.")
    # Not `choices`: with nargs="*" it refuses the empty list.
    parser.add_argument("names", nargs="*", type=_known, metavar="NAME", help=", ".join(BENCHMARKS))
    parser.add_argument("--quick", action="store_true", help="smaller sizes and fewer repeats")
    parser.add_argument("--threads", type=int, default=1, help="of torch, for both sides")
    return parser


def _known(name: str) -> str:
    if name not in BENCHMARKS:
        raise argparse.ArgumentTypeError(f"'{name}' is none of {', '.join(BENCHMARKS)}")
    return name


def _run(names: Sequence[str], *, quick: bool) -> tuple[list[Comparison], list[str]]:
    """Run one after the other; one that breaks must not take the others' numbers with it."""
    rows: list[Comparison] = []
    broken: list[str] = []
    for name in names:
        began = time.perf_counter()
        print(f"{name} ...", end=" ", file=sys.stderr, flush=True)
        try:
            rows += BENCHMARKS[name](quick=quick)
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
