"""What a configuration refuses, in one line that names field, value and remedy."""

from pathlib import Path

import pytest

from tuneprune.config import (
    SynthesisConfig,
    build_config,
    read_run_settings,
    with_overrides,
    with_value,
)
from tuneprune.errors import ConfigError

BASE = {"corpus": {"path": "corpora/x"}}
TRANSDUCER = "model.transducer={}"
EMFORMER = (
    "model.encoder=emformer",
    "model.frontend={kind: stacked, channels: []}",
    TRANSDUCER,
)
EVENT = "adaptation={method: grow_drop, at: 0.2, delta: 0.1, scorer: taylor}"


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["modle={}"], "modle = {}: is not a setting; did you mean model?"),
        (["model.d_modl=3"], "model.d_modl = 3: is not a setting; did you mean d_model?"),
        ([EVENT, "adaptation.detla=3"], "adaptation.detla = 3: is not a setting; did you mean"),
        ([EVENT, "adaptation.none=3"], "adaptation.none = 3: is not a setting"),
        ([EVENT, "adaptation.delta=0.6"], "adaptation.delta = 0.6: must be less than 0.5"),
        ([EVENT, "adaptation.at=1.5"], "adaptation.at = 1.5: must be less than 1"),
        ([EVENT, "adaptation.scorer=luck"], "'magnitude', 'gradient', 'taylor' or 'learnable'"),
        ([EVENT, "adaptation.at=[0.2, 1.5]"], "adaptation.at.1 = 1.5: must be less than 1"),
        ([EVENT, "adaptation.at=[0.4, 0.2]"], "times of events must be listed in rising order"),
        ([EVENT, "adaptation.at_steps=[5]"], "exactly one of at and at_steps must be given"),
        ([EVENT, "adaptation.at=null"], "exactly one of at and at_steps must be given"),
        ([EVENT, "adaptation.at=[0.1, 0.2]", "adaptation.iterations=2"], "with a single at"),
        ([EVENT, "adaptation.gate_lr_scale=2"], "no effect without scorer: learnable"),
        (
            [EVENT, "adaptation.new_groups=random", "adaptation.growth_noise=0.1"],
            "no effect on new_groups: random",
        ),
        ([EVENT, "adaptation.watch=[taylor, taylor]"], "must not name a scorer twice"),
        (["model.cgmlp_dim=8"], "cgmlp_dim has no effect on encoder 'conformer'"),
        (
            ["model.encoder=e_branchformer", "model.conv_channels=8"],
            "conv_channels has no effect on encoder 'e_branchformer'",
        ),
        (["model.merge_kernel=4"], "merge_kernel must be odd"),
        (["model.emformer={}"], "emformer has no effect on encoder 'conformer'; leave it out"),
        (["model.transducer.beam=0"], "model.transducer.beam = 0: must be greater than or equal"),
        (["model.transducer.beams=2"], "beams = 2: is not a setting; did you mean beam?"),
        (["model.transducer.joiner=product"], "joiner = 'product': must be 'sum' or 'concat'"),
        (["model.encoder=emformer"], "encoder 'emformer' needs transducer; give it"),
        (["model.encoder=emformer", TRANSDUCER], "needs frontend {kind: stacked, channels: []}"),
        ([*EMFORMER, "model.conv_kernel=15"], "conv_kernel has no effect on encoder 'emformer'"),
        ([*EMFORMER, "model.slices_per_module=8"], "slices_per_module has no effect on encoder"),
        ([*EMFORMER, "model.num_heads=5"], "d_model must be a multiple of num_heads"),
        ([*EMFORMER, "model.emformer.segment_frames=0"], "segment_frames = 0: must be greater"),
        (["model.frontend.kind=stacked"], "channels must be [] for kind 'stacked'"),
        (
            [
                "model.frontend={kind: stacked, channels: []}",
                "model.d_model=130",
                "model.num_heads=2",
            ],
            "d_model must be a multiple of 4, the frames that are stacked",
        ),
        (["model.allocation=nowhere.yaml"], "allocation file can not be read"),
        (["model.allocation=[{ff1: 1}]"], "allocation has 1 blocks, num_blocks is 12"),
        (
            ["model.num_blocks=1", "model.allocation=[{ff1: 1, conv: 1, mhsa: 1}]"],
            "must name ff1, conv, mhsa, ff2; got ff1, conv, mhsa",
        ),
        (["features.spec_augment.min_bin_masks=9"], "must not be above the most (5)"),
        ([EVENT, "adaptation.cost=module_share"], "budget: reference only"),
        (["adaptation={delta: 0.1}"], "adaptation.method = None: must be given"),
        (["adaptation.method=dmao"], "adaptation.method = 'dmao': must be 'none' or 'grow_drop'"),
        (
            ["adaptation.method='dmao:'"],
            "must be 'none' or 'grow_drop' or 'adaptive_mask' or 'supernet' or 'module:Class'",
        ),
        (["adaptation={method: 'a:B', delta: 1}"], "not a setting; known here: method, settings"),
        (["adaptation={method: 'a:B', settings: 3}"], "adaptation.settings = 3: must be a valid"),
        ([EVENT, "adaptation.scorer=my.score"], "or 'learnable', or a class as module:Class"),
        ([EVENT, "adaptation.watch=[a:B, luck]"], "adaptation.watch.1 = 'luck': must be 'magn"),
        ([EVENT, "adaptation.watch=[a:B, a:B]"], "must not name a scorer twice"),
        (["adaptation={method: grow_drop}"], "must be given; it has no default"),
        (["training.epochs=0"], "training.epochs = 0: must be greater than or equal to 1"),
        (["training.epochs=1.5"], "training.epochs = 1.5: must be a valid integer"),
        (["optim.peak_lr=.nan"], "finite number"),
        (["optim.legs=[0.5, 0.5, 0.5]"], "must sum to 1"),
        (["model.conv_kernel=4"], "conv_kernel must be odd"),
        (
            ["model.encoder=e_branchformer", "model.causal=true"],
            "causal has no effect on encoder 'e_branchformer'",
        ),
        (
            ["model.encoder=e_branchformer", "model.stacking={after_block: 4}"],
            "stacking has no effect on encoder 'e_branchformer'",
        ),
        ([*EMFORMER, "model.causal=true"], "causal has no effect on encoder 'emformer'"),
        (["model.left_context_frames=9"], "no effect without causal: true; leave it out"),
        (["model.causal=true", "model.left_context_frames=0"], "left_context_frames = 0: must be"),
        (["model.stacking={factor: 2}"], "model.stacking.after_block = None: must be given"),
        (["model.stacking={after_block: 4, factor: 1}"], "factor = 1: must be greater than"),
        (["model.stacking={after_block: 4, facto: 3}"], "did you mean factor?"),
        (["model.stacking={after_block: 12}"], "after_block (12) must be below num_blocks (12)"),
        (["model.d_model=100"], "multiple of head_dim"),
        (["model.ffn_dim=30"], "multiple of slices_per_module"),
        (["model.module_order=[ff1, ff1, conv, mhsa]"], "once each"),
        (["model.frontend.kind=strided"], "2 positive numbers"),
        (["features.normalise=none"], "spec_augment must be null"),
        (
            ["features.min_hz=5000", "features.max_hz=4000"],
            "min_hz (5000) must be below max_hz (40",
        ),
        (["features.max_hz=9000"], "features.max_hz = 9000: must be at most 8000, half of sample"),
        (["features.sample_rate_hz=8000"], "features.max_hz = 7600.0: must be at most 4000, half"),
        (["features.speed_factors=[]"], "at least one factor"),
        (["features.speed_factors=[1.0, 1.0]"], "must not repeat"),
        (["text.unit=phonemes"], "lexicon must be given"),
        (["text.lexicon=lex.txt"], "lexicon must be given exactly"),
        (["corpus.dev_split=train"], "three different splits"),
        (["corpus.synthesis.voices=[en+f1]"], "at least 3"),
        (["corpus.synthesis.words_per_utterance=[3, 2]"], "1 <= low <= high"),
        (["corpus.synthesis.rates_wpm=[60]"], "greater than or equal to 80"),
        (["seed=-1"], "seed = -1: must be greater than or equal to 0"),
    ],
)
def test_a_wrong_setting_is_named_with_what_is_allowed(overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        build_config(with_overrides(BASE, overrides))
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_settings_are_frozen() -> None:
    config = build_config(BASE)
    with pytest.raises(ValueError, match="frozen"):
        config.seed = 3  # type: ignore[misc]


def test_fingerprint_follows_every_setting_and_not_their_order() -> None:
    one = build_config({"corpus": {"path": "a"}, "seed": 2})
    assert one.fingerprint() == build_config({"seed": 2, "corpus": {"path": "a"}}).fingerprint()
    assert one.fingerprint() != build_config({"corpus": {"path": "a"}, "seed": 3}).fingerprint()


def test_overrides_do_not_change_what_they_are_applied_to() -> None:
    settings = {"model": {"d_model": 64}}
    changed = with_overrides(settings, ["model.d_model=128", "optim.peak_lr=0.001"])
    assert settings == {"model": {"d_model": 64}}
    assert changed == {"model": {"d_model": 128}, "optim": {"peak_lr": 0.001}}


def test_numbers_may_be_written_as_yaml_1_1_does_not_know_them() -> None:
    assert build_config(with_overrides(BASE, ["optim.peak_lr=1e-3"])).optim.peak_lr == 0.001


def test_a_path_through_a_single_value_is_refused() -> None:
    with pytest.raises(ConfigError, match="seed holds a single value"):
        with_value({"seed": 3}, "seed.x", 1)


def test_a_file_of_a_run_and_the_base_of_a_space_read_alike(tmp_path: Path) -> None:
    run, space = tmp_path / "run.yaml", tmp_path / "space.yaml"
    run.write_text("corpus: {path: a}\nseed: 4\n")
    space.write_text("name: x\nbase:\n  corpus: {path: a}\n  seed: 4\n")
    assert read_run_settings(run) == read_run_settings(space)


@pytest.mark.parametrize(
    ("content", "message"), [("a: [1", "not YAML, line"), ("- 1\n", "must hold settings")]
)
def test_a_file_that_is_no_settings_is_one_line(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(content)
    with pytest.raises(ConfigError, match=message):
        read_run_settings(path)
    with pytest.raises(ConfigError, match="can not be read"):
        read_run_settings(tmp_path / "none.yaml")


def test_default_voices_are_of_twelve_speakers() -> None:
    voices = SynthesisConfig().voices
    assert len({voice.partition("+")[2] for voice in voices}) == len(voices) == 12
