"""Pictures from prompts: with the base model, with a LoRA, or with both at equal seeds.

Prompts are encoded into the cache like captions, so that no text encoder is in memory
together with the denoiser.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from PIL.Image import Image
from PIL.Image import new as new_image
from torch import nn

from bioicons_kit import console, sheet, vectorize
from bioicons_kit.data import encode, job
from bioicons_kit.data.cache import Cache, Entry
from bioicons_kit.data.job import Job
from bioicons_kit.errors import DocumentError, LoraError
from bioicons_kit.families.base import Tensors
from bioicons_kit.icons import augment, picture, raster
from bioicons_kit.icons.row import Row
from bioicons_kit.icons.workers import Painters, Task
from bioicons_kit.lora import adapter, formats
from bioicons_kit.lora.formats import Layer
from bioicons_kit.memory import levels
from bioicons_kit.preset import Dataset, Preset
from bioicons_kit.svg.credit import Credit
from bioicons_kit.svg.trace.settings import Settings

_STRIP = 8  # training pictures shown above a comparison
_CELL = 256  # side of a picture in a comparison, in pixels
_SLUG_LENGTH = 48
_KINDS = ("base", "lora")
_HEADINGS = ("base", "with LoRA", "as an icon")


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
        lora: a LoRA for that model, in any layout.
        compare: whether to draw each prompt with the base model first.
        accelerator: says on which device.

    Raises:
        LoraError: the file is no LoRA, or one for another model.
        ModelError: the model cannot be loaded.
    """
    levels.require(preset.memory.quantization, accelerator.device)
    work = job.start(preset, accelerator)
    family = work.family
    layers = _layers(lora, family.lora_prefix)
    texts = encode.texts(preset.sample.prompts, work)
    memory = preset.memory
    if any(map(family.makes_modulation, layers)):  # which the LoRA changes
        memory = memory.model_copy(update={"modulation": "resident"})
    with console.bar("denoiser", family.denoiser_bytes(), "B", scale=True) as bar:
        denoiser, _ = family.load_denoiser(memory, accelerator.device, bar.update)
        bar.update(bar.total - bar.n)  # the files' headers hold the rest of their bytes
    adapter.restore(denoiser, layers, lora)
    if compare:
        pairs = base_and_adapted(work, denoiser, texts)
        return [(pair.prompt, (pair.base, pair.adapted)) for pair in pairs]
    drawn = adapted(work, denoiser, texts)
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


def adapted(work: Job, denoiser: nn.Module, texts: Mapping[str, tuple[Entry, ...]]) -> list[Image]:
    """Draw each prompt with the adapter on; see `base_and_adapted`."""
    (drawn,) = _draw_all(work, denoiser, texts, passes=(True,))
    return drawn


def size(preset: Preset) -> tuple[int, int]:
    """Return width and height of the samples: the preset's, else the training pictures'."""
    default = preset.dataset.resolution
    return preset.sample.width or default, preset.sample.height or default


def training_pictures(rows: Sequence[Row], settings: Dataset) -> list[Image]:
    """Return a few of the pictures that were learned from, spread over the dataset."""
    learned = [row for row in rows if row.role == "train"]
    step = max(1, len(learned) // _STRIP)
    tasks = []
    for row in learned[::step][:_STRIP]:
        (version, *_) = augment.versions(row, settings)
        recipe = replace(picture.recipe(settings, version), width=_CELL, height=_CELL)
        tasks.append(Task(row.icon.path, row.icon.kind, recipe))
    with Painters() as painters:
        drawn = [outcome.picture for outcome in painters.paint(tasks)]
    return [made.image for made in drawn if made]  # changed on disk since: shown without


def write_all(
    drawn: Sequence[tuple[str, Sequence[Image]]], folder: Path, preset: Preset
) -> list[tuple[str, tuple[Image, ...]]]:
    """Write each prompt's pictures, and where the preset asks for it, the last one as an icon.

    Args:
        drawn: for each prompt the picture with the LoRA, or the base model's and that one.
        folder: takes NN-prompt.base.png, .lora.png and .lora.svg.
        preset: `sample.svg` asks for icons.

    Returns:
        what to show: the pictures, and the icons drawn again.
    """
    shown = []
    for number, (prompt, pictures) in enumerate(drawn):
        name = file_name(number, prompt)
        for kind, picture_ in zip(_KINDS[-len(pictures) :], pictures, strict=True):
            sheet.write_png(folder / f"{name}.{kind}.png", picture_, prompt)
        icons = _icon(folder / f"{name}.lora.svg", pictures[-1], prompt, preset)
        shown.append((prompt, (*pictures, *icons)))
    return shown


def _icon(path: Path, drawn: Image, prompt: str, preset: Preset) -> list[Image]:
    """Write a picture as an icon, if that is wanted; return the icon drawn again."""
    if not preset.sample.svg:
        return []
    title = vectorize.subject(prompt)
    credit = Credit(source=f"{Path(preset.model.path).name} with the LoRA {preset.name}")
    try:
        icon = vectorize.from_picture(drawn, Settings(), credit, title, prompt)
    except DocumentError as error:
        console.warn(f"{path.name}: not written, {error}")
        return [new_image("RGB", drawn.size, "#ffffff")]
    vectorize.write(path, icon)
    return [raster.picture(icon.svg, max(drawn.size), "#ffffff", 0, raster.choose("auto"))]


def write_comparison(
    path: Path,
    rows: Sequence[tuple[str, Sequence[Image]]],
    preset: Preset,
    strip: tuple[str, Sequence[Image]] | None = None,
) -> None:
    """Write the labelled grid of base beside fine-tuned, and the icons where there are any."""
    title = f"{preset.name}: base and fine-tuned at equal seeds"
    headings = _HEADINGS if preset.sample.svg else _HEADINGS[:-1]
    sheet.write_png(path, sheet.grid(title, headings, rows, _CELL, strip))


def file_name(number: int, prompt: str) -> str:
    """Return a file name's stem for the `number`-th prompt."""
    words = re.sub(r"[^a-z0-9]+", "-", prompt.lower()).strip("-")
    return f"{number:02d}-{words[:_SLUG_LENGTH].strip('-')}".rstrip("-")


def _layers(path: Path, component: str) -> dict[str, Layer]:
    """Return a LoRA's layers for the denoiser; tell of those for other parts of the model."""
    found = formats.read(path)
    layers = found.of(component)
    others = Counter(name.partition(".")[0] for name in found.layers)
    del others[component]
    if not layers:
        raise LoraError(f"{path}: holds nothing for the {component}, only for {', '.join(others)}")
    for name, count in others.items():
        console.warn(f"{path.name}: left out are its {count} modules for the {name}")
    return layers


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
