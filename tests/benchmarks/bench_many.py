"""Whether a trial costs more the more there have been: a thousand trials that train nothing.

The baseline is the first hundred trials of the sweep itself, held against the last hundred; and
the most memory that the process which drives it has had by then, against that at its end.
"""

import resource
import tempfile
import time
from pathlib import Path

from bench_engine import AT_ONCE, space_of_nothing, training_of_nothing
from comparing import Bar, Comparison, Row, Size

_TRIALS = {"full": 1_000, "quick": 300, "tiny": 6}


def compare(*, size: Size) -> list[Row]:
    """Run one sweep of 1,000 trials; of 300 if quick."""
    from tuneprune.distributed.cluster import ray_cluster
    from tuneprune.sweep.live import LiveTable, quiet_table
    from tuneprune.sweep.study import run_sweep

    trials = _TRIALS[size]
    part = max(1, trials // 10)
    space = space_of_nothing(trials)
    ended_s: list[float] = []
    memory: list[int] = []

    class Counting(LiveTable):
        def ended(self, trial_id, metrics):
            super().ended(trial_id, metrics)
            ended_s.append(time.perf_counter())
            memory.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)

    view = Counting(space, quiet_table(space)._console)
    with tempfile.TemporaryDirectory(prefix="tp-") as folder, ray_cluster():
        run_sweep(
            space,
            out=Path(folder) / "many",
            max_concurrent=AT_ONCE,
            trainable=training_of_nothing(),
            prepare=lambda config: None,
            live=view,
        )
    # Counted from the first end on: until then, processes have started.
    first, last = ended_s[part] - ended_s[0], ended_s[-1] - ended_s[-1 - part]
    return [
        Comparison(
            what=f"an empty trial, last {part} of {trials} / first {part}",
            ours=[last / part],
            baseline=[first / part],
            bar=Bar(kind="ratio", limit=1.5),
        ),
        Comparison(
            what=f"driver's peak memory, after {trials} trials / after {part}",
            ours=[memory[-1] / memory[part - 1]],
            baseline=[1.0],
            bar=Bar(kind="ratio", limit=None),
            unit="fraction",
        ),
    ]
