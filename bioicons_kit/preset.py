"""What a preset says: frozen, checked values, one class a table of the TOML file.

A value is checked once, where it is built: type (strict: `"20"` and `true` are no
integers), range, and whether it can apply at all. Every field's description states its
meaning and unit; editors show it, because `presets/preset.schema.json` is generated from
these classes. Reading files, `--set` and error messages are in `preset_file`.

Whether folders, models and icons exist is not asked here, but where they are opened.
"""

import re
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

SHIPPED = "shipped"
STARTER = "starter"

# A repository of the Hugging Face hub, as `owner/name`.
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]*\w", re.ASCII)
_HEX_COLOR = re.compile(r"#[0-9a-f]{6}", re.ASCII)
_NAMED_COLORS = {"white": "#ffffff", "black": "#000000"}
_FOLDER_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_PLACEHOLDERS = ("trigger", "article", "name", "category")


def refuse(message: str, *keys: str) -> PydanticCustomError:
    """Return the error that says `message` about a value, or about several `keys` of a table."""
    return PydanticCustomError("refused", "{message}", {"message": message, "keys": keys})


def is_hub_id(text: str) -> bool:
    """Tell whether `text` looks like a hub id, `owner/name`, and not like a folder."""
    return _HUB_ID.fullmatch(text) is not None


def is_plain(text: str) -> bool:
    """Tell whether `text` could be a path or an id: not empty, no control characters."""
    return bool(text) and not _CONTROL.search(text)


def _words(value: object) -> object:
    """Accept one string for a list of one, and TOML's lists for tuples."""
    if isinstance(value, str):
        return (value,)
    return tuple(value) if isinstance(value, list) else value


def _tables(value: object) -> object:
    """Accept TOML's lists of tables for tuples."""
    if isinstance(value, dict):
        raise refuse("must be a list of tables, each under double brackets: [[dataset.buckets]]")
    return tuple(value) if isinstance(value, list) else value


def _one_line(text: str) -> str:
    """Refuse control characters, which no path, id or name has."""
    if not is_plain(text):
        raise refuse("must not hold control characters")
    return text


def _pattern(text: str) -> str:
    """Refuse a regular expression that does not compile."""
    try:
        re.compile(text)
    except (re.error, OverflowError, RecursionError) as error:
        raise refuse(f"is no regular expression: {error}") from None
    return text


Text = Annotated[str, Field(min_length=1)]
Plain = Annotated[Text, AfterValidator(_one_line)]
Pattern = Annotated[Text, AfterValidator(_pattern)]
Words = Annotated[
    tuple[Text, ...], BeforeValidator(_words, json_schema_input_type=Text | list[Text])
]
Seed = Annotated[int, Field(ge=0, le=2**32 - 1)]
Side = Annotated[int, Field(ge=64, le=2048, multiple_of=16)]


class Table(BaseModel):
    """What every table has in common: frozen, strict, no unknown keys, no nan or infinity."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)


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


class Bucket(Table):
    """A choice of icons: each filter given must match; a filter left out matches all."""

    category: Words = Field(
        (), description='Category folders, for example "Animals"; any if empty.'
    )
    license: Words = Field(
        (), description='SPDX ids ("CC0-1.0") or license folders ("cc-0"); any if empty.'
    )
    author: Words = Field((), description="Author folders; any if empty.")
    name: Words = Field(
        (), description='Patterns of icon names (* and ?, case ignored), for example "mouse*".'
    )
    exclude: Words = Field((), description="Patterns of icon names to leave out (case ignored).")
    repeats: int = Field(
        1, ge=1, le=1000, description="How many times an epoch shows each icon of this bucket."
    )
    limit: int | None = Field(
        None, ge=1, description="Most icons to take from this bucket; all of them if absent."
    )


class Dataset(Table):
    """The icons to learn from, and how they are drawn and captioned."""

    root: Plain = Field(
        description='Icon library: "shipped" (the icons that come with the kit) or a folder laid '
        "out as license/category/author/name.svg. Relative folders start at the preset."
    )
    resolution: Side = Field(
        1024, description="Side of the square training pictures in pixels, a multiple of 16."
    )
    trigger: str = Field(
        "", description='Words that call the style up, for example "bioicon style".'
    )
    caption: Text = Field(
        "{trigger}, {article} {name}",
        description="Caption template; placeholders {trigger}, {article} (a or an), {name} and "
        "{category}.",
    )
    background: str = Field(
        "#ffffff", description='Color behind the icons: "#rrggbb", "white" or "black".'
    )
    margin: float = Field(
        0.05, ge=0, le=0.4, description="Share of the side that is left free on each side."
    )
    renderer: Literal["auto", "cairosvg", "resvg"] = Field(
        "auto",
        description="What draws the icons; auto is cairosvg, or resvg where cairo is missing.",
    )
    buckets: Annotated[
        tuple[Bucket, ...],
        BeforeValidator(
            _tables, json_schema_input_type=Annotated[list[Bucket], Field(min_length=1)]
        ),
    ] = Field(min_length=1, description="Choices of icons, each a [[dataset.buckets]] table.")

    @field_validator("background")
    @classmethod
    def _color(cls, value: str) -> str:
        color = _NAMED_COLORS.get(value.lower(), value.lower())
        if not _HEX_COLOR.fullmatch(color):
            raise refuse("must be a color: '#rrggbb' (six hexadecimal digits), 'white' or 'black'")
        return color

    @field_validator("caption")
    @classmethod
    def _template(cls, value: str) -> str:
        _placeholders(value)
        return value

    @model_validator(mode="after")
    def _trigger_given(self) -> Self:
        if not self.trigger.strip() and "trigger" in _placeholders(self.caption):
            raise refuse(
                "trigger is empty, but the caption template uses {trigger}: set trigger, or a "
                "caption without it",
                "trigger",
                "caption",
            )
        return self


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
            _words, json_schema_input_type=Text | Annotated[list[Text], Field(min_length=1)]
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
    sample: Sample = Field(default_factory=Sample, description="The test pictures.")
    output: Output = Field(default_factory=Output, description="Where a run leaves its files.")


class Preset(Tables):
    """A whole preset, named after its file or after `output.name`."""

    name: str = Field(description="What the run is called.")


def _placeholders(template: str) -> set[str]:
    """Return the placeholders of a caption template, after checking that all are known."""
    known = ", ".join(f"{{{name}}}" for name in _PLACEHOLDERS)
    found = _PLACEHOLDER.findall(template)
    for name in found:
        if name not in _PLACEHOLDERS:
            raise refuse(f"has an unknown placeholder {{{name}}}; placeholders are {known}")
    if set("{}") & set(_PLACEHOLDER.sub("", template)):
        raise refuse(f"has a brace without its partner; placeholders are {known}")
    return set(found)
