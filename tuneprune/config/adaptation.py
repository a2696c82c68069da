"""Settings of the methods that change an architecture while it trains."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, JsonValue, Tag, model_validator

from tuneprune.config.adaptive_mask import AdaptiveMaskConfig
from tuneprune.config.names import one_of
from tuneprune.config.settings import AtLeastOne, Fraction, OpenFraction, Settings
from tuneprune.config.supernet import SupernetConfig
from tuneprune.plugins import is_plugin

GROWTH_NOISE = 0.05
EventTimes = Annotated[
    Annotated[OpenFraction, Tag("one")] | Annotated[tuple[OpenFraction, ...], Tag("several")],
    Discriminator(lambda value: "several" if isinstance(value, list | tuple) else "one"),
]
LEARNABLE = "learnable"
PASSIVE_SCORERS = ("magnitude", "gradient", "taylor")


PassiveScorer = Annotated[str, one_of(*PASSIVE_SCORERS)]
AnyScorer = Annotated[str, one_of(*PASSIVE_SCORERS, LEARNABLE)]


class NoAdaptation(Settings):
    """The baseline: the architecture stays as it is."""

    method: Literal["none"] = "none"


class GrowDropConfig(Settings):
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
    scorer: AnyScorer = Field(description="by which groups are ranked, also module:Class")
    watch: tuple[PassiveScorer, ...] = Field(
        PASSIVE_SCORERS, description="scores recorded beside the deciding one, also module:Class"
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
        if self.gate_lr_scale is not None and self.scorer != LEARNABLE:
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
        if self.scorer != LEARNABLE or self.watch:
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


class PluginMethod(Settings):
    """A method of somebody else; what it must offer is `adaptation.plugin.AdaptationMethod`.

    Its settings are checked by itself, before training begins.
    """

    method: str
    settings: dict[str, JsonValue] = Field(default_factory=dict)


METHODS: dict[str, type[Settings]] = {
    "none": NoAdaptation,
    "grow_drop": GrowDropConfig,
    "adaptive_mask": AdaptiveMaskConfig,
    "supernet": SupernetConfig,
    "module:Class": PluginMethod,
}


def _method_of(value: Any) -> str | None:
    """Return the key in ``METHODS`` of what is given; None if it names no method."""
    found = value.get("method") if isinstance(value, Mapping) else getattr(value, "method", None)
    if not isinstance(found, str):
        return None
    return "module:Class" if is_plugin(found) else found


Adaptation = Annotated[
    Annotated[NoAdaptation, Tag("none")]
    | Annotated[GrowDropConfig, Tag("grow_drop")]
    | Annotated[AdaptiveMaskConfig, Tag("adaptive_mask")]
    | Annotated[SupernetConfig, Tag("supernet")]
    | Annotated[PluginMethod, Tag("module:Class")],
    Discriminator(_method_of),
]
