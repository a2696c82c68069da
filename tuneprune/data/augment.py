"""SpecAugment: masks over time and over bins, drawn for a whole batch at once.

Speed perturbation changes the recording and is part of `features`.

Shapes: B utterances, T frames, F bins, M masks.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from tuneprune.config import SpecAugmentConfig


@dataclass(frozen=True, kw_only=True, slots=True)
class Masks:
    """What is masked in each utterance of a batch: frames [B, T] and bins [B, F], True = masked."""

    time_BT: Tensor
    bin_BF: Tensor

    def take(self, positions: Tensor) -> "Masks":
        """Return the masks of some utterances of the batch."""
        return Masks(time_BT=self.time_BT[positions], bin_BF=self.bin_BF[positions])

    def apply(self, features_BTF: Tensor) -> Tensor:
        """Return the features with 0, the mean of normalised ones, under the masks.

        Frames beyond T, which are padding, are masked over bins only.
        """
        time_BT = self.time_BT[:, : features_BTF.shape[1]]
        time_BT = functional.pad(time_BT, (0, features_BTF.shape[1] - time_BT.shape[1]))
        masked_BTF = (time_BT[:, :, None] | self.bin_BF[:, None, :]).to(features_BTF.device)
        return features_BTF.masked_fill(masked_BTF, 0.0)


def draw_masks(
    num_frames_B: Tensor,
    num_bins: int,
    config: SpecAugmentConfig,
    generator: torch.Generator,
) -> Masks:
    """Draw the masks of SpecAugment (Park et al. 2019, arXiv:1904.08779), without time warping.

    Every utterance has masks of its own: their number, widths and places are uniform over what
    the settings allow, places over all that lie inside the utterance. Masks may overlap.

    Args:
        num_frames_B: integer length of each utterance in frames.
        num_bins: bins of a frame.
        config: how many masks and how wide.
        generator: the only source of randomness. Its device draws, so the same state gives the
            same masks for a model on any device.
    """
    max_frames = int(num_frames_B.max())
    frames_B = num_frames_B.to(device=generator.device, dtype=torch.int64)
    bins_B = torch.full_like(frames_B, num_bins)
    most_times_B = (frames_B // config.frames_per_time_mask).clamp(
        min=config.min_time_masks, max=config.max_time_masks
    )
    most_bins_B = torch.full_like(frames_B, config.max_bin_masks)
    time_BT = _covered(
        frames_B,
        max_frames,
        least_masks=config.min_time_masks,
        most_masks_B=most_times_B,
        num_drawn=config.max_time_masks,
        max_width=config.max_time_width_frames,
        generator=generator,
    )
    bin_BF = _covered(
        bins_B,
        num_bins,
        least_masks=config.min_bin_masks,
        most_masks_B=most_bins_B,
        num_drawn=config.max_bin_masks,
        max_width=config.max_bin_width,
        generator=generator,
    )
    return Masks(time_BT=time_BT, bin_BF=bin_BF)


def _covered(
    length_B: Tensor,
    size: int,
    *,
    least_masks: int,
    most_masks_B: Tensor,
    num_drawn: int,
    max_width: int,
    generator: torch.Generator,
) -> Tensor:
    """Return a mask [B, size], True where one of the drawn masks lies.

    ``num_drawn`` masks are drawn for everybody, so that what one utterance gets does not depend
    on the lengths of the others; those above an utterance's own number have no width.
    """
    length_BM = length_B[:, None].expand(-1, num_drawn)
    count_B1 = least_masks + _draw_up_to(most_masks_B[:, None] - least_masks, generator)
    width_BM = _draw_up_to(length_BM.clamp(max=max_width), generator)
    start_BM = _draw_up_to(length_BM - width_BM, generator)
    width_BM = width_BM * (torch.arange(num_drawn, device=length_B.device) < count_B1)
    # One up where a mask starts, one down where it ends: the running sum counts the masks.
    change = length_B.new_zeros(len(length_B), size + 1)
    change.scatter_add_(1, start_BM, torch.ones_like(start_BM))
    change.scatter_add_(1, start_BM + width_BM, -torch.ones_like(start_BM))
    return change.cumsum(1)[:, :size] > 0


def _draw_up_to(most: Tensor, generator: torch.Generator) -> Tensor:
    """Draw integers uniform over ``0 .. most``, one for each element."""
    uniform = torch.rand(
        most.shape, generator=generator, device=generator.device, dtype=torch.float64
    )
    return torch.minimum((uniform * (most + 1)).long(), most)
