"""What comes out of a run: LoRA files in the layouts asked for, the model card, the report."""

from collections.abc import Sequence
from pathlib import Path

from torch import nn

from bioicons_kit import card, console, files
from bioicons_kit.data.job import Job
from bioicons_kit.icons import manifest
from bioicons_kit.lora import adapter, formats, metadata
from bioicons_kit.preset import Preset
from bioicons_kit.train import report
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


def _told(path: Path, label: str) -> None:
    """Say that a file was written."""
    console.say(label, f"{console.shown(path)} ({path.stat().st_size / 1e6:.1f} MB)")
