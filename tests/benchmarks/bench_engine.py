"""What the sweep engine adds to a trial: six trials that train nothing, two at a time.

The baseline is the way Ray documents it: a Tune function a trial, in which a TorchTrainer of one
worker runs and hands its report on. It runs with the environment that tuneprune sets for its
process (no log files; quick health checks, without which every report takes 2 s more), and on the
same Ray, whose own start counts for neither side.
"""

import itertools
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from comparing import Bar, Comparison, Row, Size, take_turns

if TYPE_CHECKING:
    from tuneprune.sweep.space import Space

AT_ONCE = min(2, os.cpu_count() or 1)


def compare(*, size: Size) -> list[Row]:
    """Run both kinds of sweep, of six trials, three times in turn; once if quick."""
    from tuneprune.distributed.cluster import ray_cluster

    trials = 2 if size == "tiny" else 6
    numbers = itertools.count()
    with tempfile.TemporaryDirectory(prefix="tp-") as folder, ray_cluster():
        taken = take_turns(
            {
                "ours": lambda: _sweep(Path(folder) / f"ours-{next(numbers)}", trials),
                "plain": lambda: _plain(Path(folder) / f"plain-{next(numbers)}", trials),
            },
            repeats=3 if size == "full" else 1,
            warmups=0,
        )
    return [
        Comparison(
            what=f"empty trial, {AT_ONCE} at once / TorchTrainer",
            ours=[seconds / trials for seconds in taken["ours"]],
            baseline=[seconds / trials for seconds in taken["plain"]],
            bar=Bar(kind="value", limit=1.0),
        )
    ]


def _sweep(out: Path, trials: int) -> float:
    """Return the seconds of a sweep of so many trials, the baseline being one of them."""
    from tuneprune.sweep.study import run_sweep

    space = space_of_nothing(trials)
    began = time.perf_counter()
    outcome = run_sweep(
        space,
        out=out,
        max_concurrent=AT_ONCE,
        trainable=training_of_nothing(),
        prepare=lambda config: None,
    )
    seconds = time.perf_counter() - began
    if outcome.counts != {"finished": trials}:
        raise RuntimeError(f"trials ended otherwise: {outcome.counts}")
    return seconds


def space_of_nothing(trials: int) -> "Space":
    from tuneprune.sweep.space import build_space

    return build_space(
        {
            "name": "nothing",
            "question": "What does a trial cost beside its training?",
            "base": {
                "corpus": {"path": "none"},
                "model": {"d_model": 16, "num_blocks": 1, "head_dim": 16},
                "seed": 0,
            },
            "search": {
                "trials": trials - 1,
                "sampler": {"kind": "random", "seed": 1},
                "space": {"seed": {"int": [1, 1_000_000]}},
            },
        }
    )


def training_of_nothing() -> Callable[..., Any]:
    """Return a training that only reports; made here, so that Ray sends its code."""

    def train(config, context, *, writer, checkpoint_dir, progress=False):
        from tuneprune.training.run import RunSummary

        context.report({"step": 1.0, "total_steps": 1.0, "dev_wer": 0.5}, None)
        return RunSummary(
            status="finished", step=1, total_steps=1, best_step=1, dev_wer=0.5, dev_cer=0.5,
            test_wer=0.5, test_cer=0.5, params=1, prunable_params=1, multiply_adds_per_s=1,
            real_time_factor=0.25,
            unrecovered_events=None, setup_s=0.0, train_s=0.0, left_out_utterances=0,
            checkpoint="",
        )  # fmt: skip

    return train


def _plain(out: Path, trials: int) -> float:
    """Return the seconds of the same trials as plain Tune and TorchTrainer run them."""
    from ray import tune

    from tuneprune.sweep.interrupts import interruptible

    storage = str(out)

    def worker(settings):
        import ray.train

        ray.train.report({"dev_wer": 0.5})

    def trial(settings):
        import ray.train
        from ray.train.torch import TorchTrainer
        from ray.tune.integration.ray_train import TuneReportCallback

        TorchTrainer(
            worker,
            train_loop_config=settings,
            scaling_config=ray.train.ScalingConfig(
                num_workers=1, resources_per_worker={"CPU": 0.99}
            ),
            run_config=ray.train.RunConfig(
                storage_path=storage,
                name=f"trial-{settings['number']}",
                callbacks=[TuneReportCallback()],
            ),
        ).fit()

    tuner = tune.Tuner(
        # The trial only waits: with whole CPUs, trials would keep their own workers out.
        tune.with_resources(trial, {"CPU": 0.01}),
        param_space={"number": tune.grid_search(list(range(trials)))},
        tune_config=tune.TuneConfig(max_concurrent_trials=AT_ONCE),
        run_config=tune.RunConfig(storage_path=storage, name="tune", verbose=0),
    )
    with interruptible("interrupted"):  # Tune leaves its own handler of Ctrl-C behind
        began = time.perf_counter()
        grid = tuner.fit()
        seconds = time.perf_counter() - began
    if grid.num_errors or len(grid) != trials:
        raise RuntimeError(f"{grid.num_errors} of {len(grid)} plain trials failed")
    return seconds
