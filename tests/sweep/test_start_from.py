"""Sweeps over runs that start from a checkpoint, and over languages."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import ray
from safetensors.torch import load_file, save_file

from tuneprune.data.corpus import open_corpus
from tuneprune.data.text import build_labels
from tuneprune.errors import ConfigError, Interrupted, ResultsError
from tuneprune.models.build import build_model
from tuneprune.structure.groups import Allocation
from tuneprune.sweep import study
from tuneprune.sweep.disk import CheckpointSizes
from tuneprune.sweep.dry_run import dry_run
from tuneprune.sweep.folder import begin_sweep, contents_of
from tuneprune.sweep.run_check import ExpectedSteps, RunCheck
from tuneprune.sweep.run_checks import refuse_impossible
from tuneprune.sweep.single import train_single
from tuneprune.sweep.space import Space, build_space, configs_to_prepare
from tuneprune.sweep.start_weights import start_weights
from tuneprune.sweep.study import run_sweep
from tuneprune.testing.tones import make_tone_corpus, tone_config
from tuneprune.training.checkpoint import save_checkpoint
from tuneprune.training.prepare import count_labels

BLOCKS = [{"ff1": 1, "conv": 4, "mhsa": 2, "ff2": 6}, {"ff1": 4, "conv": 0, "mhsa": 3, "ff2": 4}]


@pytest.fixture
def start(tones: Path, tmp_path: Path) -> Path:
    """Return a checkpoint of a model that has grown and dropped."""
    config = tone_config(tones)
    labels = build_labels(config.text, open_corpus(tones).split("train").texts)
    model = build_model(
        config.model,
        num_bins=config.features.num_bins,
        num_labels=len(labels),
        seed=3,
        allocation=Allocation.from_json({"blocks": BLOCKS}),
    )
    return save_checkpoint(
        tmp_path, "best", step=5, model=model, optimizer=None, config=config, labels=labels,
        hook={}, progress={},
    )  # fmt: skip


def space_of(corpus: Path, start: Path | None, fields: dict[str, Any], *overrides: str) -> Space:
    shared = {"method": "grow_drop", "scorer": "taylor", "score_every_steps": 1, "at": 0.5}
    begin = () if start is None else (f"model.start_from={start}",)
    base = tone_config(corpus, *begin, *overrides)
    return build_space(
        {
            "name": "starts",
            "question": "Where from?",
            "base": base.model_dump(mode="json"),
            "search": {
                "sampler": {"kind": "grid"},
                "set": {f"adaptation.{name}": value for name, value in shared.items()},
                "space": {"adaptation.delta": {"choice": [0.3]}, **fields},
            },
        }
    )


def refused(space: Space) -> str:
    with pytest.raises(ConfigError) as caught:
        dry_run(space)
    with pytest.raises(ConfigError) as again:
        refuse_impossible(space, RunCheck(ExpectedSteps()))
    assert str(again.value) == str(caught.value)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_what_is_no_checkpoint_is_refused_before_anything_begins(
    tones: Path, start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    none = tmp_path / "none"
    said = "is not a checkpoint folder"
    assert refused(space_of(tones, none, {})) == f"base.model.start_from = '{none}': {said}"
    both = {"model.start_from": {"choice": [str(start), str(none)]}}
    text = refused(space_of(tones, None, both))
    assert text == f"search.space.model.start_from = '{none}': {said}"
    monkeypatch.setattr(ray, "init", lambda **options: pytest.fail("Ray was started"))
    with pytest.raises(ConfigError, match=said):
        run_sweep(space_of(tones, none, {}), out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_other_settings_than_the_checkpoint_has_are_refused(tones: Path, start: Path) -> None:
    text = refused(space_of(tones, start, {}, "model.d_model=32"))
    assert text.startswith("base.model.d_model = 32: must be 16, as in model.start_from (")
    text = refused(space_of(tones, start, {"model.d_model": {"choice": [16, 32]}}))
    assert text.startswith("search.space.model.d_model = 32: must be 16, as in model.start_from (")


def test_a_dry_run_shows_the_model_that_a_run_begins_with(tones: Path, start: Path) -> None:
    plan = dry_run(space_of(tones, start, {}))
    tensors = load_file(start / "model.safetensors")
    total = sum(tensor.numel() for tensor in tensors.values())
    (model,) = plan.models
    assert model.description["allocation"] == BLOCKS
    assert model.description["total_params"] == total
    assert model.description["num_labels_from"] == "checkpoint"
    assert plan.exchanges[0].groups == sum(sum(block.values()) for block in BLOCKS)
    space = space_of(tones, start, {})
    size = CheckpointSizes(lambda config: count_labels(config)[0])(space.base)
    assert size.weights == 4 * total  # float32


def test_every_start_and_choice_of_languages_is_prepared_and_has_its_baseline(
    start: Path, tmp_path: Path
) -> None:
    corpus = tmp_path / "spoken"
    make_tone_corpus(corpus, languages=("en", "fr"))
    other = shutil.copytree(start, tmp_path / "best-00000009")
    fields = {
        "model.start_from": {"choice": [str(start), str(other)]},
        "corpus.languages": {"choice": [["en"], ["fr"], None]},
    }
    one_each = "training.max_batch_utterances=1"
    space = space_of(corpus, None, fields, one_each, "training.epochs=3")
    found = {(run.model.start_from, run.corpus.languages) for run in configs_to_prepare(space)}
    starts = (start, other)
    wanted = {(path, names) for path in starts for names in (("en",), ("fr",), None)}
    assert wanted <= found
    plan = dry_run(space)
    assert (plan.baselines, plan.trials) == (6, 6)
    assert plan.sharing.problems == ()
    assert plan.sharing.longest_steps == 3 * 12
    assert plan.sharing.tree is not None
    steps_of = ExpectedSteps()
    lengths = {run.corpus.languages: steps_of(run) for run in configs_to_prepare(space)}
    assert lengths == {("en",): 3 * 6, ("fr",): 3 * 6, None: 3 * 12}


def test_an_unknown_language_is_said_by_a_dry_run(tones: Path) -> None:
    plan = dry_run(space_of(tones, None, {}, "corpus.languages=[en, de]"))
    assert not plan.ready
    assert any(line.startswith("corpus.languages = 'de': is no lang") for line in plan.inputs)


def change(start: Path) -> None:
    tensors = load_file(start / "model.safetensors")
    tensors["output.bias"] = tensors["output.bias"] + 1
    save_file(tensors, start / "model.safetensors")


def test_a_sweep_does_not_go_on_with_other_weights(
    tones: Path, start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(study, "check_this_machine", lambda *known, **options: pytest.fail("on"))
    space = space_of(tones, start, {})
    begin_sweep(tmp_path / "out", contents_of(space), start_weights(space))
    with pytest.raises(pytest.fail.Exception, match="on"):
        run_sweep(space, out=tmp_path / "out")
    change(start)
    with pytest.raises(ResultsError, match=f"begun with another version of the weights in {start}"):
        run_sweep(space, out=tmp_path / "out")
    shutil.rmtree(start)
    with pytest.raises(ConfigError, match="has weights that can not be read") as caught:
        run_sweep(space, out=tmp_path / "out")
    assert "\n" not in str(caught.value)


def test_a_run_that_was_cut_off_goes_on_without_its_start(
    tones: Path, start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tone_config(tones, f"model.start_from={start}")
    whole = train_single(config, name="r", out=tmp_path / "whole")
    out = tmp_path / "cut"
    with monkeypatch.context() as patch:
        from tuneprune.sweep import single

        def stop(*known: object) -> None:
            raise KeyboardInterrupt

        patch.setattr(single.LocalContext, "report", stop)
        with pytest.raises(Interrupted):
            train_single(config, name="r", out=out)
    shutil.rmtree(start)
    resumed = train_single(config, name="r", out=out, resume=True)
    assert (resumed.dev_cer, resumed.test_cer) == (whole.dev_cer, whole.test_cer)
    with pytest.raises(ConfigError, match="is not a checkpoint folder"):
        train_single(config, name="r", out=tmp_path / "new")
    assert not (tmp_path / "new").exists()
