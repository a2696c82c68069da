"""A subnet by itself says what it says inside its supernet, and nothing else of it is there."""

import json
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from supernet_runs import RUNS, trained_supernet
from torch import Tensor

from tuneprune.adaptation import build_hook, networks_of
from tuneprune.config import SupernetConfig
from tuneprune.errors import CheckpointError, ConfigError
from tuneprune.structure.routes import Route
from tuneprune.testing.tones import tone_config
from tuneprune.training.checkpoint import load_model_tensors, open_checkpoint
from tuneprune.training.context import LocalContext
from tuneprune.training.export import export_checkpoint, export_model
from tuneprune.training.optim import build_optimizer
from tuneprune.training.recogniser import load_model
from tuneprune.training.run import train
from tuneprune.training.subnets import open_subnets

pytestmark = pytest.mark.slow

TOTAL_STEPS = 32
FRAMES = ([48, 31, 9], [160], [4])
Trained = Callable[[str], Path]


@pytest.fixture(scope="module")
def trained(tones: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Return what trains a supernet once and returns its last checkpoint."""
    out = tmp_path_factory.mktemp("supernets")
    found: dict[str, Path] = {}

    def of(kind: str) -> Path:
        if kind not in found:
            found[kind] = trained_supernet(tones, out / kind, kind)
        return found[kind]

    return of


def routes_of(path: Path) -> dict[int, Route]:
    """Return the routes that the run itself evaluates, by size."""
    held = open_checkpoint(path)
    model = load_model_tensors(held)
    optimizer = build_optimizer(model, held.config.optim)
    adaptation, seed = held.config.adaptation, held.config.seed
    hook = build_hook(adaptation, model, optimizer, total_steps=TOTAL_STEPS, seed=seed)
    hook.load_state_dict(held.hook)
    networks = networks_of(hook)
    return dict(zip(networks.sizes, networks.subnets, strict=True))


def inputs(lengths: Sequence[int]) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(len(lengths), max(lengths), 20, generator=generator), torch.tensor(lengths)


@torch.no_grad()
def gated(path: Path, route: Route, lengths: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Return what a network of the supernet says, computed inside the supernet."""
    model = load_model_tensors(open_checkpoint(path)).eval()
    (found,), frames = model.forward_routes(*inputs(lengths), [route])
    return found, frames


@torch.no_grad()
def plain(path: Path, subnet: int | None, lengths: Sequence[int]) -> tuple[Tensor, Tensor]:
    found, frames = load_model(path, subnet=subnet).model(*inputs(lengths))
    return found, frames


def assert_same(
    one: tuple[Tensor, Tensor], other: tuple[Tensor, Tensor], *, atol: float = 1e-6
) -> None:
    """Compare what two models say, inside the utterances."""
    assert torch.equal(one[1], other[1])
    for a_UV, b_UV, frames in zip(one[0], other[0], one[1], strict=True):
        torch.testing.assert_close(a_UV[:frames], b_UV[:frames], rtol=0, atol=atol)


@pytest.mark.parametrize("kind", RUNS)
def test_a_trained_subnet_says_what_it_says_inside_the_supernet(
    kind: str, trained: Trained
) -> None:
    path = trained(kind)
    routes = routes_of(path)
    assert tuple(routes) == open_subnets(path).trained
    assert len(routes) == 2
    for size, route in routes.items():
        for lengths in FRAMES:
            assert_same(plain(path, size, lengths), gated(path, route, lengths))


def test_a_size_that_was_not_trained_has_the_output_of_the_next_larger_network(
    trained: Trained,
) -> None:
    path = trained("conformer")
    held = open_checkpoint(path)
    names = [module.name for module in load_model_tensors(held).prunable_modules()]
    outputs = {8: None, 7: None, 6: None, 5: 0, 4: 0, 3: 0, 2: 1, 1: 1}
    assert open_subnets(path).sizes == tuple(outputs)
    for size, output in outputs.items():
        kept = held.hook["ranking"][:size]
        route = Route(keeps=tuple(name in kept for name in names), output=output)
        assert_same(plain(path, size, [48, 31]), gated(path, route, [48, 31]))


@pytest.mark.parametrize("kind", ["conformer", "early_exit"])
def test_the_subnet_of_all_modules_is_the_supernet(kind: str, trained: Trained) -> None:
    path = trained(kind)
    size = {"conformer": 8, "early_exit": 12}[kind]
    assert_same(plain(path, size, [48, 31]), plain(path, None, [48, 31]), atol=0)
    assert load_model(path, subnet=size).config.adaptation.method == "none"


def test_what_is_left_out_has_no_parameters(trained: Trained) -> None:
    path = trained("conformer")
    supernet = load_model(path).model
    left_out = open_checkpoint(path).hook["ranking"][2:]
    params = {module.name: module.params for module in supernet.prunable_modules()}
    small = load_model(path, subnet=2).model
    assert small.num_params() == supernet.num_params() - sum(params[name] for name in left_out)
    assert sum(p.numel() for p in small.parameters()) == small.num_params()


def test_an_early_exit_has_no_later_block(trained: Trained) -> None:
    recogniser = load_model(trained("early_exit"), subnet=4)
    blocks = {name.split(".")[1] for name in recogniser.model.state_dict() if "blocks." in name}
    assert blocks == {"0"}
    assert recogniser.config.model.num_blocks == 1


@pytest.mark.parametrize("kind", RUNS)
def test_an_exported_checkpoint_is_that_of_a_plain_model(
    kind: str, trained: Trained, tones: Path, tmp_path: Path
) -> None:
    path = trained(kind)
    recordings = sorted((tones / "audio").glob("dev-*.wav"))
    for size, route in routes_of(path).items():
        out = export_checkpoint(path, tmp_path / str(size), subnet=size)
        assert_same(plain(out, None, [48, 31]), gated(path, route, [48, 31]))
        found = load_model(out)
        assert found.transcribe(recordings) == load_model(path, subnet=size).transcribe(recordings)
        held = open_checkpoint(out)
        assert (held.step, held.config.adaptation.method) == (TOTAL_STEPS, "none")
        assert sorted(file.name for file in out.iterdir()) == ["model.safetensors", "state.json"]
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(map(str, routes_of(path)))


@pytest.mark.parametrize(("kind", "blocks"), [("conformer", 2), ("early_exit", 1)])
def test_a_run_can_start_from_an_exported_subnet(
    kind: str, blocks: int, trained: Trained, tones: Path, tmp_path: Path
) -> None:
    path = trained(kind)
    size = open_subnets(path).trained[-1]
    out = export_checkpoint(path, tmp_path / "small", subnet=size)
    config = tone_config(
        tones, f"model.num_blocks={blocks}", f"model.start_from={out}", "training.epochs=1"
    )
    summary = train(config, LocalContext(), writer=None, checkpoint_dir=tmp_path / "checkpoints")
    assert summary.params == load_model(path, subnet=size).model.num_params()


@pytest.mark.parametrize("kind", ["conformer", "e_branchformer", "early_exit"])
def test_an_exported_file_says_what_the_subnet_says(
    kind: str, trained: Trained, tmp_path: Path
) -> None:
    path = trained(kind)
    for size, route in routes_of(path).items():
        out, card = export_model(path, tmp_path / f"{size}.pt", "torchscript", subnet=size)
        with warnings.catch_warnings():  # torch calls all of TorchScript deprecated
            warnings.simplefilter("ignore")
            found = torch.jit.load(str(out))(*inputs([48, 31]))
        assert_same(found, gated(path, route, [48, 31]))
        blocks = json.loads(card.read_text())["allocation"]["blocks"]
        assert sum(count > 0 for block in blocks for count in block.values()) == size


@pytest.mark.parametrize("kind", ["conformer", "early_exit_e"])
def test_an_exported_onnx_file_says_what_the_subnet_says(
    kind: str, trained: Trained, tmp_path: Path
) -> None:
    pytest.importorskip("onnxscript", reason="needs the extra `export`")
    runtime = pytest.importorskip("onnxruntime", reason="needs the extra `export`")
    path = trained(kind)
    size, route = list(routes_of(path).items())[-1]
    out, _ = export_model(path, tmp_path / "model.onnx", "onnx", subnet=size)
    features, num_frames = inputs([48, 31])
    found = runtime.InferenceSession(str(out)).run(
        ["log_probs", "encoder_frames"],
        {"features": features.numpy(), "num_frames": num_frames.numpy()},
    )
    said = (torch.from_numpy(found[0]), torch.from_numpy(found[1]))
    assert_same(said, gated(path, route, [48, 31]))


@pytest.mark.parametrize(
    ("kind", "size", "remedy"),
    [
        ("conformer", 9, "must be from 1 to 8, all modules of the supernet; trained: 5 and 2"),
        ("conformer", 0, "must be from 1 to 8"),
        ("early_exit", 5, "must be 8 and 4, or 12 for the supernet"),
    ],
)
def test_a_size_that_does_not_exist_is_refused(
    kind: str, size: int, remedy: str, trained: Trained
) -> None:
    with pytest.raises(ConfigError, match=rf"subnet = {size}: {remedy}"):
        load_model(trained(kind), subnet=size)


def test_a_checkpoint_from_before_the_switch_has_no_subnets(
    tones: Path, trained: Trained, tmp_path: Path
) -> None:
    state = json.loads((trained("conformer") / "state.json").read_text())
    state["hook"] |= {"switched": False, "sizes": None}
    early = tmp_path / "best-00000008"
    early.mkdir()
    (early / "state.json").write_text(json.dumps(state | {"step": 8}))
    with pytest.raises(CheckpointError, match="has no subnets yet: at step 8 they were not fixed"):
        load_model(early, subnet=2)


def test_what_is_of_no_supernet_is_refused(tones: Path, trained: Trained, tmp_path: Path) -> None:
    masks = "adaptation={method: adaptive_mask, sparsity: 0.5, begin: 0.25}"
    train(
        tone_config(tones, masks, "training.epochs=1"),
        LocalContext(),
        writer=None,
        checkpoint_dir=tmp_path,
    )
    (masked,) = tmp_path.glob("last-*")
    with pytest.raises(CheckpointError, match=r"its run had adaptation\.method: adaptive_mask"):
        load_model(masked, subnet=2)
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match="is a file, which has no subnets"):
        load_model(tmp_path / "file", subnet=2)
    with pytest.raises(ConfigError, match="language = 'fr': leave it out"):
        load_model(trained("conformer"), subnet=2, language="fr")


def test_a_damaged_supernet_is_refused(trained: Trained, tmp_path: Path) -> None:
    path = trained("conformer")
    state = json.loads((path / "state.json").read_text())
    state["hook"]["sizes"] = [5, 3, 2]
    (tmp_path / "state.json").write_text(json.dumps(state))
    (tmp_path / "model.safetensors").write_bytes((path / "model.safetensors").read_bytes())
    with pytest.raises(CheckpointError, match=r"subnets in its state\.json that its tensors do"):
        open_subnets(tmp_path)


def test_a_folder_that_is_there_is_not_written_over(trained: Trained, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes").write_text("kept")
    with pytest.raises(CheckpointError, match="is there already"):
        export_checkpoint(trained("conformer"), tmp_path / "mine", subnet=2)
    assert [p.name for p in (tmp_path / "mine").iterdir()] == ["notes"]


def test_taking_a_subnet_out_leaves_the_supernet_as_it_was(trained: Trained) -> None:
    subnets = open_subnets(trained("conformer"))
    before = {name: tensor.clone() for name, tensor in subnets.model.state_dict().items()}
    for size in subnets.sizes:
        subnets.model_of(size)
    after = subnets.model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert isinstance(subnets.held.config.adaptation, SupernetConfig)
