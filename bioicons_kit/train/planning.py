"""A preset -> what its run will hold, phase by phase.

The arithmetic is `memory.plan`'s; here is what it is asked about: the model by its sizes,
with the adapter on it, at the preset's picture sizes.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from PIL.Image import new as new_image

from bioicons_kit import families, sample
from bioicons_kit.data import encode
from bioicons_kit.data.showings import resolutions
from bioicons_kit.families import preservation
from bioicons_kit.families.base import DTYPES, Blueprint, Stage
from bioicons_kit.lora import adapter
from bioicons_kit.memory import checkpointing, measure, modulation, plan
from bioicons_kit.memory.plan import GIB, Layout, Phase, Plan, StepCost
from bioicons_kit.memory.probe import probing
from bioicons_kit.preset import Memory, Preset

# Host memory of the process itself: interpreter, libraries, CUDA's own; and what loading
# holds on its way to the device. A guess with a margin.
PROCESS = int(2.5 * GIB)
LOADING = int(0.4 * GIB)

# What an optimizer keeps, as a multiple of the parameters' size in float32. Adafactor's rows and
# columns are below a tenth of LoRA matrices of rank 16; small matrices stay in 32 bits.
MOMENTS = {
    "adamw": 2.0,
    "adamw8bit": 0.55,
    "adafactor": 0.15,
    "prodigy": 4.0,
    "schedule_free": 2.0,
}


@dataclass(frozen=True)
class Sized:
    """A micro-step's costs, with the bytes of the adapter."""

    step: StepCost
    adapter: int


class Planner:
    """Plans the runs of one preset.

    Args:
        preset: whose run it is; its memory settings may be varied.
        processes: that train together.
    """

    def __init__(self, preset: Preset, processes: int = 1) -> None:
        self._preset, self._processes = preset, processes
        self._sized: dict[tuple[object, ...], Sized] = {}

    @cached_property
    def blueprint(self) -> Blueprint:
        """The model's sizes."""
        return families.blueprint(self._preset.model, Path(self._preset.cache.root))

    @property
    def sizes(self) -> tuple[tuple[int, int], ...]:
        """The sizes that are trained at, the largest first; aspect buckets have no more pixels."""
        sides = sorted(resolutions(self._preset.dataset), reverse=True)
        return tuple((side, side) for side in sides)

    def plan(self, memory: Memory) -> Plan:
        """Return what a run with these memory settings holds."""
        preset = self._preset
        with undisturbed():
            largest = self.at(memory, self.sizes[0])
            layout = layout_of(memory, largest.step)
            phases = (
                self.texts(memory),
                self._pictures(),
                self._load(memory, largest, layout),
                *(self._train(memory, size, layout) for size in self.sizes),
                *([self._draw(memory, largest, layout)] if preset.sample.prompts else []),
                Phase("save", {}, PROCESS + largest.adapter, disk=largest.adapter, unit="LoRA"),
            )
        notes = () if self.blueprint.known else ("the model is not here: sizes of FLUX.1-dev",)
        return Plan(f"{preset.name} on {self.blueprint.title}: {described(memory)}", phases, notes)

    def training(self, memory: Memory) -> int:
        """Return the bytes on the device while training at the largest size."""
        with undisturbed():
            sized = self.at(memory, self.sizes[0])
            return sum(self.parts(sized, layout_of(memory, sized.step)).values())

    @cached_property
    def is_frozen(self) -> bool:
        """Whether the adapter leaves the modulation alone."""
        targets = self._targets(self.blueprint.subject(self._preset.memory))
        return not any(map(self.blueprint.makes_modulation, targets))

    @property
    def answers_ahead(self) -> int:
        """Batches whose modulation is computed at once."""
        return max(1, modulation.SAMPLES_AHEAD // self._preset.train.batch_size)

    def _targets(self, subject: measure.Subject) -> tuple[str, ...]:
        """Return the modules that get an adapter."""
        lora = self._preset.lora
        return adapter.target_modules(subject.denoiser, lora.targets, self.blueprint.target_sets)

    def at(self, memory: Memory, size: tuple[int, int]) -> Sized:
        """Return the costs of a micro-step at one size, probed once."""
        key = (memory.quantization, memory.dtype, memory.keep, memory.compile, size)
        if key not in self._sized:
            self._sized[key] = self._probed(memory, size)
        return self._sized[key]

    def _probed(self, memory: Memory, size: tuple[int, int]) -> Sized:
        """Probe a micro-step at one size."""
        settings, lora = self._preset.train, self._preset.lora
        subject = self.blueprint.subject(memory)
        adapter.create(subject.denoiser, self._targets(subject), lora)
        subject.denoiser.to("meta")
        batch = self.blueprint.batch(size, settings.batch_size, DTYPES[self._preset.cache.dtype])
        if settings.preservation != "none":
            batch = preservation.planned(batch)
        step = measure.step(
            subject,
            lambda: self.blueprint.loss(subject.denoiser, batch, settings).mean(),
            list(batch.tensors.values()),
        )
        return Sized(step, sum(p.nbytes for p in subject.trained))

    def parts(self, sized: Sized, layout: Layout) -> dict[str, int]:
        """Return what is on the device while training."""
        settings = self._preset.train
        averages = 1 if self._preset.lora.ema else 0
        moments = round((MOMENTS[settings.optimizer] + averages) * sized.adapter)
        return plan.training(
            sized.step,
            layout,
            sized.adapter,
            moments,
            micro_steps=settings.accumulation,
            copies=self._processes,
        )

    def _train(self, memory: Memory, size: tuple[int, int], layout: Layout) -> Phase:
        """Return the phase of training at one size."""
        sized = self.at(memory, size)
        host = PROCESS + plan.on_host(sized.step, layout, self.answers_ahead)
        work = plan.flops(sized.step, layout) * self._preset.train.accumulation
        name = f"train {size[0]} x {size[1]}"
        return Phase(name, self.parts(sized, layout), host, flops=work, unit="step")

    def _load(self, memory: Memory, sized: Sized, layout: Layout) -> Phase:
        """Return the phase of loading the denoiser."""
        parts = self.parts(sized, layout)
        held = {name: parts[name] for name in ("weights", "modulation")}
        host = PROCESS + LOADING + plan.on_host(sized.step, layout, 0)
        kept = memory.keep_quantized and memory.quantization != "none"
        disk = sized.step.weights if kept else 0
        return Phase("load", plan.with_workspace(held), host, disk=disk, unit="start")

    def _draw(self, memory: Memory, sized: Sized, layout: Layout) -> Phase:
        """Return the phase of drawing samples."""
        preset = self._preset
        size = sample.size(preset)
        subject = self.blueprint.subject(memory)
        subject.denoiser.to("meta")
        batch = self.blueprint.batch(size, 1, DTYPES[memory.dtype])
        with torch.no_grad(), probing() as drawn:
            self.blueprint.predict(subject.denoiser, batch)
        weights, decoded, work = _stage(self.blueprint.decode_stage(size, memory))
        parts = self.parts(sized, layout)
        parts = {name: parts[name] for name in ("weights", "modulation", "adapter", "optimizer")}
        parts |= {"decoder": weights, "activations": max(drawn.peak, decoded)}
        host = PROCESS + plan.on_host(sized.step, layout, 0)
        total = drawn.flops * preset.sample.steps + work
        return Phase("sample", plan.with_workspace(parts), host, flops=total, unit="picture")

    def texts(self, memory: Memory) -> Phase:
        """Return the phase of encoding texts, by its largest encoder."""
        found = [_stage(each) for each in self.blueprint.text_stages(memory, encode.BATCH_TEXTS)]
        weights, held, _ = max(found, key=lambda each: each[0] + each[1])
        work = sum(each[2] for each in found)
        parts = plan.with_workspace({"weights": weights, "activations": held})
        return Phase(
            "texts", parts, PROCESS + LOADING, flops=work, unit=f"{encode.BATCH_TEXTS} texts"
        )

    def _pictures(self) -> Phase:
        """Return the phase of encoding pictures at the largest size."""
        size = self.sizes[0]
        count = encode.batch_pictures(new_image("1", size), torch.device("cuda"))
        weights, held, work = _stage(self.blueprint.encode_stage(size, count))
        parts = plan.with_workspace({"weights": weights, "activations": held})
        return Phase("pictures", parts, PROCESS + LOADING, flops=work, unit=f"{count} picture(s)")


def described(memory: Memory) -> str:
    """Return memory settings in one line."""
    level = {"none": memory.dtype}.get(memory.quantization, memory.quantization)
    blocks = {"full": "full checkpointing", "none": "no checkpointing"}.get(
        str(memory.checkpointing), f"{memory.checkpointing} block(s) not checkpointed"
    )
    parts = [level, blocks]
    parts += ["modulation ahead"] if memory.modulation == "ahead" else []
    parts += ["checkpoints on the host"] if memory.checkpoint_inputs == "host" else []
    parts += [f"{memory.offload_blocks} blocks on the host"] if memory.offload_blocks else []
    return ", ".join(parts)


def layout_of(memory: Memory, step: StepCost) -> Layout:
    """Return what memory settings mean for a step."""
    count = len(step.blocks)
    kept = checkpointing.kept_blocks(range(count), memory.checkpointing)
    offloaded = plan.spread(memory.offload_blocks, count - kept) if memory.offload_blocks else ()
    return Layout(kept, memory.checkpoint_inputs == "host", memory.modulation == "ahead", offloaded)


def _stage(stage: Stage) -> tuple[int, int, int]:
    """Return the bytes of a network's weights, the most its run holds, and its operations."""
    with torch.no_grad(), probing() as probe:
        stage.run()
    return measure.frozen_bytes([stage.module]), probe.peak, probe.flops


@contextmanager
def undisturbed() -> Iterator[None]:
    """Leave torch's generator as it is: a plan must not change a run."""
    with torch.random.fork_rng(devices=[]):
        yield
