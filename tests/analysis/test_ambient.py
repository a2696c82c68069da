"""Resets against models that are reset by hand and evaluated by themselves."""

import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from tuneprune.analysis import ResetStudy, measure, measure_resets
from tuneprune.analysis.reset_sources import fresh_model, reset_source
from tuneprune.errors import ConfigError, ResultsError
from tuneprune.models.build import build_model
from tuneprune.models.speech_model import SpeechModel
from tuneprune.results import Results
from tuneprune.structure.groups import tensors_of
from tuneprune.training.checkpoint import Checkpoint, find_checkpoint, read_checkpoint
from tuneprune.training.context import LocalContext
from tuneprune.training.evaluate import Evaluation, Evaluator
from tuneprune.training.initial_masks import masking_in
from tuneprune.training.prepare import prepare
from tuneprune.training.recogniser import ungated_model

pytestmark = pytest.mark.slow

Finished = Callable[[str], Results]
EVERYTHING = ResetStudy(
    resets=("re_init", "re_rand"), scopes=("model", "block", "module", "group"), draws=2
)


def best_of(results: Results, role: str = "best") -> Checkpoint:
    path = find_checkpoint(results.path / "checkpoints" / "run", role)
    assert path is not None
    return read_checkpoint(path)


def rows_of(results: Results, **wanted: object) -> list[Mapping[str, Any]]:
    rows = results.table("layer_resets").to_pylist()
    return [row for row in rows if all(row[name] == one for name, one in wanted.items())]


def evaluated(held: Checkpoint, model: SpeechModel) -> Evaluation:
    prepared = prepare(held.config, resumed=held)
    evaluator = Evaluator(prepared.test, prepared.labels, prepared.features, held.config)
    return evaluator.evaluate(model, LocalContext(), masking_in(held, model))


def with_tensors(held: Checkpoint, tensors: Mapping[str, Tensor]) -> SpeechModel:
    """Return the model of a checkpoint with some tensors replaced, in the plain way."""
    model = ungated_model(held)
    model.load_state_dict({**model.state_dict(), **tensors})
    return model


def own_draw(held: Checkpoint, seed: int) -> dict[str, Tensor]:
    config = held.config
    model = build_model(
        config.model,
        num_bins=config.features.num_bins,
        num_labels=len(held.labels.labels),
        seed=seed,
    )
    return model.state_dict()


@pytest.mark.parametrize("name", ["plain", "batch"])
def test_every_reset_is_what_the_model_with_those_tensors_does(
    finished: Finished, name: str
) -> None:
    results = finished(name)
    study = ResetStudy(resets=("re_init", "re_rand"), scopes=("model", "block", "module"), draws=1)
    assert measure_resets(results, study) == 2 * (1 + 2 + 8)
    held = best_of(results)
    first, fresh = own_draw(held, held.config.seed), fresh_model(held, 0).state_dict()
    for row in rows_of(results):
        source = {"nothing": {}, "re_init": first, "re_rand": fresh}[row["reset"]]
        prefix = "" if row["scope"] == "model" else f"{row['name']}."
        tensors = {key: one for key, one in source.items() if key.startswith(prefix)}
        naive = evaluated(held, with_tensors(held, tensors))
        assert (row["wer"], row["cer"]) == (naive.wer, naive.cer), row
        assert row["loss"] == pytest.approx(naive.loss, rel=1e-5)
        parameters = dict(ungated_model(held).named_parameters())
        assert row["params"] == sum(parameters[k].numel() for k in tensors if k in parameters)


def test_nothing_is_the_run_and_everything_is_the_model_it_began_with(finished: Finished) -> None:
    results = finished("learned")
    measure_resets(results, ResetStudy(resets=("re_init",), scopes=("model",)))
    (trial,) = results.trials().to_pylist()
    (nothing,) = rows_of(results, reset="nothing")
    (everything,) = rows_of(results, reset="re_init")
    assert nothing["wer"] == trial["test_wer"]
    assert nothing["cer"] == trial["test_cer"]
    assert (nothing["increase"], nothing["increase_low"], nothing["increase_high"]) == (0, 0, 0)
    kept = results.path / "checkpoints" / "run" / "kept-00000000"
    first = evaluated(best_of(results), ungated_model(read_checkpoint(kept)))
    assert everything["wer"] == first.wer
    assert everything["loss"] == pytest.approx(first.loss)
    assert everything["wer"] > nothing["wer"] + 0.1, "the run has learned something"
    assert everything["increase"] == pytest.approx(everything["wer"] - nothing["wer"])


def test_a_group_is_reset_by_itself(finished: Finished) -> None:
    results = finished("plain")
    measure_resets(results, ResetStudy(resets=("re_init",), scopes=("group",)))
    held = best_of(results)
    first, model = own_draw(held, held.config.seed), ungated_model(held)
    width = held.config.model.ffn_slice
    tensors = {
        name: tensor.clone()
        for name, tensor in model.state_dict().items()
        if name.startswith("blocks.1.ff2.")
    }
    for name, dim in (("linear_in.weight", 0), ("linear_in.bias", 0), ("linear_out.weight", 1)):
        key = f"blocks.1.ff2.{name}"
        tensors[key].narrow(dim, 2 * width, width).copy_(first[key].narrow(dim, 2 * width, width))
    (row,) = rows_of(results, name="blocks.1.ff2.2")
    naive = evaluated(held, with_tensors(held, tensors))
    assert row["wer"] == naive.wer
    assert row["loss"] == pytest.approx(naive.loss, rel=1e-5)
    assert row["params"] == width * (2 * held.config.model.d_model + 1)
    assert (row["layer"], row["kind"], row["group_index"]) == (1, "ff2", 2)
    assert row["origin"] == "blocks.1.ff2.2"


def test_statistics_can_stay_as_they_are(finished: Finished) -> None:
    results = finished("batch")
    study = ResetStudy(resets=("re_init",), scopes=("block",), with_statistics=False)
    measure_resets(results, study)
    held = best_of(results)
    first = own_draw(held, held.config.seed)
    stay = {k: v for k, v in first.items() if k.startswith("blocks.0.") and "running" not in k}
    naive = evaluated(held, with_tensors(held, stay))
    (row,) = rows_of(results, name="blocks.0")
    assert row["loss"] == pytest.approx(naive.loss, rel=1e-5)
    reset = {k: v for k, v in first.items() if k.startswith("blocks.0.")}
    assert evaluated(held, with_tensors(held, reset)).loss != pytest.approx(naive.loss, rel=1e-3)


@pytest.mark.parametrize("name", ["plain", "moved"])
def test_weights_before_training_come_back_bit_for_bit(finished: Finished, name: str) -> None:
    results = finished(name)
    held = best_of(results, "last")
    model = ungated_model(held)
    with reset_source(held, model, "re_init", 0)(None) as found:
        drawn = own_draw(held, held.config.seed)
        for key, tensor in found.items():
            if drawn[key].shape == tensor.shape and name == "plain":
                assert torch.equal(tensor, drawn[key]), key
        origins = held.hook.get("origins", {})
        for group in model.parameter_groups():
            source = int(origins.get(group.id, group.id).rpartition(".")[2])
            key = f"{group.module}.linear_in.weight"
            if key not in found:
                continue
            rows = group.slices[0].width
            mine = found[key][group.index * rows : (group.index + 1) * rows]
            assert torch.equal(mine, drawn[key][source * rows : (source + 1) * rows]), group.id
    assert name == "plain" or any(new != old for new, old in origins.items()), "groups have moved"


def test_what_is_kept_at_step_0_is_what_the_seed_draws(finished: Finished) -> None:
    results = finished("plain")
    kept = read_checkpoint(results.path / "checkpoints" / "run" / "kept-00000000")
    drawn = own_draw(kept, kept.config.seed)
    for name, tensor in ungated_model(kept).state_dict().items():
        assert torch.equal(tensor, drawn[name]), name


def test_fresh_draws_have_the_moments_of_what_the_run_began_with(finished: Finished) -> None:
    held = best_of(finished("plain"))
    draws = [tensors_of(fresh_model(held, draw)) for draw in range(200)]
    assert not torch.equal(
        draws[0]["blocks.0.ff1.linear_in.weight"], draws[1]["blocks.0.ff1.linear_in.weight"]
    )
    for name, first in own_draw(held, held.config.seed).items():
        drawn = torch.stack([one[name].detach() for one in draws]).double()
        if first.unique().numel() == 1:  # ones and zeros
            assert torch.equal(drawn, first.double().expand_as(drawn)), name
            continue
        count = drawn.numel()
        # torch draws linear and convolutional tensors evenly from [-a, a]: of these, the variance
        # is a^2 / 3, and the standard error of the mean and of the variance follow from it.
        bound = _bound_of(name, {key: one.shape for key, one in draws[0].items()})
        if bound is None:
            continue
        assert drawn.abs().max() <= bound * (1 + 1e-6), name
        assert abs(float(drawn.mean())) < 5 * bound / (3 * count) ** 0.5, name
        assert abs(float(drawn.var()) - bound**2 / 3) < 5 * bound**2 * (4 / 45 / count) ** 0.5, name


def _bound_of(name: str, shapes: Mapping[str, torch.Size]) -> float | None:
    """Return the bound of a tensor of a linear map or a filter; see `torch.nn.Linear`."""
    weight = shapes.get(f"{name.rpartition('.')[0]}.weight")
    if weight is None or len(weight) < 2:
        return None
    fan_in = weight[1:].numel()
    return float(fan_in**-0.5)


def test_order_and_company_do_not_matter(finished: Finished) -> None:
    results = finished("plain")
    jobs: list[Any] = []

    def shuffled(work: Callable[..., Any], given: Any) -> Iterable[Any]:
        jobs.extend(given)
        order = random.Random(1).sample(range(len(given)), len(given))
        return ((place, work(given[place])) for place in order)

    measure_resets(results, EVERYTHING, run=shuffled)  # type: ignore[arg-type]
    by_name = {(row["reset"], row["draw"], row["name"]): row for row in rows_of(results)}
    for job in jobs:
        targets = random.Random(2).sample(job.targets, 3)
        for target in targets:
            _, alone = measure(replace(job, targets=(target,)))
            there = by_name[job.reset, job.draw, target.name]
            assert {name: there[name] for name in alone} == alone


def test_a_study_that_was_cut_off_goes_on(finished: Finished) -> None:
    results = finished("plain")

    def killed(work: Callable[..., Any], jobs: Any) -> Iterable[Any]:
        yield 0, work(jobs[0])
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure_resets(results, EVERYTHING, run=killed)  # type: ignore[arg-type]
    part = len(rows_of(results)) - 1
    assert part == 1 + 2 + 8 + len(ungated_model(best_of(results)).parameter_groups())
    assert measure_resets(results, EVERYTHING) == 2 * part
    assert measure_resets(results, EVERYTHING) == 0
    assert len(rows_of(results)) == 3 * part + 1


@pytest.mark.parametrize("name", ["masked", "languages"])
def test_masks_stay_on_what_is_reset(finished: Finished, name: str) -> None:
    results = finished(name)
    measure_resets(results, ResetStudy(resets=("re_rand",), scopes=("block",), draws=1))
    held = best_of(results)
    fresh = fresh_model(held, 0).state_dict()
    for layer in range(2):
        tensors = {k: v for k, v in fresh.items() if k.startswith(f"blocks.{layer}.")}
        naive = evaluated(held, with_tensors(held, tensors))
        (row,) = rows_of(results, name=f"blocks.{layer}")
        assert row["loss"] == pytest.approx(naive.loss, rel=1e-5)


def test_emptied_modules_have_nothing_to_reset(finished: Finished) -> None:
    results = finished("emptied")
    study = ResetStudy(resets=("re_init",), scopes=("module", "group"), checkpoints=("last",))
    measure_resets(results, study)
    modules = ungated_model(best_of(results, "last")).prunable_modules()
    filled = {module.name for module in modules if module.groups}
    assert len(filled) < len(modules)
    assert {row["name"] for row in rows_of(results, scope="module")} == filled


def test_before_and_after_an_event_are_two_models(finished: Finished) -> None:
    results = finished("moved")
    run = results.path / "checkpoints" / "run"
    after = read_checkpoint(run / "kept-00000016")
    (run / "kept-00000016").rename(run / "x")
    last = find_checkpoint(run, "last")
    assert last is not None
    measure_resets(results, ResetStudy(draws=1, checkpoints=("last",)))
    state = (last / "state.json").read_text()
    assert f'"step": {read_checkpoint(last).step}' in state
    (last / "state.json").write_text(state.replace('"step": 32', '"step": 16', 1))
    (run / "x").rename(run / "kept-00000016")
    last.rename(run / "last-00000016")
    measure_resets(results, ResetStudy(draws=1, checkpoints=("last",)))
    assert measure_resets(results, ResetStudy(draws=1, checkpoints=("kept",), steps=(16,))) == 2
    there = {row["before_event"] for row in rows_of(results, step=after.step)}
    assert there == {True, False}


def test_kept_checkpoints_are_those_before_an_event(finished: Finished) -> None:
    results = finished("moved")
    study = ResetStudy(scopes=("group",), draws=1, checkpoints=("kept", "last"))
    measure_resets(results, study)
    (event,) = results.adaptations().to_pylist()
    scored = set(results.groups("run", applied_only=True)["group_id"].to_pylist())
    assert {row["name"] for row in rows_of(results, step=event["step"], scope="group")} == scored
    last = max(row["step"] for row in rows_of(results))
    origins = {row["name"]: row["origin"] for row in rows_of(results, step=last, scope="group")}
    assert origins == best_of(results, "last").hook["origins"]


def test_wrong_input_is_one_line(finished: Finished) -> None:
    results = finished("plain")
    with pytest.raises(ConfigError, match="draws = 0: must be at least 1"):
        measure_resets(results, ResetStudy(draws=0))
    with pytest.raises(ResultsError, match="trial = 't9': must be a finished trial: run"):
        measure_resets(results, ResetStudy(), trials=["t9"])
    for path in (results.path / "checkpoints" / "run").glob("kept-*"):
        path.rename(path.with_name(f"x{path.name}"))
    with pytest.raises(ResultsError, match=r"checkpoint = 'run/kept': is not in .*keep_checkpoint"):
        measure_resets(results, ResetStudy(checkpoints=("kept",)))
