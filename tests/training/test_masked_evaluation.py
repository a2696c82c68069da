"""Which weights a masked run is evaluated with, whose masks another one takes, what is refused."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from tone_runs import checkpoint_of, run

from tuneprune.adaptation import NOTHING_MASKED
from tuneprune.config import RunConfig
from tuneprune.data.corpus import Split
from tuneprune.errors import ConfigError, TunepruneError
from tuneprune.models.speech_model import SpeechModel
from tuneprune.results.reader import open_results
from tuneprune.structure.mask_bits import unpack_mask
from tuneprune.testing.tones import make_tone_corpus, tone_config
from tuneprune.training.checkpoint import (
    HOOK_TENSORS,
    load_hook_tensors,
    load_model_tensors,
    read_checkpoint,
)
from tuneprune.training.context import LocalContext
from tuneprune.training.evaluate import Evaluation, Evaluator
from tuneprune.training.initial_masks import masking_in
from tuneprune.training.prepare import Prepared, prepare
from tuneprune.training.recogniser import load_model
from tuneprune.training.run import train

BY_LANGUAGE = "training.languages=one_per_batch"
CONTEXT = LocalContext(device=torch.device("cpu"))


def masked(preset: str | None, **more: object) -> str:
    settings = {"method": "adaptive_mask", "sparsity": 0.6, "blocks": "4x1", **more}
    return f"adaptation={settings | ({'preset': preset} if preset else {})}"


def best(out: Path) -> Path:
    return checkpoint_of(out, "best")


def bits(checkpoint: Path) -> dict[str, list[int]]:
    found = load_hook_tensors(read_checkpoint(checkpoint))
    return {name.removeprefix("mask/"): one.tolist() for name, one in found.items()}


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("corpora") / "two"
    make_tone_corpus(path, languages=("en", "fr"))
    return path


@pytest.fixture(scope="module")
def dynamic(two: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with a mask for each of two languages."""
    out = tmp_path_factory.mktemp("dynamic")
    run(tone_config(two, BY_LANGUAGE, masked("dynamic_pathways", prune_every=0.25)), out)
    return out


@pytest.fixture(scope="module")
def shared(two: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with one mask for all languages."""
    out = tmp_path_factory.mktemp("shared")
    run(tone_config(two, masked(None, begin=0.25)), out)
    return out


def of_language(split: Split, language: str) -> Split:
    return split.take([i for i, one in enumerate(split.languages) if one == language])


def evaluator(split: Split, prepared: Prepared, config: RunConfig) -> Evaluator:
    return Evaluator(split, prepared.labels, prepared.features, config)


def really_masked(checkpoint: Path, language: str) -> SpeechModel:
    """Return the model of a checkpoint with zeros where a language's mask is, in 4x1 blocks."""
    found = read_checkpoint(checkpoint)
    model, held = load_model_tensors(found), load_hook_tensors(found)
    for key in held:
        _, whose, name = key.split("/")
        if whose != language:
            continue
        weight = model.get_parameter(name)
        matrix = weight.data.view(weight.shape[0], -1)
        shape = (-(-matrix.shape[0] // 4), matrix.shape[1])
        mask = unpack_mask(held[key], shape).repeat_interleave(4, 0)[: matrix.shape[0]]
        matrix.mul_(mask)
    return model


def test_the_test_split_is_recognised_with_the_masks_of_its_languages(
    two: Path, dynamic: Path
) -> None:
    config = read_checkpoint(best(dynamic)).config
    prepared = prepare(config)
    loss = frames = 0.0
    for language in ("en", "fr"):
        part = of_language(prepared.test, language)
        model = really_masked(best(dynamic), language)
        found = evaluator(part, prepared, config).evaluate(model, CONTEXT, NOTHING_MASKED)
        length = float(np.sum(-(-prepared.features.num_frames(part.ids, 1.0) // 4)))
        loss, frames = loss + found.loss * length, frames + length
    (row,) = open_results(dynamic).evaluations(split="test").to_pylist()
    assert row["loss"] == pytest.approx(loss / frames, rel=1e-4)
    dense = load_model_tensors(read_checkpoint(best(dynamic)))
    other = evaluator(prepared.test, prepared, config).evaluate(dense, CONTEXT, NOTHING_MASKED)
    assert row["loss"] != pytest.approx(other.loss, rel=1e-3)


def test_weights_that_only_another_language_keeps_change_nothing(dynamic: Path) -> None:
    found = read_checkpoint(best(dynamic))
    prepared = prepare(found.config)
    model = load_model_tensors(found)
    masking = masking_in(found, model)

    def losses() -> dict[str, Evaluation]:
        return {
            language: evaluator(
                of_language(prepared.dev, language), prepared, found.config
            ).evaluate(model, CONTEXT, masking)
            for language in ("en", "fr")
        }

    before = losses()
    acting = {language: really_masked(best(dynamic), language) for language in ("en", "fr")}
    only_fr = 0
    for name, parameter in model.named_parameters():
        en, fr = (acting[one].get_parameter(name) for one in ("en", "fr"))
        where = (en == 0) & (fr != 0)
        parameter.data[where] += 3.0
        only_fr += int(where.sum())
    assert only_fr > 50
    after = losses()
    assert after["en"].loss == before["en"].loss
    assert after["en"].errors == before["en"].errors
    assert after["fr"].loss != before["fr"].loss


def test_a_run_begins_with_the_masks_of_another_ones_best_weights(
    two: Path, shared: Path, tmp_path: Path
) -> None:
    given = masked("pathways", masks_from=str(best(shared)))
    run(tone_config(two, BY_LANGUAGE, given, "seed=2"), tmp_path)
    theirs = {name.removeprefix("/"): one for name, one in bits(best(shared)).items()}
    assert len(theirs) == 21
    ours = bits(best(tmp_path))
    assert ours == {f"{one}/{name}": theirs[name] for one in ("en", "fr") for name in theirs}
    event = open_results(tmp_path).adaptations().to_pylist()
    assert [(one["step"], one["decision"]) for one in event] == [(0, "begin")]


def test_each_language_can_have_its_mask_from_a_run_of_its_own(
    two: Path, shared: Path, dynamic: Path, tmp_path: Path
) -> None:
    masks_from = {
        "en": str(best(shared)),
        "fr": str(best(dynamic)),
    }
    given = masked("dynamic_pathways", prune_every=0.25, masks_from=masks_from)
    run(tone_config(two, BY_LANGUAGE, given), tmp_path)
    first = open_results(tmp_path).table("masks").to_pylist()
    begun = {
        f"{row['language']}/{row['matrix']}": list(row["bits"])
        for row in first
        if row["event"] == 0 and row["other_language"] is None
    }
    of_en, of_fr = bits(best(shared)), bits(best(dynamic))
    for name, one in begun.items():
        language, _, matrix = name.partition("/")
        assert one == (of_en[f"/{matrix}"] if language == "en" else of_fr[name]), name


@pytest.mark.slow
def test_a_recogniser_says_what_its_run_has_recognised(tones: Path, tmp_path: Path) -> None:
    learning = ("training.epochs=40", "optim.peak_lr=1e-2")
    run(tone_config(tones, *learning, masked(None, begin=0.4)), tmp_path)
    utterances = open_results(tmp_path).table("utterances").to_pylist()
    said = {u["utterance_id"]: u["hypothesis"] for u in utterances if u["split"] == "test"}
    assert any(said.values())
    found = load_model(best(tmp_path)).transcribe([tones / f"audio/{name}.wav" for name in said])
    assert found == list(said.values())


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"blocks": "8 x 1"}, "adaptation.blocks = '8 x 1': must read ROWSxCOLS, for example 8x1"),
        ({"blocks": "2:4", "sparsity": 0.7}, "adaptation.sparsity = 0.7: must be 0.5 with blocks"),
        ({"weights": ["encoder.*"]}, "adaptation.weights = 'encoder.*': matches no weight that c"),
        ({"end": 0.99}, "adaptation.end = 0.99: is step 32 of 32; training must go on after it"),
        (
            {"preset": "dynamic", "adapt_after": 0.1},
            "adaptation.adapt_after = 0.1: is none of the 2 steps in a round; make the",
        ),
    ],
)
def test_what_does_not_suit_model_or_run_is_refused_before_it_begins(
    two: Path, given: dict[str, object], message: str
) -> None:
    settings = {"method": "adaptive_mask", "sparsity": 0.6, **given}
    with pytest.raises(ConfigError) as refused:
        prepare(tone_config(two, BY_LANGUAGE, f"adaptation={settings}"))
    assert str(refused.value).startswith(message)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("nowhere", "adaptation.masks_from = 'nowhere': is not a checkpoint folder"),
        ("plain", "has no masks; name a checkpoint of a run with adaptation.method: adaptive_ma"),
        ({"en": "dynamic", "fr": "dynamic", "xx": "dynamic"}, "has no mask for 'xx'; it has en"),
        (
            {"en": "dynamic", "fr": "dynamic", "xx": "shared"},
            "is of no language of training",
        ),
        ({"en": "dynamic"}, "has no mask for 'fr'; it has en"),
    ],
)
def test_masks_that_are_not_there_are_refused(
    two: Path, shared: Path, dynamic: Path, tmp_path: Path, given: object, message: str
) -> None:
    folders = {"shared": best(shared), "dynamic": best(dynamic)}
    if given == "plain":
        run(tone_config(two, "training.epochs=1"), tmp_path / "plain")
        folders["plain"] = best(tmp_path / "plain")
    if isinstance(given, dict):
        named: object = {language: str(folders[one]) for language, one in given.items()}
    else:
        named = str(folders.get(str(given), given))
    config = tone_config(two, BY_LANGUAGE, masked("pathways", masks_from=named))
    with pytest.raises(TunepruneError) as refused:
        run(config, tmp_path / "r")
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "r" / "checkpoints").exists()


def test_masks_that_are_gone_or_others_by_now_do_not_change_a_run(
    two: Path, shared: Path, dynamic: Path, tmp_path: Path
) -> None:
    source, out = tmp_path / "source", tmp_path / "run"
    shutil.copytree(best(shared), source)
    config = tone_config(two, BY_LANGUAGE, masked("pathways", masks_from=str(source)))
    whole = run(config, out)
    last = checkpoint_of(out)
    resumed = LocalContext(device=torch.device("cpu"), checkpoint=last)
    shutil.copy(best(dynamic) / HOOK_TENSORS, source)
    with pytest.raises(TunepruneError, match=r"what adaptation\.masks_from held before"):
        train(config, resumed, writer=None, checkpoint_dir=out / "checkpoints")
    shutil.rmtree(source)
    again = train(config, resumed, writer=None, checkpoint_dir=out / "checkpoints")
    assert (again.test_cer, again.params) == (whole.test_cer, whole.params)


def test_weights_that_were_masked_are_not_started_from_without_their_masks(
    two: Path, shared: Path
) -> None:
    start = f"model.start_from={checkpoint_of(shared, 'best')}"
    with pytest.raises(ConfigError, match=r"model.start_from = .*: has masks, and without them"):
        prepare(tone_config(two, BY_LANGUAGE, start))
    prepare(
        tone_config(
            two,
            BY_LANGUAGE,
            start,
            masked("pathways", masks_from=str(best(shared))),
        )
    )


def test_a_language_is_named_only_where_it_has_a_mask(shared: Path) -> None:
    with pytest.raises(ConfigError, match="language = 'en': leave it out"):
        load_model(best(shared), language="en")
