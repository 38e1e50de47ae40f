"""What a preset says about the pictures' sizes and versions, and about where the loss looks."""

from collections.abc import Collection
from pathlib import PurePath
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from bioicons_kit.preset.values import Colors, Plain, Side, Table, one_or_more, refuse

BUCKET_STEP = 64  # pixels between the sides of aspect buckets


class Sizes(Table):
    """The sizes in which pictures are learned, besides the square of dataset.resolution."""

    extra: Annotated[
        tuple[Side, ...],
        BeforeValidator(one_or_more, json_schema_input_type=Side | list[Side]),
    ] = Field(
        (),
        description="Further resolutions of every picture, in pixels; its showings take the "
        "resolutions in turn.",
    )
    aspects: Literal["square", "buckets"] = Field(
        "square",
        description="Shape of images that are not square: cut to a square, or the nearest shape "
        "of as many pixels, in steps of 64. Icons are always square.",
    )
    crop: Literal["center", "random", "none"] = Field(
        "center",
        description="What of an image is shown where its shape differs: its middle, a part drawn "
        "anew for each repeat, or all of it with the background beside it.",
    )
    upscale: bool = Field(
        False,
        description="Enlarge images that are too small; if false, they are shown at the largest "
        "size they fill.",
    )

    @property
    def for_images_only(self) -> bool:
        """Whether anything is set that means nothing to icons."""
        return self.aspects != "square" or self.crop != "center" or self.upscale


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


class Mask(Table):
    """Where the loss looks: away from the background."""

    source: Literal["alpha", "files"] = Field(
        description="What is no background: what an icon's drawing covers (images count "
        "throughout), or what is white in mask files."
    )
    folder: Plain | None = Field(
        None,
        description="Folder of the mask files, named like the images with .png at the end; only "
        'with source = "files". Relative folders start at the preset.',
    )
    background: float = Field(
        0.3, ge=0, lt=1, description="Weight of the background in the loss, the drawing's being 1."
    )

    @model_validator(mode="after")
    def _folder_fits(self) -> Self:
        if (self.folder is None) == (self.source == "files"):
            problem = "is missing" if self.folder is None else "cannot apply"
            raise refuse(f'folder {problem}: it goes with source = "files"', "folder", "source")
        return self


def check_sizes(sizes: Sizes, resolution: int, sources: Collection[str]) -> None:
    """Refuse sizes that mean nothing to the dataset's sources, or not with its resolution."""
    if set(sources) == {"icons"} and sizes.for_images_only:
        raise refuse(
            "sizes.aspects, sizes.crop and sizes.upscale are for images; icons are always drawn "
            "whole, sharp and square: remove them",
            "sizes",
        )
    sides = (resolution, *sizes.extra)
    if len(set(sides)) < len(sides):
        raise refuse(
            "sizes.extra must name other resolutions than dataset.resolution, each once", "sizes"
        )
    if sizes.aspects == "buckets" and any(side % BUCKET_STEP for side in sides):
        raise refuse(
            f'with sizes.aspects = "buckets", resolutions must be multiples of {BUCKET_STEP}',
            *("resolution", "sizes"),
        )


def check_mask(mask: Mask, sources: Collection[str], roots: Collection[str]) -> None:
    """Refuse masks that the dataset's sources cannot have, or that would be taken for pictures."""
    if mask.source == "alpha" and "icons" not in sources:
        raise refuse('mask.source = "alpha" is for icons: images cover all', "mask")
    if mask.source == "files" and "icons" in sources:
        raise refuse('mask.source = "files" is for images; icons have "alpha"', "mask")
    if mask.folder is not None and any(
        root and PurePath(mask.folder).is_relative_to(root) for root in roots
    ):
        raise refuse("mask.folder lies among the images, and would be learned from", "mask")
