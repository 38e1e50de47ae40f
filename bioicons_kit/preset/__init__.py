"""What a preset says: frozen, checked values, one class a table of the TOML file.

Every field's description states its meaning and unit; editors show it, because
`presets/preset.schema.json` is generated from these classes. Reading files, `--set` and
error messages are in `preset_file`. Whether folders, models and icons exist is not asked
here, but where they are opened.
"""

import re
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from bioicons_kit.preset.data import BUCKET_STEP, Augment, Mask, Sizes
from bioicons_kit.preset.dataset import Bucket, Dataset, HeldOut, Policy
from bioicons_kit.preset.lora import Lora, Part
from bioicons_kit.preset.objective import Objective
from bioicons_kit.preset.running import Checkpoint, Sample, Tracking, Validation
from bioicons_kit.preset.sources import Captioner, Hub, Quality
from bioicons_kit.preset.training import Memory, Model, Train, parse_card
from bioicons_kit.preset.values import (
    RANDOM,
    SHIPPED,
    STARTER,
    Plain,
    Table,
    is_hub_id,
    is_plain,
    refuse,
    words,
)

__all__ = [
    "BUCKET_STEP",
    "RANDOM",
    "SHIPPED",
    "STARTER",
    "Augment",
    "Bucket",
    "Cache",
    "Captioner",
    "Checkpoint",
    "Dataset",
    "HeldOut",
    "Hub",
    "Lora",
    "Mask",
    "Memory",
    "Model",
    "Objective",
    "Output",
    "Part",
    "Policy",
    "Preset",
    "Quality",
    "Sample",
    "Sizes",
    "Table",
    "Tables",
    "Tracking",
    "Train",
    "Validation",
    "is_hub_id",
    "is_plain",
    "parse_card",
]

_FOLDER_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*", re.ASCII)


class Cache(Table):
    """Where encoded pictures and captions are kept between runs."""

    root: Plain = Field(
        "cache",
        description="Folder of the cache. Relative folders start at the preset; if absent, it is "
        "cache in the working directory. Safe to delete.",
    )
    dtype: Literal["bf16", "fp32"] = Field(
        "bf16", description="Number format of the entries; fp32 takes twice the disk space."
    )


class Output(Table):
    """Where a run leaves its files."""

    root: Plain = Field(
        "runs",
        description="Folder of all runs. Relative folders start at the preset; if absent, it is "
        "runs in the working directory.",
    )
    name: str | None = Field(
        None,
        max_length=100,
        description="Folder of this run under root: letters, digits, '.', '_' and '-'; the "
        "preset's file name without .toml if absent.",
    )
    formats: Annotated[
        tuple[Literal["diffusers", "kohya"], ...],
        BeforeValidator(words, json_schema_input_type=list[Literal["diffusers", "kohya"]]),
    ] = Field(
        ("diffusers",),
        description="Layouts the LoRA is written in: diffusers (lora.safetensors, always) and "
        "kohya (lora-kohya.safetensors beside it).",
    )

    @field_validator("formats")
    @classmethod
    def _has_diffusers(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if "diffusers" not in value or len(set(value)) < len(value):
            raise refuse('must hold "diffusers", and each layout once')
        return value

    @field_validator("name")
    @classmethod
    def _folder_name(cls, value: str | None) -> str | None:
        if value is not None and not _FOLDER_NAME.fullmatch(value):
            raise refuse(
                "must be a plain folder name: letters, digits, '.', '_' and '-', and no '.' first"
            )
        return value


class Tables(Table):
    """The tables a preset's file may hold."""

    model: Model = Field(description="The diffusion model that is fine-tuned.")
    dataset: Dataset = Field(description="The icons to learn from.")
    cache: Cache = Field(default_factory=Cache, description="Where encodings are kept.")
    lora: Lora = Field(default_factory=Lora, description="The adapter that is trained.")
    memory: Memory = Field(default_factory=Memory, description="Memory against time.")
    train: Train = Field(default_factory=Train, description="The optimization.")
    checkpoint: Checkpoint = Field(
        default_factory=Checkpoint, description="When a run's state is kept."
    )
    validation: Validation = Field(
        default_factory=Validation, description="How held-out rows are measured."
    )
    sample: Sample = Field(default_factory=Sample, description="The test pictures.")
    tracking: Tracking = Field(default_factory=Tracking, description="Where numbers go.")
    output: Output = Field(default_factory=Output, description="Where a run leaves its files.")

    @model_validator(mode="after")
    def _tables_agree(self) -> Self:
        if self.train.trigger_only and not self.dataset.trigger.strip():
            raise refuse(
                "[train]: trigger_only needs a trigger; set dataset.trigger",
                *("train.trigger_only", "dataset.trigger"),
            )
        has_prior = any(each.role == "prior" for each in self.dataset.buckets)
        if not has_prior and (self.train.prior_share is not None or self.train.prior_weight != 1):
            raise refuse(
                "[train]: prior_share and prior_weight are for prior pictures, and no bucket has "
                'role = "prior"',
                *("train.prior_share", "train.prior_weight"),
            )
        return self

    @model_validator(mode="after")
    def _what_is_watched_is_there(self) -> Self:
        is_held_out = self.dataset.held_out is not None or any(
            each.role == "validation" for each in self.dataset.buckets
        )
        if self.validation != Validation() and not is_held_out:
            raise refuse(
                "[validation]: there is nothing to measure; hold rows out with "
                '[dataset.held_out] or a bucket of role = "validation"',
                *("validation", "dataset.held_out"),
            )
        if self.sample.every is not None and not self.sample.prompts:
            raise refuse(
                "[sample]: every cannot apply without prompts; give sample.prompts, or remove it",
                *("sample.every", "sample.prompts"),
            )
        if not self.tracking.wandb and self.tracking != Tracking():
            raise refuse(
                "[tracking]: project is of Weights & Biases; set wandb = true, or remove it",
                *("tracking.project", "tracking.wandb"),
            )
        return self

    @model_validator(mode="after")
    def _adapter_and_optimizer_agree(self) -> Self:
        own_rates = any(part.learning_rate is not None for part in self.lora.parts)
        if self.train.optimizer == "prodigy" and (self.lora.plus is not None or own_rates):
            raise refuse(
                "[lora]: plus and the parts' learning_rate cannot apply to prodigy, which finds "
                "one learning rate for all; remove them, or set train.optimizer",
                *("lora.plus", "lora.parts", "train.optimizer"),
            )
        if self.train.optimizer == "schedule_free" and self.lora.ema:
            raise refuse(
                "[lora]: ema cannot apply to schedule_free, whose result is an average already; "
                "set ema = 0.0",
                *("lora.ema", "train.optimizer"),
            )
        if self.lora.dora and self.memory.quantization != "none":
            raise refuse(
                "[lora]: dora needs the base weights as they are at each step; set "
                'memory.quantization = "none", or dora = false',
                *("lora.dora", "memory.quantization"),
            )
        if self.lora.dora and self.memory.offload_blocks:
            raise refuse(
                "[lora]: dora cannot apply to blocks that visit the GPU in turn; set "
                "memory.offload_blocks = 0, or dora = false",
                *("lora.dora", "memory.offload_blocks"),
            )
        return self


class Preset(Tables):
    """A whole preset, named after its file or after `output.name`."""

    name: str = Field(description="What the run is called.")
