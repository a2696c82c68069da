"""What makes no sense in a federated run is refused in one line, and so is what has no effect."""

import pytest

from tuneprune.config import RunConfig, build_config, with_overrides
from tuneprune.errors import ConfigError

BASE = {
    "corpus": {"path": "corpora/x"},
    "model": {"num_blocks": 4},
    "federated": {"rounds": 10, "clients_per_round": 2, "client_lr": 0.1},
}
FLAT = "federated.dropout={aim: flat, rate: 0.2}"
AMBIENT = "federated.dropout={aim: ambient, layers: 2, order: [2, 0, 3, 1]}"


def built(*overrides: str) -> RunConfig:
    return build_config(with_overrides(BASE, overrides))


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["federated.rounds=0"], "federated.rounds = 0: must be greater than or equal to 1"),
        (["federated.round=3"], "federated.round = 3: is not a setting; did you mean rounds?"),
        (["federated={rounds: 1, client_lr: 1}"], "federated.clients_per_round = None: must be"),
        (["federated.server=sgd"], "must be 'average', 'momentum' or 'adam'"),
        (["federated.server_momentum=0.5"], "server_momentum has no effect with server 'average'"),
        (
            ["federated.server=momentum", "federated.server_eps=0.1"],
            "server_eps has no effect with server 'momentum'",
        ),
        (["optim.peak_lr=0.1"], "optim.peak_lr = 0.1: has no effect with federated"),
        (["training.epochs=3"], "training.epochs = 3: has no effect with federated: there are"),
        (["training.accumulate=2"], "training.accumulate = 2: has no effect"),
        (["training.languages=one_per_batch"], "training.languages = 'one_per_batch': has no"),
        (["training.workers=2"], "training.workers = 2: has no effect with federated: clients are"),
        (["training.log_every_steps=1"], "every round is recorded; leave it out"),
        (
            ["adaptation={method: grow_drop, at: 0.2, delta: 0.1, scorer: taylor}"],
            "adaptation.method = 'grow_drop': must be none with federated",
        ),
        (["model.conv_norm=batch"], "model.conv_norm = 'batch': has running statistics"),
        (["federated.dropout={aim: flat}"], "rate must be given with aim 'flat'"),
        (
            ["federated.dropout={aim: flat, rate: 1}"],
            "rate must be given with aim 'flat', above 0",
        ),
        ([FLAT, "federated.dropout.layers=2"], "layers has no effect with aim 'flat'"),
        ([FLAT, "federated.dropout.base_rate=0.2"], "base_rate has no effect with aim 'flat'"),
        ([FLAT, "federated.dropout.order=[0, 1, 2, 3]"], "order has no effect with aim 'flat'"),
        ([AMBIENT, "federated.dropout.rate=0.2"], "rate has no effect with aim 'ambient'"),
        ([AMBIENT, "federated.dropout.layers=null"], "layers must be given with aim 'ambient'"),
        ([AMBIENT, "federated.dropout.layers=5"], "layers = 5: must be at most 4"),
        ([AMBIENT, "federated.dropout.order=null"], "one of order and ranking must be given"),
        ([AMBIENT, "federated.dropout.ranking=results/x"], "one of order and ranking must be"),
        ([AMBIENT, "federated.dropout.target_rate=1"], "must be below 1"),
        ([AMBIENT, "federated.dropout.order=[2, 0, 3, 3]"], "must not name one twice"),
        ([AMBIENT, "federated.dropout.order=[2, 0, 3]"], "not excluded; 1 missing"),
        ([AMBIENT, "federated.dropout.order=[2, 0, 3, 4]"], "must be layers of the model, 0 to 3"),
        ([FLAT, "federated.dropout.exclude_layers=[4]"], "must be layers of the model, 0 to 3"),
        ([FLAT, "federated.dropout.kinds=[cgmlp]"], "that encoder 'conformer' has: ff1, conv"),
        ([FLAT, "federated.dropout.kinds=[]"], "federated.dropout.kinds = []"),
        (
            [FLAT, "federated.dropout.kinds=[conv]", "model.conv_norm=group"],
            "conv is normalised in whole slices with conv_norm: group",
        ),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(overrides: list[str], said: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        built(*overrides)
    assert said in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        [FLAT],
        [AMBIENT],
        [AMBIENT, "federated.dropout.exclude_layers=[1]", "federated.dropout.order=[2, 0, 3]"],
        [FLAT, "federated.dropout.kinds=[ff1, mhsa, conv, ff2]"],
        [FLAT, "model.conv_norm=group", "federated.dropout.kinds=[ff1, mhsa]"],
        ["federated.server=adam", "federated.server_betas=[0.5, 0.9]"],
    ],
)
def test_settings_survive_their_own_json(overrides: list[str]) -> None:
    config = built(*overrides)
    again = build_config(config.model_dump(mode="json"))
    assert again == config
    assert again.fingerprint() == config.fingerprint()


def test_a_run_without_clients_is_as_it_was() -> None:
    assert build_config({"corpus": {"path": "corpora/x"}}).federated is None
