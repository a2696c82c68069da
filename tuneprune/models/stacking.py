"""Frame stacking: neighbouring frames of an encoder become one, and later blocks run less often.

Legend: B batch, U encoder frames before, S after, D model width.
"""

from torch import Tensor, nn
from torch.nn import functional

from tuneprune.models.frontend import ceil_div, valid_mask


class FrameStack(nn.Module):
    """Neighbouring frames side by side, a linear map to the width of one, and a LayerNorm.

    What lies outside an utterance counts as zeros. Stacked frame s is made of the frames
    ``factor * s`` to ``factor * s + factor - 1``, so it comes after all of them.
    """

    def __init__(self, d_model: int, factor: int) -> None:
        super().__init__()
        self.factor = factor
        self.linear = nn.Linear(factor * d_model, d_model)
        self.norm = nn.LayerNorm(d_model)

    def forward(self, x_BUD: Tensor, num_frames_B: Tensor) -> tuple[Tensor, Tensor]:
        """Return stacked frames [B, S, D] and how many of them each utterance has."""
        inside_BUD = x_BUD * valid_mask(num_frames_B, x_BUD.shape[1])[:, :, None]
        filled_BUD = functional.pad(inside_BUD, (0, 0, 0, self.factor - 1))
        length = filled_BUD.shape[1] // self.factor
        joined = filled_BUD[:, : length * self.factor].reshape(x_BUD.shape[0], length, -1)
        return self.norm(self.linear(joined)), ceil_div(num_frames_B, self.factor)

    def frame_macs(self) -> int:
        """Return the multiply-adds for one stacked frame."""
        return self.linear.weight.numel()
