"""Who is trained on at which step: one language or all, every utterance once an epoch."""

from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest
import torch

from tuneprune.config import build_config
from tuneprune.data.recipes import import_manifests
from tuneprune.data.stated_lengths import StatedLengths
from tuneprune.errors import ConfigError
from tuneprune.results.reader import open_results
from tuneprune.results.writer import TableWriter
from tuneprune.testing.tones import make_tone_corpus, tone_config
from tuneprune.training.batches import Batch, TrainingBatches
from tuneprune.training.checkpoint import find_checkpoint, load_model_tensors, read_checkpoint
from tuneprune.training.context import LocalContext
from tuneprune.training.expected import read_stated
from tuneprune.training.order import LanguageOrder, Turn, language_weights, step_order
from tuneprune.training.prepare import prepare, total_steps
from tuneprune.training.run import RunSummary, train

IN_TURN = "training.languages=one_per_batch"
EVEN = "training.language_temperature=1e9"

# Of utterances of one length, 16 parts English, 4 French, 1 Italian.
SPOKEN = ("en",) * 160 + ("fr",) * 40 + ("it",) * 10


def order_of(temperature: float = 1.0, *, epochs: int = 10, seed: int = 1) -> LanguageOrder:
    """Return the order of ``SPOKEN``, an utterance a step."""
    config = tone_config(
        Path("none"),
        IN_TURN,
        f"training.language_temperature={temperature}",
        f"training.epochs={epochs}",
        f"seed={seed}",
        "training.max_batch_utterances=1",
    )
    return LanguageOrder(np.full((1, len(SPOKEN)), 100, np.int32), SPOKEN, config)


def turns(order: LanguageOrder) -> list[Turn]:
    return [order.turn(step) for step in range(order.total_steps)]


@pytest.mark.parametrize(
    ("temperature", "weights"),
    [
        (1.0, [16 / 21, 4 / 21, 1 / 21]),
        (2.0, [4 / 7, 2 / 7, 1 / 7]),
        (0.5, [256 / 273, 16 / 273, 1 / 273]),
        (1e9, [1 / 3, 1 / 3, 1 / 3]),
    ],
)
def test_languages_weigh_as_by_hand(temperature: float, weights: list[float]) -> None:
    assert language_weights(np.array([16.0, 4.0, 1.0]), temperature) == pytest.approx(weights)
    assert order_of(temperature).weights == pytest.approx(weights)


def test_the_weights_of_a_large_corpus_are_finite_at_a_low_temperature() -> None:
    mls_s = 3600 * np.array([44_659.74, 1_554.24, 1_076.58, 247.38])
    assert language_weights(mls_s, 0.001) == pytest.approx([1.0, 0.0, 0.0, 0.0])


@pytest.mark.parametrize("temperature", [1.0, 2.0, 1e9])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_languages_are_drawn_as_often_as_they_weigh(temperature: float, seed: int) -> None:
    order = order_of(temperature, seed=seed)
    counts = Counter(turn.language for turn in turns(order))
    expected = order.weights * order.total_steps
    observed = np.array([counts["en"], counts["fr"], counts["it"]])
    statistic = ((observed - expected) ** 2 / expected).sum()
    assert statistic < 13.8  # chi-square of two degrees of freedom: exceeded once in a thousand


def test_a_run_is_as_long_as_if_each_language_were_gone_through_so_often() -> None:
    assert order_of(1.0).total_steps == order_of(2.0).total_steps == 10 * len(SPOKEN)


@pytest.mark.parametrize("temperature", [1.0, 1e9])
def test_every_epoch_of_a_language_has_each_of_its_utterances_once(temperature: float) -> None:
    seen: dict[str, dict[int, list[int]]] = defaultdict(lambda: defaultdict(list))
    for turn in turns(order_of(temperature)):
        assert turn.language is not None
        seen[turn.language][turn.epoch].extend(turn.utterances.tolist())
    for language, epochs in seen.items():
        own = [index for index, name in enumerate(SPOKEN) if name == language]
        *whole, last = (epochs[epoch] for epoch in range(len(epochs)))
        assert all(sorted(one) == own for one in whole)
        assert len(set(last)) == len(last)
        assert set(last) <= set(own)
        assert len(whole) < 2 or whole[0] != whole[1], "each epoch is shuffled anew"
    assert len(seen["it"]) > len(seen["en"]) or temperature == 1.0


def test_what_a_step_takes_depends_on_seed_and_step_alone() -> None:
    first, longer = order_of(epochs=5), order_of(epochs=9)
    backwards = [first.turn(step) for step in reversed(range(first.total_steps))][::-1]
    for step, one in enumerate(backwards):
        other = longer.turn(step)
        assert (one.language, one.epoch) == (other.language, other.epoch)
        np.testing.assert_array_equal(one.utterances, other.utterances)
    drawn = [turn.language for turn in turns(first)]
    assert drawn != [turn.language for turn in turns(order_of(epochs=5, seed=2))]


@pytest.fixture(scope="module")
def bilingual(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a corpus of tones of which two thirds are said to be English, one third French."""
    path = tmp_path_factory.mktemp("corpora") / "bilingual"
    make_tone_corpus(path, dev=6, test=6, languages=("en", "en", "fr"))
    return path


def batches_of(corpus: Path, *overrides: str) -> tuple[TrainingBatches, tuple[str, ...]]:
    config = tone_config(corpus, *overrides)
    prepared = prepare(config)
    batches = TrainingBatches(prepared.train, prepared.labels, prepared.features, config)
    return batches, prepared.train.languages


def test_mixed_batches_are_those_of_before_there_was_a_choice(tones: Path) -> None:
    batches, _ = batches_of(tones, "features.speed_factors=[0.9, 1.0]")
    plans = [batches.plan(step) for step in range(batches.total_steps)]
    # Of the commit before, 26f9a65.
    assert [plan.utterances.tolist() for plan in plans] == [
        [9], [0, 8], [6, 11], [10], [1], [5, 2, 7], [4], [3], [5, 2, 1], [7], [4], [9], [10],
        [6, 8], [3], [0, 11], [6, 0], [11], [9], [5, 8, 2], [10], [3], [4], [7, 1], [3], [6, 11],
        [5, 2, 1], [9], [0, 8], [10], [4], [7],
    ]  # fmt: skip
    assert [plan.speeds for plan in plans[:7]] == [
        (0.9,), (1.0, 0.9), (1.0, 1.0), (0.9,), (1.0,), (1.0, 1.0, 0.9), (1.0,),
    ]  # fmt: skip
    assert {plan.language for plan in plans} == {None}


def contents(batches: list[Batch]) -> Counter[tuple[int, bytes]]:
    """Return the utterances of micro-batches: length and features, so long as they are."""
    return Counter(
        (int(frames), features[:frames].numpy().tobytes())
        for batch in batches
        if batch.weight
        for frames, features in zip(batch.num_frames_B, batch.features_BTF, strict=True)
    )


def test_ranks_share_a_batch_of_one_language_between_them(bilingual: Path) -> None:
    batches, languages = batches_of(bilingual, IN_TURN, "training.batch_frames=900")
    seen = set()
    for step in range(batches.total_steps):
        plan = batches.plan(step)
        seen.add(plan.language)
        assert {languages[index] for index in plan.utterances} == {plan.language}
        whole, *shares = (
            contents(batches.share(plan, rank=rank, world_size=size, generator=torch.Generator()))
            for rank, size in ((0, 1), (0, 2), (1, 2))
        )
        assert whole == shares[0] + shares[1]
        assert whole.total() == len(plan.utterances)
    assert seen == {"en", "fr"}


def test_the_length_is_known_from_the_table_of_the_corpus(bilingual: Path) -> None:
    config = tone_config(bilingual, IN_TURN)
    stated = read_stated(config)
    assert stated is not None
    assert stated.steps(config) == total_steps(config, prepare(config))


class StoppedError(Exception):
    """Ends a run as a kill would, at an evaluation."""


def run(corpus: Path, out: Path, *overrides: str, stop_after: int | None = None) -> RunSummary:
    """Train on two languages in turn; go on from a checkpoint in ``out`` if there is one."""
    reported: list[float] = []

    def stop(metrics: dict[str, float]) -> None:
        reported.append(metrics["step"])
        if len(reported) == stop_after:
            raise StoppedError

    context = LocalContext(
        device=torch.device("cpu"),
        on_report=stop,
        checkpoint=find_checkpoint(out / "checkpoints", "last"),
    )
    config = tone_config(corpus, IN_TURN, EVEN, *overrides)
    with TableWriter(out, sweep_id="s", trial_id="t", attempt=0, seed=1) as writer:
        return train(config, context, writer=writer, checkpoint_dir=out / "checkpoints")


def test_a_run_resumed_amid_epochs_ends_as_the_uninterrupted_one(
    bilingual: Path, tmp_path: Path
) -> None:
    for name, stop_after in (("whole", None), ("cut", 1), ("cut", 2), ("cut", None)):
        if stop_after is None:
            run(bilingual, tmp_path / name)
        else:
            with pytest.raises(StoppedError):
                run(bilingual, tmp_path / name, stop_after=stop_after)
    ended = []
    for name in ("whole", "cut"):
        found = find_checkpoint(tmp_path / name / "checkpoints", "last")
        assert found is not None
        ended.append(load_model_tensors(read_checkpoint(found)).state_dict())
    whole, cut = ended
    assert all(torch.equal(whole[name], cut[name]) for name in whole)


def test_rates_of_languages_are_kept_beside_the_total(bilingual: Path, tmp_path: Path) -> None:
    summary = run(bilingual, tmp_path / "r")
    results = open_results(tmp_path / "r")
    totals = {(row["step"], row["split"]): row for row in results.evaluations().to_pylist()}
    by_language: dict[tuple[int, str], dict[str, dict[str, float]]] = defaultdict(dict)
    for row in results.evaluations(by_language=True).to_pylist():
        by_language[row["step"], row["split"]][row["language"]] = row
    assert by_language.keys() == totals.keys()
    for key, found in by_language.items():
        assert found.keys() == {"en", "fr"}
        for name in ("substitutions", "deletions", "insertions", "num_ref_words"):
            assert sum(one[name] for one in found.values()) == totals[key][name]
    for split in ("dev", "test"):
        heard = by_language[summary.best_step, split]
        for rate in ("wer", "cer"):
            mean = (heard["en"][rate] + heard["fr"][rate]) / 2
            assert getattr(summary, f"{split}_language_{rate}") == pytest.approx(mean)


def test_a_split_of_one_language_has_no_rows_but_those_of_all(tones: Path, tmp_path: Path) -> None:
    context = LocalContext(device=torch.device("cpu"))
    with TableWriter(tmp_path, sweep_id="s", trial_id="t", attempt=0, seed=1) as writer:
        found = train(tone_config(tones), context, writer=writer, checkpoint_dir=tmp_path / "c")
    results = open_results(tmp_path)
    assert results.evaluations(by_language=True).num_rows == 0
    assert results.table("evaluations").num_rows == results.evaluations().num_rows > 0
    rates = (found.dev_language_wer, found.dev_language_cer, found.test_language_wer)
    assert rates == (found.dev_wer, found.dev_cer, found.test_wer)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("training.language_temperature=2",), r"training.language_temperature = 2: has no effect"),
        ((IN_TURN, "training.language_temperature=0"), r"training.language_temperature = 0"),
        (("training.languages=en",), r"training.languages = 'en'"),
    ],
)
def test_settings_that_make_no_sense_are_refused(overrides: tuple[str, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        tone_config(Path("none"), *overrides)
    assert "\n" not in str(caught.value)


def test_one_language_can_not_take_turns(tones: Path) -> None:
    message = r"training.languages = 'one_per_batch': .* of 'en'; use mixed"
    with pytest.raises(ConfigError, match=message):
        prepare(tone_config(tones, IN_TURN))
    stated = read_stated(tone_config(tones))
    assert stated is not None
    with pytest.raises(ConfigError, match=message):
        stated.steps(tone_config(tones, IN_TURN))


def test_a_language_that_by_chance_gets_no_step_is_named() -> None:
    with pytest.raises(ConfigError) as refused:
        order_of(0.55, epochs=1, seed=2)  # 1.2 of 210 steps, as a rule
    assert str(refused.value) == (
        "training.language_temperature = 0.55: and seed 2 draw no step of 'it'; raise it, or set "
        "another seed"
    )
    assert "it" in order_of(0.55, epochs=1, seed=1).languages


def test_a_language_that_hardly_gets_a_step_is_named() -> None:
    with pytest.raises(ConfigError, match=r"language_temperature = 0\.25: leaves 'it' 0\.\d+ of"):
        order_of(0.25)


def test_a_language_to_be_recognised_needs_training_data(tmp_path: Path) -> None:
    make_tone_corpus(tmp_path, train=8, dev=9, languages=(*4 * ("en",), *4 * ("fr",), "it"))
    message = r"needs utterances of 'it' in 'train' .* 'dev' has some"
    with pytest.raises(ConfigError, match=message):
        prepare(tone_config(tmp_path, IN_TURN))
    prepare(tone_config(tmp_path))  # mixed, it is said when training starts


@pytest.mark.slow
def test_batches_of_one_language_pad_less_than_a_tenth_on_real_speech(
    corpora: Path, tmp_path: Path
) -> None:
    names = ("asterisk_en", "asterisk_fr", "asterisk_it", "nathalie_nl")
    corpus = import_manifests([corpora / n / "manifest.jsonl" for n in names], tmp_path / "four")
    config = build_config(
        {
            "corpus": {"path": str(tmp_path / "four")},
            "features": {"sample_rate_hz": 8000, "max_hz": 4000},
            "training": {"languages": "one_per_batch", "batch_frames": 6000, "epochs": 5},
        }
    )
    split = corpus.split("train")
    frames = StatedLengths(corpus, config.features).num_frames(split.ids)
    order = step_order(frames[np.newaxis], split.languages, config)
    taken = [frames[order.turn(step).utterances] for step in range(order.total_steps)]
    padded = sum(-(-batch.max() // 16) * 16 * len(batch) for batch in taken)
    assert 1 - sum(batch.sum() for batch in taken) / padded < 0.1
