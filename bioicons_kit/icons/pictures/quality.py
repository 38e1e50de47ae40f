"""Whether a photograph or painting is good enough to learn from.

A picture is opened, in the end whole, with all that training asks of it (`picture`), so
that one which is accepted here does not fail there. What opening shows (its size after the
camera's orientation, its deviation, its hash) does not depend on what is demanded, so it is
remembered between runs, by path, size and time of the last change: a second look at a
large folder opens no file.

Deviation is the standard deviation of the gray values (ITU-R 601-2 luma, 0 to 255). Where a
picture is partly transparent, it is that on white or on black, whichever is larger.
"""

import io
import json
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import PIL
from PIL import Image, ImageStat

from bioicons_kit.errors import DocumentError
from bioicons_kit.files import sha256_bytes, write_text
from bioicons_kit.icons import picture
from bioicons_kit.preset import Quality

_MEMORY_VERSION = f"1, Pillow {PIL.__version__}"  # another Pillow may open other pictures


@dataclass(frozen=True)
class Look:
    """What one look at a file showed.

    Attributes:
        bytes: the file's size.
        width: in pixels, as it is seen; 0 where there is a problem.
        height: likewise.
        deviation: of the gray values; None if only the header was read.
        sha256: of the content.
        problem: why it is no picture that can be used, whatever is demanded.
    """

    bytes: int
    width: int = 0
    height: int = 0
    deviation: float | None = None
    sha256: str = ""
    problem: str | None = None

    @property
    def is_whole(self) -> bool:
        """Whether all is known that ever will be: it was opened whole, or cannot be."""
        return self.deviation is not None or self.problem is not None


def glance(content: bytes) -> Look:
    """Return what a picture's header says; the camera's orientation is left out."""
    try:
        with Image.open(io.BytesIO(content), formats=picture.PHOTO_FORMATS) as image:
            width, height = image.size
    except Image.DecompressionBombError:
        return Look(len(content), problem="its pixels are too many")
    except Exception as error:  # Pillow's readers raise whatever they met
        return Look(len(content), problem=f"not a picture ({type(error).__name__})")
    if width * height > picture.MAX_PHOTO_PIXELS:
        return Look(len(content), problem=f"{width} x {height} pixels are too many")
    return Look(len(content), width, height)


def inspect(content: bytes) -> Look:
    """Return what a picture shows when it is opened whole."""
    look = glance(content)
    if look.problem:
        return look
    try:
        image = picture.opened(content)
    except DocumentError as error:
        return Look(len(content), problem=str(error))
    return Look(len(content), *image.size, _deviation(image), sha256_bytes(content))


@contextmanager
def quietly() -> Iterator[None]:
    """Keep Pillow's warnings of odd metadata, and of sizes that are checked, to itself.

    For the thread that starts others: what they do to the list of filters ends with it.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def refusal(look: Look, quality: Quality) -> str | None:
    """Say which demand a picture does not meet; None if it meets all that is known of it."""
    if look.problem:
        return look.problem
    short, long = sorted((look.width, look.height))
    if look.bytes < quality.min_bytes:
        return f"its file has {look.bytes:,} bytes; quality.min_bytes is {quality.min_bytes:,}"
    if short < quality.min_side:
        return f"{look.width} x {look.height} pixels; quality.min_side is {quality.min_side}"
    if long > quality.max_aspect * short:
        return (
            f"{look.width} x {look.height} pixels are {long / short:.2f} to 1; "
            f"quality.max_aspect is {quality.max_aspect:g}"
        )
    if look.deviation is not None and look.deviation < quality.min_deviation:
        return (
            f"nearly uniform: its gray values deviate by {look.deviation:.1f}; "
            f"quality.min_deviation is {quality.min_deviation:g}"
        )
    return None


def _deviation(image: Image.Image) -> float:
    """Return the standard deviation of an RGBA picture's gray values."""
    lowest, _ = image.getchannel("A").getextrema()
    if lowest == 255:
        return float(ImageStat.Stat(image.convert("L")).stddev[0])
    return max(
        float(ImageStat.Stat(_on(image, color).convert("L")).stddev[0])
        for color in ("white", "black")
    )


def _on(image: Image.Image, color: str) -> Image.Image:
    """Return an RGBA picture on a color."""
    return Image.alpha_composite(Image.new("RGBA", image.size, color), image)


@dataclass
class Memory:
    """Looks of earlier runs, in one JSON file; a damaged file is an empty memory.

    Attributes:
        path: the file, or None for a memory that ends with the run.
    """

    path: Path | None
    _looks: dict[str, Look] = field(default_factory=dict)
    _used: dict[str, Look] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.path is not None:
            self._looks = _remembered(self.path)

    def recall(self, key: str) -> Look | None:
        """Return the look that was kept under a key."""
        found = self._looks.get(key)
        if found is not None:
            self._used[key] = found
        return found

    def keep(self, key: str, look: Look) -> None:
        """Keep a look under a key."""
        self._used[key] = look

    def save(self) -> None:
        """Write down the looks that this run used, if they are others than before.

        Raises:
            StorageError: no room or no permission.
        """
        if self.path is not None and self._used != self._looks:
            looks = {key: asdict(look) for key, look in sorted(self._used.items())}
            write_text(self.path, json.dumps({"version": _MEMORY_VERSION, "looks": looks}))


def _remembered(path: Path) -> dict[str, Look]:
    """Return the looks in a memory's file; none if it is not there, damaged or of old."""
    try:
        stored = json.loads(path.read_text("utf-8"))
        if stored["version"] != _MEMORY_VERSION:
            return {}
        return {str(key): _look(entry) for key, entry in stored["looks"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}


def _look(entry: Mapping[str, Any]) -> Look:
    """Return a look out of JSON, its types checked."""
    look = Look(**entry)
    numbers = (look.bytes, look.width, look.height)
    if not all(type(number) is int for number in numbers):
        raise TypeError("sizes are integers")
    if not isinstance(look.deviation, float | None) or not isinstance(look.problem, str | None):
        raise TypeError("a deviation is a number, a problem a text")
    return look
