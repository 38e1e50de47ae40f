"""What a preset says about the loss: levels, error, weights, preservation. Part of [train]."""

from typing import Literal, Self

from pydantic import Field, model_validator

from bioicons_kit.preset.values import Table, Text, refuse

# The settings of one choice only: key, the choice's key, and where it applies.
_BELONGS = (
    ("logit_mean", "timestep_sampling", ("logit_normal",)),
    ("logit_std", "timestep_sampling", ("logit_normal",)),
    ("timestep_shift", "timestep_sampling", ("shift",)),
    ("loss_delta", "loss", ("huber", "smooth_l1")),
    ("preservation_class", "preservation", ("output",)),
    ("preservation_weight", "preservation", ("output",)),
)


class Objective(Table):
    """What is learned; `Train` completes it. The formulas are in `families/flow.py`."""

    timestep_sampling: Literal["uniform", "logit_normal", "shift", "flux_shift"] = Field(
        "flux_shift",
        description="Distribution of the noise levels; flux_shift follows the picture's size, as "
        "inference does; shift is the same for all (timestep_shift).",
    )
    logit_mean: float | None = Field(
        None, ge=-10, le=10, description="Mean of the levels' logit, of logit_normal; 0 if absent."
    )
    logit_std: float | None = Field(
        None,
        gt=0,
        le=10,
        description="Standard deviation of the levels' logit, of logit_normal; 1 if absent.",
    )
    timestep_shift: float | None = Field(
        None,
        gt=0,
        le=100,
        description='Shift of the levels toward noise, of timestep_sampling = "shift"; 3 if '
        "absent, 1 is uniform.",
    )
    min_timestep: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Lowest noise level that is trained; 0 is the clean picture.",
    )
    max_timestep: float = Field(
        1.0, gt=0, le=1, description="Highest noise level that is trained; 1 is pure noise."
    )
    loss: Literal["l2", "huber", "smooth_l1"] = Field(
        "l2",
        description="Error of a predicted value: squared, or growing linearly beyond loss_delta "
        "(pseudo-Huber).",
    )
    loss_delta: float | None = Field(
        None,
        gt=0,
        le=100,
        description="Where huber and smooth_l1 turn from squared to linear; 0.1 if absent.",
    )
    weighting: Literal["none", "sigma_sqrt", "cosmap", "logit_normal"] = Field(
        "none",
        description="Weight of a noise level in the loss; sigma_sqrt favors little noise, cosmap "
        "and logit_normal the middle.",
    )
    guidance: float = Field(
        1.0, ge=0, le=100, description="Guidance value the distilled model is given in training."
    )
    latents: Literal["sample", "mode"] = Field(
        "sample",
        description="What of the VAE's posterior a picture is: a new draw each time, or its mean.",
    )
    preservation: Literal["none", "output"] = Field(
        "none",
        description='"output": also keep, on the same noisy pictures, what the base model '
        "predicts for preservation_class; takes no prior pictures, and about twice the time.",
    )
    preservation_class: Text | None = Field(
        None,
        description="Caption of the kind of picture, without the trigger, for which the model is "
        'to stay as it was, such as "an icon".',
    )
    preservation_weight: float | None = Field(
        None, gt=0, le=100, description="Weight of the preservation in the loss; 1 if absent."
    )

    @model_validator(mode="after")
    def _each_setting_applies(self) -> Self:
        for key, of, choices in _BELONGS:
            if getattr(self, key) is not None and getattr(self, of) not in choices:
                named = " or ".join(f'"{choice}"' for choice in choices)
                raise refuse(
                    f'{key} is of {of} = {named}, and cannot apply to "{getattr(self, of)}"; '
                    f"remove {key}",
                    *(key, of),
                )
        if self.min_timestep >= self.max_timestep:
            raise refuse(
                f"min_timestep = {self.min_timestep:g} must be below max_timestep = "
                f"{self.max_timestep:g}",
                *("min_timestep", "max_timestep"),
            )
        if self.weighting == self.timestep_sampling == "logit_normal":
            raise refuse(
                'weighting = "logit_normal" weighs levels as timestep_sampling = "logit_normal" '
                "draws them: choose one of the two",
                *("weighting", "timestep_sampling"),
            )
        if self.preservation == "output" and self.preservation_class is None:
            raise refuse(
                'preservation = "output" needs preservation_class, the caption to preserve, such '
                'as "an icon"',
                *("preservation", "preservation_class"),
            )
        return self
