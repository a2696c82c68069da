"""Settings of the recogniser's architecture."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from tuneprune.config.settings import Settings
from tuneprune.config.stacking import StackingConfig
from tuneprune.config.transducer import EmformerConfig, TransducerConfig
from tuneprune.errors import ConfigError
from tuneprune.yaml_files import read_yaml

ModuleKind = Literal["ff1", "mhsa", "conv", "ff2", "cgmlp"]


class FrontendConfig(Settings):
    """Subsampling front-end: time / 4.

    ``vgg``: four 3x3 convolutions, two max-pools over time (i6_models). ``strided``: two 3x3
    convolutions of stride 2 over time and bins, about fifty times cheaper, for small models.
    ``stacked``: no convolution; four frames, each through one linear map, side by side, so that
    nothing is looked at but what has been heard.
    """

    kind: Literal["vgg", "strided", "stacked"] = "vgg"
    channels: tuple[int, ...] = (32, 64, 64, 32)

    @model_validator(mode="after")
    def _check(self) -> Self:
        need = {"vgg": 4, "strided": 2, "stacked": 0}[self.kind]
        if len(self.channels) != need or any(channels < 1 for channels in self.channels):
            wanted = f"{need} positive numbers" if need else "[]"
            raise ValueError(f"channels must be {wanted} for kind '{self.kind}'")
        return self


class ModelConfig(Settings):
    """An encoder with a width of its own for every module, under CTC or a transducer.

    ``conformer``: modules one after the other in ``module_order``. ``e_branchformer``: attention
    and convolutional gating (cgMLP) side by side, merged, between two feed-forward modules.
    ``emformer``: torchaudio's streaming encoder, of one width and without groups, under a
    transducer. Without ``transducer`` the output is that of CTC.
    ``allocation`` gives each module of each block its number of groups; a path to a YAML or JSON
    file that holds ``blocks: [{ff1: 4, ...}, ...]`` is read when the configuration is made.

    With ``causal``, nothing after the four frames of features that an encoder frame stands for is
    looked at: filters over time and front-ends are padded on the left alone, attention sees frames
    up to the present one, and ``conv_norm: group`` takes its statistics over the channels of a
    slice in one frame. That goes for every front-end: ``stacked`` and ``strided`` look no further
    anyway, and ``vgg`` looks back instead of ahead. Only ``features.normalise``, which is none of
    the model's, still looks at whole utterances.
    """

    encoder: Literal["conformer", "e_branchformer", "emformer"] = "conformer"
    d_model: int = Field(384, ge=1)
    num_blocks: int = Field(12, ge=1)
    head_dim: int = Field(64, ge=1)
    num_heads: int | None = Field(None, ge=1, description="default: d_model / head_dim")
    positions: Literal["none", "relative"] = "none"
    ffn_dim: int | None = Field(None, ge=1, description="default: 4 * d_model")
    conv_channels: int | None = Field(None, ge=1, description="conformer; default: d_model")
    cgmlp_dim: int | None = Field(
        None, ge=2, description="e_branchformer, both halves; default: 6 * d_model"
    )
    conv_kernel: int = Field(31, ge=1)
    conv_norm: Literal["layer", "batch", "group"] = "layer"
    causal: bool = Field(False, description="conformer; no frame depends on later ones")
    left_context_frames: int | None = Field(
        None, ge=1, description="causal; frames of a block that attention looks back; default: all"
    )
    stacking: StackingConfig | None = Field(
        None, description="conformer; default: one frame rate in all blocks"
    )
    merge_kernel: int | None = Field(None, ge=1, description="e_branchformer; default: 31")
    slices_per_module: int = Field(4, ge=1)
    module_order: tuple[ModuleKind, ModuleKind, ModuleKind, ModuleKind] | None = Field(
        None, description="conformer; default: ff1, conv, mhsa, ff2"
    )
    frontend: FrontendConfig = FrontendConfig()
    dropout: float = Field(0.1, ge=0, lt=1)
    attention_dropout: float = Field(0.1, ge=0, lt=1)
    output_dropout: float = Field(0.0, ge=0, lt=1, description="before the output layer")
    scale_dropout_by_width: bool = True
    allocation: tuple[dict[ModuleKind, Annotated[int, Field(ge=0)]], ...] | None = None
    start_from: Path | None = Field(
        None, description="checkpoint whose weights, allocation and labels a run begins with"
    )
    transducer: TransducerConfig | None = Field(None, description="default: CTC")
    emformer: EmformerConfig | None = Field(
        None, description="emformer; default: that of emformer_rnnt_base"
    )

    @field_validator("allocation", mode="before")
    @classmethod
    def _read_allocation(cls, value: object) -> object:
        return _allocation_blocks(value)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.num_heads is None and self.d_model % self.head_dim:
            raise ValueError("d_model must be a multiple of head_dim, or num_heads must be given")
        for name in ("conv_kernel", "merge_kernel"):
            if (getattr(self, name) or 1) % 2 == 0 and not self.causal:
                raise ValueError(f"{name} must be odd, so that frames stay aligned")
        self._check_encoder()
        if self.encoder == "emformer":
            return self
        for name, width in self._divided():
            if width % self.slices_per_module:
                raise ValueError(f"{name} ({width}) must be a multiple of slices_per_module")
        self._check_allocation()
        return self

    def _check_encoder(self) -> None:
        for name in _WITHOUT_EFFECT[self.encoder]:
            if getattr(self, name) != ModelConfig.model_fields[name].default:
                raise ValueError(f"{name} has no effect on encoder '{self.encoder}'; leave it out")
        if self.frontend.kind == "stacked" and self.d_model % 4:
            raise ValueError("d_model must be a multiple of 4, the frames that are stacked")
        if self.encoder == "emformer":
            self._check_emformer()
        if self.encoder == "conformer" and sorted(self.kinds) != ["conv", "ff1", "ff2", "mhsa"]:
            raise ValueError("module_order must name ff1, conv, mhsa and ff2 once each")
        if (self.cgmlp_dim or 0) % 2:
            raise ValueError("cgmlp_dim must be even: it is two halves")
        if self.left_context_frames is not None and not self.causal:
            raise ValueError("left_context_frames has no effect without causal: true; leave it out")
        if self.stacking is not None and self.stacking.after_block >= self.num_blocks:
            found, most = self.stacking.after_block, self.num_blocks
            raise ValueError(f"stacking.after_block ({found}) must be below num_blocks ({most})")

    def _check_emformer(self) -> None:
        if self.transducer is None:
            raise ValueError("encoder 'emformer' needs transducer; give it, {} for its defaults")
        if self.frontend.kind != "stacked":
            raise ValueError(
                "encoder 'emformer' needs frontend {kind: stacked, channels: []}: convolutions "
                "would look at what has not been heard"
            )
        if self.d_model % self.heads:
            raise ValueError("d_model must be a multiple of num_heads for encoder 'emformer'")

    def _check_allocation(self) -> None:
        if self.allocation is None:
            return
        if self.start_from is not None:
            raise ValueError("allocation has no effect with start_from, which has its own")
        if len(self.allocation) != self.num_blocks:
            found = len(self.allocation)
            raise ValueError(f"allocation has {found} blocks, num_blocks is {self.num_blocks}")
        for layer, block in enumerate(self.allocation):
            if sorted(block) != sorted(self.kinds):
                need, found_kinds = ", ".join(self.kinds), ", ".join(block)
                raise ValueError(f"allocation.blocks[{layer}] must name {need}; got {found_kinds}")

    def _divided(self) -> tuple[tuple[str, int], ...]:
        if self.encoder == "conformer":
            return ("ffn_dim", self.ffn_width), ("conv_channels", self.conv_width)
        return ("ffn_dim", self.ffn_width), ("half of cgmlp_dim", self.cgmlp_width)

    @property
    def kinds(self) -> tuple[ModuleKind, ...]:
        """Kinds of module of a block, in the order of the forward pass; none of an Emformer."""
        if self.encoder == "emformer":
            return ()
        if self.encoder == "e_branchformer":
            return ("ff1", "mhsa", "cgmlp", "ff2")
        return self.module_order or ("ff1", "conv", "mhsa", "ff2")

    @property
    def frames_joined(self) -> int:
        """How many frames of the front-end make one of those that leave the encoder."""
        return 1 if self.stacking is None else self.stacking.factor

    @property
    def heads(self) -> int:
        return self.num_heads if self.num_heads is not None else self.d_model // self.head_dim

    @property
    def ffn_width(self) -> int:
        return self.ffn_dim if self.ffn_dim is not None else 4 * self.d_model

    @property
    def conv_width(self) -> int:
        return self.conv_channels if self.conv_channels is not None else self.d_model

    @property
    def cgmlp_width(self) -> int:
        """Units of each half of the convolutional gating unit."""
        return (self.cgmlp_dim if self.cgmlp_dim is not None else 6 * self.d_model) // 2

    @property
    def ffn_slice(self) -> int:
        return self.ffn_width // self.slices_per_module

    @property
    def conv_slice(self) -> int:
        return self.conv_width // self.slices_per_module

    @property
    def cgmlp_slice(self) -> int:
        return self.cgmlp_width // self.slices_per_module


_SLICED = (
    "positions",
    "conv_kernel",
    "conv_norm",
    "slices_per_module",
    "attention_dropout",
    "output_dropout",
    "scale_dropout_by_width",
    "allocation",
)
_CONFORMER = ("conv_channels", "module_order", "causal", "left_context_frames", "stacking")
_WITHOUT_EFFECT = {
    "conformer": ("cgmlp_dim", "merge_kernel", "emformer"),
    "e_branchformer": (*_CONFORMER, "emformer"),
    "emformer": ("cgmlp_dim", "merge_kernel", *_CONFORMER, *_SLICED),
}


def _allocation_blocks(value: object) -> object:
    """Return the ``blocks`` of an allocation, read from its file if ``value`` is a path."""
    if isinstance(value, str | Path):
        try:
            value = read_yaml(Path(value))  # JSON is YAML too
        except ConfigError as error:
            raise ValueError(f"allocation file {error.remedy}") from None
    if isinstance(value, Mapping):
        value = value.get("blocks")
        if value is None:
            raise ValueError("must hold blocks, a list with the groups of every kind of module")
    return value
