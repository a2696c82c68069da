"""How far the weights of finished runs have moved, measured from their checkpoints."""

from collections.abc import Sequence
from dataclasses import asdict

from tuneprune.analysis.runs import (
    CheckpointChoice,
    checkpoints_of,
    finished_trials,
    is_before_event,
    writer_of,
)
from tuneprune.errors import ConfigError
from tuneprune.results.reader import Results
from tuneprune.structure.layer_churn import churn_of
from tuneprune.training.checkpoint import load_model_tensors, read_checkpoint
from tuneprune.training.initial_model import first_model_of, initial_tensors


def measure_churn(
    results: Results,
    *,
    trials: Sequence[str] | None = None,
    checkpoints: Sequence[CheckpointChoice] = ("best",),
) -> int:
    """Keep the churn of finished trials as rows of ``churn`` of the sweep; see `churn_of`.

    Steps that have rows already, from training or from a call before, are left as they are.

    Args:
        results: a sweep, in a folder of this machine, with its checkpoints.
        trials: of which; None: of all that have finished.
        checkpoints: which of a run: its best one, its last, those that it has kept for good.

    Returns:
        How many checkpoints were measured now.

    Raises:
        ResultsError: there is no such trial, it has not finished, or lacks a checkpoint.
        CheckpointError: a checkpoint can not be read, or its first weights are not known.
        ConfigError: a model has no blocks.
    """
    measured = 0
    for trial in finished_trials(results, trials):
        own = (trial["sweep_id"], trial["trial_id"])
        names = ["sweep_id", "trial_id", "step", "before_event"]
        there = {tuple(row.values()) for row in results.table("churn").select(names).to_pylist()}
        for path in checkpoints_of(results.path, trial, checkpoints):
            held, before_event = read_checkpoint(path), is_before_event(results, trial, path)
            if (*own, held.step, before_event) in there:
                continue
            model = load_model_tensors(held)  # with its gates beside the weights, as it trained
            modules = model.prunable_modules()
            if not modules:
                remedy = "has no blocks of modules to compare"
                raise ConfigError("model.encoder", held.config.model.encoder, remedy)
            initial = initial_tensors(first_model_of(held), model, held.hook)
            with writer_of(results, trial) as writer:
                for row in churn_of(modules, initial, dict(model.named_parameters())):
                    writer.add("churn", step=held.step, before_event=before_event, **asdict(row))
            measured += 1
    return measured
