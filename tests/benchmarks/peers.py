"""Other people's Conformers in the place of our blocks: same sizes, batch, loss and optimizer.

All but the encoder is ours: front-end, input dropout, output layer. Each encoder has the norm that
it has in its own kit (torchaudio and Hugging Face a BatchNorm, SpeechBrain a LayerNorm), the order
of modules that it has there, and no positions, as ours has none here. Only SpeechBrain's masks
padding in its convolutions, as ours does.

Legend: B batch, T frames, U encoder frames, F mel bins, D model width, V labels.
"""

import importlib
import warnings
from collections.abc import Callable
from types import ModuleType

from recognisers import NUM_LABELS, Trainee
from torch import Tensor, nn
from torch.nn import functional

from tuneprune.config import ModelConfig
from tuneprune.data.torchaudio_door import load_torchaudio
from tuneprune.errors import ResourceError
from tuneprune.models.ctc import ctc_loss
from tuneprune.models.dropout import dropout
from tuneprune.models.frontend import build_frontend, valid_mask
from tuneprune.training.batches import Batch

Encoder = nn.Module
"""Maps [B, U, D] and the frames of each utterance to [B, U, D]."""


class PeerMissingError(Exception):
    """A peer can not be measured here; says why."""


def peer(name: str, config: ModelConfig, batch: Batch) -> Trainee:
    """Return a peer's Conformer, ready to be stepped.

    Raises:
        PeerMissingError: its package is not installed, or does not work beside the torch that is.
    """
    num_bins = batch.features_BTF.shape[2]
    model = PeerCtc(config, name, num_bins=num_bins, num_labels=NUM_LABELS)
    return Trainee(model, config, batch)


class PeerCtc(nn.Module):
    """Our front-end, input dropout and output layer around a peer's encoder."""

    def __init__(self, config: ModelConfig, name: str, *, num_bins: int, num_labels: int) -> None:
        super().__init__()
        assert config.conv_width == config.d_model, "peers' Conformers have no other width"
        assert config.attention_dropout == config.dropout, "nor two rates of dropout"
        assert config.positions == "none", "nor our relative positions"
        self.frontend = build_frontend(config.frontend, num_bins=num_bins, d_model=config.d_model)
        self.rate = config.dropout
        self.encoder = PEERS[name](config)
        self.output = nn.Linear(config.d_model, num_labels)

    def forward(self, x_BTF: Tensor, num_frames_B: Tensor) -> tuple[Tensor, Tensor]:
        """Return log-probabilities [B, U, V] and the encoder frames of each utterance."""
        x_BUD, num_frames_B = self.frontend(x_BTF, num_frames_B)
        x_BUD = x_BUD[:, : int(num_frames_B.max())]  # torchaudio's takes no more
        x_BUD = self.encoder(dropout(x_BUD, self.rate, training=self.training), num_frames_B)
        return functional.log_softmax(self.output(x_BUD).float(), dim=-1), num_frames_B

    def losses(
        self, log_probs_BUV: Tensor, num_frames_B: Tensor, labels: Tensor, num_labels_B: Tensor
    ) -> Tensor:
        """Return each utterance's negative log-likelihood [B], as of our own models."""
        return ctc_loss(log_probs_BUV, num_frames_B, labels, num_labels_B)


class _Torchaudio(Encoder):
    """``torchaudio.models.Conformer``, whose convolution may come before the attention."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        order = config.kinds
        self.conformer = _torchaudio().models.Conformer(
            input_dim=config.d_model,
            num_heads=config.heads,
            ffn_dim=config.ffn_width,
            num_layers=config.num_blocks,
            depthwise_conv_kernel_size=config.conv_kernel,
            dropout=config.dropout,
            convolution_first=order.index("conv") < order.index("mhsa"),
        )

    def forward(self, x_BUD: Tensor, num_frames_B: Tensor) -> Tensor:
        out_BUD: Tensor = self.conformer(x_BUD, num_frames_B)[0]
        return out_BUD


class _SpeechBrain(Encoder):
    """SpeechBrain's ``ConformerEncoder`` with torch's attention."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        module = _module("speechbrain.lobes.models.transformer.Conformer")
        self.conformer = module.ConformerEncoder(
            num_layers=config.num_blocks,
            d_model=config.d_model,
            d_ffn=config.ffn_width,
            nhead=config.heads,
            kernel_size=config.conv_kernel,
            dropout=config.dropout,
            attention_type="regularMHA",
        )

    def forward(self, x_BUD: Tensor, num_frames_B: Tensor) -> Tensor:
        padding_BU = ~valid_mask(num_frames_B, x_BUD.shape[1])
        out_BUD: Tensor = self.conformer(x_BUD, src_key_padding_mask=padding_BU)[0]
        return out_BUD


class _HuggingFace(Encoder):
    """The encoder of Hugging Face's wav2vec2-conformer, with the attention that it is made with.

    Its own dropout at the input is left out, for ours stands there; so is its convolution for
    positions, of which it makes no use.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        package = "transformers.models.wav2vec2_conformer"
        settings = _module(f"{package}.configuration_wav2vec2_conformer")
        module = _module(f"{package}.modeling_wav2vec2_conformer")
        rates = ("hidden_dropout", "activation_dropout", "attention_dropout")
        self.conformer = module.Wav2Vec2ConformerEncoder(
            settings.Wav2Vec2ConformerConfig(
                hidden_size=config.d_model,
                num_hidden_layers=config.num_blocks,
                num_attention_heads=config.heads,
                intermediate_size=config.ffn_width,
                conv_depthwise_kernel_size=config.conv_kernel,
                conformer_conv_dropout=config.dropout,
                num_conv_pos_embedding_groups=1,
                hidden_act="swish",
                position_embeddings_type=None,
                layerdrop=0.0,
                attn_implementation="sdpa",
                **dict.fromkeys(rates, config.dropout),
            )
        )
        self.conformer.dropout = nn.Identity()
        self.conformer.pos_conv_embed = nn.Identity()

    def forward(self, x_BUD: Tensor, num_frames_B: Tensor) -> Tensor:
        valid_BU = valid_mask(num_frames_B, x_BUD.shape[1])
        out_BUD: Tensor = self.conformer(x_BUD, attention_mask=valid_BU).last_hidden_state
        return out_BUD


PEERS: dict[str, Callable[[ModelConfig], Encoder]] = {
    "torchaudio": _Torchaudio,
    "SpeechBrain": _SpeechBrain,
    "Hugging Face": _HuggingFace,
}


def _torchaudio() -> ModuleType:
    try:
        return load_torchaudio()
    except ResourceError as error:
        raise PeerMissingError(str(error)) from None


def _module(name: str) -> ModuleType:
    """Import a module of a package of the optional group ``bench``."""
    try:
        with warnings.catch_warnings():  # of what other parts of the package would need
            warnings.simplefilter("ignore")
            return importlib.import_module(name)
    except ModuleNotFoundError as error:
        package = (error.name or name).partition(".")[0]
        raise PeerMissingError(f"{package} is not installed; the group `bench` has it") from None
    except (ImportError, OSError, AttributeError) as error:  # made for another torch
        raise PeerMissingError(f"can not be imported ({error})".partition("\n")[0]) from None
