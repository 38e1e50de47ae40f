"""What a preset says about hub datasets, the quality of images, and captioning models."""

from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from bioicons_kit.preset.values import Plain, Side, Table, Text, Words, placeholders, refuse


class Hub(Table):
    """How to read a dataset of the Hugging Face hub."""

    split: Plain = Field("train", description="Split to read.")
    config: Plain | None = Field(None, description="Configuration (subset); the default if absent.")
    revision: Plain | None = Field(
        None, description="Branch, tag or commit; the default if absent."
    )
    image: Plain = Field("image", description="Column of the pictures.")
    caption: Plain | None = Field(
        None, description="Column of the captions; the caption template if absent."
    )
    category: Plain | None = Field(
        None, description="Column of the genre, which buckets choose by as category."
    )
    author: Plain | None = Field(None, description="Column of the author; unknown if absent.")
    title: Plain | None = Field(
        None, description="Column of the title; the row's number if absent."
    )
    license: Plain = Field(description="License of the pictures, as an SPDX id.")
    where: Words = Field(
        (), description='What columns must hold, for example "style=Impressionism"; all must hold.'
    )

    @field_validator("where")
    @classmethod
    def _conditions(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        columns: set[str] = set()
        for text in value:
            column, equals, wanted = text.partition("=")
            if not (column.strip() and equals and wanted.strip()):
                raise refuse(f"has {text!r}, which is not of the form 'column=value'")
            if column.strip() in columns:
                raise refuse(f"asks twice of the column {column.strip()!r}, and all must hold")
            columns.add(column.strip())
        return value


class Quality(Table):
    """What a photograph or painting must have to be used."""

    min_side: int = Field(512, ge=1, le=16384, description="Least length of the shorter side, px.")
    max_aspect: float = Field(2.0, ge=1, le=100, description="Most longer side / shorter side.")
    min_bytes: int = Field(0, ge=0, description="Least size of the file; smaller is refused.")
    min_deviation: float = Field(
        4.0,
        ge=0,
        le=128,
        description="Least standard deviation of the gray values (0 to 255); below it, the picture "
        "is as good as uniform.",
    )


class Captioner(Table):
    """Who writes captions from the pictures, for `tools/caption.py`; training only reads them."""

    kind: Literal["local", "gemini", "openai"] = Field(
        description="A local vision-language model, Google's Gemini API, or any server that speaks "
        "OpenAI's chat API. The last two send the pictures to that server."
    )
    model: Plain = Field(
        description="Folder or hub id of the local model, or the server's name for it."
    )
    base_url: Plain | None = Field(
        None,
        description="Address of the OpenAI-compatible server, up to /v1 (or of one that speaks as "
        "Gemini's does).",
    )
    prompt: Text = Field(
        "Describe this scientific icon in one short sentence for an image caption. It shows: "
        "{name}. Keep that word. Name shapes, parts, colors and pose; do not mention style, "
        "background, image, icon or illustration.",
        description="What the model is asked; {name} is the icon's cleaned name.",
    )
    captions: int = Field(1, ge=1, le=8, description="Captions to write for each picture.")
    size: Side = Field(512, description="Side of the picture that is shown to the model, px.")
    requests_per_minute: float = Field(
        30.0, gt=0, le=6000, description="Most requests a minute (APIs only)."
    )
    max_words: int = Field(40, ge=3, le=200, description="Longer captions are rejected.")

    @model_validator(mode="after")
    def _applies(self) -> Self:
        if self.base_url is not None and self.kind == "local":
            raise refuse("base_url cannot apply to a local model; remove it", "base_url", "kind")
        pace = Captioner.model_fields["requests_per_minute"].default
        if self.requests_per_minute != pace and self.kind == "local":
            raise refuse(
                "requests_per_minute cannot apply to a local model; remove it",
                *("requests_per_minute", "kind"),
            )
        placeholders(self.prompt, ("name",))
        return self

    @property
    def speaks_of_icons(self) -> bool:
        """Whether the prompt is the one that comes with the kit."""
        return bool(self.prompt == Captioner.model_fields["prompt"].default)
