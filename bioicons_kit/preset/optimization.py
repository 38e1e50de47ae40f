"""What a preset says about the optimizer and the course of its learning rate: part of [train]."""

from typing import Literal, Self

from pydantic import Field, model_validator

from bioicons_kit.preset.values import Table, refuse

# Prodigy multiplies the learning rate that it finds by the preset's.
_LEAST_PRODIGY_RATE = 0.1


class Optimization(Table):
    """How the adapter moves; `Train` completes it."""

    steps: int = Field(1000, ge=1, le=1_000_000, description="Optimizer steps.")
    batch_size: int = Field(
        1, ge=1, le=256, description="Pictures in a micro-step, on each process."
    )
    accumulation: int = Field(1, ge=1, le=1024, description="Micro-steps in an optimizer step.")
    learning_rate: float = Field(
        1e-4,
        gt=0,
        le=1,
        description="Highest learning rate; with prodigy, which finds it by itself, a factor of "
        "what it finds: 1.",
    )
    schedule: Literal["constant", "cosine", "linear", "polynomial", "wsd"] = Field(
        "constant",
        description="Course of the learning rate after the warm-up; wsd stays at the highest "
        "until the last part of the steps (decay_share).",
    )
    power: float | None = Field(
        None,
        gt=0,
        le=10,
        description="Exponent of the polynomial schedule: 1 is linear; 2 if absent.",
    )
    decay_share: float | None = Field(
        None,
        gt=0,
        le=1,
        description="Share of the steps in which the wsd schedule falls, at the end; 0.2 if "
        "absent.",
    )
    warmup_steps: int = Field(
        0, ge=0, description="Steps in which the learning rate rises from 0; fewer than steps."
    )
    warmup_share: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="The same as a share of the steps, in place of warmup_steps.",
    )
    optimizer: Literal["adamw", "adamw8bit", "adafactor", "prodigy", "schedule_free"] = Field(
        "adamw",
        description="Update rule: AdamW; AdamW with moments in 8 bits (on CUDA, with "
        "bitsandbytes); Adafactor; Prodigy, which finds the learning rate; schedule-free AdamW, "
        "which needs no schedule.",
    )
    beta1: float | None = Field(
        None,
        ge=0,
        lt=1,
        description="Decay of the mean of gradients; 0.9 if absent. Adafactor keeps none.",
    )
    beta2: float | None = Field(
        None,
        ge=0,
        lt=1,
        description="Decay of the mean of squared gradients; 0.999 if absent. Adafactor's follows "
        "the step.",
    )
    weight_decay: float = Field(0.01, ge=0, le=1, description="Decoupled weight decay.")
    max_grad_norm: float = Field(1.0, gt=0, description="Norm above which the gradient is clipped.")

    @property
    def warmup(self) -> int:
        """The steps of the warm-up, however they are given; fewer than `steps`."""
        if self.warmup_share is None:
            return self.warmup_steps
        return min(round(self.warmup_share * self.steps), self.steps - 1)

    @model_validator(mode="after")
    def _schedule_applies(self) -> Self:
        if self.warmup_share is not None and self.warmup_steps:
            raise refuse(
                "warmup_steps and warmup_share say the same twice; remove one",
                *("warmup_steps", "warmup_share"),
            )
        if self.warmup_steps >= self.steps:
            raise refuse(
                f"warmup_steps = {self.warmup_steps} must be below steps = {self.steps}",
                "warmup_steps",
                "steps",
            )
        for key, schedule in (("power", "polynomial"), ("decay_share", "wsd")):
            if getattr(self, key) is not None and self.schedule != schedule:
                raise refuse(
                    f'{key} is of schedule = "{schedule}", and cannot apply to '
                    f'"{self.schedule}"; remove {key}',
                    *(key, "schedule"),
                )
        if self.schedule == "wsd" and (self.warmup_share or 0) + (self.decay_share or 0.2) > 1:
            raise refuse(
                "warmup_share and decay_share are shares of the steps, and come to more than all "
                "of them",
                *("warmup_share", "decay_share"),
            )
        return self

    @model_validator(mode="after")
    def _optimizer_applies(self) -> Self:
        if self.optimizer == "schedule_free" and self.schedule != "constant":
            raise refuse(
                f'schedule = "{self.schedule}" cannot apply to schedule_free, which averages '
                'instead; set schedule = "constant"',
                *("schedule", "optimizer"),
            )
        if self.optimizer == "schedule_free" and self.beta1 == 0:
            raise refuse(
                "beta1 = 0 cannot apply to schedule_free, whose average it makes",
                *("beta1", "optimizer"),
            )
        if self.optimizer == "prodigy" and self.learning_rate < _LEAST_PRODIGY_RATE:
            raise refuse(
                f"learning_rate = {self.learning_rate:g} cannot apply to prodigy: it is a factor "
                "of the learning rate that prodigy finds; set learning_rate = 1.0",
                *("learning_rate", "optimizer"),
            )
        for key in ("beta1", "beta2"):
            if self.optimizer == "adafactor" and getattr(self, key) is not None:
                raise refuse(f"{key} cannot apply to adafactor; remove {key}", *(key, "optimizer"))
        return self
