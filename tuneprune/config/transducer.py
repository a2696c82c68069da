"""Settings of a transducer's output and of the streaming encoder under it."""

from typing import Literal

from pydantic import Field

from tuneprune.config.settings import Settings


class TransducerConfig(Settings):
    """A transducer in place of CTC: predictor over the labels so far, joiner, and its search.

    ``joiner``: ``sum`` adds projections of frame and label history before ``activation``;
    ``concat`` puts them side by side, so that each adds its own share to the scores and no tensor
    of frames x labels x ``joiner_dim`` is made. ``beam``: label sequences that a frame keeps, 1 is
    greedy. At most ``max_labels_per_frame`` labels are found in a frame.

    A transducer's loss leaves it open at which frame a label comes: labels that are probable to
    come at some time, but at no frame more probable than a blank, make it small, and greedy search
    finds none of them. Against that, in training only, ``fast_emit`` is how much more its gradient
    asks for labels than for blanks (FastEmit, arXiv 2010.11148), and ``ctc_weight`` how much of a
    CTC loss, on a linear layer over the encoder's frames, is added.
    """

    embedding_dim: int = Field(256, ge=1)
    hidden_dim: int = Field(256, ge=1, description="of each LSTM layer of the predictor")
    num_layers: int = Field(1, ge=1)
    layer_norm: bool = Field(True, description="after the embedding and each LSTM layer")
    dropout: float = Field(0.1, ge=0, lt=1, description="after the embedding and each LSTM layer")
    joiner: Literal["sum", "concat"] = "sum"
    joiner_dim: int = Field(256, ge=1)
    activation: Literal["tanh", "relu"] = "tanh"
    fast_emit: float = Field(0.01, ge=0)
    ctc_weight: float = Field(0.3, ge=0, description="in training; 0: no such layer")
    beam: int = Field(1, ge=1)
    max_labels_per_frame: int = Field(10, ge=1)


class EmformerConfig(Settings):
    """What an Emformer sees at a time, in encoder frames (40 ms each with a hop of 10 ms).

    It waits for a segment and what lies right of it, and looks back at the left context and at
    ``memory_segments`` segments before, each summed up as one vector. The defaults are those of
    torchaudio's ``emformer_rnnt_base``.
    """

    segment_frames: int = Field(4, ge=1)
    left_context_frames: int = Field(30, ge=0)
    right_context_frames: int = Field(1, ge=0)
    memory_segments: int = Field(0, ge=0)
