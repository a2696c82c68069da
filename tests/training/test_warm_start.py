"""A run that starts from a checkpoint begins with its weights, labels and allocation."""

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tuneprune.config import RunConfig, build_config, with_overrides
from tuneprune.data.corpus import open_corpus, write_corpus
from tuneprune.errors import CheckpointError, ConfigError, CorpusError
from tuneprune.structure.gates import GroupGates
from tuneprune.structure.groups import allocation_of
from tuneprune.sweep.history import trunk_of
from tuneprune.sweep.preparation import preparation_of
from tuneprune.sweep.sharing_plan import RunLengths
from tuneprune.testing.tones import SAMPLE_RATE_HZ, make_tone_corpus, tone_config
from tuneprune.training.checkpoint import (
    find_checkpoint,
    load_model_tensors,
    read_checkpoint,
    save_checkpoint,
)
from tuneprune.training.context import LocalContext
from tuneprune.training.expected import read_stated
from tuneprune.training.loop import TrainingLoop
from tuneprune.training.prepare import count_labels, prepare, total_steps
from tuneprune.training.recogniser import load_model
from tuneprune.training.recording import Recorder
from tuneprune.training.run import RunSummary, train
from tuneprune.training.steering import Unsteered

LEARNS = (
    "adaptation={method: grow_drop, at: 0.3, delta: 0.2, scorer: magnitude}",
    "training.epochs=40",
    "training.evaluate_every=0.5",
    "optim.peak_lr=1e-2",
)
STILL = ("optim.peak_lr=1e-12", "optim.final_lr=0", "training.epochs=2")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return tones said to be English and French in turn; in French, a is à."""
    path = tmp_path_factory.mktemp("corpora") / "spoken"
    rows = make_tone_corpus(path, languages=("en", "fr")).table.to_pylist()
    for one in rows:
        if one["language"] == "fr":
            one["text"] = one["text"].replace("a", "à")
    write_corpus(path, rows, sample_rate_hz=SAMPLE_RATE_HZ, licence="")
    return path


def run(config: RunConfig, out: Path, *, evaluations: int | None = None) -> RunSummary | None:
    """Train, from the last checkpoint in ``out`` if there is one; None if it is cut off."""
    seen: list[float] = []

    def stop(metrics: dict[str, float]) -> None:
        seen.append(metrics["step"])
        if len(seen) == evaluations:
            raise InterruptedError

    last = find_checkpoint(out, "last")
    context = LocalContext(device=torch.device("cpu"), checkpoint=last, on_report=stop)
    try:
        return train(config, context, writer=None, checkpoint_dir=out)
    except InterruptedError:
        return None


def found(out: Path, role: str) -> Path:
    path = find_checkpoint(out, role)
    assert path is not None
    return path


@pytest.fixture(scope="module")
def ended(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, RunSummary]:
    """Return the best checkpoint of a run on both languages that grew and dropped, and its end."""
    out = tmp_path_factory.mktemp("runs")
    torch.set_num_threads(1)
    summary = run(tone_config(corpus, *LEARNS), out)
    assert summary is not None
    return found(out, "best"), summary


@pytest.fixture
def start(ended: tuple[Path, RunSummary]) -> Path:
    return ended[0]


def config_from(start: Path, corpus: Path, *overrides: str) -> RunConfig:
    return tone_config(corpus, f"model.start_from={start}", *overrides)


def begun(config: RunConfig, tmp_path: Path) -> TrainingLoop:
    """Return a run before its first step."""
    return TrainingLoop(
        config,
        prepare(config),
        LocalContext(device=torch.device("cpu")),
        recorder=Recorder(None),
        checkpoints=tmp_path,
        start=None,
        steering=Unsteered(),
    )


def same(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> bool:
    return ours.keys() == theirs.keys() and all(torch.equal(ours[n], theirs[n]) for n in ours)


def test_it_begins_with_the_weights_and_the_allocation_bit_for_bit(
    start: Path, corpus: Path, tmp_path: Path
) -> None:
    loop = begun(config_from(start, corpus, "seed=7"), tmp_path)
    assert same(loop.model.state_dict(), load_file(start / "model.safetensors"))
    allocation = allocation_of(loop.model.prunable_modules())
    assert allocation == read_checkpoint(start).allocation
    assert len(set(allocation.counts.values())) > 1, "it had grown and dropped"
    assert (loop.step, len(loop.optimizer.state)) == (0, 0)
    assert loop.model.training


def test_all_labels_are_kept_by_a_run_of_one_language(start: Path, corpus: Path) -> None:
    french = "corpus.languages=[fr]"
    config = config_from(start, corpus, french)
    prepared = prepare(config)
    assert set(prepared.train.languages) == {"fr"}
    assert set(prepared.labels.labels[1:]) == set(" abcdà")
    assert set(prepare(tone_config(corpus, french)).labels.labels[1:]) == set(" bcdà")
    assert count_labels(config) == (7, "checkpoint")
    stated = read_stated(config)
    assert stated is not None
    assert stated.steps(config) == total_steps(config, prepared)


def test_steps_too_small_to_matter_leave_every_rate_as_it_was(
    ended: tuple[Path, RunSummary], corpus: Path, tmp_path: Path
) -> None:
    start, before = ended
    after = run(config_from(start, corpus, *STILL), tmp_path)
    assert after is not None
    rates = ("dev_wer", "dev_cer", "test_wer", "test_cer", "params")
    assert [getattr(after, name) for name in rates] == [getattr(before, name) for name in rates]
    drawn = run(tone_config(corpus, *STILL), tmp_path / "drawn")
    assert drawn is not None
    assert drawn.dev_cer > after.dev_cer, "it had learned something"


def test_the_same_settings_give_the_same_weights_and_are_its_own(
    start: Path, corpus: Path, tmp_path: Path
) -> None:
    ends = []
    for name, other in (
        ("a", "seed=1"),
        ("b", "seed=1"),
        ("c", "seed=2"),
        ("d", "model.dropout=0"),
    ):
        config = config_from(start, corpus, other, "training.epochs=1")
        run(config, tmp_path / name)
        ends.append(load_file(found(tmp_path / name, "last") / "model.safetensors"))
    assert same(ends[0], ends[1])
    assert not same(ends[0], ends[2])
    assert not same(ends[0], ends[3])
    assert not same(ends[0], load_file(start / "model.safetensors"))


def test_gates_are_folded_into_the_weights(start: Path, corpus: Path, tmp_path: Path) -> None:
    held = read_checkpoint(start)
    model = load_model_tensors(held)
    model.gates = GroupGates(len(model.parameter_groups()))
    with torch.no_grad():
        model.gates.logits.copy_(torch.randn(model.gates.logits.shape))
    gated = save_checkpoint(
        tmp_path, "last", step=1, model=model, optimizer=None, config=held.config,
        labels=held.labels, hook={}, progress={},
    )  # fmt: skip
    loop = begun(config_from(gated, corpus), tmp_path / "run")
    assert loop.model.gates is None
    assert same(loop.model.state_dict(), load_model(gated).model.state_dict())
    assert not same(loop.model.state_dict(), load_file(start / "model.safetensors"))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.d_model=32", r"model\.d_model = 32: must be 16, as in model\.start_from \(.*best-"),
        ("model.frontend.channels=[8, 8]", r"model\.frontend\.channels = .*: must be \[4, 4\], as"),
        ("model.transducer={}", r"model\.transducer = .*: must be null, as in model\.start_from"),
        ("features.num_bins=24", r"features\.num_bins = 24: must be 20, as in"),
        ("features.window_ms=30", r"features\.window_ms = 30\.0: must be 25\.0, as in"),
        ("features.sample_rate_hz=16000", r"features\.sample_rate_hz = 16000: must be 8000, as"),
        ("text={unit: phonemes, lexicon: l}", r"text\.unit = 'phonemes': must be 'characters', a"),
    ],
)
def test_other_settings_of_model_and_input_are_refused(
    start: Path, corpus: Path, override: str, message: str
) -> None:
    config = config_from(start, corpus, override)
    for look in (prepare, count_labels, read_stated):
        with pytest.raises(ConfigError, match=message) as caught:
            look(config)
        assert "\n" not in str(caught.value)


def test_what_no_weight_depends_on_may_differ(start: Path, corpus: Path) -> None:
    prepared = prepare(
        config_from(
            start, corpus, "model.dropout=0.3", "model.attention_dropout=0", "optim.peak_lr=1e-4",
            "model.output_dropout=0.1", "model.scale_dropout_by_width=false", "seed=3",
            "features.speed_factors=[0.9, 1.0]", "features.spec_augment={}",
        )
    )  # fmt: skip
    assert prepared.start_fingerprint == prepare(config_from(start, corpus)).start_fingerprint
    assert prepared.labels == read_checkpoint(start).labels


def test_what_is_no_checkpoint_is_refused(start: Path, corpus: Path, tmp_path: Path) -> None:
    cases = {
        tmp_path / "none": "is not a checkpoint folder",
        start.parent: f"is not one, but holds {start.name}, last-",
    }
    shutil.copytree(start, tmp_path / "best-00000001")
    (tmp_path / "best-00000001" / "model.safetensors").unlink()
    cases[tmp_path / "best-00000001"] = r"has no model\.safetensors"
    for path, message in cases.items():
        with pytest.raises(ConfigError, match=rf"^model\.start_from = .*: {message}") as caught:
            prepare(config_from(path, corpus))
        assert "\n" not in str(caught.value)


def test_damaged_weights_are_refused(start: Path, corpus: Path, tmp_path: Path) -> None:
    damaged = tmp_path / start.name
    shutil.copytree(start, damaged)
    (damaged / "model.safetensors").write_bytes(b"123")
    with pytest.raises(CheckpointError, match="can not be read"):
        begun(config_from(damaged, corpus), tmp_path / "run")


def test_an_allocation_of_ones_own_does_not_go_with_a_start(corpus: Path) -> None:
    blocks = "model.allocation=[{ff1: 1, conv: 1, mhsa: 1, ff2: 1}]"
    with pytest.raises(ConfigError, match="allocation has no effect with start_from"):
        config_from(Path("a"), corpus, "model.num_blocks=1", blocks)


def test_texts_that_the_labels_can_not_spell_are_refused(corpus: Path, tmp_path: Path) -> None:
    run(tone_config(corpus, "corpus.languages=[en]", "training.epochs=1"), tmp_path)
    config = config_from(found(tmp_path, "last"), corpus)
    message = r"characters of split train = .*'à'.*, for model\.start_from has none for them"
    for look in (prepare, read_stated):
        with pytest.raises(CorpusError, match=message) as caught:
            look(config)
        assert "\n" not in str(caught.value)
    prepare(config_from(found(tmp_path, "last"), corpus, "corpus.languages=[en]"))


def test_phonemes_need_the_lexicon_that_the_start_had(tones: Path, tmp_path: Path) -> None:
    words = sorted({word for text in _texts(tones) for word in text.split()})
    (tmp_path / "one").write_text("".join(f"{word} {' '.join(word)}\n" for word in words))
    (tmp_path / "same").write_text((tmp_path / "one").read_text() + "\n")
    (tmp_path / "more").write_text((tmp_path / "one").read_text() + "e e\n")
    short = ("features.hop_ms=5", "training.batch_frames=900", "training.epochs=1")

    def spelt(lexicon: str, *overrides: str) -> RunConfig:
        text = f"text={{unit: phonemes, lexicon: {tmp_path / lexicon}}}"
        return tone_config(tones, text, *short, *overrides)

    run(spelt("one"), tmp_path / "run")
    start = f"model.start_from={found(tmp_path / 'run', 'last')}"
    assert prepare(spelt("same", start)).labels == prepare(spelt("one")).labels
    with pytest.raises(ConfigError, match=r"text\.lexicon = .*more.*: must say the same as the le"):
        prepare(spelt("more", start))


def _texts(corpus: Path) -> tuple[str, ...]:
    opened = open_corpus(corpus)
    return tuple(text for name in opened.split_names for text in opened.split(name).texts)


@pytest.fixture
def own_start(start: Path, tmp_path: Path) -> Path:
    """Return a copy of the checkpoint that a test may change."""
    return shutil.copytree(start, tmp_path / "starts" / start.name)


EVENT = "adaptation={method: grow_drop, at: 0.4, delta: 0.2, scorer: taylor, score_every_steps: 1}"


@pytest.mark.parametrize("is_gone", [False, True])
def test_a_run_that_was_cut_off_ends_the_same_also_without_its_start(
    own_start: Path, corpus: Path, tmp_path: Path, is_gone: bool
) -> None:
    config = config_from(own_start, corpus, EVENT)
    whole = run(config, tmp_path / "whole")
    assert run(config, tmp_path / "cut", evaluations=2) is None
    if is_gone:
        shutil.rmtree(own_start)
    assert run(config, tmp_path / "cut", evaluations=1) is None
    cut = run(config, tmp_path / "cut")
    assert whole is not None
    assert cut is not None
    assert (cut.dev_wer, cut.test_cer, cut.params) == (whole.dev_wer, whole.test_cer, whole.params)
    ends = [load_file(found(tmp_path / n, "last") / "model.safetensors") for n in ("whole", "cut")]
    assert same(*ends)
    if is_gone:
        with pytest.raises(ConfigError, match="is not a checkpoint folder"):
            run(config, tmp_path / "another")


def change(start: Path) -> None:
    tensors = load_file(start / "model.safetensors")
    tensors["output.bias"] = tensors["output.bias"] + 1
    save_file(tensors, start / "model.safetensors")


def test_a_run_does_not_go_on_if_its_start_has_changed(
    own_start: Path, corpus: Path, tmp_path: Path
) -> None:
    config = config_from(own_start, corpus)
    run(config, tmp_path / "cut", evaluations=1)
    change(own_start)
    with pytest.raises(CheckpointError, match=r"model\.start_from held before it changed") as no:
        run(config, tmp_path / "cut")
    assert "\n" not in str(no.value)


def test_runs_from_other_paths_or_weights_share_nothing(own_start: Path, corpus: Path) -> None:
    def trunk(config: RunConfig) -> str:
        lengths = RunLengths({preparation_of(config): prepare(config)})
        fingerprint = lengths(config).corpus_fingerprint
        return trunk_of(config, corpus_fingerprint=fingerprint, device="cpu").key

    other_path = shutil.copytree(own_start, own_start.with_name("best-00000001"))
    keys = [trunk(config_from(own_start, corpus)) for _ in range(2)]
    keys += [trunk(config_from(other_path, corpus)), trunk(tone_config(corpus))]
    change(own_start)
    keys.append(trunk(config_from(own_start, corpus)))
    assert keys[0] == keys[1]
    assert len(set(keys)) == 4


def test_without_a_start_the_fingerprint_is_that_of_the_corpus(tones: Path) -> None:
    prepared = prepare(tone_config(tones))
    assert prepared.start_fingerprint is None
    assert prepared.input_fingerprint == prepared.corpus_fingerprint


def test_a_run_that_started_from_another_can_be_started_from(
    start: Path, corpus: Path, tmp_path: Path
) -> None:
    run(config_from(start, corpus, *STILL), tmp_path / "first")
    second = config_from(found(tmp_path / "first", "last"), corpus)
    prepare(second)
    assert build_config(with_overrides(second.model_dump(mode="json"), ())) == second
