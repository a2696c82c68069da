"""Settings of adaptive pruning masks: one mechanism, and published methods as presets of it."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import (
    Field,
    JsonValue,
    SerializationInfo,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

from tuneprune.config.names import one_of
from tuneprune.config.settings import Fraction, OpenFraction, Settings
from tuneprune.plugins import is_plugin

SCHEDULE_KINDS = ("one_shot", "stepwise", "linear", "cubic", "cosine", "exponential")
Sparsity = Annotated[float, Field(ge=0, lt=1)]
Preset = Literal["imp", "lth", "lap", "pathways", "parp", "rigl", "dynamic", "dynamic_pathways"]

_FIXED = {"candidates": "kept", "gradient": "masked"}
_ROUNDS = {"schedule": {"kind": "stepwise", "rounds": 4, "course": "exponential"}}
_ADAPTING = {"gradient": "dense", "adapt_after": 0.5}
PRESETS: Mapping[str, Mapping[str, Any]] = {
    "imp": _FIXED | _ROUNDS,
    "lth": _FIXED | _ROUNDS | {"rewind": True},
    "lap": _FIXED | _ROUNDS | {"scope": "shared"},
    "pathways": _FIXED | {"scope": "language"},
    "parp": {
        "candidates": "all",
        "gradient": "dense",
        "masked_values": "zero",
        "adapt_after": 0.5,
    },
    "rigl": {
        "candidates": "all",
        "gradient": "masked",
        "masked_values": "zero",
        "grow_by": "gradient",
        "adapt_after": 0.5,
        "adapt_until": 0.75,
    },
    "dynamic": _ADAPTING | {"candidates": "all", "scope": "shared"},
    "dynamic_pathways": _ADAPTING | {"candidates": "own_or_free", "scope": "language"},
}
"""What each name stands for; whatever else is given beside it counts before this."""


TO_CHANGE = {"to": "change"}
"""Context of a dump whose settings will be changed: so that another preset gives what is its."""


class SparsityScheduleConfig(Settings):
    """How sparsity rises from ``initial_sparsity`` at ``begin`` to ``sparsity`` at ``end``."""

    kind: Annotated[str, one_of(*SCHEDULE_KINDS)] = "one_shot"
    rounds: int | None = Field(None, ge=1, description="equal rounds of stepwise")
    course: Literal["linear", "cubic", "cosine", "exponential"] | None = Field(
        None, description="which stepwise follows; default: exponential"
    )
    settings: dict[str, JsonValue] = Field(
        default_factory=dict, description="of a schedule that is given as module:Class"
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        stepwise = self.kind == "stepwise"
        if stepwise and self.rounds is None:
            raise ValueError("kind: stepwise needs rounds: how many jumps there are")
        for name in ("rounds", "course"):
            if not stepwise and getattr(self, name) is not None:
                raise ValueError(f"{name} has no effect without kind: stepwise; leave it out")
        if self.settings and not is_plugin(self.kind):
            raise ValueError("settings are for a schedule of module:Class; leave them out")
        return self

    def arguments(self) -> dict[str, Any]:
        """Return what the schedule is made with, beside its ends."""
        if self.kind == "stepwise":
            return {"rounds": self.rounds, "course": self.course or "exponential"}
        return dict(self.settings)


class AdaptiveMaskConfig(Settings):
    """Pruning masks that are decided anew while training goes on (Xie et al., arXiv 2309.13018).

    At ``begin`` masks of ``initial_sparsity`` are made. Rounds of ``prune_every`` follow: where the
    schedule has risen by the end of a round, masks are pruned further, up to ``sparsity`` at
    ``end``; ``adapt_after`` a share of each round, they are decided anew at the same sparsity.
    Times are fractions of training; with a mask a language, rounds are of the language's steps.
    """

    method: Literal["adaptive_mask"]
    preset: Preset | None = Field(None, description="a published method; see the README")
    sparsity: Sparsity = Field(description="share of blocks removed in the end")
    initial_sparsity: Sparsity = Field(0.0, description="share of blocks removed at begin")
    schedule: SparsityScheduleConfig = SparsityScheduleConfig()
    begin: Annotated[float, Field(ge=0, lt=1)] = 0.0
    end: Annotated[float, Field(ge=0, lt=1)] | None = Field(
        None, description="where sparsity is reached; default: begin"
    )
    prune_every: OpenFraction | None = Field(
        None, description="length of a round; default: that of stepwise, else 0.05"
    )
    adapt_after: OpenFraction | None = Field(
        None, description="share of a round after which masks are decided anew; default: never"
    )
    adapt_until: Fraction | None = Field(
        None, description="where that ends; default: end of training"
    )
    weights: tuple[str, ...] | None = Field(
        None, min_length=1, description="patterns of names; default: encoder and predictor"
    )
    blocks: str = Field("8x1", description="ROWSxCOLS that go together, or N:M along a row")
    norm: Literal["l1", "l2"] = "l1"
    ranking: Literal["per_matrix", "global"] = "per_matrix"
    scope: Literal["shared", "language"] = Field("shared", description="language: a mask of each")
    candidates: Literal["kept", "all", "own_or_free"] = Field(
        "all", description="blocks that may be kept: those kept now; all; or those and free ones"
    )
    grow_by: Literal["magnitude", "gradient"] = Field(
        "magnitude", description="gradient: adapt by an exchange of blocks, as RigL does"
    )
    exchange: OpenFraction | None = Field(
        None, description="share that grow_by: gradient exchanges at first; default: 0.3"
    )
    gradient: Literal["dense", "masked"] = Field(
        "dense", description="masked: a step leaves masked weights as they are"
    )
    masked_values: Literal["keep_value", "zero"] = "keep_value"
    moments: Literal["clear", "keep"] = Field(
        "clear", description="of weights that come back into a mask"
    )
    rewind: bool = Field(False, description="each pruning goes back to the weights of begin")
    masks_from: str | dict[str, str] | None = Field(
        None, description="checkpoint with the masks to begin with, or one for each language"
    )

    @field_validator("blocks", mode="before")
    @classmethod
    def _reads(cls, value: object) -> object:
        if isinstance(value, int):  # YAML reads 2:4 as 124
            raise ValueError('must read ROWSxCOLS, or "N:M" in quotes, for example "2:4"')
        return value

    @model_validator(mode="before")
    @classmethod
    def _fill(cls, given: Any) -> Any:
        preset = given.get("preset") if isinstance(given, Mapping) else None
        if not isinstance(preset, str) or preset not in PRESETS:
            return given
        meant = PRESETS[preset]
        filled, schedule = {**meant, **given}, given.get("schedule")
        if isinstance(schedule, Mapping) and "kind" not in schedule:
            filled["schedule"] = {**meant.get("schedule", {}), **schedule}
        return filled

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.initial_sparsity > self.sparsity:
            raise ValueError("initial_sparsity must not be above sparsity")
        self._check_times()
        self._check_effects()
        return self

    def _check_times(self) -> None:
        if self.end is not None and self.end < self.begin:
            raise ValueError("end must not be before begin")
        if self.schedule.kind != "one_shot" and self.last_prune == self.begin:
            raise ValueError(f"schedule: {self.schedule.kind} needs an end that is after begin")
        if self.prune_every is not None and not self.has_rounds:
            remedy = "leave it out, or give adapt_after or a schedule"
            raise ValueError(
                f"prune_every has no effect where nothing is decided in rounds; {remedy}"
            )
        if self.adapt_until is None:
            return
        if self.adapt_after is None:
            raise ValueError("adapt_until has no effect without adapt_after; leave it out")
        if self.adapt_until <= self.begin:
            raise ValueError("adapt_until must be after begin")

    def _check_effects(self) -> None:
        by_gradient = self.grow_by == "gradient"
        if by_gradient and self.adapt_after is None:
            raise ValueError("grow_by: gradient has no effect without adapt_after; give it")
        if by_gradient and (self.scope, self.candidates) != ("shared", "all"):
            raise ValueError("grow_by: gradient goes with scope: shared and candidates: all only")
        if not by_gradient and self.exchange is not None:
            raise ValueError("exchange has no effect without grow_by: gradient; leave it out")
        if self.candidates == "own_or_free" and self.scope != "language":
            raise ValueError("candidates: own_or_free needs scope: language; or set all")
        if self.rewind and self.scope == "language":
            raise ValueError(
                "rewind would undo for all languages what one is pruned for; train each by itself "
                "(corpus.languages), then give masks_from"
            )
        if (self.scope, self.candidates) == ("language", "kept") and self.masks_from is None:
            raise ValueError(
                "candidates: kept would give all languages one mask for good; give masks_from, or "
                "scope: shared"
            )
        if self.candidates == "kept" and self.adapt_after is not None:
            raise ValueError("adapt_after has no effect on candidates: kept; leave it out")
        if isinstance(self.masks_from, dict) and self.scope != "language":
            raise ValueError("masks_from for each language needs scope: language")
        if self.candidates == "kept" and self.moments != "clear":
            raise ValueError("moments: keep has no effect on candidates: kept; leave it out")
        if self.masks_from is not None and self.initial_sparsity:
            raise ValueError("initial_sparsity is that of masks_from; leave it out")
        if self.initial_sparsity and self.last_prune == self.begin:
            raise ValueError("initial_sparsity has no effect without an end that is after begin")

    @model_serializer(mode="wrap")
    def _leave_out(
        self, dump: SerializerFunctionWrapHandler, info: SerializationInfo
    ) -> dict[str, Any]:
        """Return all settings; in context ``TO_CHANGE``, without what the preset gives."""
        settings: dict[str, Any] = dump(self)
        if info.context != TO_CHANGE:
            return settings
        given = _given_by(self.preset)
        return {k: v for k, v in settings.items() if k not in given or getattr(self, k) != given[k]}

    @property
    def last_prune(self) -> float:
        """Where sparsity is reached, as a fraction of training."""
        return self.begin if self.end is None else self.end

    @property
    def has_rounds(self) -> bool:
        """Whether anything is decided beside what is at ``begin`` and at ``end``."""
        return self.adapt_after is not None or self.schedule.kind != "one_shot"

    @property
    def round_length(self) -> float:
        """Length of a round as a fraction of training, as ``prune_every`` says or by default."""
        if self.prune_every is not None:
            return self.prune_every
        if self.schedule.rounds is not None:
            return (self.last_prune - self.begin) / self.schedule.rounds
        return 0.05


def _given_by(preset: str | None) -> dict[str, Any]:
    """Return what a preset gives to each field that some preset gives a value to."""
    fields = AdaptiveMaskConfig.model_fields
    names = sorted({name for one in PRESETS.values() for name in one})
    given = {name: fields[name].default for name in names} | dict(PRESETS.get(preset or "", {}))
    return {**given, "schedule": SparsityScheduleConfig.model_validate(given["schedule"])}
