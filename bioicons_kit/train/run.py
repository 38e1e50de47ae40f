"""A training run, from the preset to the LoRA and its pictures, top to bottom.

The loop itself is next door, in `loop`.
"""

import datetime
import json
import math
import platform
import shlex
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs
from torch import nn

from bioicons_kit import __version__, console, files, preset_file, sample
from bioicons_kit.data import encode, job, selection
from bioicons_kit.data.job import Job
from bioicons_kit.icons import manifest, raster
from bioicons_kit.icons.credits import attribution
from bioicons_kit.lora import adapter
from bioicons_kit.lora import start as start_lora
from bioicons_kit.lora.ema import Ema
from bioicons_kit.lora.formats import Layer
from bioicons_kit.memory import levels, modulation
from bioicons_kit.memory.quantize import Coverage
from bioicons_kit.preset import Preset
from bioicons_kit.train import (
    fitting,
    judged,
    loop,
    optim,
    outcome,
    peaks,
    resume,
    run_folder,
    tracking,
)
from bioicons_kit.train.checkpoint import Kept
from bioicons_kit.train.keeping import Keeper
from bioicons_kit.train.run_folder import RunFolder
from bioicons_kit.train.state import State, set_generators

# What a run writes besides its LoRA: logs, samples; and a cache its least.
_ROOM = 64 * 2**20


class Resume(NamedTuple):
    """A wish to go on from a checkpoint.

    Attributes:
        path: of a checkpoint or of a run; the run's own newest checkpoint if None.
    """

    path: Path | None = None


def run(
    preset: Preset, root: Path, asked: Resume | None = None, command: str = "--resume"
) -> RunFolder:
    """Train the LoRA that `preset` describes; return the folder that holds it.

    Args:
        preset: what to do.
        root: the run's folder.
        asked: whether, and from where, to go on with an earlier run.
        command: that goes on with this one, if it is stopped.

    Raises:
        KitError: anything the user can put right; nothing half-written stays.
        SystemExit: a signal stopped the training; its state is kept.
    """
    started = time.monotonic()
    root = root.absolute()
    run_folder.check(root)
    kept = None if asked is None else resume.find(RunFolder(root), asked.path)
    accelerator = start(preset, root)
    optim.require(preset.train, accelerator.device)
    levels.require(preset.memory.quantization, accelerator.device)
    files.require_room(Path(preset.cache.root), _ROOM, "the cache")
    files.require_room(root, _ROOM, "the run's files")
    preset, planned = fitting.fitted(preset, accelerator.device, accelerator.num_processes)
    if kept is not None:
        resume.require_same_settings(kept, preset, accelerator.num_processes)

    rows, work = selection.rows(preset, lambda: job.start(preset, accelerator))
    skeleton, lora = work.family.skeleton(), preset.lora
    modules = adapter.target_modules(skeleton, lora.targets, work.family.target_sets)
    sizes, prefix = adapter.sizes(modules, lora), work.family.lora_prefix
    begun = {} if kept is not None else start_lora.layers(lora, sizes, skeleton, prefix)
    if preset.memory.modulation == "ahead":
        modulation.refuse_trained(modules, filter(work.family.makes_modulation, modules))
    encoded = encode.dataset(rows, work)
    identity = resume.identity(encoded, work)
    if kept is not None:
        resume.require_same_content(kept, identity, preset)

    records = manifest.records(encoded.rows, encoded.captions, preset.dataset)
    phases = dict(encoded.seconds)
    with timed("load", phases), peaks.watched("load", planned, preset, work.device):
        denoiser = load_denoiser(work)
    state = begin(work, denoiser, modules, begun, kept)
    if kept is not None and kept.plain["identity"]["validation"] != identity["validation"]:
        state.best = None  # of other rows or levels
    room = _ROOM + sum(p.nbytes for p in state.adapter.values())
    files.require_room(root, room, "the run's files")
    # last: a model that cannot load leaves no folder
    with open_folder(work, root, records, kept) as folder:
        keeper = Keeper(work, folder, identity, command, state.step)
        with timed("train", phases), peaks.watched("train", planned, preset, work.device):
            stop = loop.train(work, denoiser, state, encoded, keeper)
        if stop:
            keeper.tell()
            raise SystemExit(128 + stop)

        # The loop has closed the process group: the others are done, and wait for nobody.
        if accelerator.is_main_process:
            with optim.evaluation_mode(state.optimizer):
                outcome.loras(work, denoiser, state, records, folder)
                with (
                    timed("sample", phases),
                    peaks.watched("sample", planned, preset, work.device),
                ):
                    judgement = draw_samples(work, denoiser, encoded, folder)
            write_summary(
                folder, work, state, time.monotonic() - started, phases, judgement=judgement
            )
            outcome.pages(folder, preset, records)
            tell_what_next(folder, preset)
    return folder


@contextmanager
def timed(phase: str, phases: dict[str, float]) -> Iterator[None]:
    """Note how many seconds a phase took."""
    began = time.monotonic()
    yield
    phases[phase] = time.monotonic() - began


def start(preset: Preset, root: Path) -> Accelerator:
    """Return the accelerator: device, processes, accumulation, trackers."""
    # Frozen weights are the same on every process already, and buffers hold 11 GB of them.
    # torch would rather have another option, which broadcasts them once all the same.
    warnings.filterwarnings("ignore", ".*broadcast_buffers.*", FutureWarning)
    ddp = DistributedDataParallelKwargs(broadcast_buffers=False)
    accelerator = job.accelerator(
        gradient_accumulation_steps=preset.train.accumulation,
        log_with=tracking.trackers(preset, root),
        project_dir=root,
        kwargs_handlers=[ddp],
    )
    count = accelerator.num_processes
    console.say(
        "preset",
        f"{preset.name}: {preset.train.steps} steps on {accelerator.device}"
        + (f", {count} processes" if count > 1 else ""),
    )
    return accelerator


@contextmanager
def open_folder(
    work: Job, root: Path, records: Sequence[manifest.Record], kept: Kept | None
) -> Iterator[RunFolder]:
    """Make, or open again, the run's folder with preset, manifest and credits in it."""
    folder = RunFolder(root)
    with ExitStack() as stack:
        if work.accelerator.is_main_process:
            resolved = preset_file.dumps(work.preset)
            listed = manifest.metadata_jsonl(records)
            source = None if kept is None else RunFolder(kept.path.absolute().parent.parent)
            if kept is None or source != folder:
                stack.enter_context(run_folder.opened(root, resolved, listed))
            if kept is not None and source is not None:
                if source != folder:
                    run_folder.branch(source, folder, kept.step)
                run_folder.rewind(folder, kept.step)
            files.write_text(folder.preset, resolved)
            files.write_text(folder.manifest, listed)
            files.write_text(folder.attribution, attribution.markdown(records))
        work.accelerator.wait_for_everyone()
        yield folder


def load_denoiser(work: Job) -> nn.Module:
    """Load the frozen denoiser and say what it weighs."""
    with console.bar("denoiser", work.family.denoiser_bytes(), "B", scale=True) as bar:
        denoiser, coverage = work.family.load_denoiser(work.preset.memory, work.device, bar.update)
        bar.update(bar.total - bar.n)  # the files' headers hold the rest of their bytes
    console.say("denoiser", describe_denoiser(work, coverage))
    return denoiser


def describe_denoiser(work: Job, coverage: Coverage) -> str:
    """Return one line on what was loaded and how it is stored."""
    stored = ""
    if coverage.quantized:
        share = coverage.quantized_parameters / coverage.parameters
        stored = (
            f"{share:.0%} of them in {work.preset.memory.quantization} "
            f"({len(coverage.quantized)} layers), "
        )
    return (
        f"{work.family.title}: {coverage.parameters / 1e6:,.1f} M parameters, {stored}"
        f"{coverage.bytes / 1e6:,.1f} MB"
    )


def begin(
    work: Job,
    denoiser: nn.Module,
    modules: Sequence[str],
    begun: Mapping[str, Layer],
    kept: Kept | None,
) -> State:
    """Attach the adapter and say what it holds; return the run's state, a new one or the kept.

    Args:
        work: the job.
        denoiser: loaded, frozen.
        modules: that get an adapter.
        begun: what of it begins as another LoRA.
        kept: a checkpoint to go on from.
    """
    settings, lora, process = work.preset.train, work.preset.lora, work.accelerator.process_index
    torch.manual_seed(settings.seed)
    parameters = adapter.create(denoiser, modules, lora)
    adapter.put(denoiser, begun)
    count = sum(p.numel() for p in parameters)
    console.say("adapter", f"rank {lora.rank} on {len(modules)} layers: {count:,} parameters")
    named = adapter.named(denoiser)
    average = Ema(named, lora.ema) if lora.ema else None
    state = State(named, optim.build(named, settings, lora), average)
    torch.manual_seed(settings.seed + process)  # dropout: each its own
    if kept is not None:
        state.load(kept.tensors, kept.plain)
        state.rng = dict(kept.rng[process])
        set_generators(state.rng, work.device)
        console.say("resumed", f"from step {kept.step}, {console.shown(kept.path)}")
    return state


def draw_samples(
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


def write_summary(
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
    summary: dict[str, Any] = {
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
    files.write_text(folder.summary, json.dumps(summary, indent=2) + "\n")
    console.say(
        "loss",
        f"{summary['loss_first_tenth']:.4f} over the first tenth of the steps, "
        f"{summary['loss_last_tenth']:.4f} over the last",
    )


def tell_what_next(folder: RunFolder, preset: Preset) -> None:
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
