"""The subnets in a supernet's checkpoint, each as a model of its own.

It reads checkpoints and writes none; how long a subnet takes is measured elsewhere.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tuneprune.config import NoAdaptation, RunConfig, SupernetConfig
from tuneprune.errors import CheckpointError, ConfigError
from tuneprune.models.ctc import CtcModel
from tuneprune.models.subnet import plain_subnet
from tuneprune.structure.groups import allocation_of
from tuneprune.training.checkpoint import Checkpoint, load_model_tensors, open_checkpoint


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Subnets:
    """A trained supernet and the networks that can be taken out of it, each named by its size.

    The subnet of size k keeps the first k modules of the ranking; that of all modules is the
    supernet itself. A size that was not trained ends in the output layer of the smallest trained
    network that is at least as large. With ``selector.kind: early_exit`` there are no such sizes.

    Args:
        held: the checkpoint.
        model: with the output layers of all networks.
        ranking: the modules that a subnet may leave out, the most important first.
        trained: sizes with an output layer of their own, from large to small.
    """

    held: Checkpoint
    model: CtcModel
    ranking: tuple[str, ...]
    trained: tuple[int, ...]

    @property
    def sizes(self) -> tuple[int, ...]:
        """All sizes there are, from large to small."""
        if self._are_exits:
            return (len(self.ranking), *self.trained)
        return tuple(range(len(self.ranking), 0, -1))

    def model_of(self, size: int) -> CtcModel:
        """Return a subnet as a plain model in evaluation mode; it shares its weights with others.

        Raises:
            ConfigError: there is no subnet of that size.
        """
        self._check(size)
        kept, blocks = set(self.ranking[:size]), None
        if self._are_exits and size < len(self.ranking):
            modules = self.model.prunable_modules()
            blocks = 1 + max(module.layer for module in modules if module.name in kept)
        return plain_subnet(self.model, keeps=kept, output=self._output_of(size), blocks=blocks)

    def config_of(self, model: CtcModel) -> RunConfig:
        """Return the settings of a run that trains a plain model of a subnet's shape and no more.

        Args:
            model: the subnet, as `model_of` returns it.
        """
        shape = {
            "num_blocks": len(model.blocks),
            "allocation": tuple(allocation_of(model.prunable_modules()).to_json()["blocks"]),
            "start_from": None,
        }
        config = self.held.config
        plain = {"model": config.model.model_copy(update=shape), "adaptation": NoAdaptation()}
        return config.model_copy(update=plain)

    @property
    def _are_exits(self) -> bool:
        adaptation = self.held.config.adaptation
        return isinstance(adaptation, SupernetConfig) and adaptation.selector.kind == "early_exit"

    def _output_of(self, size: int) -> int | None:
        """Return which output layer a size ends in; None is that of the supernet."""
        large_enough = [place for place, trained in enumerate(self.trained) if trained >= size]
        return large_enough[-1] if large_enough else None

    def _check(self, size: int) -> None:
        if size in self.sizes:
            return
        trained, whole = " and ".join(map(str, self.trained)), len(self.ranking)
        if self._are_exits:
            remedy = f"must be {trained}, or {whole} for the supernet: early exits are no others"
        else:
            remedy = f"must be from 1 to {whole}, all modules of the supernet; trained: {trained}"
        raise ConfigError("subnet", size, remedy)


def open_subnets(checkpoint: str | Path) -> Subnets:
    """Return the subnets of a supernet's checkpoint.

    Args:
        checkpoint: a folder ``best-<step>`` or ``last-<step>`` of a run.

    Raises:
        CheckpointError: it is none, or of no supernet, or from before subnets were fixed.
    """
    path = Path(checkpoint)
    if path.is_file():
        raise CheckpointError("checkpoint", path, f"is a file, which has no subnets; {_NAME_ONE}")
    held = open_checkpoint(path)
    method = held.config.adaptation.method
    if method != "supernet":
        remedy = f"has no subnets, for its run had adaptation.method: {method}; {_NAME_ONE}"
        raise CheckpointError("checkpoint", path, remedy)
    if not held.hook.get("switched"):
        remedy = (
            f"has no subnets yet: at step {held.step} they were not fixed (see "
            "adaptation.select_until); name a later checkpoint"
        )
        raise CheckpointError("checkpoint", path, remedy)
    model = load_model_tensors(held)
    assert isinstance(model, CtcModel), "settings of other supernets are refused"
    ranking, trained = tuple(held.hook["ranking"]), tuple(held.hook["sizes"])
    _check_whole(held, model, ranking, trained)
    return Subnets(held=held, model=model.eval(), ranking=ranking, trained=trained)


_NAME_ONE = "name a checkpoint of a run with adaptation.method: supernet"


def _check_whole(
    held: Checkpoint, model: CtcModel, ranking: Sequence[str], trained: Sequence[int]
) -> None:
    """Refuse a checkpoint whose hook and tensors are not of one model."""
    modules = {module.name for module in model.prunable_modules() if module.groups}
    outputs = 0 if model.networks is None else len(model.networks.outputs)
    if modules != set(ranking) or outputs != len(trained):
        remedy = "has subnets in its state.json that its tensors do not have"
        raise CheckpointError("checkpoint", held.path, remedy)
