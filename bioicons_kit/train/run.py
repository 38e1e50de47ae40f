"""A training run, from the preset to the LoRA and its pictures, top to bottom.

The loop itself is next door, in `loop`.
"""

import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs
from torch import nn

from bioicons_kit import console, files, preset_file
from bioicons_kit.data import encode, job, selection
from bioicons_kit.data.job import Job
from bioicons_kit.icons import manifest
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
    require(preset, root, accelerator)
    preset, planned = fitting.fitted(preset, accelerator.device, accelerator.num_processes)
    if kept is not None:
        resume.require_same_settings(kept, preset, accelerator.num_processes)
    given = prepare(preset, accelerator, kept)
    work, phases = given.work, dict(given.encoded.seconds)
    with timed("load", phases), peaks.watched("load", planned, preset, work.device):
        denoiser = load_denoiser(work)
    state = begin(work, denoiser, given.modules, given.begun, kept)
    if kept is not None and kept.plain["identity"]["validation"] != given.identity["validation"]:
        state.best = None  # of other rows or levels
    room = _ROOM + sum(p.nbytes for p in state.adapter.values())
    files.require_room(root, room, "the run's files")
    # last: a model that cannot load leaves no folder
    with open_folder(work, root, given.records, kept) as folder:
        keeper = Keeper(work, folder, given.identity, command, state.step)
        with timed("train", phases), peaks.watched("train", planned, preset, work.device):
            stop = loop.train(work, denoiser, state, given.encoded, keeper)
        if stop:
            keeper.tell()
            raise SystemExit(128 + stop)

        # The loop has closed the process group: the others are done, and wait for nobody.
        if accelerator.is_main_process:
            with optim.evaluation_mode(state.optimizer):
                outcome.loras(work, denoiser, state, given.records, folder)
                with (
                    timed("sample", phases),
                    peaks.watched("sample", planned, preset, work.device),
                ):
                    judgement = outcome.samples(work, denoiser, given.encoded, folder)
            outcome.summary(
                folder, work, state, time.monotonic() - started, phases, judgement=judgement
            )
            outcome.pages(folder, preset, given.records)
            outcome.what_next(folder, preset)
    return folder


def require(preset: Preset, root: Path, accelerator: Accelerator) -> None:
    """Refuse what this machine cannot do, before any work is done.

    Raises:
        KitError: an optimizer or a storage format that it does not have; no room on a disk.
    """
    optim.require(preset.train, accelerator.device)
    levels.require(preset.memory.quantization, accelerator.device)
    files.require_room(Path(preset.cache.root), _ROOM, "the cache")
    files.require_room(root, _ROOM, "the run's files")


class Given(NamedTuple):
    """What a run works with, before its denoiser is loaded.

    Attributes:
        work: the job.
        modules: that get an adapter.
        begun: what of the adapter begins as another LoRA.
        encoded: pictures and texts.
        identity: what a checkpoint has to agree with.
        records: the manifest's lines.
    """

    work: Job
    modules: tuple[str, ...]
    begun: Mapping[str, Layer]
    encoded: encode.Encoded
    identity: dict[str, Any]
    records: list[manifest.Record]


def prepare(preset: Preset, accelerator: Accelerator, kept: Kept | None) -> Given:
    """Choose rows and layers, refuse what does not go together, and encode what is not cached."""
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
    return Given(work, modules, begun, encoded, identity, records)


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
