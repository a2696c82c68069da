"""Settings of supernets: one training run, encoders of several sizes."""

from itertools import pairwise
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from tuneprune.config.settings import Fraction, Settings

SelectorKind = Literal[
    "simple_top_k", "zero_out", "ortho_softmax", "magnitude", "random", "early_exit"
]
_BY_ROUNDS = ("simple_top_k", "zero_out", "magnitude", "random")
_LEARNED = ("simple_top_k", "zero_out", "ortho_softmax")
_OWN = {
    "simple_top_k": ("soft",),
    "zero_out": ("initial_score", "first_iteration", "sparsity_weight", "zero_value"),
    "ortho_softmax": ("temperature", "final_temperature", "orthogonality_weight"),
}
"""Settings that one kind of selector alone has."""


class SelectorConfig(Settings):
    """How step 1 finds out which modules subnets keep (Xu et al., arXiv 2407.18930, 2501.18895).

    ``simple_top_k``: a score a module, relaxed top-k of shrinking k. ``zero_out``: a sigmoid gate
    a module and a sparsity term; the smallest gates are closed at the end of each iteration.
    ``ortho_softmax``: a softmax over modules for each rank; a size drawn for each step.
    Baselines: ``magnitude``, the mean size of a module's weights; ``random``, an order drawn from
    the seed; ``early_exit``, the first blocks.
    """

    kind: SelectorKind = "simple_top_k"
    iterations: int | None = Field(
        None, ge=1, description="equal shrinkings of the subnet in step 1; default: 8"
    )
    first_iteration: Fraction | None = Field(
        None, description="zero_out: share of training; default: as the others"
    )
    initial_score: float = Field(10.0, description="zero_out: of all gates, before the sigmoid")
    soft: bool = Field(
        False, description="simple_top_k: multiply by the relaxed top-k itself, not by 0 and 1"
    )
    sparsity_weight: float = Field(5.0, ge=0, description="zero_out: of the sparsity term")
    zero_value: float = Field(-5.0, description="zero_out: what a closed gate is set to")
    temperature: float = Field(1.0, gt=0, description="ortho_softmax: at first")
    final_temperature: float = Field(0.1, gt=0, description="ortho_softmax: at the switch")
    orthogonality_weight: float = Field(1.0, ge=0, description="ortho_softmax: of its penalty")
    score_lr_scale: float = Field(
        1.0, gt=0, description="learning rate of the scores by that of the model"
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        for name in {one for names in _OWN.values() for one in names}:
            owners = [kind for kind, names in _OWN.items() if name in names]
            self._check_effect(name, owners)
        self._check_effect("iterations", _BY_ROUNDS)
        self._check_effect("score_lr_scale", _LEARNED)
        for name in ("first_iteration", "zero_value"):
            if self.iterations == 1 and getattr(self, name) != self._default(name):
                raise ValueError(f"{name} has no effect with iterations: 1; leave it out")
        return self

    def _check_effect(self, name: str, kinds: tuple[str, ...] | list[str]) -> None:
        if self.kind not in kinds and getattr(self, name) != self._default(name):
            raise ValueError(f"{name} has no effect on kind: {self.kind}; leave it out")

    @staticmethod
    def _default(name: str) -> object:
        return SelectorConfig.model_fields[name].default

    @property
    def num_iterations(self) -> int:
        """How often the subnet shrinks, as ``iterations`` says or by default."""
        return self.iterations or 8


class SupernetConfig(Settings):
    """A supernet and its subnets, trained together from scratch (Xu et al., arXiv 2407.18930).

    Until ``select_until``, supernet and one shrinking subnet are trained, and which modules a
    subnet keeps is learned. From there on the masks are fixed, and each step trains the supernet,
    the smallest subnet and one of the others, each with an output layer of its own.
    """

    method: Literal["supernet"]
    subnets: tuple[Annotated[float, Field(gt=0)], ...] = Field(
        min_length=1, description="modules kept, or with another budget shares of what all cost"
    )
    budget: Literal["layers", "params", "multiply_adds"] = "layers"
    selector: SelectorConfig = SelectorConfig()
    select_until: Annotated[float, Field(ge=0, lt=1)] | None = Field(
        None,
        description="where masks are fixed, a share of training; default: 0.6, early_exit: 0",
    )
    supernet_loss_weight: float = Field(1.0, gt=0)
    subnet_loss_weight: float = Field(0.3, gt=0)
    select_layer_dropout: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.0, description="until select_until: of supernet modules outside the subnet"
    )
    train_layer_dropout: Annotated[float, Field(ge=0, lt=1)] | None = Field(
        None,
        description="from there on: of supernet modules outside the smallest subnet; default: "
        "0.3, early_exit: 0",
    )
    networks_per_step: Literal["sandwich", "all"] = Field(
        "sandwich", description="largest, smallest and a random one; or all"
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if any(a <= b for a, b in pairwise(self.subnets)):
            raise ValueError("subnets must be listed from large to small, none of them twice")
        if self.budget == "layers" and any(size % 1 for size in self.subnets):
            raise ValueError("subnets must be whole numbers of modules with budget: layers")
        if self.budget != "layers" and self.subnets[0] >= 1:
            raise ValueError(f"subnets must be shares below 1 with budget: {self.budget}")
        kind, first = self.selector.kind, self.selector.first_iteration
        if kind == "early_exit" and self.budget != "layers":
            raise ValueError("selector.kind: early_exit goes with budget: layers only")
        if kind == "early_exit" and self.switch_at:
            raise ValueError("selector.kind: early_exit has nothing to learn; set select_until: 0")
        if kind in _LEARNED and not self.switch_at:
            raise ValueError(f"selector.kind: {kind} must learn; set select_until above 0")
        if first is not None and not 0 < first < self.switch_at:
            raise ValueError("selector.first_iteration must be between 0 and select_until")
        if self.select_layer_dropout and not self.switch_at:
            raise ValueError("select_layer_dropout has no effect with select_until: 0")
        if self.selector.iterations is not None and not self.switch_at:
            raise ValueError("selector.iterations has no effect with select_until: 0")
        if self.networks_per_step == "all" and len(self.subnets) < 3:
            raise ValueError("networks_per_step: all has no effect with fewer than 3 subnets")
        return self

    @property
    def switch_at(self) -> float:
        """Where step 2 begins, as ``select_until`` says or by default."""
        if self.select_until is not None:
            return self.select_until
        return 0.0 if self.selector.kind == "early_exit" else 0.6

    @property
    def has_rounds(self) -> bool:
        """Whether the subnet of step 1 shrinks in iterations."""
        return bool(self.switch_at) and self.selector.kind in _BY_ROUNDS

    @property
    def joint_layer_dropout(self) -> float:
        """Layer dropout of step 2, as ``train_layer_dropout`` says or by default."""
        if self.train_layer_dropout is not None:
            return self.train_layer_dropout
        return 0.0 if self.selector.kind == "early_exit" else 0.3
