"""Trials stop at rungs, are promoted from their checkpoints, and neither is lost in a kill.

Run as a script, it is a driver that is killed together with all that it has started.
"""

import math
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
import pytest
import torch
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from tuneprune.distributed.cluster import ray_cluster
from tuneprune.distributed.ray_train import Train
from tuneprune.results.reader import open_results
from tuneprune.results.schema import TABLES
from tuneprune.results.writer import TableWriter
from tuneprune.sweep.rungs import Judge, JudgedSteering, Rungs
from tuneprune.sweep.schedulers import Asha
from tuneprune.sweep.space import Space, build_space, build_trial_config
from tuneprune.sweep.study import run_sweep
from tuneprune.testing.tones import make_tone_corpus, tone_config
from tuneprune.training.checkpoint import find_checkpoint
from tuneprune.training.context import LocalContext
from tuneprune.training.run import train
from tuneprune.training.steering import Unsteered
from tuneprune.training.summary import RunSummary

pytestmark = [pytest.mark.ray, pytest.mark.slow]

MEASURED = {
    "step_time_s", "eval_s", "event_s", "step_time_before_s", "step_time_after_s", "train_s",
    "setup_s", "time_s", "real_time_factor", "sweep_id", "attempt", "executed_steps", "shared_from",
}  # fmt: skip
EVENT = {"method": "grow_drop", "delta": 0.2, "scorer": "taylor", "score_every_steps": 1}
TOTAL, RUNGS = 32, (8, 16)
ASHA = {"kind": "asha", "first": 0.25, "factor": 2}
# After so few steps, which error rate a recogniser has is decided by where it began. That of
# seed 3 is still recovering from the event of step 2 at the first rung.
SEEDS = [5, 10, 8, 4, 3]
TRIALS = {f"t{number:02d}": seed for number, seed in enumerate(SEEDS, 1)}
KILLED = "t04", 14


def space_of(tones: Path, seeds: list[int], scheduler: Mapping[str, Any] | None) -> Space:
    """Return a space whose trials have these seeds, in this order, and an event at step 2."""
    more = {} if scheduler is None else {"scheduler": dict(scheduler)}
    return build_space(
        {
            "name": "tones",
            "question": "Where to begin?",
            "base": base_of(tones),
            "search": {
                "trials": len(seeds),
                "objectives": ["dev_cer"],
                "sampler": {"kind": "random"},
                "set": {f"adaptation.{key}": one for key, one in EVENT.items()}
                | {"adaptation.at_steps": [2]},
                "space": {"seed": {"choice": seeds}},
                "first": [{"seed": seed} for seed in seeds],
                **more,
            },
        }
    )


def base_of(tones: Path) -> dict[str, Any]:
    base = tone_config(
        tones,
        "optim.peak_lr=4e-4",
        "optim.legs=[0.1,0.8,0.1]",
        "training.evaluate_every=0.125",
        "training.log_every_steps=2",
    )
    return base.model_dump(mode="json")


def sweep(space: Space, out: Path, **options: Any) -> Path:
    run_sweep(space, out=out, **{"max_concurrent": 1, "share_stages": False, **options})
    return out


def rows(out: Path, table: str, **where: Any) -> list[dict[str, Any]]:
    found = open_results(out).table(table)
    found = found.drop_columns(sorted(MEASURED & set(found.column_names)))
    known = found.to_pylist()
    return [row for row in known if all(row[name] == value for name, value in where.items())]


def same_tables(one: Path, other: Path) -> None:
    for table in TABLES:
        assert rows(one, table) == rows(other, table), table


def ends(out: Path) -> dict[str, tuple[str, int]]:
    return {row["trial_id"]: (row["status"], row["step"]) for row in rows(out, "trials")}


@pytest.fixture(scope="module", autouse=True)
def _ray() -> Iterator[None]:
    with ray_cluster():
        yield


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tone corpus with more to recognise, so that error rates differ."""
    path = tmp_path_factory.mktemp("corpus") / "tones"
    make_tone_corpus(path, dev=12)
    return path


def train_alone(
    corpus: Path, out: Path, trial: str, seed: int, steering: Unsteered | None = None
) -> RunSummary:
    """Train a trial in this process, from its last checkpoint if it has one."""
    config = build_trial_config(space_of(corpus, [seed], None), {"seed": seed})
    folder = out / "checkpoints" / trial
    context = LocalContext(device=torch.device("cpu"), checkpoint=find_checkpoint(folder, "last"))
    with TableWriter(out, sweep_id="s", trial_id=trial, attempt=0, seed=seed) as writer:
        return train(config, context, writer=writer, checkpoint_dir=folder, steering=steering)


@dataclass(frozen=True, kw_only=True, slots=True)
class Whole:
    """The same trials in no sweep at all: nobody judges them."""

    out: Path
    summaries: Mapping[str, RunSummary]


@pytest.fixture(scope="module")
def whole(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Whole:
    out = tmp_path_factory.mktemp("whole")
    summaries = {trial: train_alone(corpus, out, trial, seed) for trial, seed in TRIALS.items()}
    return Whole(out=out, summaries=summaries)


@pytest.fixture(scope="module")
def judged(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    space = space_of(corpus, SEEDS, ASHA)
    return sweep(space, tmp_path_factory.mktemp("judged") / "out")


class ByHand:
    """Successive halving over trials that come one after the other, from whole learning curves."""

    def __init__(self, whole: Whole) -> None:
        self.cer = {
            (row["trial_id"], row["step"]): row["cer"]
            for row in rows(whole.out, "evaluations", split="dev")
        }
        # From the step on with which the loss is back, a trial is judged.
        self.back = {
            row["trial_id"]: row["step"] if row["recovered"] else math.inf
            for row in rows(whole.out, "recoveries")
        }
        self.arrived: dict[int, list[str]] = {rung: [] for rung in RUNGS}
        self.stopped: dict[str, int] = {}
        self.first_stops: dict[str, int] = {}
        self.promoted: list[tuple[str, int]] = []
        for trial in sorted(self.back):
            self._train(trial, 0)
            while best := self._best_to_promote():
                self.promoted.append((best, self.stopped[best]))
                self._train(best, self.stopped.pop(best))

    def _train(self, trial: str, step: int) -> None:
        for rung in RUNGS:
            if rung > step and rung >= self.back[trial]:
                self.arrived[rung].append(trial)
                if not self._is_good(trial, rung):
                    self.stopped[trial] = rung
                    self.first_stops.setdefault(trial, rung)
                    return

    def _is_good(self, trial: str, rung: int) -> bool:
        ranked = sorted(self.cer[one, rung] for one in self.arrived[rung])
        return self.cer[trial, rung] <= ranked[math.ceil(len(ranked) / 2) - 1]

    def _best_to_promote(self) -> str | None:
        good = [
            (-rung, self.cer[trial, rung], trial)
            for trial, rung in self.stopped.items()
            if self._is_good(trial, rung)
        ]
        return min(good)[-1] if good else None


@pytest.fixture(scope="module")
def by_hand(whole: Whole) -> ByHand:
    return ByHand(whole)


def test_the_chosen_seeds_hold_a_case_of_each_kind(by_hand: ByHand) -> None:
    # If error rates ever come out otherwise, this says why the other tests prove less.
    assert set(by_hand.stopped.values()) == set(RUNGS)
    assert {rung for _, rung in by_hand.promoted} == set(RUNGS)
    assert any(trial not in by_hand.stopped for trial, _ in by_hand.promoted)
    assert any(trial not in by_hand.arrived[RUNGS[0]] for trial in by_hand.arrived[RUNGS[1]])


def test_trials_stop_where_halving_by_hand_stops_them(judged: Path, by_hand: ByHand) -> None:
    stops = {trial: ("stopped", rung) for trial, rung in by_hand.stopped.items()}
    finished = dict.fromkeys(["t00", *TRIALS], ("finished", TOTAL))
    assert ends(judged) == finished | stops
    for trial, rung in by_hand.stopped.items():
        (row,) = rows(judged, "trials", trial_id=trial)
        assert row["reason"] == f"others were better at step {rung} of {TOTAL}"
        assert row["dev_cer"] is None


def test_a_stopped_trial_has_the_rows_of_a_whole_one_up_to_its_rung(
    judged: Path, whole: Whole, by_hand: ByHand
) -> None:
    for table in set(TABLES) - {"trials"}:
        for trial in TRIALS:
            expected = rows(whole.out, table, trial_id=trial)
            if trial in by_hand.stopped:  # and only what has finished is tested
                is_test = table == "utterances"
                expected = [
                    row
                    for row in expected
                    if row["step"] <= by_hand.stopped[trial]
                    and not (is_test or row.get("split") == "test")
                ]
            assert rows(judged, table, trial_id=trial) == expected, (table, trial)


def test_a_promoted_trial_goes_on_from_its_checkpoint_and_ends_as_a_whole_one(
    judged: Path, whole: Whole, by_hand: ByHand
) -> None:
    trials = {row["trial_id"]: row for row in open_results(judged).table("trials").to_pylist()}
    promoted = [trial for trial, _ in by_hand.promoted]
    for trial in set(promoted) - by_hand.stopped.keys():
        expected = whole.summaries[trial]
        for name in ("status", "dev_wer", "dev_cer", "test_wer", "test_cer", "params", "best_step"):
            assert trials[trial][name] == getattr(expected, name), (trial, name)
    for trial, row in trials.items():
        assert row["executed_steps"] == row["step"], "no step is trained twice"
        assert row["attempt"] == promoted.count(trial), "each time, its rows are newer"


def test_optuna_is_told_what_stopped_trials_had_reached(judged: Path, by_hand: ByHand) -> None:
    told: dict[str, list[optuna.trial.FrozenTrial]] = {}
    for trial in study_of(judged).trials:
        told.setdefault(trial.user_attrs["trial_id"], []).append(trial)
    assert told.keys() == TRIALS.keys()
    dev = {row["trial_id"]: row["dev_cer"] for row in rows(judged, "trials")}
    for name, (first, *later) in told.items():
        assert first.params == {"seed": TRIALS[name]}
        stop = by_hand.first_stops.get(name)
        if stop is not None:  # with its first stop; what is told later is told as another trial
            judged_at = [rung for rung in RUNGS if by_hand.back[name] <= rung <= stop]
            assert first.state.name == "PRUNED"
            assert first.intermediate_values == {
                rung: by_hand.cer[name, rung] for rung in judged_at
            }
        ended = later[-1:] if stop is not None else [first]
        completes = [(one.state.name, one.value) for one in ended]
        assert completes == ([] if name in by_hand.stopped else [("COMPLETE", dev[name])])


def study_of(out: Path) -> optuna.Study:
    storage = JournalStorage(JournalFileBackend(str(out / "study.journal")))
    (summary,) = optuna.get_all_study_summaries(storage)
    return optuna.load_study(study_name=summary.study_name, storage=storage)


def said_in(study: optuna.Study) -> list[Any]:
    return [
        (one.user_attrs["trial_id"], one.state, one.values, one.params, one.intermediate_values)
        for one in study.trials
    ]


def test_a_sweep_that_was_killed_between_two_rungs_has_the_same_verdicts(
    corpus: Path, judged: Path, by_hand: ByHand, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    driver = [sys.executable, __file__, str(corpus), str(out)]
    done = subprocess.run(
        driver, start_new_session=True, capture_output=True, timeout=100, check=False
    )
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()[-2000:]
    trial, step = KILLED
    assert RUNGS[0] < step < RUNGS[1]
    cut_off = ends(out)
    assert {trial for trial, (how, _) in cut_off.items() if how == "running"} == {trial}
    assert "stopped" in {how for how, _ in cut_off.values()}
    assert trial in by_hand.arrived[RUNGS[0]]
    sweep(space_of(corpus, SEEDS, ASHA), out)
    same_tables(out, judged)
    assert said_in(study_of(out)) == said_in(study_of(judged))


def killing(driver: int, seed: int, at: int) -> Train:
    """Return a training that kills a process group, and itself, at a step of one trial."""

    def train(config, context, *, writer, checkpoint_dir, progress=False, steering=None):  # type: ignore[no-untyped-def]
        import os
        import signal
        from typing import Any

        from tuneprune.training import run
        from tuneprune.training.steering import Unsteered

        inner = steering or Unsteered()

        class Killing:
            def __getattr__(self, name: str) -> Any:
                return getattr(inner, name)

            def wants_stage(self, step: int) -> bool:
                if config.seed == seed and step == at:
                    os.killpg(driver, signal.SIGKILL)
                    os.kill(os.getpid(), signal.SIGKILL)  # Ray's processes may be in another group
                return inner.wants_stage(step)

        return run.train(
            config, context, writer=writer, checkpoint_dir=checkpoint_dir, steering=Killing()
        )

    return train


def judge_beside(out: Path, others: float) -> Judge:
    """Return a judge of a trial that has two others beside it at each rung."""
    rungs = Rungs(out / "rungs")
    for rung in RUNGS:
        for other in ("t08", "t09"):
            rungs.record(rung, other, others)
    return Judge(
        trial_id="t01",
        scheduler=Asha(first=0.25, factor=2),
        rungs=rungs,
        metric="dev_cer",
        evaluate_every=0.125,
        first_event=True,
    )


class CutOffError(Exception):
    """What ends a process in this test."""


class Dying(JudgedSteering):
    """Ends the process at a step, without a word."""

    def __init__(self, judge: Judge, at: int) -> None:
        super().__init__(judge)
        self._at = at

    def wants_stage(self, step: int) -> bool:
        if step == self._at:
            raise CutOffError
        return False


@pytest.mark.parametrize("cut_at", [9, None])
def test_at_a_rung_before_its_recovery_a_trial_is_not_judged_but_at_the_next_one(
    corpus: Path, tmp_path: Path, cut_at: int | None
) -> None:
    judge = judge_beside(tmp_path, others=0.0)
    if cut_at is not None:
        with pytest.raises(CutOffError):
            train_alone(corpus, tmp_path, "t01", 3, Dying(judge, cut_at))
        last = find_checkpoint(tmp_path / "checkpoints" / "t01", "last")
        assert last is not None
        assert last.name == "last-00000008", "it goes on at the rung, still recovering"
    summary = train_alone(corpus, tmp_path, "t01", 3, JudgedSteering(judge))
    (recovery,) = rows(tmp_path, "recoveries")
    assert RUNGS[0] < recovery["step"] < RUNGS[1], "else this shows nothing"
    assert (summary.status, summary.step) == ("stopped", RUNGS[1])
    cer = {row["step"]: row["cer"] for row in rows(tmp_path, "evaluations", split="dev")}
    assert judge.rungs.of_trial("t01") == {RUNGS[1]: cer[RUNGS[1]]}


def failing_once(seed: int, mended: Path) -> Train:
    """Return a training that fails for one seed, until a file is there."""

    def train(config, context, *, writer, checkpoint_dir, progress=False, steering=None):  # type: ignore[no-untyped-def]
        from tuneprune.training import run

        if config.seed == seed and not mended.exists():
            raise OSError(5, "Input/output error")
        return run.train(
            config, context, writer=writer, checkpoint_dir=checkpoint_dir, steering=steering
        )

    return train


@pytest.mark.thorough
def test_what_is_worse_than_the_median_stops_also_when_it_is_tried_again_later(
    corpus: Path, tmp_path: Path
) -> None:
    median = {"kind": "median", "first": 0.25, "every": 0.5, "least": 1}
    space, mended = space_of(corpus, [5, 8, 13], median), tmp_path / "mended"
    trainable = failing_once(13, mended)
    out = sweep(space, tmp_path / "out", trainable=trainable)
    before = dict.fromkeys(("t00", "t01"), ("finished", TOTAL)) | {"t02": ("stopped", RUNGS[0])}
    assert ends(out) == before | {"t03": ("failed", 0)}
    mended.touch()
    sweep(space, out, trainable=trainable, retry_failed=True)
    assert ends(out) == before | {"t03": ("stopped", RUNGS[0])}
    found = rows(out, "evaluations", split="dev", step=RUNGS[0])
    cer = {row["trial_id"]: row["cer"] for row in found}
    assert cer["t02"] > cer["t01"], "which was the only one before it, so the median"
    assert cer["t03"] > (cer["t01"] + cer["t02"]) / 2


def waiting_pair() -> Train:
    """Return a training in which a trial lets another one catch up with it before it goes on."""

    def train(config, context, *, writer, checkpoint_dir, progress=False, steering=None):  # type: ignore[no-untyped-def]
        import time
        from typing import Any

        from tuneprune.training import run

        class Patient:
            def __getattr__(self, name: str) -> Any:
                return getattr(steering, name)

            def wants_stage(self, step: int) -> bool:
                if checkpoint_dir.name == "t04" and step == 4:
                    other = checkpoint_dir.parent / "t05" / "last-00000002"
                    deadline = time.monotonic() + 30
                    while not other.exists() and time.monotonic() < deadline:
                        time.sleep(0.05)
                return bool(steering.wants_stage(step))

        return run.train(
            config, context, writer=writer, checkpoint_dir=checkpoint_dir, steering=Patient()
        )

    return train


def test_a_trial_that_stops_does_not_strand_one_that_waits_for_its_stage(
    corpus: Path, tmp_path: Path
) -> None:
    space = build_space(
        {
            "name": "tones",
            "question": "When is the second event?",
            "base": base_of(corpus),
            "search": {
                "sampler": {"kind": "grid"},
                "objectives": ["dev_cer"],
                "scheduler": ASHA,
                "set": {f"adaptation.{key}": one for key, one in EVENT.items()},
                "space": {
                    "seed": {"choice": [9, 8]},
                    "adaptation.at_steps": {"choice": [[2, 20], [2, 24]]},
                },
            },
        }
    )
    options = {"share_stages": True, "max_concurrent": 2, "trainable": waiting_pair()}
    out = sweep(space, tmp_path / "out", **options)
    # The two of seed 8 are one run until step 20: the second waits for the first, which stops.
    (recovery,) = rows(out, "recoveries", trial_id="t04")
    assert recovery["recovered"]
    rung = min(rung for rung in RUNGS if rung >= recovery["step"])
    finished = dict.fromkeys(("t00", "t01", "t02", "t03"), ("finished", TOTAL))
    stopped = dict.fromkeys(("t04", "t05"), ("stopped", rung))
    assert ends(out) == finished | stopped
    known = {row["trial_id"]: row for row in open_results(out).table("trials").to_pylist()}
    assert (known["t05"]["shared_from"], known["t05"]["executed_steps"]) == ("t04", 0)
    assert known["t04"]["executed_steps"] == rung - 2
    for table in set(TABLES) - {"trials"}:
        expected = [{**row, "trial_id": "t05"} for row in rows(out, table, trial_id="t04")]
        assert rows(out, table, trial_id="t05") == expected, table


def drive(corpus: Path, out: Path) -> None:
    """Sweep until this process group is killed."""
    trial, step = KILLED
    sweep(space_of(corpus, SEEDS, ASHA), out, trainable=killing(os.getpgrp(), TRIALS[trial], step))


if __name__ == "__main__":
    drive(Path(sys.argv[1]), Path(sys.argv[2]))
