"""Pictures from prompts: with the base model, with a LoRA, or with both at equal seeds.

Prompts are encoded into the cache like captions, so that no text encoder is in memory
together with the denoiser.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from PIL.Image import Image
from torch import nn

from bioicons_kit import console, sheet
from bioicons_kit.data import encode, job
from bioicons_kit.data.cache import Cache, Entry
from bioicons_kit.data.job import Job
from bioicons_kit.errors import DocumentError
from bioicons_kit.families.base import Tensors
from bioicons_kit.icons import raster
from bioicons_kit.lora import adapter, formats
from bioicons_kit.preset import Dataset, Preset

_STRIP = 8  # training pictures shown above a comparison
_CELL = 256  # side of a picture in a comparison, in pixels
_SLUG_LENGTH = 48


@dataclass(frozen=True)
class Pair:
    """One prompt's picture by the base model and by the fine-tuned one, from equal noise."""

    prompt: str
    base: Image
    adapted: Image


def with_lora(
    preset: Preset, lora: Path, compare: bool, accelerator: Accelerator
) -> list[tuple[str, tuple[Image, ...]]]:
    """Draw a preset's prompts with a LoRA file; return each prompt's pictures.

    Args:
        preset: names model, prompts, steps, guidance, seed and size.
        lora: a LoRA in diffusers' layout for that model.
        compare: whether to draw each prompt with the base model first.
        accelerator: says on which device.

    Raises:
        LoraError: the file is no LoRA, or one for another model.
        ModelError: the model cannot be loaded.
    """
    work = job.start(preset, accelerator)
    family = work.family
    layers, _ = formats.read_diffusers(lora, family.lora_prefix)
    texts = encode.texts(preset.sample.prompts, work)
    with console.bar("denoiser", family.denoiser_bytes(), "B", scale=True) as bar:
        denoiser, _ = family.load_denoiser(preset.memory, accelerator.device, bar.update)
        bar.update(bar.total - bar.n)  # the files' headers hold the rest of their bytes
    adapter.restore(denoiser, layers, lora)
    if compare:
        pairs = base_and_adapted(work, denoiser, texts)
        return [(pair.prompt, (pair.base, pair.adapted)) for pair in pairs]
    (drawn,) = _draw_all(work, denoiser, texts, passes=(True,))
    prompts = preset.sample.prompts
    return [(text, (picture,)) for text, picture in zip(prompts, drawn, strict=True)]


def base_and_adapted(
    work: Job, denoiser: nn.Module, texts: Mapping[str, tuple[Entry, ...]]
) -> list[Pair]:
    """Draw each prompt with the adapter off and on, from the same noise.

    Args:
        work: its preset gives steps, guidance, size and the first prompt's seed; each next
            prompt's seed is 1 more.
        denoiser: with the adapter attached, on its device.
        texts: the cache entries of each prompt of the preset.
    """
    base, adapted = _draw_all(work, denoiser, texts, passes=(False, True))
    prompts = work.preset.sample.prompts
    return [Pair(*each) for each in zip(prompts, base, adapted, strict=True)]


def size(preset: Preset) -> tuple[int, int]:
    """Return width and height of the samples: the preset's, else the training pictures'."""
    default = preset.dataset.resolution
    return preset.sample.width or default, preset.sample.height or default


def training_pictures(icons: Sequence[Path], settings: Dataset) -> list[Image]:
    """Return a few of the pictures that were learned from, spread over the dataset."""
    renderer = raster.choose(settings.renderer)
    step = max(1, len(icons) // _STRIP)
    pictures = []
    for path in icons[::step][:_STRIP]:
        try:
            content = path.read_bytes()
            pictures.append(
                raster.picture(content, _CELL, settings.background, settings.margin, renderer)
            )
        except (DocumentError, OSError):  # changed on disk since it was encoded: shown without
            continue
    return pictures


def write_pairs(
    pairs: Sequence[Pair], folder: Path, comparison: Path, preset: Preset, shown: Sequence[Image]
) -> None:
    """Write each pair's two pictures into `folder`, and all of them as one `comparison`."""
    for number, pair in enumerate(pairs):
        name = file_name(number, pair.prompt)
        sheet.write_png(folder / f"{name}.base.png", pair.base)
        sheet.write_png(folder / f"{name}.lora.png", pair.adapted)
    rows = [(pair.prompt, (pair.base, pair.adapted)) for pair in pairs]
    write_comparison(comparison, rows, preset, ("learned from", shown))


def write_comparison(
    path: Path,
    rows: Sequence[tuple[str, Sequence[Image]]],
    preset: Preset,
    strip: tuple[str, Sequence[Image]] | None = None,
) -> None:
    """Write the labelled grid of base beside fine-tuned."""
    title = f"{preset.name}: base and fine-tuned at equal seeds"
    sheet.write_png(path, sheet.grid(title, ("base", "with LoRA"), rows, _CELL, strip))


def file_name(number: int, prompt: str) -> str:
    """Return a file name's stem for the `number`-th prompt."""
    words = re.sub(r"[^a-z0-9]+", "-", prompt.lower()).strip("-")
    return f"{number:02d}-{words[:_SLUG_LENGTH].strip('-')}".rstrip("-")


def _draw_all(
    work: Job, denoiser: Any, texts: Mapping[str, tuple[Entry, ...]], passes: tuple[bool, ...]
) -> list[list[Image]]:
    """Draw every prompt once for each pass, the adapter being on where the pass is True."""
    settings, wanted = work.preset.sample, size(work.preset)
    denoiser.eval()
    draw = work.family.sampler(denoiser, work.device)
    drawn = []
    total = len(passes) * len(settings.prompts) * settings.steps
    with console.bar("samples", total, "step") as bar:
        for with_adapter in passes:
            (denoiser.enable_adapters if with_adapter else denoiser.disable_adapters)()
            pictures = []
            for number, prompt in enumerate(settings.prompts):
                text, seed = _tensors(work.cache, texts[prompt]), settings.seed + number
                pictures.append(draw(text, seed, settings, wanted, bar.update))
            drawn.append(pictures)
    return drawn


def _tensors(cache: Cache, entries: Sequence[Entry]) -> Tensors:
    """Return one prompt's tensors, named `kind.name`."""
    return {f"{e.kind}.{name}": t for e in entries for name, t in cache.get(e).items()}
