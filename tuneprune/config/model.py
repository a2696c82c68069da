"""Settings of the recogniser's architecture."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from tuneprune.config.settings import Settings
from tuneprune.errors import ConfigError
from tuneprune.yaml_files import read_yaml

ModuleKind = Literal["ff1", "mhsa", "conv", "ff2", "cgmlp"]


class FrontendConfig(Settings):
    """Subsampling front-end: time / 4.

    ``vgg``: four 3x3 convolutions, two max-pools over time (i6_models). ``strided``: two 3x3
    convolutions of stride 2 over time and bins, about fifty times cheaper, for small models.
    """

    kind: Literal["vgg", "strided"] = "vgg"
    channels: tuple[int, ...] = (32, 64, 64, 32)

    @model_validator(mode="after")
    def _check(self) -> Self:
        need = {"vgg": 4, "strided": 2}[self.kind]
        if len(self.channels) != need or min(self.channels) < 1:
            raise ValueError(f"channels must be {need} positive numbers for kind '{self.kind}'")
        return self


class ModelConfig(Settings):
    """A CTC encoder with a width of its own for every module.

    ``conformer``: modules one after the other in ``module_order``. ``e_branchformer``: attention
    and convolutional gating (cgMLP) side by side, merged, between two feed-forward modules.
    ``allocation`` gives each module of each block its number of groups; a path to a YAML or JSON
    file that holds ``blocks: [{ff1: 4, ...}, ...]`` is read when the configuration is made.
    """

    encoder: Literal["conformer", "e_branchformer"] = "conformer"
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

    @field_validator("allocation", mode="before")
    @classmethod
    def _read_allocation(cls, value: object) -> object:
        return _allocation_blocks(value)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.num_heads is None and self.d_model % self.head_dim:
            raise ValueError("d_model must be a multiple of head_dim, or num_heads must be given")
        for name in ("conv_kernel", "merge_kernel"):
            if (getattr(self, name) or 1) % 2 == 0:
                raise ValueError(f"{name} must be odd, so that frames stay aligned")
        self._check_encoder()
        for name, width in self._divided():
            if width % self.slices_per_module:
                raise ValueError(f"{name} ({width}) must be a multiple of slices_per_module")
        self._check_allocation()
        return self

    def _check_encoder(self) -> None:
        others = {
            "conformer": ("cgmlp_dim", "merge_kernel"),
            "e_branchformer": ("conv_channels", "module_order"),
        }[self.encoder]
        for name in others:
            if getattr(self, name) is not None:
                raise ValueError(f"{name} has no effect on encoder '{self.encoder}'; leave it out")
        if self.encoder == "conformer" and sorted(self.kinds) != ["conv", "ff1", "ff2", "mhsa"]:
            raise ValueError("module_order must name ff1, conv, mhsa and ff2 once each")
        if (self.cgmlp_dim or 0) % 2:
            raise ValueError("cgmlp_dim must be even: it is two halves")

    def _check_allocation(self) -> None:
        if self.allocation is None:
            return
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
        """Kinds of module of a block, in the order of the forward pass."""
        if self.encoder == "e_branchformer":
            return ("ff1", "mhsa", "cgmlp", "ff2")
        return self.module_order or ("ff1", "conv", "mhsa", "ff2")

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
