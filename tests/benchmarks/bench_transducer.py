"""The transducer loss, forward and backward, against torchaudio's on the same logits."""

from collections.abc import Callable

import torch
from comparing import Bar, Comparison, Row, Size, take_turns, timed
from torch import Tensor

from tuneprune.data.torchaudio_door import load_torchaudio
from tuneprune.models.rnnt_loss import rnnt_loss

_SIZES = {
    "full": ((8, 150, 60, 80), (4, 375, 80, 256)),
    "quick": ((8, 150, 60, 80),),
    "tiny": ((2, 5, 3, 4),),
}


def compare(*, size: Size) -> list[Row]:
    """Measure batches of (utterances, encoder frames, labels each, outputs)."""
    return [_row(*shape, repeats=1 if size == "tiny" else 7) for shape in _SIZES[size]]


def _row(batch: int, frames: int, labels: int, outputs: int, *, repeats: int) -> Row:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(batch, frames, labels + 1, outputs, generator=generator)
    targets = torch.randint(1, outputs, (batch, labels), generator=generator)
    num_frames, num_labels = torch.full((batch,), frames), torch.full((batch,), labels)
    theirs = load_torchaudio().functional.rnnt_loss

    def ours(given: Tensor) -> Tensor:
        return rnnt_loss(given, targets, num_frames, num_labels).sum()

    def baseline(given: Tensor) -> Tensor:
        lengths = (num_frames.int(), num_labels.int())
        loss: Tensor = theirs(given, targets.int(), *lengths, blank=0, reduction="sum")
        return loss

    sides = {
        "ours": timed(lambda: _both_ways(ours, logits)),
        "torchaudio": timed(lambda: _both_ways(baseline, logits)),
    }
    taken = take_turns(sides, repeats=repeats)
    return Comparison(
        what=f"transducer loss / torchaudio, {batch} x {frames} x {labels} x {outputs}",
        ours=taken["ours"],
        baseline=taken["torchaudio"],
        bar=Bar(kind="faster", limit=1.0),
    )


def _both_ways(loss: Callable[[Tensor], Tensor], logits: Tensor) -> None:
    given = logits.clone().requires_grad_()
    loss(given).backward()
