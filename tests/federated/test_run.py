"""Whole federated runs on a tiny corpus: repeatable, resumable bit for bit, and recorded."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from federated_runs import Spoiled, backwards, federated_config, run_federated, write_resets
from torch import Tensor

from tuneprune.config import RunConfig
from tuneprune.errors import ConfigError, ResourceError
from tuneprune.federated.clients import clients_of, units_generator
from tuneprune.federated.dropout import divided_modules, draw_units
from tuneprune.models.build import build_model
from tuneprune.models.speech_model import SpeechModel
from tuneprune.results.reader import open_results
from tuneprune.testing.tones import tone_config
from tuneprune.training.batches import collate
from tuneprune.training.checkpoint import find_checkpoint, load_model_tensors, read_checkpoint
from tuneprune.training.context import LocalContext
from tuneprune.training.prepare import Prepared, prepare
from tuneprune.training.run import train

EXACT = ("model.dropout=0", "model.attention_dropout=0", "training.batch_frames=9000")
ONE_STEP = (*EXACT, "federated.clients_per_speaker=1", "federated.rounds=1")
DROPPING = (
    "federated.dropout={aim: ambient, layers: 1, order: [1, 0], target_rate: 0.5, rescale: true}"
)
ADAM = ("federated.server=adam", "federated.server_lr=0.01")


def last(out: Path) -> Path:
    found = find_checkpoint(out / "checkpoints", "last")
    assert found is not None
    return found


def weights(out: Path) -> dict[str, Tensor]:
    return load_model_tensors(read_checkpoint(last(out))).state_dict()


def assert_same_weights(a: Path, b: Path) -> None:
    first, second = weights(a), weights(b)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def initial(config: RunConfig, prepared: Prepared) -> SpeechModel:
    bins, labels = config.features.num_bins, len(prepared.labels)
    return build_model(config.model, num_bins=bins, num_labels=labels, seed=config.seed)


def step_of_sgd(config: RunConfig, prepared: Prepared, utterances: Sequence[int]) -> SpeechModel:
    """Return the initial model after one step on the mean loss of a frame of some utterances."""
    assert config.federated is not None
    model = initial(config, prepared)
    optimizer = torch.optim.SGD(model.parameters(), lr=config.federated.client_lr)
    gradients_of(model, prepared, utterances)
    optimizer.step()
    return model


def gradients_of(
    model: SpeechModel, prepared: Prepared, utterances: Sequence[int]
) -> dict[str, Tensor]:
    """Return the gradient of the mean loss of a frame of some utterances, and leave it there."""
    split = prepared.train.take(utterances)
    batch = collate(
        [prepared.features.get(name) for name in split.ids],
        [prepared.labels.encode(text) for text in split.texts],
    )
    encoded, frames_B = model(batch.features_BTF, batch.num_frames_B)
    losses_B = model.losses(encoded, frames_B, batch.labels, batch.num_labels_B)
    (losses_B.sum() / frames_B.sum()).backward()
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


def test_one_client_and_one_local_step_are_one_step_of_gradient_descent(
    tones: Path, tmp_path: Path
) -> None:
    config = federated_config(tones, *ONE_STEP, "federated.clients_per_round=1")
    run_federated(config, tmp_path)
    (row,) = open_results(tmp_path).table("clients").to_pylist()
    assert row["local_steps"] == 1
    prepared = prepare(config)
    (client,) = [
        one for one in clients_of(prepared.train, per_speaker=1) if one.name == row["client"]
    ]
    wanted = step_of_sgd(config, prepared, client.utterances.tolist()).state_dict()
    for name, tensor in weights(tmp_path).items():
        torch.testing.assert_close(tensor, wanted[name], rtol=1e-5, atol=1e-6)


def test_several_clients_make_the_mean_of_their_models_by_utterances(
    tones: Path, tmp_path: Path
) -> None:
    config = federated_config(
        tones, *EXACT, "federated.rounds=1", "federated.clients_per_speaker=4",
        "federated.clients_per_round=8",
    )  # fmt: skip
    run_federated(config, tmp_path)
    prepared = prepare(config)
    clients = clients_of(prepared.train, per_speaker=4)
    assert [len(client.utterances) for client in clients] == [2, 2, 1, 1] * 2
    models = [
        step_of_sgd(config, prepared, one.utterances.tolist()).state_dict() for one in clients
    ]
    for name, tensor in weights(tmp_path).items():
        total = sum(len(c.utterances) * m[name] for c, m in zip(clients, models, strict=True))
        torch.testing.assert_close(tensor, total / 12, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("rescale", ["true", "false"])
def test_a_step_with_dropout_is_that_of_the_model_with_silenced_units(
    tones: Path, tmp_path: Path, rescale: str
) -> None:
    config = federated_config(
        tones, *ONE_STEP, "federated.clients_per_round=1",
        f"federated.dropout={{aim: flat, rate: 0.25, rescale: {rescale}}}",
    )  # fmt: skip
    run_federated(config, tmp_path)
    (row,) = open_results(tmp_path).table("clients").to_pylist()
    prepared = prepare(config)
    (client,) = [c for c in clients_of(prepared.train, per_speaker=1) if c.name == row["client"]]
    model = initial(config, prepared)
    modules = divided_modules(model.prunable_modules(), ("ff1", "ff2"))
    kept = draw_units(modules, {0: 0.25, 1: 0.25}, units_generator(client, seed=1, round_=0))
    share = 24 / 32 if rescale == "true" else 1.0
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    silence = {f"{name}.linear_out.weight": units for name, units in kept.items()}
    for name, units in silence.items():
        factor = torch.zeros(32).index_fill(0, torch.tensor(units), 1 / share)
        model.get_parameter(name).data.mul_(factor)
    gradients = gradients_of(model, prepared, client.utterances.tolist())
    for name, tensor in weights(tmp_path).items():
        step = -0.05 * gradients[name]
        if name in silence:  # dropped columns are not trained; the others were sent as w / share
            mine = torch.zeros(32).index_fill(0, torch.tensor(silence[name]), share)
            step = step * mine
        torch.testing.assert_close(tensor - before[name], step, rtol=1e-3, atol=2e-6)


def test_the_order_in_which_clients_end_does_not_matter(tones: Path, tmp_path: Path) -> None:
    config = federated_config(tones, DROPPING, "model.dropout=0.1", "features.spec_augment={}")
    run_federated(config, tmp_path / "a")
    run_federated(config, tmp_path / "b", run_items=backwards)
    assert_same_weights(tmp_path / "a", tmp_path / "b")


class StoppedError(Exception):
    """Ends a run as a kill would, at an evaluation."""


def run_until(config: RunConfig, out: Path, evaluations: int, patch: pytest.MonkeyPatch) -> Path:
    """Federate up to an evaluation, then stop without ceremony; return the checkpoint there."""
    seen: list[float] = []

    def report(self: LocalContext, metrics: dict[str, float], checkpoint: Path | None) -> None:
        seen.append(metrics["step"])
        if len(seen) == evaluations:
            raise StoppedError

    with patch.context() as inside:
        inside.setattr(LocalContext, "report", report)
        with pytest.raises(StoppedError):
            run_federated(config, out)
    return last(out)


@pytest.mark.parametrize("server", [ADAM, ("federated.server=momentum",), ()])
def test_a_resumed_run_ends_as_the_uninterrupted_one(
    tones: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: tuple[str, ...]
) -> None:
    config = federated_config(
        tones, DROPPING, *server, "features.spec_augment={}", "training.evaluate_every=0.5"
    )
    whole = run_federated(config, tmp_path / "whole")
    checkpoint = run_until(config, tmp_path / "cut", 1, monkeypatch)
    assert read_checkpoint(checkpoint).step == 2
    resumed = run_federated(config, tmp_path / "cut", checkpoint=checkpoint)
    assert_same_weights(tmp_path / "whole", tmp_path / "cut")
    same = ("best_step", "dev_wer", "dev_cer", "test_wer", "test_cer", "params", "step")
    assert [getattr(whole, f) for f in same] == [getattr(resumed, f) for f in same]


def test_what_happened_is_in_the_tables(tones: Path, tmp_path: Path) -> None:
    config = federated_config(tones, DROPPING, "model.slices_per_module=4")
    summary = run_federated(config, tmp_path)
    assert (summary.status, summary.step, summary.total_steps) == ("finished", 4, 4)
    results = open_results(tmp_path)
    rounds, clients = (results.table(name).to_pylist() for name in ("rounds", "clients"))
    assert [row["step"] for row in rounds] == [1, 2, 3, 4]
    # By hand: a hidden unit of width 16 has 16 + 1 + 16 parameters, and there are two modules of
    # 32 units a layer; 16 units go from each of layer 1, and 3 from each of layer 0.
    dropped = 2 * (16 + 3) * 33
    for row in rounds:
        assert (row["clients"], row["failed_clients"], row["utterances"]) == (3, 0, 6)
        assert (row["model_params"], row["dropped_params"]) == (summary.params, dropped)
        assert row["bytes_down"] == row["bytes_up"] == 3 * 4 * (summary.params - dropped)
        mine = [client for client in clients if client["step"] == row["step"]]
        assert [client["client"] for client in mine] == sorted(client["client"] for client in mine)
        assert row["loss"] == pytest.approx(sum(client["loss"] for client in mine) / 3)
        assert 0 < row["update_norm"] < max(client["update_norm"] for client in mine)
    assert {client["end"] for client in clients} == {"done"}
    dev = {row["step"]: row["wer"] for row in results.evaluations(split="dev").to_pylist()}
    assert sorted(dev) == [1, 2, 3, 4]
    assert dev[summary.best_step] == summary.dev_wer
    (test,) = results.evaluations(split="test").to_pylist()
    assert (test["step"], test["wer"]) == (summary.best_step, summary.test_wer)
    # Half of the clients in each round: after four rounds, each has been through twice.
    assert results.evaluations(split="dev")["epoch"].to_pylist()[-1] == 2.0


@pytest.mark.parametrize(
    ("how", "end", "reason"),
    [
        ("raise", "failed", "ValueError: no battery left"),
        ("nan_loss", "not_finite", "its loss was not finite at local step"),
        ("inf_update", "not_finite", "the norm of its update is not finite"),
    ],
)
def test_a_client_that_fails_is_left_out_and_recorded(
    tones: Path, tmp_path: Path, how: str, end: str, reason: str
) -> None:
    everybody = ("federated.clients_per_round=6", "federated.rounds=1", *EXACT)
    config = federated_config(tones, *everybody)
    run_federated(config, tmp_path, run_items=Spoiled(**{"speaker-train-1.2": how}))
    results = open_results(tmp_path)
    (row,) = results.table("rounds").to_pylist()
    assert (row["clients"], row["failed_clients"], row["utterances"]) == (5, 1, 10)
    spoiled = results.table("clients").to_pylist()[-1]
    assert (spoiled["client"], spoiled["end"]) == ("speaker-train-1.2", end)
    assert spoiled["reason"].startswith(reason)
    prepared = prepare(config)
    others = clients_of(prepared.train, per_speaker=3)[:-1]
    models = [step_of_sgd(config, prepared, one.utterances.tolist()).state_dict() for one in others]
    for name, tensor in weights(tmp_path).items():
        torch.testing.assert_close(tensor, sum(m[name] for m in models) / 5, rtol=1e-5, atol=1e-6)


def test_where_all_clients_fail_until_an_evaluation_the_run_fails(
    tones: Path, tmp_path: Path
) -> None:
    config = federated_config(tones, *ADAM)
    with pytest.raises(ResourceError, match=r"have all failed until round \d: \w+"):
        run_federated(config, tmp_path, run_items=Spoiled(everybody="raise"))
    rows = open_results(tmp_path).table("rounds").to_pylist()
    assert rows
    for row in rows:
        assert (row["clients"], row["failed_clients"], row["bytes_up"]) == (0, 3, 0)
        assert row["loss"] is None
        assert row["update_norm"] is None
    assert not list((tmp_path / "checkpoints").glob("*"))


def test_clients_that_all_diverge_are_not_averaged_and_the_run_has_diverged(
    tones: Path, tmp_path: Path
) -> None:
    summary = run_federated(federated_config(tones, "federated.client_lr=1e30"), tmp_path)
    assert (summary.status, summary.checkpoint) == ("diverged", "")
    assert summary.test_wer != summary.test_wer
    rows = open_results(tmp_path).table("clients").to_pylist()
    assert {row["end"] for row in rows} == {"not_finite"}
    assert all(None in (row["loss"], row["update_norm"]) for row in rows)
    assert all(row["bytes_up"] > 0 for row in rows)


def test_gradients_of_clients_are_clipped(tones: Path, tmp_path: Path) -> None:
    limit, rate = 1e-3, 0.05
    config = federated_config(tones, *EXACT, f"federated.client_clip_grad_norm={limit}")
    run_federated(config, tmp_path)
    norms = open_results(tmp_path).table("clients")["update_norm"].to_pylist()
    assert norms == pytest.approx([limit * rate] * len(norms), rel=1e-3)


def test_a_run_begins_with_what_it_starts_from_and_says_how_good_that_is(
    tones: Path, tmp_path: Path
) -> None:
    source = tone_config(tones)
    context = LocalContext(device=torch.device("cpu"))
    trained = train(source, context, writer=None, checkpoint_dir=tmp_path / "source")
    start = tmp_path / "source" / trained.checkpoint
    config = federated_config(
        tones, f"model.start_from={start}", "federated.client_lr=1e-9", "federated.rounds=1"
    )
    summary = run_federated(config, tmp_path / "r")
    assert summary.dev_wer == trained.dev_wer
    steps = open_results(tmp_path / "r").evaluations(split="dev").to_pylist()
    assert [(row["step"], row["wer"]) for row in steps] == [
        (0, trained.dev_wer),
        (1, trained.dev_wer),
    ]


def test_a_resumed_run_keeps_the_order_that_it_has_begun_with(
    tones: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_resets(tmp_path / "ranking", {"t00": [0.2, 0.1]})
    config = federated_config(
        tones,
        f"federated.dropout={{aim: ambient, layers: 1, ranking: {tmp_path / 'ranking'}}}",
    )
    checkpoint = run_until(config, tmp_path / "r", 2, monkeypatch)
    assert read_checkpoint(checkpoint).progress["layer_order"] == [1, 0]
    shutil.rmtree(tmp_path / "ranking")
    assert run_federated(config, tmp_path / "r", checkpoint=checkpoint).status == "finished"


def test_more_clients_than_there_are_are_refused(tones: Path, tmp_path: Path) -> None:
    config = federated_config(tones, "federated.clients_per_round=7")
    with pytest.raises(ConfigError, match=r"clients_per_round = 7: must be at most 6"):
        run_federated(config, tmp_path)


def test_the_loop_of_other_runs_refuses_a_federated_one(tones: Path, tmp_path: Path) -> None:
    context = LocalContext(device=torch.device("cpu"))
    with pytest.raises(ConfigError, match="federated = 'given': is for `tuneprune federated`"):
        train(federated_config(tones), context, writer=None, checkpoint_dir=tmp_path)


def test_federated_rounds_teach_the_tones(tones: Path, tmp_path: Path) -> None:
    config = federated_config(
        tones, "federated={rounds: 8, clients_per_round: 2, client_lr: 0.3, local_epochs: 2}",
        "federated.server=momentum", "federated.client_clip_grad_norm=1",
        "training.evaluate_every=1",
    )  # fmt: skip
    run_federated(config, tmp_path)
    losses = open_results(tmp_path).table("rounds")["loss"].to_pylist()
    assert losses[-1] < 0.8 * losses[0]
