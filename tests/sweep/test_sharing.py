"""Trials on shared stages end bit for bit as trials of their own, and train less."""

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tuneprune.adaptation import event_steps, observation_of
from tuneprune.adaptation.observing import Watch, merge
from tuneprune.config import AdaptiveMaskConfig, GrowDropConfig, RunConfig, SupernetConfig
from tuneprune.results.reader import open_results
from tuneprune.results.schema import TABLES
from tuneprune.results.writer import TableWriter
from tuneprune.sweep.claims import Claims
from tuneprune.sweep.history import trunk_of
from tuneprune.sweep.shared_run import SharedSteering, train_shared
from tuneprune.sweep.sharing import SharedTrial, Sharing
from tuneprune.sweep.stages import StageStore
from tuneprune.testing.tones import make_tone_corpus, tone_config
from tuneprune.training.checkpoint import (
    find_checkpoint,
    kept_checkpoints,
    load_model_tensors,
    read_checkpoint,
)
from tuneprune.training.context import LocalContext
from tuneprune.training.run import train
from tuneprune.training.summary import RunSummary

TOTAL_STEPS = 32
MEASURED = {
    "step_time_s", "eval_s", "event_s", "step_time_before_s", "step_time_after_s",
    "sweep_id", "attempt",
}  # fmt: skip
BASE = (
    "model.dropout=0.1",
    "features.spec_augment={}",
    "training.log_every_steps=2",
    "training.keep_checkpoints=[0.25, 0.375, 1.0]",  # after 8, 12 and 32 steps
    "training.churn_at=[0.375]",
)


def grown(at_steps: list[int], delta: float, scorer: str, **more: object) -> str:
    settings = {
        "method": "grow_drop", "at_steps": at_steps, "delta": delta, "scorer": scorer,
        "score_every_steps": 1, **more,
    }  # fmt: skip
    return f"adaptation={settings}"


STUDY = [
    "adaptation={method: none}",
    grown([12], 0.2, "taylor"),
    grown([12], 0.2, "gradient"),
    grown([12], 0.2, "magnitude"),
    grown([12], 0.21, "taylor"),
    grown([16], 0.2, "taylor"),
    grown([16], 0.4, "magnitude", new_groups="split"),
    grown([12, 20], 0.4, "taylor"),
    grown([12, 20], 0.4, "gradient", watch=[]),
    grown([12], 0.2, "taylor", rewarm=0.3),
    grown([11], 0.2, "learnable"),
    grown([11, 22], 0.2, "learnable"),
    grown([12], 0.0, "taylor"),
    grown([12], 0.2, "my_module:SquaredTaylor", watch=["taylor"]),
    grown([16], 0.2, "taylor", watch=["my_module:SquaredTaylor"]),
    "adaptation={method: 'my_module:SwapOne', settings: {at: 0.4}}",
    "adaptation={method: 'my_module:SwapOne', settings: {at: 0.41}}",  # the same step, as it is
    "adaptation={method: 'my_module:SwapOne', settings: {at: 0.4}}",
]


def masked(preset: str, **more: object) -> str:
    settings = {"method": "adaptive_mask", "preset": preset, "sparsity": 0.5, "begin": 0.375}
    return f"adaptation={settings | more}"


ROUNDS = {"kind": "stepwise", "rounds": 2}
MASK_STUDY = [
    "adaptation={method: none}",
    masked("dynamic_pathways", prune_every=0.25),
    masked("dynamic", prune_every=0.25, blocks="4x1"),
    masked("lth", schedule=ROUNDS, end=0.75),
    masked("rigl", prune_every=0.25, begin=0.5),
    grown([12], 0.2, "taylor"),
]


def sharing_of(config: RunConfig, others: Sequence[RunConfig]) -> Sharing:
    own = trunk_of(config, corpus_fingerprint="tones", device="cpu")
    alike = [
        other.adaptation
        for other in others
        if trunk_of(other, corpus_fingerprint="tones", device="cpu") == own
        and isinstance(other.adaptation, GrowDropConfig | AdaptiveMaskConfig | SupernetConfig)
    ]
    scored = [one for one in alike if isinstance(one, GrowDropConfig)]
    steps = frozenset(step for one in alike for step in event_steps(one, TOTAL_STEPS))
    watch = Watch(observations=merge(map(observation_of, scored)), until_step=max(steps, default=0))
    return Sharing(trunk=own, watch=watch, steps=steps, total_steps=TOTAL_STEPS)


class Sweep:
    """A sweep in miniature: trials one after the other, again and again until none waits."""

    def __init__(
        self, out: Path, configs: Sequence[RunConfig], *, budget_bytes: int | None = None
    ) -> None:
        self.out = out
        self.steps: dict[str, int] = {}
        store = StageStore(out / "stages", budget_bytes=budget_bytes)
        self.claims = Claims(out / "claims")
        self.trials = {
            f"t{number:02d}": SharedTrial(
                trial_id=f"t{number:02d}",
                config=config,
                sharing=sharing_of(config, configs),
                out=out,
                checkpoint_dir=out / "checkpoints" / f"t{number:02d}",
                store=store,
                claims=self.claims,
            )
            for number, config in enumerate(configs)
        }

    def run(self, order: Sequence[str] | None = None) -> dict[str, RunSummary]:
        ended: dict[str, RunSummary] = {}
        waiting = list(order or self.trials)
        while waiting:
            name = waiting.pop(0)
            done = self.train(name)
            self.claims.release(name)
            self.between()
            if done is None:
                waiting.append(name)
            else:
                ended[name] = done
        return ended

    def between(self) -> None:
        """Do what happens to the stages between two trials: nothing."""

    def train(self, name: str) -> RunSummary | None:
        trial = self.trials[name]
        keys = {"sweep_id": "s", "trial_id": name, "attempt": 0, "seed": trial.config.seed}
        with TableWriter(self.out, **keys) as writer:

            def train_on(steering: SharedSteering) -> RunSummary:
                start = find_checkpoint(trial.checkpoint_dir, "last")
                before = read_checkpoint(start).step if start is not None else 0
                done = train(
                    trial.config,
                    LocalContext(device=torch.device("cpu"), checkpoint=start),
                    writer=writer,
                    checkpoint_dir=trial.checkpoint_dir,
                    steering=steering,
                )
                self.steps[name] = self.steps.get(name, 0) + done.step - before
                return done

            return train_shared(trial, writer, train_on)


def alone(config: RunConfig, out: Path, name: str) -> RunSummary:
    with TableWriter(out, sweep_id="s", trial_id=name, attempt=0, seed=config.seed) as writer:
        context = LocalContext(device=torch.device("cpu"))
        return train(config, context, writer=writer, checkpoint_dir=out / "checkpoints" / name)


def rows(out: Path, table: str) -> list[dict[str, Any]]:
    found = open_results(out).table(table)
    return found.drop_columns(sorted(MEASURED & set(found.column_names))).to_pylist()


def weights(out: Path, name: str, summary: RunSummary) -> dict[str, torch.Tensor]:
    found = read_checkpoint(out / "checkpoints" / name / summary.checkpoint)
    return load_model_tensors(found).state_dict()


def kept(out: Path, name: str) -> dict[str, dict[str, torch.Tensor]]:
    return {
        path.name: load_model_tensors(read_checkpoint(path)).state_dict()
        for path in kept_checkpoints(out / "checkpoints" / name)
    }


@pytest.fixture(scope="module")
def configs(tones: Path) -> list[RunConfig]:
    return [tone_config(tones, *BASE, adaptation) for adaptation in STUDY]


@pytest.fixture(scope="module")
def unshared(
    configs: list[RunConfig], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, RunSummary]]:
    out = tmp_path_factory.mktemp("unshared")
    return out, {f"t{n:02d}": alone(c, out, f"t{n:02d}") for n, c in enumerate(configs)}


@pytest.mark.slow
@pytest.mark.parametrize("order", ["as listed", "backwards"])
def test_a_study_on_shared_stages_is_bit_for_bit_the_study_without(
    configs: list[RunConfig],
    unshared: tuple[Path, dict[str, RunSummary]],
    tmp_path: Path,
    order: str,
) -> None:
    sweep = Sweep(tmp_path, configs)
    names = list(sweep.trials)
    ended = sweep.run(names if order == "as listed" else names[::-1])
    whole, expected = unshared
    for name in names:
        times = {"setup_s": 0.0, "train_s": 0.0, "real_time_factor": 0.0}
        assert replace(ended[name], **times) == replace(expected[name], **times), name
        first, second = weights(whole, name, expected[name]), weights(tmp_path, name, ended[name])
        assert first.keys() == second.keys()
        assert all(torch.equal(first[key], second[key]) for key in first), name
        before, after = kept(whole, name), kept(tmp_path, name)
        assert before.keys() == after.keys() == {f"kept-{step:08d}" for step in (8, 12, 32)}
        for step, tensors in before.items():
            assert all(torch.equal(one, after[step][key]) for key, one in tensors.items()), step
    for table in TABLES:
        assert rows(tmp_path, table) == rows(whole, table), table
    asked = TOTAL_STEPS * len(names)
    assert sum(sweep.steps.values()) <= 0.75 * asked


@pytest.fixture(scope="module")
def of_masks(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[list[RunConfig], Path, dict[str, RunSummary]]:
    """A study of masks, and what each of its trials ends in alone."""
    out = tmp_path_factory.mktemp("masks")
    make_tone_corpus(out / "tones", languages=("en", "fr"))
    turns = "training.languages=one_per_batch"
    configs = [tone_config(out / "tones", *BASE, turns, one) for one in MASK_STUDY]
    return configs, out, {f"t{n:02d}": alone(c, out, f"t{n:02d}") for n, c in enumerate(configs)}


@pytest.mark.slow
@pytest.mark.parametrize("first", range(len(MASK_STUDY)))
def test_masks_and_what_has_none_fork_from_one_trunk_whoever_trains_it(
    of_masks: tuple[list[RunConfig], Path, dict[str, RunSummary]], tmp_path: Path, first: int
) -> None:
    configs, whole, expected = of_masks
    sweep = Sweep(tmp_path, configs)
    assert len({trial.sharing.trunk.key for trial in sweep.trials.values()}) == 1
    names = list(sweep.trials)
    ended = sweep.run([*names[first:], *names[:first]])
    for name in names:
        times = {"setup_s": 0.0, "train_s": 0.0, "real_time_factor": 0.0}
        assert replace(ended[name], **times) == replace(expected[name], **times), name
    for table in TABLES:
        assert rows(tmp_path, table) == rows(whole, table), table
    trunk = 12 + 4  # RigL begins at step 16, all others at 12
    own = [TOTAL_STEPS - 12] * 4 + [TOTAL_STEPS - 16] * 2
    assert sum(sweep.steps.values()) <= trunk + sum(own)


@pytest.mark.slow
def test_supernets_that_select_alike_train_step_1_once(tones: Path, tmp_path: Path) -> None:
    top_k = {"kind": "simple_top_k", "iterations": 2}
    configs = [tone_config(tones, *BASE)]
    for more in ({}, {"train_layer_dropout": 0.0}, {"subnet_loss_weight": 0.5}):
        chosen = {"method": "supernet", "subnets": [5, 2], "select_until": 0.5, "selector": top_k}
        configs.append(tone_config(tones, *BASE, f"adaptation={chosen | more}"))
    whole = tmp_path / "whole"
    expected = {f"t{n:02d}": alone(c, whole, f"t{n:02d}") for n, c in enumerate(configs)}
    sweep = Sweep(tmp_path / "shared", configs)
    ended = sweep.run()
    for name, summary in ended.items():
        times = {"setup_s": 0.0, "train_s": 0.0, "real_time_factor": 0.0}
        assert replace(summary, **times) == replace(expected[name], **times), name
    for table in TABLES:
        assert rows(tmp_path / "shared", table) == rows(whole, table), table
    # The second supernet differs in step 2 alone, the third in step 1 too.
    assert sum(sweep.steps.values()) == 3 * TOTAL_STEPS + TOTAL_STEPS // 2


def test_a_run_of_masks_waits_for_who_trains_the_trunk(tones: Path) -> None:
    turns = [tone_config(tones, *BASE, one) for one in (MASK_STUDY[0], MASK_STUDY[2])]
    for config in turns:
        sharing = sharing_of(config, turns)
        expected = 12 if config.adaptation.method == "adaptive_mask" else TOTAL_STEPS
        assert sharing.goal(config, sharing.trunk, 0) == expected


class Losing(Sweep):
    """A sweep whose stages are lost, or damaged, each time a trial has ended or pauses."""

    harm = "lost"

    def between(self) -> None:
        for path in sorted((self.out / "stages").iterdir()):
            if self.harm == "lost":
                shutil.rmtree(path)
            else:
                file = path / "checkpoint" / "model.safetensors"
                file.unlink()  # its bytes may be a checkpoint's of the trial, too
                file.write_bytes(b"damaged")


@pytest.mark.slow
@pytest.mark.parametrize("harm", ["lost", "damaged", "evicted"])
def test_what_happens_to_stages_costs_steps_and_changes_no_number(
    configs: list[RunConfig],
    unshared: tuple[Path, dict[str, RunSummary]],
    tmp_path: Path,
    harm: str,
) -> None:
    few = configs[:3] + configs[7:8]
    if harm == "evicted":
        sweep = Sweep(tmp_path, few, budget_bytes=1)
    else:
        sweep = Losing(tmp_path, few)
        sweep.harm = harm
    names = list(sweep.trials)
    whole, expected = unshared
    of = dict(zip(names, ["t00", "t01", "t02", "t07"], strict=True))
    ended = sweep.run()
    for name in names:
        first = weights(whole, of[name], expected[of[name]])
        second = weights(tmp_path, name, ended[name])
        assert all(torch.equal(first[key], second[key]) for key in first), name
        theirs = [row for row in rows(whole, "evaluations") if row["trial_id"] == of[name]]
        ours = [row for row in rows(tmp_path, "evaluations") if row["trial_id"] == name]
        assert [{**row, "trial_id": ""} for row in ours] == [
            {**row, "trial_id": ""} for row in theirs
        ]
    if harm != "evicted":
        assert sum(sweep.steps.values()) >= 0.9 * TOTAL_STEPS * len(names)
