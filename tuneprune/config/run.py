"""The configuration of one run as a whole: read, checked and fingerprinted here."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pydantic
from pydantic import Field

from tuneprune.config.adaptation import Adaptation, NoAdaptation
from tuneprune.config.adaptive_mask import AdaptiveMaskConfig
from tuneprune.config.corpus import CorpusConfig
from tuneprune.config.features import FeaturesConfig, TextConfig
from tuneprune.config.federated import FederatedConfig, check_federated
from tuneprune.config.model import ModelConfig
from tuneprune.config.overrides import with_overrides
from tuneprune.config.settings import Settings
from tuneprune.config.supernet import SupernetConfig
from tuneprune.config.training import OptimConfig, TrainingConfig
from tuneprune.config.wording import as_config_error
from tuneprune.errors import ConfigError
from tuneprune.yaml_files import read_settings


class RunConfig(Settings):
    """Everything that determines one training run."""

    corpus: CorpusConfig
    features: FeaturesConfig = FeaturesConfig()
    text: TextConfig = TextConfig()
    model: ModelConfig = ModelConfig()
    optim: OptimConfig = OptimConfig()
    training: TrainingConfig = TrainingConfig()
    adaptation: Adaptation = NoAdaptation()
    federated: FederatedConfig | None = None
    seed: int = Field(1, ge=0, lt=2**31)

    def fingerprint(self) -> str:
        """Return a hash of all settings: 16 hex digits, the same on every machine."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def read_run_settings(path: Path, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Read a run's YAML, or the ``base`` of a search space, with ``--set`` overrides applied.

    Raises:
        ConfigError: the file can not be read, or an override makes no sense.
    """
    settings = read_settings(path)
    base = settings.get("base", settings)
    if not isinstance(base, dict):
        raise ConfigError("base", base, "must hold the settings of a run")
    return with_overrides(base, overrides)


def build_config(settings: Mapping[str, Any]) -> RunConfig:
    """Check a tree of settings and freeze it.

    Raises:
        ConfigError: the first thing wrong, naming field, value and what is allowed.
    """
    try:
        config = RunConfig.model_validate(settings)
    except pydantic.ValidationError as error:
        raise as_config_error(error, RunConfig) from None
    adaptation, languages = config.adaptation, config.training.languages
    differ = isinstance(adaptation, AdaptiveMaskConfig) and adaptation.scope == "language"
    if differ and languages != "one_per_batch":
        remedy = "must be one_per_batch with adaptation.scope: language; or set that to shared"
        raise ConfigError("training.languages", languages, remedy)
    if differ and config.model.conv_norm == "batch":
        remedy = "mixes the statistics of languages whose masks differ; set layer or group"
        raise ConfigError("model.conv_norm", "batch", remedy)
    if isinstance(adaptation, SupernetConfig):
        _check_supernet(config.model)
    if config.federated is not None:
        check_federated(
            config.federated,
            model=config.model,
            optim=config.optim,
            training=config.training,
            method=adaptation.method,
        )
    return config


def _check_supernet(model: ModelConfig) -> None:
    method = "adaptation.method: supernet"
    if model.transducer is not None:
        remedy = f"must be left out with {method}: each subnet has a CTC output layer of its own"
        raise ConfigError("model.transducer", "given", remedy)
    if model.stacking is not None:
        remedy = f"must be left out with {method}: its networks share one frame rate"
        raise ConfigError("model.stacking", "given", remedy)
    if model.conv_norm == "batch":
        remedy = f"mixes the statistics of networks with {method}; set layer or group"
        raise ConfigError("model.conv_norm", "batch", remedy)
