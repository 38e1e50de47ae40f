"""Class pictures for prior preservation, drawn by the very model that is to be fine-tuned.

Prior preservation keeps what a model knew of a class by training on its own pictures of it
besides (Ruiz et al. 2023, DreamBooth, arXiv:2208.12242, section 3.2). A prior bucket with
`generate` has them made: as many as its folder lacks, with the bucket's caption as prompt.

They go to `root/generated-HASH/`, the hash being of the model's files and of all settings
that shape them, with a `metadata.jsonl` that says where they come from. Each has a seed of
its own, so that an interrupted run goes on where it was.
"""

import gc
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL.Image import Image

from bioicons_kit import console
from bioicons_kit.data import encode
from bioicons_kit.data.identity import Identities
from bioicons_kit.data.job import Job
from bioicons_kit.data.order import derived
from bioicons_kit.errors import LibraryError
from bioicons_kit.families.base import Encoder
from bioicons_kit.files import atomic_file, require_room, sha256_bytes, write_text
from bioicons_kit.icons.pictures import images
from bioicons_kit.icons.scan.sidecar import LISTING
from bioicons_kit.memory import levels

# What a model draws has no author's license; its own terms say what may be done with it.
LICENSE = "LicenseRef-generated"
_FOLDER = "generated-"
_BYTES = 3  # a pixel, at most: PNG hardly grows


@dataclass(frozen=True)
class Wanted:
    """The class pictures of one bucket: its number, prompt, folder, and which are missing."""

    bucket: int
    prompt: str
    folder: Path
    names: tuple[str, ...]
    missing: tuple[int, ...]


def wanted(job: Job) -> tuple[Wanted, ...]:
    """Return what each bucket with `generate` wants.

    Raises:
        LibraryError: its folder has pictures that another model or prompt made.
    """
    return tuple(
        _of_bucket(job, number)
        for number, bucket in enumerate(job.preset.dataset.buckets)
        if bucket.generate is not None
    )


def ensure(job: Job) -> int:
    """Draw the class pictures that are missing; return how many were.

    Under several processes of a launch, each draws every n-th.

    Raises:
        LibraryError: a folder has pictures that another model or prompt made.
        ModelError: the model cannot be loaded.
        StorageError: no room; pictures already written stay.
    """
    buckets = wanted(job)
    missing = [each for each in buckets if each.missing]
    if missing:
        side = job.preset.dataset.resolution
        count = sum(len(each.missing) for each in missing)
        for each in missing:
            needed = len(each.missing) * side * side * _BYTES
            require_room(each.folder, needed, f"{len(each.missing)} class pictures")
        console.say("prior", f"{count} class pictures to draw with {job.family.title}")
        _draw(job, missing)
    job.accelerator.wait_for_everyone()
    if job.accelerator.is_main_process:
        for each in buckets:
            _list(each, job)
    job.accelerator.wait_for_everyone()
    return sum(len(each.missing) for each in missing)


def _of_bucket(job: Job, number: int) -> Wanted:
    """Return what the bucket of that number wants."""
    bucket = job.preset.dataset.buckets[number]
    assert bucket.root is not None
    assert bucket.caption is not None
    assert bucket.generate is not None
    root = Path(bucket.root)
    folder = root / f"{_FOLDER}{_identity(job, number)[:12]}"
    strangers = [each for each in root.glob(f"{_FOLDER}*") if each.is_dir() and each != folder]
    if strangers:
        raise LibraryError(
            f"{strangers[0]}: class pictures of another model, prompt or setting; remove the "
            f"folder, or give bucket {number} another root"
        )
    own = [p for p in root.rglob("*") if p.suffix.lower() in images.SUFFIXES and p.is_file()]
    given = sum(folder not in each.parents for each in own)
    names = tuple(f"{i:05d}.png" for i in range(max(0, bucket.generate - given)))
    missing = tuple(i for i, name in enumerate(names) if not (folder / name).is_file())
    return Wanted(number, bucket.caption, folder, names, missing)


def _identity(job: Job, number: int) -> str:
    """Return the hash of everything that shapes a bucket's class pictures."""
    preset, family = job.preset, job.family
    bucket = preset.dataset.buckets[number]
    encoders: tuple[Encoder[Any], ...] = (
        family.image_encoder(),
        *family.text_encoders(preset.memory),
    )
    files = [*family.denoiser_files(), *(file for each in encoders for file in each.files)]
    with job.accelerator.main_process_first():
        model = Identities(job.cache.root).of(files)
    shaped = {
        "model": model,
        "settings": [dict(each.settings) for each in encoders],
        "denoiser": [
            *(preset.memory.quantization, preset.memory.dtype),
            *(preset.memory.keep or ()),
        ],
        "prompt": bucket.caption,
        "resolution": preset.dataset.resolution,
        "steps": preset.sample.steps,
        "guidance": preset.sample.guidance,
        "seed": preset.dataset.seed,
        "bucket": number,
    }
    return sha256_bytes(json.dumps(shaped, sort_keys=True).encode())


def _draw(job: Job, buckets: list[Wanted]) -> None:
    """Draw this process's part of what is missing."""
    preset, accelerator = job.preset, job.accelerator
    levels.require(preset.memory.quantization, job.device)
    texts = encode.texts([each.prompt for each in buckets], job)
    every = [(each, number) for each in buckets for number in each.missing]
    mine = every[accelerator.process_index :: accelerator.num_processes]
    denoiser: Any = None
    if mine:
        with console.bar("denoiser", job.family.denoiser_bytes(), "B", scale=True) as bar:
            denoiser, _ = job.family.load_denoiser(preset.memory, job.device, bar.update)
        denoiser.eval()
        draw = job.family.sampler(denoiser, job.device)
        size = (preset.dataset.resolution, preset.dataset.resolution)
        with console.bar("prior", len(mine), "picture") as bar:
            for each, number in mine:
                text = {
                    f"{entry.kind}.{name}": tensor
                    for entry in texts[each.prompt]
                    for name, tensor in job.cache.get(entry).items()
                }
                seed = derived(preset.dataset.seed, f"prior/{each.bucket}/{number}")
                _write(each.folder / each.names[number], draw(text, seed, preset.sample, size, int))
                bar.update()
        del draw
    del denoiser  # before an encoder takes its place
    gc.collect()
    if job.device.type == "cuda":
        torch.cuda.empty_cache()


def _write(path: Path, picture: Image) -> None:
    """Write a picture as PNG, whole or not at all."""
    with atomic_file(path) as file:
        picture.save(file, "PNG")


def _list(made: Wanted, job: Job) -> None:
    """Write what there is to say of a bucket's class pictures beside them."""
    if not made.names:
        return
    lines = [
        json.dumps(
            {
                "file_name": name,
                "text": made.prompt,
                "title": made.prompt,
                "author": job.family.title,
                "license": LICENSE,
            },
            ensure_ascii=False,
        )
        for name in made.names
    ]
    write_text(made.folder / LISTING, "\n".join(lines) + "\n")
