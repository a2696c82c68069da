"""Peers are of our sizes, and one whose package is not there says so."""

import importlib
import sys

import pytest


@pytest.fixture
def peers():
    return importlib.import_module("peers")


@pytest.fixture
def recognisers():
    return importlib.import_module("recognisers")


def params(trainee):
    return sum(p.numel() for p in trainee.model.parameters())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["torchaudio", "SpeechBrain", "Hugging Face"])
def test_a_peer_has_as_many_parameters_as_ours(peers, recognisers, name):
    config = recognisers.an4_model(num_blocks=1)
    batch = recognisers.batch_for(config)
    try:
        found = peers.peer(name, config, batch)
    except peers.PeerMissingError as error:
        pytest.skip(str(error))
    ours = params(recognisers.Trainee.ours(config, batch))
    assert params(found) == pytest.approx(ours, rel=0.01)


@pytest.mark.parametrize(
    ("name", "module", "package"),
    [
        ("SpeechBrain", "speechbrain.lobes.models.transformer.Conformer", "speechbrain"),
        (
            "Hugging Face",
            "transformers.models.wav2vec2_conformer.configuration_wav2vec2_conformer",
            "transformers",
        ),
    ],
)
def test_a_missing_package_is_said_in_one_line(
    peers, recognisers, monkeypatch, name, module, package
):
    monkeypatch.setitem(sys.modules, module, None)
    config = recognisers.tiny_model()
    with pytest.raises(peers.PeerMissingError, match=f"^{package} is not installed[^\n]*$"):
        peers.peer(name, config, recognisers.batch_for(config))
