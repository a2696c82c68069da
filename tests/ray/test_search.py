"""A search with all there is to ask for, from end to end on a Ray of its own, and cut off."""

import json
import os
import signal

import pytest

from tuneprune.distributed.cluster import ray_cluster
from tuneprune.errors import Interrupted
from tuneprune.results.reader import open_results
from tuneprune.sweep.live import LiveTable, quiet_table
from tuneprune.sweep.space import build_space
from tuneprune.sweep.study import run_sweep

pytestmark = [pytest.mark.ray, pytest.mark.slow]

FIRST = {"adaptation.delta": 0.3, "adaptation.at": 0.5}


@pytest.fixture(scope="module", autouse=True)
def _ray():
    with ray_cluster():
        yield


@pytest.fixture(scope="module")
def space():
    return build_space(
        {
            "name": "dummy",
            "question": "Does a search keep to what it was asked for?",
            "base": {
                "corpus": {"path": "none"},
                "model": {"d_model": 16, "num_blocks": 1, "head_dim": 16},
                "seed": 0,
            },
            "search": {
                "trials": 6,
                "objectives": ["dev_wer", "params"],
                "sampler": {"kind": "nsga2", "seed": 1, "population": 3},
                "constraints": ["params <= 0.85 * baseline"],
                "set": {"adaptation.method": "grow_drop", "adaptation.scorer": "taylor"},
                "tie": {"adaptation.growth_noise": "adaptation.delta"},
                "space": {
                    "adaptation.delta": {"uniform": [0.1, 0.3], "step": 0.05},
                    "adaptation.at": {"uniform": [0.1, 0.5], "step": 0.1},
                },
                "first": [FIRST],
                "replicates": {"seeds": [5, 6], "promote_top": 1},
            },
        }
    )


def dummy_training():
    """Return a training that says how large a model would be; made here, so that Ray sends it."""

    def train(config, context, *, writer, checkpoint_dir, progress=False):
        from tuneprune.training.run import RunSummary

        delta = getattr(config.adaptation, "delta", 0.0)
        rate = 0.5 - delta * getattr(config.adaptation, "at", 0.0) + config.seed / 1000
        assert getattr(config.adaptation, "growth_noise", delta) == delta
        return RunSummary(
            status="finished", step=2, total_steps=2, best_step=2, dev_wer=rate, dev_cer=rate,
            test_wer=rate, test_cer=rate, params=1000 - round(1000 * delta), prunable_params=1,
            multiply_adds_per_s=1, real_time_factor=0.5, unrecovered_events=None, setup_s=0.0,
            train_s=0.0, left_out_utterances=0, checkpoint="",
        )  # fmt: skip

    return train


def run(space, out, **options):
    options = {"trainable": dummy_training(), "prepare": lambda config: None, **options}
    return run_sweep(space, out=out, max_concurrent=1, **options)


def trained(outcome):
    rows = open_results(outcome.path).trials().to_pylist()
    names = (
        "trial_id", "settings", "seed", "replicate_of", "is_baseline", "violated", "params",
        "dev_wer", "status",
    )  # fmt: skip
    return [{name: row[name] for name in names} for row in rows]


@pytest.fixture(scope="module")
def whole(space, tmp_path_factory):
    return run(space, tmp_path_factory.mktemp("whole") / "out")


def test_a_search_ends_with_replicates_of_the_best_that_is_allowed(space, whole):
    rows = trained(whole)
    assert len(rows) == space.num_runs == 1 + 6 + 2 * 2
    assert json.loads(rows[1]["settings"]) == FIRST
    for row in rows:  # a baseline has 1,000, and does not keep it either
        assert (row["violated"] is None) == (row["params"] <= 850)
    allowed = [row for row in rows[1:7] if row["violated"] is None]
    best = min(allowed, key=lambda row: (row["dev_wer"], row["trial_id"]))
    assert whole.best["trial_id"] == best["trial_id"] == "t01", "the largest share, the latest"
    repeated = [(row["replicate_of"], row["seed"]) for row in rows[7:]]
    assert repeated == [("t00", 5), ("t01", 5), ("t00", 6), ("t01", 6)]
    assert whole.counts == {"finished": 11}
    assert whole.infeasible == sum(row["params"] > 850 for row in rows[1:7])
    assert [row["trial_id"] for row in whole.front] == ["t01"]


def test_a_search_that_is_cut_off_again_and_again_is_the_same_search(space, whole, tmp_path):
    class Impatient(LiveTable):
        def ended(self, trial_id, metrics):
            super().ended(trial_id, metrics)
            if trial_id in cuts:
                cuts.remove(trial_id)
                os.kill(os.getpid(), signal.SIGINT)

    # Before the first generation is whole, as all trials have ended, and between two replicates.
    cuts = ["t02", "t06", "t08"]
    out, outcome = tmp_path / "out", None
    while outcome is None:
        try:
            outcome = run(space, out, live=Impatient(space, quiet_table(space)._console))
        except Interrupted:
            continue
    assert cuts == []
    assert trained(outcome) == trained(whole)
    assert outcome.best["trial_id"] == whole.best["trial_id"]
