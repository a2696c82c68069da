"""The typed, frozen configuration of one run: read, checked and fingerprinted here.

It knows ranges and combinations; what the settings do is said by the parts they configure.
"""

import difflib
import hashlib
import json
import types
import typing
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import pydantic
import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    field_validator,
    model_validator,
)

from tuneprune.errors import ConfigError
from tuneprune.yaml_files import read_settings, read_yaml

Fraction = Annotated[float, Field(ge=0, le=1)]
AtLeastOne = Annotated[float, Field(ge=1)]
OpenFraction = Annotated[float, Field(gt=0, lt=1)]
SpeakingRate = Annotated[int, Field(ge=80, le=450)]  # espeak-ng clips others in silence
Pitch = Annotated[int, Field(ge=0, le=99)]
GROWTH_NOISE = 0.05
EventTimes = Annotated[
    Annotated[OpenFraction, Tag("one")] | Annotated[tuple[OpenFraction, ...], Tag("several")],
    Discriminator(lambda value: "several" if isinstance(value, list | tuple) else "one"),
]
ModuleKind = Literal["ff1", "mhsa", "conv", "ff2", "cgmlp"]
PassiveScorer = Literal["magnitude", "gradient", "taylor"]


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class SynthesisConfig(_Settings):
    """A spoken corpus made on the spot with espeak-ng; the same settings give the same bytes."""

    words: tuple[str, ...] = (
        "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine",
    )  # fmt: skip
    words_per_utterance: tuple[int, int] = (3, 6)
    train_utterances: int = Field(240, ge=1)
    dev_utterances: int = Field(60, ge=1)
    test_utterances: int = Field(60, ge=1)
    voices: tuple[str, ...] = (
        "en+f1", "en+f2", "en+m1", "en+f3", "en+m3", "en+f4",
        "en+m4", "en-us+m7", "en-us+f5", "en-us+m8", "en-gb-x-rp+steph", "en-gb-x-rp+klatt4",
    )  # fmt: skip
    rates_wpm: tuple[SpeakingRate, ...] = (150, 175, 200)
    pitches: tuple[Pitch, ...] = (40, 50, 60)
    snr_db: tuple[float, ...] = (30.0, 20.0, 15.0)
    sample_rate_hz: int = Field(16_000, ge=8_000)
    seed: int = Field(0, ge=0)

    @model_validator(mode="after")
    def _check(self) -> Self:
        low, high = self.words_per_utterance
        if not 1 <= low <= high:
            raise ValueError("words_per_utterance must be [low, high] with 1 <= low <= high")
        if len(self.voices) < 3:
            raise ValueError("voices must name at least 3, one for each split")
        if not (self.words and self.rates_wpm and self.pitches and self.snr_db):
            raise ValueError("words, rates_wpm, pitches and snr_db must not be empty")
        return self


class CorpusConfig(_Settings):
    """Where the utterances are. With ``synthesis``, the folder is made if it is not there."""

    path: Path
    synthesis: SynthesisConfig | None = None
    train_split: str = "train"
    dev_split: str = "dev"
    test_split: str = "test"

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len({self.train_split, self.dev_split, self.test_split}) < 3:
            raise ValueError("train_split, dev_split and test_split must be three different splits")
        return self


class SpecAugmentConfig(_Settings):
    """Masks on the features (Park et al. 2019), drawn anew for every utterance and epoch.

    The number of time masks is drawn from ``min_time_masks .. max_time_masks``, but at most one in
    ``frames_per_time_mask`` frames (in a short utterance so many, and no fewer than the least);
    widths are drawn from ``0 .. max``.
    """

    min_time_masks: int = Field(0, ge=0)
    max_time_masks: int = Field(20, ge=0)
    max_time_width_frames: int = Field(20, ge=0)
    frames_per_time_mask: int = Field(25, ge=1)
    min_bin_masks: int = Field(0, ge=0)
    max_bin_masks: int = Field(5, ge=0)
    max_bin_width: int = Field(8, ge=0)

    @model_validator(mode="after")
    def _check(self) -> Self:
        for what in ("time", "bin"):
            low, high = getattr(self, f"min_{what}_masks"), getattr(self, f"max_{what}_masks")
            if low > high:
                raise ValueError(f"min_{what}_masks ({low}) must not be above the most ({high})")
        return self


class FeaturesConfig(_Settings):
    """Log-mel features. Computed once for a corpus, then memory-mapped."""

    sample_rate_hz: int = Field(16_000, ge=8_000)
    num_bins: int = Field(80, ge=1)
    window_ms: float = Field(25.0, gt=0)
    hop_ms: float = Field(10.0, gt=0)
    min_hz: float = Field(60.0, ge=0)
    max_hz: float = Field(7600.0, gt=0)
    normalise: Literal["none", "mean", "mean_variance"] = "mean_variance"
    speed_factors: tuple[float, ...] = (1.0,)
    spec_augment: SpecAugmentConfig | None = SpecAugmentConfig()

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.speed_factors or not all(0.5 <= f <= 2 for f in self.speed_factors):
            raise ValueError("speed_factors must hold at least one factor, each in [0.5, 2]")
        if len(set(self.speed_factors)) != len(self.speed_factors):
            raise ValueError("speed_factors must not repeat a factor")
        if self.normalise == "none" and self.spec_augment is not None:
            raise ValueError(
                "spec_augment must be null when normalise is 'none': its masks are zeros, which "
                "are the mean of normalised features only"
            )
        if self.min_hz >= min(self.max_hz, self.sample_rate_hz / 2):
            raise ValueError("min_hz must be below max_hz and below half the sample rate")
        return self


class TextConfig(_Settings):
    """Labels of the recogniser: characters, or the phonemes of a lexicon file."""

    unit: Literal["characters", "phonemes"] = "characters"
    lexicon: Path | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.unit == "phonemes") != (self.lexicon is not None):
            raise ValueError("lexicon must be given exactly when unit is 'phonemes'")
        return self


class FrontendConfig(_Settings):
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


class ModelConfig(_Settings):
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


class OptimConfig(_Settings):
    """AdamW under a linear three-leg one-cycle learning rate."""

    peak_lr: float = Field(4e-4, gt=0)
    start_lr_fraction: Fraction = 0.01
    middle_lr_fraction: Fraction = 0.01
    final_lr: float = Field(1e-8, ge=0)
    legs: tuple[Fraction, Fraction, Fraction] = (0.45, 0.45, 0.10)
    betas: tuple[OpenFraction, OpenFraction] = (0.9, 0.999)
    eps: float = Field(1e-16, gt=0)
    weight_decay: float = Field(1e-3, ge=0)
    clip_grad_norm: float | None = Field(None, gt=0)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if abs(sum(self.legs) - 1) > 1e-6:
            raise ValueError("legs are shares of training and must sum to 1")
        return self


class TrainingConfig(_Settings):
    """How long, on how much at a time, and how often the run looks up."""

    epochs: int = Field(30, ge=1)
    batch_frames: int = Field(15_000, ge=1, description="padded frames a step, all workers")
    max_batch_utterances: int = Field(128, ge=1)
    accumulate: int = Field(
        1,
        ge=1,
        description="micro-batches a step; but for dropout and batch norm, the step is the same",
    )
    precision: Literal["float32", "bfloat16"] = "float32"
    workers: int = Field(1, ge=1, description="data-parallel processes")
    num_threads: int = Field(1, ge=1, description="CPU threads a worker")
    evaluate_every: float = Field(0.05, gt=0, le=1, description="fraction of training")
    log_every_steps: int = Field(10, ge=1)


class NoAdaptation(_Settings):
    """The baseline: the architecture stays as it is."""

    method: Literal["none"] = "none"


class GrowDropConfig(_Settings):
    """Grow-and-drop (DMAO, arXiv 2506.13180): when, how much, by which score, and how.

    ``at`` is one fraction of training, the time of the last of ``iterations`` evenly spaced
    events, or a list of them; ``at_steps`` are steps instead. ``delta`` is shared out evenly.
    Floors and caps are shares of what a module, or a layer, holds at the start.
    """

    method: Literal["grow_drop"]
    at: EventTimes | None = None
    at_steps: tuple[Annotated[int, Field(ge=1)], ...] | None = None
    iterations: int = Field(1, ge=1, description="evenly spaced events up to a single `at`")
    delta: float = Field(ge=0, lt=0.5, description="share of the prunable cost, all events")
    scorer: Literal["magnitude", "gradient", "taylor", "learnable"]
    watch: tuple[PassiveScorer, ...] = Field(
        ("magnitude", "gradient", "taylor"), description="scores recorded beside the deciding one"
    )
    scored_tensors: Literal["representative", "all"] = "representative"
    score_reduction: Literal["mean", "sum"] = "mean"
    score_every_steps: int = Field(10, ge=1)
    new_score_weight: float = Field(0.9, gt=0, le=1)
    gate_lr_scale: float | None = Field(
        None, gt=0, description="learning rate of learnable scores by the model's; default: 1"
    )
    budget: Literal["strict", "reference"] = "strict"
    cost: Literal["exact", "module_share", "multiply_adds"] = "exact"
    module_floor: Fraction = 0.0
    module_cap: AtLeastOne | None = None
    layer_floor: Fraction = 0.0
    layer_cap: AtLeastOne | None = None
    new_groups: Literal["copy", "split", "random"] = "copy"
    growth_noise: float | None = Field(
        None,
        ge=0,
        description="on copied or split groups, by the root mean square of each slice; default: "
        "0.05, since a convolution slice with 0 (as published) stays a copy for ever",
    )
    optimizer_state: Literal["copy", "slice", "reset"] | None = Field(
        None,
        description="new groups inherit it; or begin without momentum; or all of a changed tensor "
        "is forgotten; default: copy, and slice for random groups",
    )
    rewarm: Fraction = Field(
        0.0, description="share of training over which the rate climbs back after an event"
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        self._check_times()
        if self.budget == "strict" and self.cost == "module_share":
            raise ValueError(
                "cost: module_share goes with budget: reference only; a strict budget counts the "
                "parameters that really come and go (cost: exact)"
            )
        if self.gate_lr_scale is not None and self.scorer != "learnable":
            raise ValueError("gate_lr_scale has no effect without scorer: learnable; leave it out")
        if self.new_groups == "random":
            if self.growth_noise is not None:
                raise ValueError("growth_noise has no effect on new_groups: random; leave it out")
            if self.optimizer_state == "copy":
                raise ValueError("optimizer_state: copy has nothing to copy for random new_groups")
        self._check_scoring()
        if len(set(self.watch)) != len(self.watch):
            raise ValueError("watch must not name a scorer twice")
        return self

    def _check_times(self) -> None:
        if (self.at is None) == (self.at_steps is None):
            raise ValueError("exactly one of at and at_steps must be given")
        listed = self.at if isinstance(self.at, tuple) else self.at_steps
        if listed is None:
            return
        if not listed or any(a >= b for a, b in pairwise(listed)):
            raise ValueError("times of events must be listed in rising order")
        if self.iterations != 1:
            raise ValueError("iterations goes with a single at; a list says how many there are")

    def _check_scoring(self) -> None:
        if self.scorer != "learnable" or self.watch:
            return
        for name in ("scored_tensors", "score_reduction", "score_every_steps", "new_score_weight"):
            if getattr(self, name) != GrowDropConfig.model_fields[name].default:
                remedy = "has no effect on scorer: learnable with no other score watched"
                raise ValueError(f"{name} {remedy}; leave it out")

    @property
    def noise(self) -> float:
        """Noise on new groups, as ``growth_noise`` says or by default."""
        if self.new_groups == "random":
            return 0.0
        return GROWTH_NOISE if self.growth_noise is None else self.growth_noise

    @property
    def state_rule(self) -> Literal["copy", "slice", "reset"]:
        """What happens to optimizer state, as ``optimizer_state`` says or by default."""
        return self.optimizer_state or ("slice" if self.new_groups == "random" else "copy")

    @property
    def num_events(self) -> int:
        listed = self.at if isinstance(self.at, tuple) else self.at_steps
        return self.iterations if listed is None else len(listed)


METHODS: dict[str, type[_Settings]] = {"none": NoAdaptation, "grow_drop": GrowDropConfig}
Adaptation = Annotated[NoAdaptation | GrowDropConfig, Field(discriminator="method")]


class RunConfig(_Settings):
    """Everything that determines one training run."""

    corpus: CorpusConfig
    features: FeaturesConfig = FeaturesConfig()
    text: TextConfig = TextConfig()
    model: ModelConfig = ModelConfig()
    optim: OptimConfig = OptimConfig()
    training: TrainingConfig = TrainingConfig()
    adaptation: Adaptation = NoAdaptation()
    seed: int = Field(1, ge=0, lt=2**31)

    def fingerprint(self) -> str:
        """Return a hash of all settings: 16 hex digits, the same on every machine."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def read_run_settings(path: Path, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Read a run's YAML, or the ``base`` of a search space, with ``--set`` overrides applied.

    Raises:
        ConfigError: the file can not be read, or an override makes no sense.
    """
    settings = read_settings(path)
    base = settings.get("base", settings)
    if not isinstance(base, dict):
        raise ConfigError("base", base, "must hold the settings of a run")
    return with_overrides(base, overrides)


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


def build_config(settings: Mapping[str, Any]) -> RunConfig:
    """Check a tree of settings and freeze it.

    Raises:
        ConfigError: the first thing wrong, naming field, value and what is allowed.
    """
    try:
        return RunConfig.model_validate(settings)
    except pydantic.ValidationError as error:
        raise as_config_error(error, RunConfig) from None


def with_overrides(settings: Mapping[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """Return a copy of ``settings`` with every ``a.b=value`` applied; values are YAML.

    Raises:
        ConfigError: an override without ``=``, or a path through something with no keys.
    """
    result = dict(settings)
    for override in overrides:
        path, equals, text = override.partition("=")
        if not equals or not path:
            raise ConfigError("--set", override, "must read dotted.path=value")
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError:
            raise ConfigError("--set", override, "has a value that is not YAML") from None
        result = with_value(result, path, value)
    return result


def with_value(settings: Mapping[str, Any], path: str, value: Any) -> dict[str, Any]:
    """Return a copy of ``settings`` with the field at the dotted ``path`` replaced."""
    head, _, rest = path.partition(".")
    result = dict(settings)
    if not rest:
        result[head] = value
        return result
    below = result.get(head)
    if below is None:
        below = {}
    if not isinstance(below, Mapping):
        raise ConfigError(path, value, f"can not be set, because {head} holds a single value")
    result[head] = with_value(below, rest, value)
    return result


def as_config_error(error: pydantic.ValidationError, root: type[BaseModel]) -> ConfigError:
    """Turn pydantic's report into one line: the first problem, with a remedy."""
    problem = error.errors(include_url=False)[0]
    location = _without_tags(problem["loc"])
    field = ".".join(str(part) for part in location) or "settings"
    value, kind = problem["input"], problem["type"]
    if kind == "missing":
        return ConfigError(field, None, "must be given; it has no default")
    if kind == "extra_forbidden":
        return ConfigError(field, value, _nearest_key(problem["loc"], root))
    methods = " or ".join(repr(method) for method in METHODS)
    if kind == "union_tag_not_found":
        return ConfigError(f"{field}.method", None, f"must be given: {methods}")
    if kind == "union_tag_invalid":
        got = value.get("method") if isinstance(value, Mapping) else value
        return ConfigError(f"{field}.method", got, f"must be {methods}")
    if kind == "value_error":
        shown = value if not isinstance(value, Mapping) else dict(value)
        message = problem["msg"].removeprefix("Value error, ")
        return ConfigError(field, shown, message)
    message = problem["msg"].replace("Input should be", "must be")
    return ConfigError(field, value, message[0].lower() + message[1:])


def _without_tags(location: Sequence[int | str]) -> list[int | str]:
    """Leave out which member of a union was meant, which pydantic puts behind the field."""
    tags = {"adaptation": METHODS.keys(), "at": {"one", "several"}}
    return [
        part
        for index, part in enumerate(location)
        if not (index and part in tags.get(str(location[index - 1]), ()))
    ]


def _nearest_key(location: Sequence[int | str], root: type[BaseModel]) -> str:
    known = sorted(_fields_at(root, location[:-1]))
    close = difflib.get_close_matches(str(location[-1]), known, n=1)
    hint = f"did you mean {close[0]}?" if close else f"known here: {', '.join(known)}"
    return f"is not a setting; {hint}"


def _fields_at(root: type[BaseModel], location: Sequence[int | str]) -> set[str]:
    """Return the names of the fields of the model that stands at a location."""
    models = [root]
    for part in location:
        if part in METHODS and METHODS[str(part)] in models:
            models = [METHODS[str(part)]]
        else:
            models = [
                below
                for model in models
                if part in model.model_fields
                for below in _models_in(model.model_fields[str(part)].annotation)
            ]
    return {name for model in models for name in model.model_fields}


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if typing.get_origin(annotation) in (typing.Union, types.UnionType, Annotated):
        return [m for part in typing.get_args(annotation) for m in _models_in(part)]
    return []
