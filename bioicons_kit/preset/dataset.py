"""What a preset says about the data: where it comes from, what of it, how it is shown."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from bioicons_kit.preset.data import Augment, Mask, Sizes, check_mask, check_sizes
from bioicons_kit.preset.sources import Captioner, Hub, Quality
from bioicons_kit.preset.values import (
    SHIPPED,
    Color,
    Plain,
    Seed,
    Share,
    Side,
    Table,
    Template,
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
    caption: Template | None = Field(
        None, description="Caption template of this bucket; dataset.caption if absent."
    )
    augment: Augment = Field(
        default_factory=Augment, description="Versions of the pictures; off by default."
    )
    generate: int | None = Field(
        None,
        ge=1,
        description="Pictures this prior bucket's folder is to hold: what is missing is drawn by "
        "the model that is fine-tuned, with the bucket's caption as prompt.",
    )

    @model_validator(mode="after")
    def _applies(self) -> Self:
        counts = [key for key in ("limit", "quota", "share") if getattr(self, key) is not None]
        if len(counts) > 1:
            raise refuse(f"{' and '.join(counts)} exclude one another; keep one", *counts)
        if self.generate is not None and (
            self.role != "prior" or self.root is None or not self.caption or "{" in self.caption
        ):
            raise refuse(
                'generate needs role = "prior", a root of this bucket\'s own, and a caption '
                "without placeholders: it is the prompt",
                *("generate", "role", "root", "caption"),
            )
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
        '"owner/name", or the folder of one. Relative folders start at the preset.'
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
    caption: Template = Field(
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
    sizes: Sizes = Field(
        default_factory=Sizes, description="Further sizes and shapes of the pictures."
    )
    mask: Mask | None = Field(None, description="Where the loss looks; everywhere alike if absent.")
    renderer: Literal["auto", "cairosvg", "resvg"] = Field(
        "auto",
        description="What draws the icons; auto is cairosvg, and resvg for files that cairosvg is "
        "known to draw wrong, or where cairo is missing.",
    )
    simplify: bool = Field(
        False,
        description="Simplify the icons before they are drawn, as tools/simplify_svg.py does.",
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
        kinds = self._kinds()
        if (self.hub is None) == ("hub" in kinds):
            problem = "is missing" if self.hub is None else "cannot apply"
            raise refuse(
                f'the table [dataset.hub] {problem}: it goes with source = "hub"', "source"
            )
        if kinds == {"icons"} and self.quality != Quality():
            raise refuse(
                "quality is for images, and every bucket takes icons: remove it", "quality"
            )
        if "icons" not in kinds:
            for key in ("margin", "renderer", "simplify"):
                if getattr(self, key) != Dataset.model_fields[key].default:
                    raise refuse(f"{key} is for icons, and no bucket takes any: remove it", key)
        if self.root == SHIPPED and self.source != "icons":
            raise refuse('root = "shipped" is a library of icons; remove source', "source", "root")
        return self

    @model_validator(mode="after")
    def _hub_fits(self) -> Self:
        for index, each in enumerate(self.buckets):
            if self.hub is None or (each.source or self.source) != "hub":
                continue
            root = each.root or self.root
            if not is_hub_id(root) and not Path(root).is_absolute():
                raise refuse('must be a hub dataset, "owner/name", or the folder of one', "root")
            if (each.limit or each.quota or (each.share and self.size)) is None:
                raise refuse(
                    f"bucket {index} does not say how many pictures to take, and a hub dataset is "
                    "read until all buckets are full: set its limit or quota, or share and size",
                    "buckets",
                )
            if (each.name or each.exclude) and self.hub.title is None:
                raise refuse(
                    f"bucket {index} chooses by name or exclude, which are held against the titles "
                    "of a hub dataset's rows: set hub.title, or remove them",
                    *("buckets", "hub"),
                )
            is_named = self.hub.title is not None or self.hub.caption is not None
            if not is_named and "name" in placeholders(each.caption or self.caption):
                raise refuse(
                    "caption uses {name}, which the hub dataset's rows do not have: set hub.title "
                    "or hub.caption, or a caption without it",
                    *("caption", "hub"),
                )
        return self

    @model_validator(mode="after")
    def _sizes_fit(self) -> Self:
        kinds = self._kinds()
        check_sizes(self.sizes, self.resolution, kinds)
        if self.mask is not None:
            check_mask(self.mask, kinds, [self.root, *(each.root or "" for each in self.buckets)])
        if any(
            each.generate is not None and (each.source or self.source) != "images"
            for each in self.buckets
        ):
            raise refuse('generate makes images: its bucket needs source = "images"', "buckets")
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
        is_asked_of_icons = self.captioner is not None and self.captioner.speaks_of_icons
        if is_asked_of_icons and "icons" not in self._kinds():
            raise refuse(
                "the captioner's own prompt speaks of icons, and no bucket takes any: set "
                "captioner.prompt",
                "captioner",
            )
        return self

    def _kinds(self) -> set[Source]:
        """Return the kinds of sources that the buckets take from."""
        return {each.source or self.source for each in self.buckets}
