"""What a preset says about the data: where it comes from, what of it, how it is shown."""

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from bioicons_kit.preset.sources import Captioner, Hub, Quality
from bioicons_kit.preset.values import (
    SHIPPED,
    Color,
    Colors,
    Plain,
    Seed,
    Share,
    Side,
    Table,
    Text,
    Words,
    is_hub_id,
    placeholders,
    refuse,
    tables,
)

Source = Literal["icons", "images", "hub"]


class Policy(Table):
    """Which licenses may enter: checked before any work."""

    allow: Words = Field(
        (),
        description="SPDX ids or license folders to allow although the default refuses them "
        "(share-alike licenses, which conflict with FLUX.1-dev's terms).",
    )
    deny: Words = Field((), description="SPDX ids or license folders to refuse.")


class HeldOut(Table):
    """Rows kept out of training, for validation, chosen by the kit."""

    share: Annotated[float, Field(gt=0, le=0.5)] = Field(
        description="Share of the training rows' concepts or authors that is held out."
    )
    by: Literal["concept", "author"] = Field(
        "concept",
        description="What is never split: all icons of a concept (mouse-1, mouse_2) or of an "
        "author.",
    )


class Augment(Table):
    """Versions of a picture: each repeat of an epoch shows one of its own."""

    flip: bool = Field(
        False, description="Mirror every other version left to right; never where names say sides."
    )
    rotation: float = Field(
        0.0, ge=0, le=45, description="Largest rotation either way, in degrees."
    )
    scale: float = Field(
        0.0, ge=0, le=0.5, description="Largest shrinkage, as a share of the size."
    )
    color: float = Field(
        0.0, ge=0, le=0.5, description="Largest change of brightness, contrast and saturation."
    )
    backgrounds: Colors = Field(
        (),
        description='Backgrounds taken in turn: colors, or "random"; dataset.background if empty.',
    )

    @property
    def is_off(self) -> bool:
        """Whether every version is the picture as it is."""
        return self == Augment()


class Bucket(Table):
    """A choice of pictures: each filter given must match; a filter left out matches all."""

    category: Words = Field(
        (),
        description='Category folders, for example "Animals" (of a hub dataset: genres); any if '
        "empty.",
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
        1, ge=1, le=1000, description="How many times an epoch shows each picture of this bucket."
    )
    limit: int | None = Field(
        None,
        ge=1,
        description="Most pictures to take, drawn by dataset.seed; all if absent.",
    )
    quota: int | None = Field(
        None, ge=1, description="Exactly how many pictures to take; refused where there are fewer."
    )
    share: Share | None = Field(
        None,
        description="Share of dataset.size to take, 0.3 being 30 percent; buckets with and without "
        "share cannot be mixed.",
    )
    role: Literal["train", "prior", "validation"] = Field(
        "train",
        description="What the rows are for: to learn from, to keep what the model knew (prior "
        "preservation), or to measure by.",
    )
    source: Source | None = Field(
        None, description="Kind of the bucket's own root; needs root; dataset.source if absent."
    )
    root: Plain | None = Field(
        None, description="Where this bucket's pictures are; dataset.root if absent."
    )
    caption: Text | None = Field(
        None, description="Caption template of this bucket; dataset.caption if absent."
    )
    augment: Augment = Field(
        default_factory=Augment, description="Versions of the pictures; off by default."
    )

    @field_validator("caption")
    @classmethod
    def _template(cls, value: str | None) -> str | None:
        if value is not None:
            placeholders(value)
        return value

    @model_validator(mode="after")
    def _applies(self) -> Self:
        counts = [key for key in ("limit", "quota", "share") if getattr(self, key) is not None]
        if len(counts) > 1:
            raise refuse(f"{' and '.join(counts)} exclude one another; keep one", *counts)
        if self.source is not None and self.root is None:
            raise refuse("source needs a root of this bucket's own", "source", "root")
        if self.role == "validation" and (self.repeats > 1 or not self.augment.is_off):
            raise refuse(
                "a validation bucket is measured once and as it is: remove repeats and augment",
                "role",
                "repeats",
                "augment",
            )
        return self


class Dataset(Table):
    """The pictures to learn from, and how they are drawn and captioned."""

    source: Source = Field(
        "icons",
        description="What root is: a library of SVG icons, a folder of images, or a dataset of the "
        "Hugging Face hub.",
    )
    root: Plain = Field(
        description='Icon library: "shipped" (the icons that come with the kit) or a folder laid '
        "out as license/category/author/name.svg; or a folder of images; or a hub dataset, "
        '"owner/name". Relative folders start at the preset.'
    )
    hub: Hub | None = Field(
        None, description='How to read the hub dataset; only with source "hub".'
    )
    quality: Quality = Field(
        default_factory=Quality, description="What images must have; icons are not asked."
    )
    licenses: Policy = Field(default_factory=Policy, description="Which licenses may enter.")
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
    captions: Plain | None = Field(
        None,
        description="File of captions written or checked by people or models, JSON lines; icons "
        "that it does not name have the template's.",
    )
    captioner: Captioner | None = Field(
        None, description="Who writes the captions file for tools/caption.py."
    )
    background: Color = Field(
        "#ffffff",
        description='Color behind the icons: "#rrggbb", "white", "black", or "random" (one '
        "for each repeat).",
    )
    margin: float = Field(
        0.05, ge=0, le=0.4, description="Share of the side that is left free on each side."
    )
    renderer: Literal["auto", "cairosvg", "resvg"] = Field(
        "auto",
        description="What draws the icons; auto is cairosvg, and resvg for files that cairosvg is "
        "known to draw wrong, or where cairo is missing.",
    )
    seed: Seed = Field(0, description="Seed of limits, quotas, held-out rows and augmentation.")
    size: int | None = Field(
        None,
        ge=1,
        description="Pictures to take in all where buckets give shares; as many as the shares "
        "allow if absent.",
    )
    overlap: Literal["first", "each"] = Field(
        "first",
        description="Where an icon of several buckets counts: in the first of them, or in each.",
    )
    held_out: HeldOut | None = Field(
        None, description="Rows to hold out for validation; none if absent."
    )
    buckets: Annotated[
        tuple[Bucket, ...],
        BeforeValidator(
            tables, json_schema_input_type=Annotated[list[Bucket], Field(min_length=1)]
        ),
    ] = Field(min_length=1, description="Choices of pictures, each a [[dataset.buckets]] table.")

    @field_validator("caption")
    @classmethod
    def _template(cls, value: str) -> str:
        placeholders(value)
        return value

    @model_validator(mode="after")
    def _trigger_given(self) -> Self:
        templates = [self.caption, *(each.caption or "" for each in self.buckets)]
        if not self.trigger.strip() and any("trigger" in placeholders(text) for text in templates):
            raise refuse(
                "trigger is empty, but the caption template uses {trigger}: set trigger, or a "
                "caption without it",
                "trigger",
                "caption",
            )
        return self

    @model_validator(mode="after")
    def _source_fits(self) -> Self:
        sources = {self.source, *(each.source for each in self.buckets)}
        if (self.hub is None) == ("hub" in sources):
            problem = "is missing" if self.hub is None else "cannot apply"
            raise refuse(
                f'the table [dataset.hub] {problem}: it goes with source = "hub"', "source"
            )
        if self.source == "hub" and not is_hub_id(self.root):
            raise refuse('must be a hub dataset, "owner/name"', "root")
        if self.root == SHIPPED and self.source != "icons":
            raise refuse('root = "shipped" is a library of icons; remove source', "source", "root")
        return self

    @model_validator(mode="after")
    def _counts_fit(self) -> Self:
        shares = [each.share for each in self.buckets if each.share is not None]
        if shares and len(shares) != len(self.buckets):
            raise refuse("some buckets have a share and some have none; give all of them one")
        if sum(shares) > 1 + 1e-6:
            raise refuse(f"the buckets' shares come to {sum(shares):.0%}, above 100%")
        if self.size is not None and not shares:
            raise refuse("size applies only where the buckets give shares; remove it", "size")
        if not any(each.role == "train" for each in self.buckets):
            raise refuse('no bucket has role = "train": there is nothing to learn from')
        return self

    @model_validator(mode="after")
    def _captions_have_a_place(self) -> Self:
        if self.captioner is not None and self.captions is None:
            raise refuse(
                "the captioner needs a file to write to: set captions", "captioner", "captions"
            )
        return self
