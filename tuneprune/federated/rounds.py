"""One round: clients are drawn, get their sub-models, train, and those that can be are averaged."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor

from tuneprune.config import RunConfig
from tuneprune.federated.client import ClientTask, ClientUpdate, train_client
from tuneprune.federated.clients import (
    Client,
    clients_of,
    draw_clients,
    training_seed,
    units_generator,
)
from tuneprune.federated.dropout import divided_modules, draw_units, layer_rates
from tuneprune.federated.server import Contribution, MeanUpdate, mean_update
from tuneprune.models.speech_model import SpeechModel
from tuneprune.structure.groups import allocation_of, tensors_of
from tuneprune.structure.units import Kept, SubModels
from tuneprune.training.prepare import Prepared
from tuneprune.training.tasks import Failure, RunItems


@dataclass(frozen=True, kw_only=True, slots=True)
class ClientOutcome:
    """What became of one client of a round: the columns of a row of ``clients``."""

    client: str
    end: Literal["done", "failed", "not_finite"]
    reason: str | None
    utterances: int
    dropped_params: int
    bytes_down: int
    bytes_up: int
    local_steps: int | None = None
    loss: float | None = None
    update_norm: float | None = None
    client_s: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class RoundOutcome:
    """What became of one round.

    Args:
        clients: in the order of their names.
        update: the mean; None if all have failed.
    """

    clients: tuple[ClientOutcome, ...]
    update: MeanUpdate | None

    @property
    def done(self) -> list[ClientOutcome]:
        return [one for one in self.clients if one.end == "done"]

    @property
    def failed(self) -> list[ClientOutcome]:
        return [one for one in self.clients if one.end != "done"]

    @property
    def loss(self) -> float | None:
        """Return the mean loss of what was averaged, weighted as the updates are."""
        utterances = sum(one.utterances for one in self.done)
        losses = [one.utterances * one.loss for one in self.done if one.loss is not None]
        return math.fsum(losses) / utterances if losses else None

    def columns(self) -> dict[str, float | int | None]:
        """Return the columns of a row of ``rounds`` that depend on clients alone."""
        drawn = self.clients
        return {
            "clients": len(self.done),
            "failed_clients": len(self.failed),
            "utterances": sum(one.utterances for one in self.done),
            "dropped_params": sum(one.dropped_params for one in drawn) / len(drawn),
            "bytes_down": sum(one.bytes_down for one in drawn),
            "bytes_up": sum(one.bytes_up for one in drawn),
            "loss": self.loss,
            "update_norm": None if self.update is None else self.update.norm,
        }


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Sent:
    """A client of a round, the units that it keeps, and what it is told."""

    client: Client
    kept: Kept
    task: ClientTask


class Rounds:
    """The clients of a run and what they are sent: the same in every process, round by round.

    Args:
        config: of the run.
        prepared: its corpus.
        model: any of the run's shape.
        order: layers, the most ambient first; None where dropout is not aimed.
        run_items: where clients run.

    Raises:
        ConfigError: a round has more clients than there are.
    """

    def __init__(
        self,
        config: RunConfig,
        prepared: Prepared,
        model: SpeechModel,
        *,
        order: Sequence[int] | None,
        run_items: RunItems,
    ) -> None:
        assert config.federated is not None, "only such a run has rounds"
        self._config, self._prepared, self._run_items = config, prepared, run_items
        self._federated = config.federated
        per_speaker = config.federated.clients_per_speaker
        self.clients = clients_of(prepared.train, per_speaker=per_speaker)
        self._drawn(0)  # refuses more than there are before anything is trained
        modules, dropout = model.prunable_modules(), config.federated.dropout
        self._allocation = allocation_of(modules)
        divided = divided_modules(modules, dropout.kinds) if dropout is not None else ()
        self._sub_models = SubModels(divided)
        self._rates: dict[int, float] = {}
        if dropout is not None:
            self._rates = layer_rates(dropout, order, config.model.num_blocks)
        self._rescales = dropout is not None and dropout.rescale

    def run(self, model: SpeechModel, round_: int) -> RoundOutcome:
        """Let the clients of a round train, and average what they send back; changes nothing.

        Args:
            model: as it is now.
            round_: finished rounds.
        """
        sent = [self._sent(client, model, round_) for client in self._drawn(round_)]
        found = self._run_items(train_client, [one.task for one in sent])
        outcomes: list[ClientOutcome] = []
        usable: list[Contribution] = []
        whole_params = _num_params(tensors_of(model))
        for one, result in zip(sent, found, strict=True):
            outcome = _outcome(one, result, whole_params=whole_params)
            outcomes.append(outcome)
            if outcome.end == "done" and isinstance(result, ClientUpdate):
                usable.append(self._contribution(one, result))
        update = mean_update(model, self._sub_models, usable) if usable else None
        return RoundOutcome(clients=tuple(outcomes), update=update)

    def _drawn(self, round_: int) -> list[Client]:
        count = self._federated.clients_per_round
        return draw_clients(self.clients, count, seed=self._config.seed, round_=round_)

    def _sent(self, client: Client, model: SpeechModel, round_: int) -> _Sent:
        place = {"seed": self._config.seed, "round_": round_}
        kept = draw_units(
            self._sub_models.modules.values(), self._rates, units_generator(client, **place)
        )
        task = ClientTask(
            name=client.name,
            config=self._config,
            allocation=self._allocation,
            labels=self._prepared.labels,
            features=self._prepared.features.path.absolute(),
            utterances=self._prepared.train.take(client.utterances),
            seed=training_seed(client, **place),
            tensors=self._tensors_sent(model, kept),
        )
        return _Sent(client=client, kept=kept, task=task)

    def _tensors_sent(self, model: SpeechModel, kept: Kept) -> dict[str, Tensor]:
        taken = self._sub_models.take(tensors_of(model), kept)
        share = partial(self._share, kept=kept)
        return {name: (one / share(name)).cpu() for name, one in taken.items()}

    def _contribution(self, sent: _Sent, update: ClientUpdate) -> Contribution:
        share = partial(self._share, kept=sent.kept)
        return Contribution(
            tensors={name: one * share(name) for name, one in update.tensors.items()},
            kept=sent.kept,
            weight=len(sent.client.utterances),
        )

    def _share(self, name: str, kept: Kept) -> float:
        return self._sub_models.share(name, kept) if self._rescales else 1.0


def _outcome(sent: _Sent, result: ClientUpdate | Failure, *, whole_params: int) -> ClientOutcome:
    down = sent.task.tensors
    known: dict[str, Any] = {
        "client": sent.client.name,
        "utterances": len(sent.client.utterances),
        "dropped_params": whole_params - _num_params(down),
        "bytes_down": _num_bytes(down),
    }
    if isinstance(result, Failure):
        return ClientOutcome(end="failed", reason=result.reason, bytes_up=0, **known)
    norm = torch.nn.utils.get_total_norm(list(result.tensors.values())).item()
    reason = _why_not(result, norm)
    return ClientOutcome(
        end="done" if reason is None else "not_finite",
        reason=reason,
        local_steps=result.local_steps,
        bytes_up=_num_bytes(result.tensors),
        loss=result.loss if math.isfinite(result.loss) else None,
        update_norm=norm if math.isfinite(norm) else None,
        client_s=result.client_s,
        **known,
    )


def _why_not(result: ClientUpdate, norm: float) -> str | None:
    if not math.isfinite(result.loss):
        return f"its loss was not finite at local step {result.local_steps}"
    return None if math.isfinite(norm) else "the norm of its update is not finite"


def _num_params(tensors: Mapping[str, Tensor]) -> int:
    return sum(tensor.numel() for tensor in tensors.values())


def _num_bytes(tensors: Mapping[str, Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
