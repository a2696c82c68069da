"""What a model has while several networks share it: an output layer for each, and scores.

Legend: D model width, V labels.
"""

from torch import Tensor, nn

from tuneprune.models.seeding import drawn_from


class Networks(nn.Module):
    """Output layers of the subnets of a supernet, and what says which modules they keep.

    Args:
        like: the output layer of the model, D to V.
        count: subnets, each with an output layer of its own.
        scores: begin of what is learned over the modules; None: nothing is.
        seed: of the output layers.
    """

    def __init__(self, like: nn.Linear, count: int, *, scores: Tensor | None, seed: int) -> None:
        super().__init__()
        self.scores = None if scores is None else nn.Parameter(scores.detach().clone())
        with drawn_from(seed, "networks"):
            self.outputs = nn.ModuleList(
                nn.Linear(like.in_features, like.out_features) for _ in range(count)
            )
        self.to(like.weight)
