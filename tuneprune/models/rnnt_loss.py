"""The transducer loss (Graves 2012, arXiv 1211.3711), forward-backward by anti-diagonals.

The numbers of ``torchaudio.functional.rnnt_loss``, in float64 too, which that does not know. On one
thread of a CPU, forward and backward together take a fifth to an eighth of its time on batches of
usual size (``make bench``), and 1.0 to 1.2 times the memory of the logits beside them, where that
takes 2.0 times (torchaudio 2.11).

Legend: B batch, T encoder frames, U places between labels (one more than the most labels), V labels
with the blank at index 0, N anti-diagonals t + u, one more than the lattice has for what comes
after the last blank.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

BLANK = 0


def rnnt_loss(
    logits_BTUV: Tensor,
    labels_BL: Tensor,
    num_frames_B: Tensor,
    num_labels_B: Tensor,
    *,
    fast_emit: float = 0.0,
) -> Tensor:
    """Return the negative log-probability [B] of each utterance's labels, in nats.

    It is summed over all alignments: at each place (t, u) either the next label comes, or a blank,
    which goes on to the next frame; the blank of the last frame ends it. An utterance without a
    frame has an infinite loss.

    Args:
        logits_BTUV: scores, not normalised, of what comes next in frame t after u labels; they are
            worked on in float32 at least.
        labels_BL: labels, L = U - 1; which ones lie behind an utterance's own does not matter.
        num_frames_B: frames of each utterance.
        num_labels_B: labels of each utterance.
        fast_emit: how much more the gradient asks for labels than for blanks (FastEmit, arXiv
            2010.11148); the loss itself stays what it is.
    """
    if logits_BTUV.dtype is torch.bfloat16:  # too coarse for log-probabilities
        logits_BTUV = logits_BTUV.float()
    device = logits_BTUV.device
    with torch.autocast(device.type, enabled=False):
        integers = (x.to(device, torch.int64) for x in (labels_BL, num_frames_B, num_labels_B))
        loss_B: Tensor = _RnntLoss.apply(logits_BTUV, *integers, fast_emit)
    return loss_B


class _RnntLoss(torch.autograd.Function):
    """The loss with its gradient in closed form, so that no lattice is kept as a graph."""

    @staticmethod
    def forward(
        ctx: Any,
        logits_BTUV: Tensor,
        labels_BL: Tensor,
        num_frames_B: Tensor,
        num_labels_B: Tensor,
        fast_emit: float,
    ) -> Tensor:
        ctx.fast_emit = fast_emit
        norm_BTU = logits_BTUV.logsumexp(-1)
        blank_BTU, label_BTU = _arcs(logits_BTUV, norm_BTU, labels_BL, num_frames_B, num_labels_B)
        blank_NBU, label_NBU = _skewed(blank_BTU), _skewed(label_BTU)
        alpha_NBU = _forward(blank_NBU, label_NBU)
        ends = num_frames_B + num_labels_B
        total_B = alpha_NBU[ends, torch.arange(len(ends), device=ends.device), num_labels_B]
        arcs = (norm_BTU, blank_NBU, label_NBU)
        ctx.save_for_backward(logits_BTUV, labels_BL, num_labels_B, *arcs, alpha_NBU, ends, total_B)
        return -total_B

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_B: Tensor) -> tuple[Tensor, None, None, None, None]:
        logits_BTUV, labels_BL, num_labels_B, norm_BTU, *lattice, ends, total_B = ctx.saved_tensors
        blank_NBU, label_NBU, alpha_NBU = lattice
        beta_NBU = _backward(blank_NBU, label_NBU, ends, num_labels_B)
        before_NBU = (alpha_NBU - total_B[:, None])[:-1]
        by_label_NBU = functional.pad(beta_NBU[1:, :, 1:], (0, 1), value=-torch.inf)
        num_frames = logits_BTUV.shape[1]
        blank_BTU, label_BTU = (  # how probable it is that an alignment takes the arc
            grad_B[:, None, None] * _unskewed((before_NBU + arc[:-1] + after).exp(), num_frames)
            for arc, after in ((blank_NBU, beta_NBU[1:]), (label_NBU, by_label_NBU))
        )
        label_BTU *= 1 + ctx.fast_emit
        grad_BTUV = (logits_BTUV - norm_BTU[..., None]).exp_()
        grad_BTUV *= (blank_BTU + label_BTU)[..., None]
        grad_BTUV[..., BLANK] -= blank_BTU
        grad_BTUV.scatter_add_(-1, _next_labels(labels_BL, num_frames), -label_BTU[..., None])
        return grad_BTUV, None, None, None, None


def _arcs(
    logits_BTUV: Tensor,
    norm_BTU: Tensor,
    labels_BL: Tensor,
    num_frames_B: Tensor,
    num_labels_B: Tensor,
) -> tuple[Tensor, Tensor]:
    """Return log-probabilities of a blank and of the next label, -inf outside an utterance."""
    _, num_frames, num_places, _ = logits_BTUV.shape
    place_U = torch.arange(num_places, device=logits_BTUV.device)
    frame_T = torch.arange(num_frames, device=logits_BTUV.device)
    inside_BTU = (frame_T < num_frames_B[:, None])[:, :, None]
    may_end_BTU = inside_BTU & (place_U <= num_labels_B[:, None])[:, None]
    may_go_on_BTU = inside_BTU & (place_U < num_labels_B[:, None])[:, None]
    label_BTU = logits_BTUV.gather(-1, _next_labels(labels_BL, num_frames))[..., 0] - norm_BTU
    return (
        (logits_BTUV[..., BLANK] - norm_BTU).masked_fill(~may_end_BTU, -torch.inf),
        label_BTU.masked_fill(~may_go_on_BTU, -torch.inf),
    )


def _next_labels(labels_BL: Tensor, num_frames: int) -> Tensor:
    """Return the label after each place [B, T, U, 1]; at the last one, where none is, a blank."""
    next_BU = functional.pad(labels_BL, (0, 1), value=BLANK)
    return next_BU[:, None, :, None].expand(-1, num_frames, -1, -1)


def _skewed(x_BTU: Tensor) -> Tensor:
    """Return the lattice by anti-diagonals [N, B, U], -inf where a diagonal leaves it."""
    batch, num_frames, num_places = x_BTU.shape
    place_U = torch.arange(num_places, device=x_BTU.device)
    frame_NU = torch.arange(num_frames + num_places, device=x_BTU.device)[:, None] - place_U
    inside_NU = (frame_NU >= 0) & (frame_NU < num_frames)
    index_NU = frame_NU.clamp(0, num_frames - 1)
    x_BNU = x_BTU.gather(1, index_NU.expand(batch, -1, -1)).masked_fill(~inside_NU, -torch.inf)
    return x_BNU.transpose(0, 1).contiguous()


def _unskewed(x_NBU: Tensor, num_frames: int) -> Tensor:
    """Return the lattice [B, T, U] of its anti-diagonals."""
    _, batch, num_places = x_NBU.shape
    place_U = torch.arange(num_places, device=x_NBU.device)
    index_TU = torch.arange(num_frames, device=x_NBU.device)[:, None] + place_U
    return x_NBU.transpose(0, 1).gather(1, index_TU.expand(batch, -1, -1))


def _forward(blank_NBU: Tensor, label_NBU: Tensor) -> Tensor:
    """Return the log-probability of all ways from the start to each place."""
    alpha_NBU = torch.full_like(blank_NBU, -torch.inf)
    alpha_NBU[0, :, 0] = 0
    for n in range(1, len(alpha_NBU)):
        alpha_NBU[n] = alpha_NBU[n - 1] + blank_NBU[n - 1]
        by_label = alpha_NBU[n - 1, :, :-1] + label_NBU[n - 1, :, :-1]
        alpha_NBU[n, :, 1:] = torch.logaddexp(alpha_NBU[n, :, 1:], by_label)
    return alpha_NBU


def _backward(blank_NBU: Tensor, label_NBU: Tensor, ends: Tensor, num_labels_B: Tensor) -> Tensor:
    """Return the log-probability of all ways from each place to the end."""
    beta_NBU = torch.full_like(blank_NBU, -torch.inf)
    beta_NBU[ends, torch.arange(len(ends), device=ends.device), num_labels_B] = 0
    for n in range(len(beta_NBU) - 2, -1, -1):
        by_blank = beta_NBU[n + 1] + blank_NBU[n]
        by_blank[:, :-1] = torch.logaddexp(
            by_blank[:, :-1], beta_NBU[n + 1, :, 1:] + label_NBU[n, :, :-1]
        )
        beta_NBU[n] = torch.maximum(beta_NBU[n], by_blank)  # only the end is set, and alone
    return beta_NBU
