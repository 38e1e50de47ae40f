"""What a preset says about a run under way: what is kept, measured, drawn and tracked."""

from typing import Annotated

from pydantic import BeforeValidator, Field

from bioicons_kit.preset.values import (
    Plain,
    Seed,
    Side,
    Table,
    Words,
    one_or_more,
)

_Level = Annotated[float, Field(gt=0, lt=1)]
_Levels = Annotated[
    tuple[_Level, ...],
    BeforeValidator(
        one_or_more, json_schema_input_type=_Level | Annotated[list[_Level], Field(min_length=1)]
    ),
]


class Checkpoint(Table):
    """When the state of a run is kept, so that it can go on from there."""

    every: int | None = Field(
        None, ge=1, description="Optimizer steps between checkpoints; none by count if absent."
    )
    minutes: float | None = Field(
        None,
        gt=0,
        description="Minutes between checkpoints; if absent, 15 where every is absent too.",
    )
    keep: int = Field(
        2,
        ge=1,
        description="Checkpoints kept, the newest; the one of the best validation stays besides.",
    )


class Validation(Table):
    """When and how the held-out rows are measured; applies where rows are held out."""

    every: int = Field(100, ge=1, description="Optimizer steps between measurements.")
    levels: _Levels = Field(
        (0.1, 0.3, 0.5, 0.7, 0.9),
        min_length=1,
        description="Noise levels that the loss is measured at: 0 is the picture, 1 is noise.",
    )


class Tracking(Table):
    """Where the numbers of a run go, besides its folder and TensorBoard."""

    wandb: bool = Field(
        False,
        description="Whether to log to Weights & Biases too; it comes with bioicons_kit[tracking].",
    )
    project: Plain = Field("bioicons_kit", description="Project of Weights & Biases.")


class Sample(Table):
    """The test pictures, drawn after training and, if wanted, on the way."""

    prompts: Words = Field((), description="One picture is drawn for each prompt; none if empty.")
    steps: int = Field(28, ge=1, le=1000, description="Denoising steps.")
    guidance: float = Field(3.5, ge=0, le=100, description="Guidance value given to the model.")
    seed: Seed = Field(0, description="Seed of the first picture's noise.")
    every: int | None = Field(
        None,
        ge=1,
        description="Optimizer steps between pictures while training; only after it if absent.",
    )
    svg: bool = Field(
        False, description="Also write the fine-tuned pictures as SVG icons, and show them."
    )
    width: Side | None = Field(
        None, description="Width in pixels, a multiple of 16; dataset.resolution if absent."
    )
    height: Side | None = Field(
        None, description="Height in pixels, a multiple of 16; dataset.resolution if absent."
    )
