"""The predictor of a transducer: what the labels so far say of the next one.

Legend: B batch, L labels, E embedding width, H width of the LSTM, K its layers.
"""

import torch
from torch import Tensor, nn

from tuneprune.config import TransducerConfig
from tuneprune.models.dropout import dropout
from tuneprune.models.rnnt_loss import BLANK


class Predictor(nn.Module):
    """An embedding under LSTM layers, each followed by LayerNorm where it is configured.

    The norm is over a layer's output, not over its gates as in torchaudio's ``emformer_rnnt_base``:
    so torch's own LSTM does the work. It runs in float32 under any autocast.

    Args:
        config: of the transducer.
        num_labels: outputs of the recogniser, the blank included: it stands for the start.
    """

    def __init__(self, config: TransducerConfig, num_labels: int) -> None:
        super().__init__()
        self.hidden_dim = config.hidden_dim
        self.dropout = config.dropout
        widths = [config.embedding_dim, *[config.hidden_dim] * config.num_layers]
        self.embedding = nn.Embedding(num_labels, config.embedding_dim)
        self.layers = nn.ModuleList(
            nn.LSTM(width, config.hidden_dim, batch_first=True) for width in widths[:-1]
        )
        self.norms = nn.ModuleList(
            nn.LayerNorm(width) if config.layer_norm else nn.Identity() for width in widths
        )

    def forward(self, labels_BL: Tensor, state_K2BH: Tensor) -> tuple[Tensor, Tensor]:
        """Return an output [B, L, H] after each label, and the state after the last one.

        Args:
            labels_BL: labels in order; a blank stands for the start.
            state_K2BH: hidden and cell state of each layer before them.
        """
        with torch.autocast(labels_BL.device.type, enabled=False):
            norms = iter(self.norms)
            x_BLE = self._left(next(norms)(self.embedding(labels_BL)))
            states: list[Tensor] = []
            for layer, (hidden_BH, cell_BH) in zip(self.layers, state_K2BH, strict=True):
                x_BLE, after = layer(x_BLE, (hidden_BH[None], cell_BH[None]))
                states.append(torch.cat(after))
                x_BLE = self._left(next(norms)(x_BLE))
            return x_BLE, torch.stack(states)

    def started(self, batch: int) -> tuple[Tensor, Tensor]:
        """Return the output [B, H] before any label, and the state."""
        weight = self.embedding.weight
        state_K2BH = weight.new_zeros(len(self.layers), 2, batch, self.hidden_dim)
        start_BL = torch.full((batch, 1), BLANK, device=weight.device)
        output_BLH, state_K2BH = self(start_BL, state_K2BH)
        return output_BLH[:, 0], state_K2BH

    def after(self, labels_BL: Tensor) -> Tensor:
        """Return the outputs [B, L + 1, H] before the first and after each label."""
        start_BL = labels_BL.new_full((len(labels_BL), 1), BLANK)
        weight = self.embedding.weight
        state = weight.new_zeros(len(self.layers), 2, len(labels_BL), self.hidden_dim)
        output_BLH: Tensor = self(torch.cat([start_BL, labels_BL], dim=1), state)[0]
        return output_BLH

    def _left(self, x_BLE: Tensor) -> Tensor:
        return dropout(x_BLE, self.dropout, training=self.training)
