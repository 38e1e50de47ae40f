"""What comes out of a run: LoRA files in the layouts asked for, samples, model card, report."""

import datetime
import json
import math
import platform
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from bioicons_kit import __version__, card, console, files, sample
from bioicons_kit.data import encode
from bioicons_kit.data.job import Job
from bioicons_kit.icons import manifest, raster
from bioicons_kit.lora import adapter, formats, metadata
from bioicons_kit.preset import Preset
from bioicons_kit.train import judged, report
from bioicons_kit.train.run_folder import RunFolder
from bioicons_kit.train.state import State


def loras(
    work: Job,
    denoiser: nn.Module,
    state: State,
    records: Sequence[manifest.Record],
    folder: RunFolder,
) -> None:
    """Write the adapter, and its average where there is one, as files that say what they are.

    Raises:
        LoraError: a layout that was asked for cannot say it.
        StorageError: no room or no permission.
    """
    digest = manifest.digest(records)
    header = metadata.header(work.preset, work.family.architecture, records, digest)
    prefix = work.family.lora_prefix
    layers = adapter.extract(denoiser)
    _told(formats.write_diffusers(folder.lora, layers, prefix, header), "lora")
    if "kohya" in work.preset.output.formats:
        named = {f"{prefix}.{name}": layer for name, layer in layers.items()}
        _told(formats.write(folder.lora_kohya, named, "kohya", header), "kohya")
    if state.average is not None:
        header["bioicons_kit.ema"] = str(work.preset.lora.ema)
        with state.average.applied():  # on a CPU what is extracted is the adapter's own memory
            averaged = adapter.extract(denoiser)
            _told(formats.write_diffusers(folder.lora_ema, averaged, prefix, header), "ema")


def pages(folder: RunFolder, preset: Preset, records: Sequence[manifest.Record]) -> None:
    """Write the model card and the report, last: they tell of all the other files."""
    shown = card.pictures(folder.samples, preset.sample.prompts, folder.root)
    files.write_text(folder.card, card.markdown(preset, records, shown))
    report.write(folder, preset, records)
    console.say("report", console.shown(folder.report))


def samples(
    work: Job, denoiser: nn.Module, encoded: encode.Encoded, folder: RunFolder
) -> dict[str, Any] | None:
    """Draw the preset's prompts without and with the adapter, and the picture of both.

    Returns:
        what the judge says of them, where it can.
    """
    preset = work.preset
    if not preset.sample.prompts:
        console.say("samples", "none: the preset has no sample.prompts")
        return None
    pairs = sample.base_and_adapted(work, denoiser, encoded.texts)
    shown = sample.training_pictures(encoded.rows, preset.dataset)
    drawn = [(pair.prompt, (pair.base, pair.adapted)) for pair in pairs]
    rows = sample.write_all(drawn, folder.samples, preset)
    sample.write_comparison(folder.comparison, rows, preset, ("learned from", shown))
    return judged.scores(pairs, preset)


def summary(
    folder: RunFolder,
    work: Job,
    state: State,
    seconds: float,
    phases: Mapping[str, float],
    *,
    judgement: dict[str, Any] | None,
) -> None:
    """Write when and how the run went; the only file of a run that names a date."""
    accelerator = work.accelerator
    losses = [loss for loss in state.losses if math.isfinite(loss)]
    tenth = max(1, len(losses) // 10)
    said: dict[str, Any] = {
        "finished": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "seconds": round(seconds, 1),
        "phases": {name: round(each, 1) for name, each in phases.items()},
        "loss_first_tenth": sum(losses[:tenth]) / tenth,
        "loss_last_tenth": sum(losses[-tenth:]) / tenth,
        "skipped_steps": state.skipped,
        "best": None if state.best is None else state.best._asdict(),
        "judge": judgement,
        "device": str(accelerator.device),
        "threads": torch.get_num_threads(),
        "renderer": raster.choose(work.preset.dataset.renderer).name,
        "processes": accelerator.num_processes,
        "kit": __version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
    }
    files.write_text(folder.summary, json.dumps(said, indent=2) + "\n")
    console.say(
        "loss",
        f"{said['loss_first_tenth']:.4f} over the first tenth of the steps, "
        f"{said['loss_last_tenth']:.4f} over the last",
    )


def what_next(folder: RunFolder, preset: Preset) -> None:
    """Say where everything is and what to try next."""
    shown = console.shown
    console.say("done", f"everything is in {shown(folder.root)}")
    if folder.comparison.is_file():
        console.say("look at", shown(folder.comparison))
    console.say("credit", shown(folder.attribution))
    prompt = f"{preset.dataset.trigger}, a robin".removeprefix(", ")
    console.say(
        "try",
        f"python tools/sample.py {shown(folder.root)} --compare --prompt {shlex.quote(prompt)}",
    )
    console.say("try", f"tensorboard --logdir {shown(folder.logs)}")


def _told(path: Path, label: str) -> None:
    """Say that a file was written."""
    console.say(label, f"{console.shown(path)} ({path.stat().st_size / 1e6:.1f} MB)")
