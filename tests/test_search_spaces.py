"""Every space that comes with the project can be read, described and planned, from anywhere."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from tuneprune.config import TextConfig, build_config
from tuneprune.data.text import build_labels
from tuneprune.federated.dropout import layer_rates
from tuneprune.models.describe import describe_model
from tuneprune.structure.units import num_dropped
from tuneprune.sweep.dry_run import dry_run
from tuneprune.sweep.dry_run_screen import render_dry_run
from tuneprune.sweep.grid import grid_combinations
from tuneprune.sweep.space import build_trial_config, load_space
from tuneprune.training.prepare import count_labels
from tuneprune.yaml_files import read_settings

FOLDER = Path(__file__).resolve().parents[1] / "search_spaces"
FILES = sorted(FOLDER.glob("*.yaml"))
# Runs of their own: they have no search.
RUNS = (
    "ambient_an4_8khz.yaml",
    "an4_baseline.yaml",
    "an4_six_blocks.yaml",
    "four_languages_dense.yaml",
)
SPACES = [path for path in FILES if path.name not in RUNS]
SLOW = (  # up to 13,896 groups
    "dmao_ablation_granularity.yaml",
    "dmao_ablation_initialisation.yaml",
)

# Encoder, width, outputs, samples a second: all parameters, from the authors' configurations.
PUBLISHED_TOTALS = [
    ("conformer", 384, 79, 16_000, 42_083_471),
    ("e_branchformer", 512, 79, 16_000, 100_176_527),
    ("conformer", 512, 88, 8000, 74_165_392),
    ("e_branchformer", 256, 88, 8000, 25_748_368),
    ("e_branchformer", 384, 88, 8000, 56_865_808),
]

# Width, blocks, heads of ConformerS, M, L (arXiv 2005.08100); parameters of the blocks and of all
# (arXiv 2110.04267), at about 1,024 word pieces.
GULATI = [
    (144, 16, 4, 8.1e6, 10.3e6),
    (256, 16, 4, 25.4e6, 30.7e6),
    (512, 17, 8, 107.5e6, 118.6e6),
]

# Encoder and width: prunable parameters of 12 blocks, from the published cost tables.
PUBLISHED = {
    ("conformer", 256): 18_269_184, ("conformer", 384): 40_969_728,
    ("conformer", 512): 72_714_240, ("e_branchformer", 256): 23_208_960,
    ("e_branchformer", 384): 51_918_336, ("e_branchformer", 512): 92_030_976,
}  # fmt: skip


def marked(paths):
    return [
        pytest.param(path, id=path.stem, marks=[pytest.mark.slow] if path.name in SLOW else [])
        for path in paths
    ]


@pytest.mark.parametrize("path", marked(SPACES))
def test_a_space_is_read_described_and_planned_without_its_corpus(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # where no corpus is
    space = load_space(path)
    assert space.name == path.stem
    plan = dry_run(space)
    assert (plan.baselines, plan.trials) == (len(space.baselines), space.search.trials)
    has_groups = space.base.model.encoder != "emformer"
    assert all((model.description["prunable_params"] > 0) == has_groups for model in plan.models)
    assert all(one.fewest >= 1 for one in plan.exchanges if one.delta)
    console = Console(width=100, file=io.StringIO())
    console.print(render_dry_run(plan))
    assert space.question.strip() in " ".join(console.file.getvalue().split())


@pytest.mark.parametrize("name", RUNS)
def test_a_run_is_read_and_adapts_nothing(name):
    run = build_config(read_settings(FOLDER / name)["base"])
    assert (run.adaptation.method, run.corpus.path.parent.name) == ("none", "corpora")


def test_the_published_models_have_the_published_sizes():
    plan = dry_run(load_space(FOLDER / "dmao_librispeech.yaml"))
    found = {
        (model.settings["model.encoder"], model.settings["model.d_model"]): model.description[
            "prunable_params"
        ]
        for model in plan.models
    }
    assert found == PUBLISHED


@pytest.mark.parametrize(("encoder", "width", "outputs", "rate_hz", "total"), PUBLISHED_TOTALS)
def test_our_models_have_the_published_totals_but_for_the_constants_of_the_features(
    encoder, width, outputs, rate_hz, total
):
    """The published ones keep the window of 25 ms and the mel matrix among their parameters."""
    base = load_space(FOLDER / "dmao_librispeech.yaml").base
    model = base.model.model_copy(update={"encoder": encoder, "d_model": width})
    config = base.model_copy(update={"model": model})
    found = describe_model(config, num_labels=outputs, num_labels_from="option")
    window = rate_hz * 25 // 1000
    constants = 80 * (window // 2 + 1) + window
    assert found["prunable_params"] + found["rest_params"] + constants == total


@pytest.mark.parametrize(("width", "blocks", "heads", "encoder", "total"), GULATI)
@pytest.mark.parametrize("norm", ["group", "batch"])
def test_the_models_with_ambient_layers_have_the_published_sizes(
    width, blocks, heads, encoder, total, norm
):
    space = load_space(FOLDER / "ambient_librispeech.yaml")
    runs = [build_trial_config(space, one) for one in grid_combinations(space.search.space)]
    (run,) = [r for r in runs if (r.model.d_model, r.model.conv_norm) == (width, norm)]
    found = describe_model(run, num_labels=1024, num_labels_from="option")
    assert (found["blocks"], run.model.heads * run.model.head_dim) == (blocks, width)
    assert run.model.heads == heads
    assert run.model.kinds == ("ff1", "mhsa", "conv", "ff2")
    assert found["encoder_params"] == pytest.approx(encoder, rel=0.005)
    assert found["total_params"] == pytest.approx(total, rel=0.005)
    # The parts of a block by hand: FFN x 4 twice, 5 maps of attention, GLU, filters, 5 norms.
    ffn = 2 * 4 * width**2 + 5 * width
    attention = 5 * width**2 + 4 * width + 2 * width
    convolution = 3 * width**2 + 3 * width + 32 * width + 2 * width
    block = 2 * ffn + attention + convolution + 5 * 2 * width
    assert found["encoder_params"] == blocks * block


def test_the_streaming_model_has_the_published_sizes():
    run = load_space(FOLDER / "ambient_streaming.yaml").base
    found = describe_model(run, num_labels=1024, num_labels_from="option")
    assert found["encoder_params"] == pytest.approx(113e6, rel=0.02)
    assert found["total_params"] == pytest.approx(137e6, rel=0.02)
    assert (run.model.causal, run.model.stacking.after_block) == (True, 4)
    assert run.model.kinds.index("conv") < run.model.kinds.index("mhsa")
    plain = {"ff1": 4, "conv": 4, "mhsa": 8, "ff2": 4}
    assert [layer for layer, block in enumerate(found["allocation"]) if block != plain] == [4]


def test_outputs_are_those_of_the_papers_where_no_corpus_says_otherwise(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = load_space(FOLDER / "dmao_librispeech.yaml").base
    assert count_labels(config) == (79, "assumed")
    # 39 phonemes, each at the end of a word and elsewhere: by hand, 2 * 39 and the blank.
    phones = [f"P{number}" for number in range(39)]
    lexicon = tmp_path / "lexicon.txt"
    lexicon.write_text("".join(f"W{phone} {phone} {phone}\n" for phone in phones))
    assert len(build_labels(TextConfig(unit="phonemes", lexicon=lexicon), [])) == 79


@pytest.mark.parametrize(
    ("name", "at", "frames", "epochs", "peak", "middle"),
    [
        ("dmao_librispeech", 0.15, 15_000, 30, 4e-4, 4e-6),
        ("dmao_tedlium2", 0.2, 18_000, 50, 5e-4, 5e-5),
        ("dmao_switchboard", 0.2, 18_000, 50, 4e-4, 4e-5),
    ],
)
def test_the_published_studies_have_the_published_schedules(name, at, frames, epochs, peak, middle):
    space = load_space(FOLDER / f"{name}.yaml")
    base = space.base
    assert space.search.shared["adaptation.at"] == at
    assert (base.training.batch_frames, base.training.epochs) == (frames, epochs)
    assert base.optim.peak_lr == peak
    assert base.optim.peak_lr * base.optim.middle_lr_fraction == pytest.approx(middle)
    assert (base.optim.eps, base.optim.weight_decay, base.optim.final_lr) == (1e-16, 1e-3, 1e-8)
    assert (base.model.num_blocks, base.model.head_dim, base.model.conv_kernel) == (12, 64, 31)


@pytest.mark.parametrize("path", marked(FOLDER.glob("dmao_ablation_*.yaml")))
def test_an_ablation_changes_only_what_it_asks_about(path):
    whole = load_space(FOLDER / "dmao_librispeech.yaml").base
    base = load_space(path).base
    chosen = {"encoder": base.model.encoder, "d_model": base.model.d_model}
    assert base == whole.model_copy(update={"model": whole.model.model_copy(update=chosen)})


def test_the_study_of_several_objectives_is_on_the_model_and_the_training_of_the_one_of_one():
    space = load_space(FOLDER / "dmao_multi_objective.yaml")
    assert space.base == load_space(FOLDER / "dmao_an4.yaml").base
    assert space.search.trials % space.search.sampler.population == 0
    assert space.num_runs == 21, "as its comment says"


def test_the_federated_study_begins_with_the_model_and_the_input_of_its_source():
    space = load_space(FOLDER / "federated_dropout_an4.yaml")
    source = build_config(read_settings(FOLDER / "ambient_an4_8khz.yaml")["base"])
    alike = {"scale_dropout_by_width": True}  # it does not change weights or their meaning
    assert space.base.model.model_copy(update=alike) == source.model
    of_input = {
        "sample_rate_hz",
        "num_bins",
        "min_hz",
        "max_hz",
        "window_ms",
        "hop_ms",
        "normalise",
    }
    ours, theirs = (one.features.model_dump(include=of_input) for one in (space.base, source))
    assert ours == theirs
    assert (space.num_runs, len(space.baselines)) == (12, 3)


def test_the_federated_study_drops_the_same_number_of_units_whatever_its_aim():
    space = load_space(FOLDER / "federated_dropout_an4.yaml")
    model = space.base.model
    counts = {}
    for values in grid_combinations(space.search.space):
        dropout = build_trial_config(space, values).federated.dropout
        rates = layer_rates(dropout, range(6), model.num_blocks)
        counts[dropout.aim] = sum(num_dropped(rate, model.ffn_width) for rate in rates.values())
    assert counts == {"ambient": 536, "critical": 536, "flat": 540}, "as its comment says"
