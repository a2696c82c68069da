"""One pass over a split that recognises it with a model and with each of its resets.

Everything below what is reset is computed once: the residual stream before each block is that of
the model as it was trained.

Legend: B batch, U encoder frames, X whatever an output works from.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager

import torch
from torch import Tensor, nn

from tuneprune.adaptation import Masking
from tuneprune.analysis.targets import Target, reset_tensors
from tuneprune.models.speech_model import BlockStream, SpeechModel
from tuneprune.structure.groups import tensors_of
from tuneprune.training.batches import Batch
from tuneprune.training.context import RunContext
from tuneprune.training.evaluate import Evaluation, Evaluator

Source = Callable[[str | None], AbstractContextManager[Mapping[str, Tensor]]]
"""Returns a context in which tensors are what a reset sets, as they are seen for a language."""


def evaluate_resets(
    evaluator: Evaluator,
    model: SpeechModel,
    context: RunContext,
    masking: Masking,
    source: Source,
    targets: Sequence[Target],
    *,
    with_statistics: bool,
) -> list[Evaluation]:
    """Return what the model makes of a split, and what it does with each target reset.

    Args:
        evaluator: of the split.
        model: as it was trained, on the context's device.
        context: rank and device; every rank returns all results.
        masking: of the model's weights.
        source: of the tensors that are set.
        targets: what is reset, each by itself.
        with_statistics: buffers, such as running statistics, are reset like parameters.

    Returns:
        The model's own evaluation, then that of each target in its order.
    """
    modules = model.prunable_modules()

    def encode(batch: Batch, language: str | None) -> tuple[Iterator[Tensor], Tensor]:
        features_BTF = batch.features_BTF.to(context.device)
        streams = [model.enter(features_BTF, batch.num_frames_B.to(context.device))]
        for layer in range(num_blocks(model)):
            streams.append(model.advance(streams[-1], layer + 1))
        own_BUX, frames_B = model.leave(streams[-1])

        def variants() -> Iterator[Tensor]:
            yield own_BUX
            touched = _touched(model, with_statistics=with_statistics)
            with source(language) as tensors:
                for target in targets:
                    with replaced(model, reset_tensors(target, modules, touched, tensors)):
                        yield _after(model, batch, context.device, streams, target)

        return variants(), frames_B

    return evaluator.evaluate_variants(model, context, masking, 1 + len(targets), encode)


def num_blocks(model: SpeechModel) -> int:
    """Return how many encoder blocks a model has."""
    return 1 + max(module.layer for module in model.prunable_modules())


@contextmanager
def replaced(model: nn.Module, tensors: Mapping[str, Tensor]) -> Iterator[None]:
    """Let a model have other values in some of its tensors, of the same shapes, for a while."""
    own = {name: tensor for name, tensor in tensors_of(model).items() if name in tensors}
    before = {name: tensor.data for name, tensor in own.items()}
    try:
        for name, tensor in own.items():
            tensor.data = tensors[name]
        yield
    finally:
        for name, tensor in own.items():
            tensor.data = before[name]


def _touched(model: nn.Module, *, with_statistics: bool) -> dict[str, Tensor]:
    named = tensors_of(model) if with_statistics else dict(model.named_parameters())
    return {name: tensor.detach() for name, tensor in named.items()}


def _after(
    model: SpeechModel,
    batch: Batch,
    device: torch.device,
    streams: Sequence[BlockStream],
    target: Target,
) -> Tensor:
    """Return what the output works from [B, U, X] where the target has been reset by now."""
    if target.layer is None:
        entered = model.enter(batch.features_BTF.to(device), batch.num_frames_B.to(device))
        return model.leave(entered)[0]
    return model.leave(streams[target.layer])[0]
