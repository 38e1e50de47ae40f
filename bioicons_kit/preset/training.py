"""What a preset says about the model, the adapter, memory, training and test pictures."""

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from bioicons_kit.preset.values import (
    STARTER,
    Pattern,
    Plain,
    Seed,
    Side,
    Table,
    Text,
    Words,
    is_hub_id,
    refuse,
    words,
)


class Model(Table):
    """The diffusion model that is fine-tuned."""

    family: Literal["flux"] = Field("flux", description="Architecture of the model.")
    path: Plain = Field(
        description='Model to fine-tune: "starter" (the small offline FLUX of the kit), a folder '
        'in the diffusers layout, or a hub id "owner/name". Relative folders start at the preset.'
    )
    revision: Plain | None = Field(
        None,
        description="Branch, tag or commit of the hub repository; the default branch if absent.",
    )
    variant: Plain | None = Field(
        None, description='Weight file variant to load, for example "bf16"; plain files if absent.'
    )
    max_sequence_length: int = Field(
        512, ge=16, le=512, description="Length, in T5 tokens, to which prompts are padded or cut."
    )

    @property
    def is_hub(self) -> bool:
        """Whether `path` is a hub id, and no folder and not the starter model."""
        return is_hub_id(self.path)

    @model_validator(mode="after")
    def _applies(self) -> Self:
        if self.revision is not None and not self.is_hub:
            raise refuse(
                "revision cannot apply: path is not a hub id 'owner/name'; remove revision",
                "revision",
                "path",
            )
        if self.variant is not None and self.path == STARTER:
            raise refuse(
                "variant cannot apply to the starter model; remove variant", "variant", "path"
            )
        return self


class Lora(Table):
    """The adapter that is trained."""

    rank: int = Field(16, ge=1, le=512, description="Rank of the update matrices.")
    alpha: float | None = Field(
        None, gt=0, le=4096, description="The update is scaled by alpha / rank; the rank if absent."
    )
    dropout: float = Field(
        0.0, ge=0, le=0.9, description="Share of the adapter's inputs that is dropped in training."
    )
    targets: Annotated[
        tuple[Pattern, ...],
        BeforeValidator(
            words, json_schema_input_type=Text | Annotated[list[Text], Field(min_length=1)]
        ),
    ] = Field(
        ("attention",),
        min_length=1,
        description='Modules that get an adapter: named sets ("attention") or regular expressions '
        "on module names.",
    )


class Memory(Table):
    """What trades memory for time or precision."""

    quantization: Literal["none", "qfloat8", "qint8"] = Field(
        "qfloat8", description="Storage format of the frozen base weights."
    )
    checkpointing: bool = Field(
        True, description="Recompute activations in the backward pass instead of keeping them."
    )
    dtype: Literal["bf16", "fp32"] = Field(
        "bf16", description="Number format the denoiser computes in."
    )


class Train(Table):
    """The optimization."""

    steps: int = Field(1000, ge=1, le=1_000_000, description="Optimizer steps.")
    batch_size: int = Field(
        1, ge=1, le=256, description="Pictures in a micro-step, on each process."
    )
    accumulation: int = Field(1, ge=1, le=1024, description="Micro-steps in an optimizer step.")
    learning_rate: float = Field(1e-4, gt=0, le=1, description="Highest learning rate.")
    schedule: Literal["constant", "cosine", "linear"] = Field(
        "constant", description="Course of the learning rate after the warm-up."
    )
    warmup_steps: int = Field(
        0, ge=0, description="Steps in which the learning rate rises from 0; fewer than steps."
    )
    optimizer: Literal["adamw"] = Field("adamw", description="Update rule.")
    weight_decay: float = Field(0.01, ge=0, le=1, description="Decoupled weight decay of AdamW.")
    max_grad_norm: float = Field(1.0, gt=0, description="Norm above which the gradient is clipped.")
    seed: Seed = Field(0, description="Seed of everything drawn at random in training.")
    timestep_sampling: Literal["uniform", "sigmoid", "flux_shift"] = Field(
        "flux_shift",
        description="Distribution of the noise levels; flux_shift follows the picture's size.",
    )
    guidance: float = Field(
        1.0, ge=0, le=100, description="Guidance value the distilled model is given in training."
    )

    @model_validator(mode="after")
    def _warmup_ends(self) -> Self:
        if self.warmup_steps >= self.steps:
            raise refuse(
                f"warmup_steps = {self.warmup_steps} must be below steps = {self.steps}",
                "warmup_steps",
                "steps",
            )
        return self


class Sample(Table):
    """The test pictures that are drawn after training."""

    prompts: Words = Field((), description="One picture is drawn for each prompt; none if empty.")
    steps: int = Field(28, ge=1, le=1000, description="Denoising steps.")
    guidance: float = Field(3.5, ge=0, le=100, description="Guidance value given to the model.")
    seed: Seed = Field(0, description="Seed of the first picture's noise.")
    width: Side | None = Field(
        None, description="Width in pixels, a multiple of 16; dataset.resolution if absent."
    )
    height: Side | None = Field(
        None, description="Height in pixels, a multiple of 16; dataset.resolution if absent."
    )
