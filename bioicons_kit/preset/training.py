"""What a preset says about the model, memory and training."""

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from bioicons_kit.preset.objective import Objective
from bioicons_kit.preset.optimization import Optimization
from bioicons_kit.preset.values import (
    STARTER,
    Pattern,
    Plain,
    Seed,
    Table,
    Text,
    is_hub_id,
    is_weight_file,
    refuse,
    words,
)


class Model(Table):
    """The diffusion model that is fine-tuned."""

    family: Literal["flux"] = Field("flux", description="Architecture of the model.")
    path: Plain = Field(
        description='Model to fine-tune: "starter" (the small offline FLUX of the kit), a folder '
        'in the diffusers layout, a hub id "owner/name", or one .safetensors file in Black Forest '
        "Labs' layout. Relative paths start at the preset."
    )
    components: Plain | None = Field(
        None,
        description="Where path is one file: the diffusers folder, or hub id, of all that it does "
        "not hold (VAE, text encoders, tokenizers, scheduler).",
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

    @property
    def is_file(self) -> bool:
        """Whether `path` is one file of weights, which `components` completes."""
        return is_weight_file(self.path)

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if self.is_file and self.components is None:
            raise refuse(
                "path is one file of weights, which holds no VAE and no text encoders: set "
                "components to the folder or hub id of a whole FLUX, such as "
                '"black-forest-labs/FLUX.1-dev"',
                *("path", "components"),
            )
        if self.components is not None and not self.is_file:
            raise refuse(
                "components cannot apply: path is not one .safetensors file; remove components",
                *("components", "path"),
            )
        return self

    @model_validator(mode="after")
    def _applies(self) -> Self:
        if self.revision is not None and not is_hub_id(self.components or self.path):
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


def _checkpointing(value: object) -> object:
    """Accept true and false for all and none of the blocks."""
    if isinstance(value, bool):
        return "full" if value else "none"
    if value in ("none", "full", "auto") or (isinstance(value, int) and value >= 0):
        return value
    raise refuse(
        "must be true or false, 'full', 'none', 'auto', or a number of blocks that are spared it"
    )


def _backend(name: str) -> str:
    """Refuse what cannot be the name of an attention backend."""
    if not re.fullmatch(r"[a-z0-9_]+", name, re.ASCII):
        raise refuse("must be diffusers' name of an attention backend, such as 'native' or 'flash'")
    return name


def _fit(value: object) -> object:
    """Accept "auto" or a number of gigabytes."""
    if isinstance(value, str) and (value == "auto" or parse_card(value) is not None):
        return value
    raise refuse("must be 'auto' or a card's memory, such as '12GB', '16GB' or '24GB'")


def parse_card(text: str) -> float | None:
    """Return the number of gigabytes in "16GB"; None if it says something else."""
    match = re.fullmatch(r"([1-9]\d{0,2}(?:\.\d{1,2})?) ?(?:GB|GiB)", text, re.ASCII)
    return float(match[1]) if match else None


Checkpointing = Annotated[
    str | int,
    BeforeValidator(
        _checkpointing,
        json_schema_input_type=bool | Literal["none", "full", "auto"] | Annotated[int, Field(ge=0)],
    ),
]
Fit = Annotated[str, BeforeValidator(_fit)]


Storage = Literal["none", "qfloat8", "qint8", "qint4", "nf4"]
Patterns = Annotated[
    tuple[Pattern, ...], BeforeValidator(words, json_schema_input_type=Text | list[Text])
]


class Memory(Table):
    """What trades memory for time or precision."""

    quantization: Storage = Field(
        "qfloat8",
        description="Storage format of the frozen base weights: 8 bits (qfloat8, qint8), 4 bits "
        "(qint4; nf4, with bitsandbytes), or as they are (none).",
    )
    keep: Patterns | None = Field(
        None,
        description="Regular expressions; linear layers whose whole name matches one are not "
        "quantized. Those at the ends of the model and its embedders if absent.",
    )
    keep_quantized: bool = Field(
        True,
        description="Keep the quantized model in cache.root, so that the next start only reads it.",
    )
    checkpointing: Checkpointing = Field(
        "full",
        description="Which blocks compute their activations again in the backward pass instead of "
        'keeping them: "full" (or true) all, "none" (or false) none, a number: all but so many, '
        '"auto": all but as many as fit the GPU.',
    )
    checkpoint_inputs: Literal["device", "host"] = Field(
        "device", description="Where the inputs of checkpointed blocks wait for the backward pass."
    )
    modulation: Literal["resident", "ahead"] = Field(
        "resident",
        description="Where the modulation layers are: with the rest, or on the host, computed "
        "ahead for the coming steps. The numbers are the same.",
    )
    offload_blocks: int = Field(
        0,
        ge=0,
        description="Blocks whose weights stay on the host and visit the GPU in turn; 0 or at "
        "least 3, for two of them are on the GPU at any time.",
    )
    attention: Annotated[str, AfterValidator(_backend)] = Field(
        "native", description="diffusers' name of what computes attention; \"native\" is torch's."
    )
    compile: bool = Field(
        False, description="Compile the repeated blocks: slow to start, faster to go on."
    )
    fit: Fit | None = Field(
        None,
        description='"auto" (this GPU) or a card\'s memory, such as "16GB": sets, of the keys of '
        "this table that the preset leaves out, what is fastest there. As they are if absent.",
    )
    dtype: Literal["bf16", "fp32"] = Field(
        "bf16", description="Number format the denoiser computes in."
    )
    text_encoder: Storage = Field(
        "none",
        description="Storage format of the large text encoder (T5) while captions are encoded; 8 "
        "bits halve its memory and change its output slightly, 4 bits more so.",
    )

    @model_validator(mode="after")
    def _keep_applies(self) -> Self:
        if self.keep is not None and self.quantization == "none":
            raise refuse(
                'keep cannot apply: quantization = "none" quantizes nothing; remove keep',
                *("keep", "quantization"),
            )
        return self

    @model_validator(mode="after")
    def _offload_applies(self) -> Self:
        if 0 < self.offload_blocks < 3:
            raise refuse(
                f"offload_blocks = {self.offload_blocks} cannot apply: two blocks are on the GPU "
                "at any time; give 0, or at least 3",
                "offload_blocks",
            )
        if self.offload_blocks and self.checkpointing == "none":
            raise refuse(
                'offload_blocks needs checkpointing: set checkpointing = "full", or '
                "offload_blocks = 0",
                *("offload_blocks", "checkpointing"),
            )
        if self.checkpoint_inputs == "host" and self.checkpointing == "none":
            raise refuse(
                'checkpoint_inputs = "host" cannot apply with checkpointing = "none"',
                *("checkpoint_inputs", "checkpointing"),
            )
        if self.compile and self.offload_blocks:
            raise refuse(
                "compile cannot apply to blocks that visit the GPU in turn; set "
                "offload_blocks = 0, or compile = false",
                *("compile", "offload_blocks"),
            )
        return self


class Train(Objective, Optimization):
    """The optimization."""

    seed: Seed = Field(0, description="Seed of everything drawn at random in training.")
    caption_dropout: float = Field(
        0.0, ge=0, le=1, description="Share of the samples whose caption is empty."
    )
    trigger_only: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Share of the samples whose caption is dataset.trigger alone; prior pictures "
        "keep theirs.",
    )
    prior_share: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="Share of the samples that are prior pictures; as their repeats say if absent.",
    )
    prior_weight: float = Field(
        1.0, gt=0, le=100, description="Weight of a prior picture in the loss."
    )

    @model_validator(mode="after")
    def _shares_fit(self) -> Self:
        if self.caption_dropout + self.trigger_only > 1:
            raise refuse(
                "caption_dropout and trigger_only are shares of the samples, and come to more "
                "than all of them",
                *("caption_dropout", "trigger_only"),
            )
        return self
