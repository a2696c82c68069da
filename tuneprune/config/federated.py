"""Settings of federated adaptation to another domain: clients, server, and dropout of units."""

from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from tuneprune.config.model import ModelConfig, ModuleKind
from tuneprune.config.settings import Fraction, OpenFraction, Settings
from tuneprune.config.training import OptimConfig, TrainingConfig
from tuneprune.errors import ConfigError

_UNUSED_TRAINING = (
    *("epochs", "accumulate", "languages", "workers", "log_every_steps"),
    *("keep_checkpoints", "churn_at"),
)
_IN_PLACE_OF = {
    "epochs": "there are federated.rounds, and local_epochs of a client",
    "accumulate": "a client makes a step for each batch",
    "languages": "clients are of speakers",
    "workers": "clients are what runs side by side",
    "log_every_steps": "every round is recorded",
    "keep_checkpoints": "the best and the last round are kept",
    "churn_at": "`tuneprune analyze churn` measures it afterwards",
}


class FederatedDropoutConfig(Settings):
    """Which share of the hidden units of each layer a client does without (arXiv 2110.04267).

    ``flat``: ``rate`` everywhere. ``ambient`` and ``critical``: ``target_rate`` in the first or
    the last ``layers`` of an order from ambient to critical, ``base_rate`` in all others. The
    order is given, or is that of the resets which a folder of results holds. Nothing is dropped
    of the layers in ``exclude_layers``, at which nothing is aimed.

    Units are hidden units of feed-forward modules, channels of convolutions, and whole heads. A
    rate drops the nearest number of them, but never the last one. With ``conv_norm: layer``,
    channels are normalised over those that a client has. With ``model.scale_dropout_by_width``, a
    client's ordinary dropout is lower in a module of which it has fewer units.
    """

    aim: Literal["flat", "ambient", "critical"]
    rate: Fraction | None = Field(None, description="flat: dropped of every layer")
    layers: int | None = Field(None, ge=1, description="ambient, critical: how many are aimed at")
    base_rate: Fraction = Field(0.1, description="ambient, critical: dropped of other layers")
    target_rate: Fraction = Field(0.5, description="ambient, critical: dropped of these")
    kinds: tuple[ModuleKind, ...] = Field(("ff1", "ff2"), min_length=1)
    exclude_layers: tuple[int, ...] = ()
    order: tuple[int, ...] | None = Field(None, description="layers, the most ambient first")
    ranking: str | None = Field(
        None, min_length=1, description="FOLDER or FOLDER@TRIAL, whose resets rank the layers"
    )
    rescale: bool = Field(
        False, description="a client's outgoing weights are divided by the share that it keeps"
    )

    @field_validator("kinds", "exclude_layers", "order")
    @classmethod
    def _named_once(cls, value: tuple[object, ...] | None) -> tuple[object, ...] | None:
        if value is not None and len(set(value)) != len(value):
            raise ValueError("must not name one twice")
        return value

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.aim == "flat":
            self._check_flat()
            return self
        if self.rate is not None:
            raise ValueError(
                f"rate has no effect with aim '{self.aim}', which has base_rate and target_rate"
            )
        if self.layers is None:
            raise ValueError(f"layers must be given with aim '{self.aim}'")
        if (self.order is None) == (self.ranking is None):
            raise ValueError(f"one of order and ranking must be given with aim '{self.aim}'")
        if max(self.base_rate, self.target_rate) >= 1:
            raise ValueError("base_rate and target_rate must be below 1")
        if self.base_rate == self.target_rate:
            raise ValueError("base_rate and target_rate must differ; aim 'flat' has one rate")
        return self

    def _check_flat(self) -> None:
        if self.rate is None or not 0 < self.rate < 1:
            raise ValueError("rate must be given with aim 'flat', above 0 and below 1")
        for name in ("layers", "base_rate", "target_rate", "order", "ranking"):
            if getattr(self, name) != FederatedDropoutConfig.model_fields[name].default:
                raise ValueError(f"{name} has no effect with aim 'flat', which has rate")


class FederatedConfig(Settings):
    """Federated averaging (McMahan et al. 2017) under a server optimizer (arXiv 2003.00295).

    A round draws clients, each of which trains the model on its own utterances by plain gradient
    descent; the mean of their updates, weighted by utterances, is what the server goes by:
    ``average`` adds it, times ``server_lr``; for ``momentum`` and ``adam`` it takes the place of
    a negative gradient. That ``adam`` has Kingma and Ba's bias correction, with one count of steps
    for all elements; the latter paper leaves it out. Batches of a client are those of
    ``training.batch_frames``.
    """

    rounds: int = Field(ge=1)
    clients_per_round: int = Field(ge=1)
    clients_per_speaker: int = Field(
        1, ge=1, description="at most so many; each has some of the speaker's utterances"
    )
    local_epochs: int = Field(1, ge=1)
    client_lr: float = Field(gt=0)
    client_clip_grad_norm: float | None = Field(None, gt=0)
    server: Literal["average", "momentum", "adam"] = "average"
    server_lr: float = Field(1.0, gt=0)
    server_momentum: OpenFraction = Field(0.9, description="momentum")
    server_betas: tuple[OpenFraction, OpenFraction] = Field((0.9, 0.99), description="adam")
    server_eps: float = Field(1e-3, gt=0, description="adam")
    dropout: FederatedDropoutConfig | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        needs = {"server_momentum": "momentum", "server_betas": "adam", "server_eps": "adam"}
        for name, server in needs.items():
            differs = getattr(self, name) != FederatedConfig.model_fields[name].default
            if differs and self.server != server:
                raise ValueError(f"{name} has no effect with server '{self.server}'")
        return self


def check_federated(
    config: FederatedConfig,
    *,
    model: ModelConfig,
    optim: OptimConfig,
    training: TrainingConfig,
    method: str,
) -> None:
    """Refuse what a federated run has no use for, or can not do.

    Args:
        config: its own settings.
        model: of the same run, as the others.
        optim: would be of its own optimizer.
        training: likewise.
        method: of adaptation.

    Raises:
        ConfigError: a setting has no effect, or does not go with clients.
    """
    if method != "none":
        remedy = "must be none with federated: clients train sub-models of one model"
        raise ConfigError("adaptation.method", method, remedy)
    for name, field in OptimConfig.model_fields.items():
        if getattr(optim, name) != field.default:
            remedy = "has no effect with federated, which has client_lr and server_lr; leave it out"
            raise ConfigError(f"optim.{name}", getattr(optim, name), remedy)
    for name in _UNUSED_TRAINING:
        value = getattr(training, name)
        if value != TrainingConfig.model_fields[name].default:
            remedy = f"has no effect with federated: {_IN_PLACE_OF[name]}; leave it out"
            raise ConfigError(f"training.{name}", value, remedy)
    if model.conv_norm == "batch":
        remedy = "has running statistics, which are no weights to be averaged; set layer or group"
        raise ConfigError("model.conv_norm", "batch", remedy)
    if config.dropout is not None:
        _check_dropout(config.dropout, model)


def _check_dropout(dropout: FederatedDropoutConfig, model: ModelConfig) -> None:
    place, num_blocks = "federated.dropout", model.num_blocks
    for kind in dropout.kinds:
        if kind not in model.kinds:
            there = ", ".join(model.kinds) or "none"
            remedy = f"must be kinds of module that encoder '{model.encoder}' has: {there}"
            raise ConfigError(f"{place}.kinds", list(dropout.kinds), remedy)
        if kind in ("conv", "cgmlp") and model.conv_norm == "group":
            remedy = f"{kind} is normalised in whole slices with conv_norm: group; leave it out"
            raise ConfigError(f"{place}.kinds", list(dropout.kinds), remedy)
    for name in ("exclude_layers", "order"):
        if any(not 0 <= layer < num_blocks for layer in getattr(dropout, name) or ()):
            remedy = f"must be layers of the model, 0 to {num_blocks - 1}"
            raise ConfigError(f"{place}.{name}", list(getattr(dropout, name)), remedy)
    left = set(range(num_blocks)) - set(dropout.exclude_layers)
    if not left:
        remedy = "leaves no layer from which anything is dropped; leave federated.dropout out"
        raise ConfigError(f"{place}.exclude_layers", list(dropout.exclude_layers), remedy)
    if dropout.order is not None and left - set(dropout.order):
        lacking = ", ".join(map(str, sorted(left - set(dropout.order))))
        remedy = f"must name every layer that is not excluded; {lacking} missing"
        raise ConfigError(f"{place}.order", list(dropout.order), remedy)
    if dropout.layers is not None and dropout.layers > len(left):
        remedy = f"must be at most {len(left)}, the layers that are not excluded"
        raise ConfigError(f"{place}.layers", dropout.layers, remedy)
