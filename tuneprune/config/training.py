"""Settings of the optimizer, and of how long and on how much at a time it works."""

from typing import Literal, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from tuneprune.config.settings import Fraction, OpenFraction, Settings


class OptimConfig(Settings):
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


class TrainingConfig(Settings):
    """How long, on how much at a time, and how often the run looks up."""

    epochs: int = Field(30, ge=1)
    batch_frames: int = Field(15_000, ge=1, description="padded frames a step, all workers")
    max_batch_utterances: int = Field(128, ge=1)
    accumulate: int = Field(
        1,
        ge=1,
        description="micro-batches a step; but for dropout and batch norm, the step is the same",
    )
    languages: Literal["mixed", "one_per_batch"] = Field(
        "mixed", description="one_per_batch: each step draws the language of all its utterances"
    )
    language_temperature: float = Field(
        1.0,
        gt=0,
        description="a language is drawn by its share of speech to the power of 1 / temperature",
    )
    precision: Literal["float32", "bfloat16"] = "float32"
    workers: int = Field(1, ge=1, description="data-parallel processes")
    num_threads: int = Field(1, ge=1, description="CPU threads a worker")
    evaluate_every: float = Field(0.05, gt=0, le=1, description="fraction of training")
    log_every_steps: int = Field(10, ge=1)
    keep_checkpoints: tuple[Fraction, ...] = Field(
        (),
        description="fractions of training after which the weights are kept for good, as they are "
        "before an event of that step",
    )
    churn_at: tuple[Fraction, ...] = Field(
        (), description="fractions of training at which it is recorded how far weights have moved"
    )

    @field_validator("keep_checkpoints", "churn_at")
    @classmethod
    def _rise(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if list(value) != sorted(set(value)):
            raise ValueError("must rise, each fraction once")
        return value

    @field_validator("language_temperature")
    @classmethod
    def _has_effect(cls, value: float, others: ValidationInfo) -> float:
        if value != 1 and others.data.get("languages") == "mixed":
            raise ValueError(
                "has no effect with languages: mixed; set one_per_batch, or leave it out"
            )
        return value
