"""Runs that begin where another one is, or pause for it, end as if they had done it all alone."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tuneprune.adaptation import AdaptationEvent, Watch, observation_of
from tuneprune.config import GrowDropConfig, RunConfig
from tuneprune.results.reader import open_results
from tuneprune.results.writer import TableWriter
from tuneprune.testing.tones import tone_config
from tuneprune.training.checkpoint import (
    adopt_checkpoint,
    checkpoint_name,
    find_checkpoint,
    link_or_copy,
    load_model_tensors,
    read_checkpoint,
)
from tuneprune.training.context import LocalContext
from tuneprune.training.run import train
from tuneprune.training.steering import Unsteered
from tuneprune.training.summary import RunSummary

SHARED = ("model.dropout=0.1", "features.spec_augment={}", "training.log_every_steps=2")
TIMES = {"setup_s": 0.0, "train_s": 0.0, "real_time_factor": 0.0, "checkpoint": ""}
MEASURED = ("step_time_s", "eval_s", "event_s", "step_time_before_s", "step_time_after_s")


def adapted(tones: Path, at_steps: str = "[4]", scorer: str = "taylor") -> RunConfig:
    event = f"method: grow_drop, at_steps: {at_steps}, delta: 0.2, scorer: {scorer}"
    return tone_config(tones, *SHARED, f"adaptation={{{event}, score_every_steps: 1}}")


class Steered(Unsteered):
    """Publishes at given steps, and pauses after as many events as it is told to."""

    def __init__(self, out: Path, *, steps: tuple[int, ...], events: int | None = None) -> None:
        self.watch = Watch()
        self.stages = out / "stages"
        self.events: list[AdaptationEvent] = []
        self._steps, self._most = steps, events

    def state_dict(self) -> dict[str, int]:
        return {"events": len(self.events)}

    def wants_stage(self, step: int) -> bool:
        return step in self._steps

    def publish(self, step: int, save: Callable[[Path], None]) -> None:
        save(self.stages / str(step))

    def goes_on(self, event: AdaptationEvent) -> bool:
        self.events.append(event)
        return len(self.events) != self._most


def run(config: RunConfig, out: Path, steering: Steered | None = None) -> RunSummary:
    start = find_checkpoint(out / "checkpoints", "last")
    context = LocalContext(device=torch.device("cpu"), checkpoint=start)
    with TableWriter(out, sweep_id="s", trial_id="t", attempt=0, seed=config.seed) as writer:
        return train(
            config, context, writer=writer, checkpoint_dir=out / "checkpoints", steering=steering
        )


def assert_same_end(whole: tuple[RunSummary, Path], other: tuple[RunSummary, Path]) -> None:
    assert replace(whole[0], **TIMES) == replace(other[0], **TIMES)
    first, second = (
        load_model_tensors(read_checkpoint(out / "checkpoints" / summary.checkpoint)).state_dict()
        for summary, out in (whole, other)
    )
    assert all(torch.equal(first[name], second[name]) for name in first)


def rows(out: Path, table: str, *, after: int) -> list[dict[str, object]]:
    """Return the rows of a table beyond a step, without what was measured by the clock."""
    found = open_results(out).table(table)
    found = found.drop_columns([name for name in MEASURED if name in found.column_names])
    return [row for row in found.to_pylist() if row["step"] > after]


@pytest.mark.parametrize("step", [3, 4, 5])  # before, at and after an evaluation
def test_a_run_that_begins_at_another_ones_stage_ends_as_one_of_its_own(
    tones: Path, tmp_path: Path, step: int
) -> None:
    config = adapted(tones, f"[{step}]")
    assert isinstance(config.adaptation, GrowDropConfig)
    trunk, fork = tmp_path / "trunk", tmp_path / "fork"
    steering = Steered(trunk, steps=(step,))
    steering.watch = Watch(observations=(observation_of(config.adaptation),), until_step=step)
    run(tone_config(tones, *SHARED), trunk, steering)
    stage = steering.stages / str(step)
    adopt_checkpoint(stage, fork / "checkpoints", "last", config=config)
    best = read_checkpoint(stage).progress["best"]["step"]
    if best:
        name = checkpoint_name("best", best)
        (fork / "checkpoints" / name).mkdir()
        for file in (trunk / "checkpoints" / name).iterdir():
            link_or_copy(file, fork / "checkpoints" / name / file.name)
    whole = run(config, tmp_path / "whole"), tmp_path / "whole"
    assert_same_end(whole, (run(config, fork), fork))
    for table in ("steps", "evaluations", "recoveries", "adaptations", "group_scores"):
        assert rows(fork, table, after=step) == rows(tmp_path / "whole", table, after=step)
    events = [open_results(out).adaptations().num_rows for out in (fork, tmp_path / "whole")]
    assert events == [1, 1]


def test_a_stage_leaves_no_mark_on_the_run_that_publishes_it(tones: Path, tmp_path: Path) -> None:
    config = adapted(tones)
    plain = run(config, tmp_path / "plain"), tmp_path / "plain"
    steering = Steered(tmp_path / "steered", steps=(1, 2, 4, 5))
    steered = run(config, tmp_path / "steered", steering), tmp_path / "steered"
    assert_same_end(plain, steered)
    assert sorted(path.name for path in steering.stages.iterdir()) == ["1", "2", "4", "5"]
    assert rows(tmp_path / "steered", "steps", after=0) == rows(plain[1], "steps", after=0)


def test_a_run_that_paused_after_an_event_goes_on_as_if_it_had_not(
    tones: Path, tmp_path: Path
) -> None:
    config = adapted(tones, "[3, 6]", "learnable")
    whole = run(config, tmp_path / "whole"), tmp_path / "whole"
    out = tmp_path / "paused"
    for event in range(2):
        paused = run(config, out, Steered(out, steps=(), events=1))
        assert (paused.status, paused.step) == ("paused", 3 * event + 3)
        last = find_checkpoint(out / "checkpoints", "last")
        assert last is not None
        assert read_checkpoint(last).progress["due"] == "evaluation"
    assert_same_end(whole, (run(config, out), out))
    for table in ("steps", "evaluations", "recoveries", "adaptations", "allocations"):
        assert rows(out, table, after=-1) == rows(tmp_path / "whole", table, after=-1)


def test_an_adopted_checkpoint_is_the_adopters_and_shares_its_tensors(
    tones: Path, tmp_path: Path
) -> None:
    steering = Steered(tmp_path, steps=(3,))
    run(tone_config(tones, *SHARED), tmp_path, steering)
    config, hook = adapted(tones), {"method": "none", "observed": {"x": {}}}
    adopted = adopt_checkpoint(
        steering.stages / "3", tmp_path / "own", "last", config=config, hook=hook
    )
    found = read_checkpoint(adopted)
    assert (found.step, found.config, found.hook) == (3, config, hook)
    theirs = steering.stages / "3" / "model.safetensors"
    assert (adopted / "model.safetensors").samefile(theirs)


class Strict(Unsteered):
    """Stops a run at the given evaluations, each time it is asked, and remembers what it saw."""

    def __init__(self, *steps: int) -> None:
        self._steps = steps
        self.asked: list[tuple[int, int, float, float]] = []
        self._events = 0

    def wants_verdict(self, step: int, total_steps: int, *, events: int) -> bool:
        self._events = events
        return True

    def stops(self, step: int, wer: float, cer: float) -> bool:
        self.asked.append((step, self._events, wer, cer))
        return step in self._steps


def test_a_stopped_run_that_is_promoted_ends_as_if_it_had_not_been_stopped(
    tones: Path, tmp_path: Path
) -> None:
    config = adapted(tones, "[3]", "taylor")
    whole = run(config, tmp_path / "whole"), tmp_path / "whole"
    out = tmp_path / "stopped"
    evaluated = rows(tmp_path / "whole", "evaluations", after=-1)
    dev = {row["step"]: (row["wer"], row["cer"]) for row in evaluated if row["split"] == "dev"}
    stop = sorted(dev)[1]
    first = Strict(stop)
    stopped = run(config, out, first)
    assert (stopped.status, stopped.step) == ("stopped", stop)
    assert math.isnan(stopped.dev_wer)
    again = Strict()
    ended = run(config, out, again)
    assert_same_end(whole, (ended, out))
    for table in ("steps", "evaluations", "recoveries", "adaptations", "allocations"):
        assert rows(out, table, after=-1) == rows(tmp_path / "whole", table, after=-1)
    asked = [*first.asked, *again.asked]
    assert again.asked[0][0] == stop, "a verdict that was cut off is asked for again"
    assert all(dev[step] == (wer, cer) for step, _, wer, cer in asked)


def test_a_run_is_not_judged_while_it_recovers(tones: Path, tmp_path: Path) -> None:
    config = adapted(tones, "[6]", "taylor")
    steering = Strict()
    run(config, tmp_path, steering)
    (recovery,) = rows(tmp_path, "recoveries", after=-1)
    back = 6 + recovery["recovery_steps"] if recovery["recovered"] else math.inf
    evaluated = rows(tmp_path, "evaluations", after=-1)
    dev = [row["step"] for row in evaluated if row["split"] == "dev"]
    recovering = [step for step in dev if 6 <= step < back]
    assert recovering, "else this shows nothing"
    assert [step for step, *_ in steering.asked] == [step for step in dev if step not in recovering]
    assert all(events == (step >= 6) for step, events, *_ in steering.asked)
