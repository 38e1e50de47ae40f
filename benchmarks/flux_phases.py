"""What a run holds besides training, at full size: texts, pictures and a sample, against the plan.

    python benchmarks/flux_folder.py FOLDER
    python benchmarks/flux_phases.py presets/cc0_animals_12gb.toml --set model.path=FOLDER

Each phase runs in a process of its own, as training would run it: the largest text encoder on as
many texts as are encoded at once, the VAE on as many pictures, and one step of one sample with its
decoding. On a GPU "held" is what torch reserved. On a CPU it is of live tensors, and the plan's
is without its workspace, with what the model has on the host. Nothing is trained, so there is no
optimizer in either.
"""

import argparse
import gc
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch
from flux_full_size import in_a_process
from PIL.Image import new as new_image
from torch import Tensor

from bioicons_kit import preset_file, sample
from bioicons_kit.data import encode, job
from bioicons_kit.lora import adapter
from bioicons_kit.memory import plan
from bioicons_kit.memory.probe import probing
from bioicons_kit.preset import Preset
from bioicons_kit.train.planning import PROCESS, Planner


def main() -> None:
    """Run every phase and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("preset", type=Path)
    parser.add_argument("--set", action="append", default=[], dest="overrides")
    parser.add_argument("--phases", nargs="+", choices=PHASES, default=list(PHASES))
    options = parser.parse_args()
    print("| phase | held GiB | planned | s |\n|---|---|---|---|", flush=True)
    for name in options.phases:
        print(in_a_process(row, name, options.preset, options.overrides), flush=True)


def row(name: str, path: Path, overrides: Sequence[str]) -> str:
    """Run one phase in this process; return its line of the table."""
    preset = preset_file.load(path, overrides)
    work = job.start(preset, job.accelerator())
    planned = planned_parts(name, preset, work.device)
    started = time.monotonic()
    held = PHASES[name](work)
    seconds, expected = time.monotonic() - started, sum(planned.values())
    return (
        f"| {name} | {held / plan.GIB:.2f} | {expected / plan.GIB:.2f} "
        f"({held / expected - 1:+.0%}) | {seconds:.0f} |"
    )


def planned_parts(name: str, preset: Preset, device: torch.device) -> dict[str, int]:
    """Return what the plan says of a phase."""
    phases = Planner(preset).plan(preset.memory).phases
    phase = next(phase for phase in phases if phase.name == name)
    parts = dict(phase.parts)
    parts.pop("optimizer", None)
    if device.type == "cpu":
        parts.pop("workspace")
        if name == "sample":  # of the model, what would wait on the host is among the tensors
            parts["host"] = phase.host - PROCESS
    return parts


@contextmanager
def holding(device: torch.device) -> Iterator[Callable[[], int]]:
    """Yield a function that returns the most bytes held in the `with` block, weights included."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
        yield lambda: torch.cuda.max_memory_reserved(device)
        return
    before = alive()
    with probing() as probe:
        yield lambda: before + probe.peak


def alive() -> int:
    """Return the bytes of all tensors that there are, those that share memory counted once."""
    gc.collect()
    tensors = (each for each in gc.get_objects() if issubclass(type(each), Tensor))
    storages = [each.untyped_storage() for each in tensors if each.device.type == "cpu"]
    return sum({each.data_ptr(): each.nbytes() for each in storages}.values())


def texts(work: job.Job) -> int:
    """Encode as many texts as are encoded at once; return what the largest encoder held."""
    prompts = [f"text {number}" for number in range(encode.BATCH_TEXTS)]
    most = 0
    for encoder in work.family.text_encoders(work.preset.memory):
        with encoder.loaded(work.device) as encoded, holding(work.device) as held:
            encoded(prompts)
            most = max(most, held())
    return most


def pictures(work: job.Job) -> int:
    """Encode as many pictures as the plan counts: what a GPU encodes at once."""
    blank = new_image("RGB", sample.size(work.preset))
    count = encode.batch_pictures(blank, torch.device("cuda"))
    with work.family.image_encoder().loaded(work.device) as encoded, holding(work.device) as held:
        encoded([blank] * count)
        return held()


def drawn(work: job.Job) -> int:
    """Draw a picture in one step, with an adapter attached."""
    once = work.preset.sample.model_copy(
        update={"steps": 1, "prompts": work.preset.sample.prompts[:1]}
    )
    preset = work.preset.model_copy(update={"sample": once})
    work = replace(work, preset=preset)
    entries = encode.texts(once.prompts, work)
    denoiser, _ = work.family.load_denoiser(preset.memory, work.device, lambda _: None)
    modules = adapter.target_modules(denoiser, preset.lora.targets, work.family.target_sets)
    adapter.create(denoiser, modules, preset.lora)
    with holding(work.device) as held:
        sample.adapted(work, denoiser, entries)
        return held()


PHASES: dict[str, Callable[[job.Job], int]] = {
    "texts": texts,
    "pictures": pictures,
    "sample": drawn,
}


if __name__ == "__main__":
    main()
