"""The memory settings of a run that fit its card, or why none do: asked before anything loads.

A preset's own settings always win: only keys of `[memory]` that it leaves out are chosen. The
choice is the fastest that fits (`memory.fit`), of storage formats the most exact; qint4 only
where nothing else fits, for it costs quality.
"""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from accelerate.utils import gather_object

from bioicons_kit import console
from bioicons_kit.errors import PresetError, TrainingError
from bioicons_kit.memory import fit, plan
from bioicons_kit.memory.plan import GIB, Layout
from bioicons_kit.preset import Memory, Preset, parse_card
from bioicons_kit.train.planning import (
    LOADING,
    PROCESS,
    Planner,
    Sized,
    described,
    layout_of,
    undisturbed,
)

_LEVELS = ("none", "qfloat8", "qint4")
_LAST_RESORT = "qint4"
_KEYS = frozenset(
    {
        *("quantization", "checkpointing", "checkpoint_inputs", "modulation", "offload_blocks"),
        "text_encoder",
    }
)
_PINNED = 0.75  # of the host's memory: what is page-locked is lost to everything else
_SMALLER = (768, 512, 256)  # pixels

# Of the device, left free where that can be: a block more that keeps its activations gains a
# two-hundredth of a step, and a plan that is a little wrong loses the run.
_SPARE = 0.05


class Fitted(NamedTuple):
    """Settings that fit.

    Attributes:
        memory: the settings.
        why: what was passed over, in words.
    """

    memory: Memory
    why: str


@dataclass(frozen=True)
class Fitter:
    """Chooses memory settings for one preset.

    Attributes:
        planner: of the preset.
        preset: whose settings win.
        room: what there is.
    """

    planner: Planner
    preset: Preset
    room: fit.Room

    def choose(self, free: frozenset[str]) -> Fitted | None:
        """Return the fastest settings that fit, only `free` keys changed; None if none fit."""
        given = self.preset.memory
        tried: dict[str, tuple[Memory, float] | None] = {}
        for level in _LEVELS if "quantization" in free else (given.quantization,):
            if level != _LAST_RESORT or level == given.quantization or not any(tried.values()):
                changed = given.model_copy(update={"quantization": level})
                tried[level] = self._at_level(changed, free)
        fitting = {level: made for level, made in tried.items() if made is not None}
        if not fitting:
            return None
        chosen = min(fitting, key=lambda level: fitting[level][1])
        memory, time = fitting[chosen]
        passed = [
            f"{'bf16' if level == 'none' else level} "
            + (f"would take {made[1] / time:.1f} times as long" if made else "does not fit")
            for level, made in tried.items()
            if level != chosen
        ]
        made = self._with_texts(memory, free)
        return None if made is None else Fitted(made, "; ".join(passed))

    def least(self, free: frozenset[str]) -> int:
        """Return the fewest bytes of the device that training takes, only `free` keys changed."""
        given = self.preset.memory
        needed = []
        for level in _LEVELS if "quantization" in free else (given.quantization,):
            sized = self._sized(given.model_copy(update={"quantization": level}))
            needed.append(fit.least(sized.step, self._fixed(sized, free), self._bytes(sized)))
        return min(each.device for each in needed)

    def _at_level(self, memory: Memory, free: frozenset[str]) -> tuple[Memory, float] | None:
        """Return the fastest settings at one storage format, and their seconds."""
        sized = self._sized(memory)
        found = self._best(sized, free, 1 - _SPARE) or self._best(sized, free, 1.0)
        if found is None:
            return None
        layout = found.layout
        names: dict[int, str] = {0: "full", len(sized.step.blocks): "none"}
        update = {
            "checkpointing": names.get(layout.kept, layout.kept),
            "checkpoint_inputs": "host" if layout.inputs_on_host else "device",
            "modulation": "ahead" if layout.ahead else "resident",
            "offload_blocks": len(layout.offloaded),
        }
        return memory.model_copy(update=update), found.seconds

    def _best(self, sized: Sized, free: frozenset[str], share: float) -> fit.Found | None:
        """Return the fastest layout that fits a share of the device."""
        host = int(self.room.host * _PINNED) - PROCESS - LOADING
        room = fit.Room(int(self.room.device * share), host)
        fixed, ahead = self._fixed(sized, free), self.planner.answers_ahead
        return fit.best(sized.step, fixed, self._bytes(sized), room, ahead)

    def _with_texts(self, memory: Memory, free: frozenset[str]) -> Memory | None:
        """Return the settings with the text encoder in a format that fits, too."""
        for level in ("none", "qfloat8") if "text_encoder" in free else (memory.text_encoder,):
            made = memory.model_copy(update={"text_encoder": level})
            if self.planner.texts(made).device <= self.room.device:
                return made
        return None

    def _fixed(self, sized: Sized, free: frozenset[str]) -> fit.Fixed:
        """Return what of a layout is settled."""
        memory = self.preset.memory
        layout = layout_of(memory, sized.step)
        ahead: bool | None = layout.ahead
        if "modulation" in free:  # nothing that is trained can be computed ahead
            ahead = None if self.planner.is_frozen else False
        offload: int | None = len(layout.offloaded)
        if "offload_blocks" in free:  # DoRA looks at base weights, which have to be there
            offload = 0 if memory.compile or self.preset.lora.dora else None
        return fit.Fixed(
            kept=None if "checkpointing" in free else layout.kept,
            inputs_on_host=None if "checkpoint_inputs" in free else layout.inputs_on_host,
            ahead=ahead,
            offload=offload,
        )

    def _sized(self, memory: Memory) -> Sized:
        """Return the costs of a micro-step at the largest size."""
        with undisturbed():
            return self.planner.at(memory, self.planner.sizes[0])

    def _bytes(self, sized: Sized) -> "_Bytes":
        """Return the function from a layout to the bytes on the device."""
        return _Bytes(self.planner, sized)


@dataclass(frozen=True)
class _Bytes:
    """Bytes on the device by layout."""

    planner: Planner
    sized: Sized

    def __call__(self, layout: Layout) -> int:
        return sum(self.planner.parts(self.sized, layout).values())


def fitted(preset: Preset, device: torch.device, processes: int) -> tuple[Preset, plan.Plan | None]:
    """Return the preset with its free memory settings chosen, and the plan of its run.

    Without a GPU and without `memory.fit` nothing is planned.

    Raises:
        PresetError: "auto" is asked for where there is no GPU.
        TrainingError: the run cannot fit; says what would make it.
    """
    there_is = room(preset, device)
    if there_is is None:
        return preset, None
    # all processes have to choose alike
    there_is = fit.Room(*map(min, zip(*gather_object([tuple(there_is)]), strict=True)))
    planner = Planner(preset, processes)
    fitter = Fitter(planner, preset, there_is)
    memory = _chosen(fitter)
    if planner.training(memory) > there_is.device:
        raise refusal(fitter)
    made = planner.plan(memory)
    both = max(phase.device + phase.host for phase in made.phases)
    if device.type == "cpu" and both > host_memory():
        console.warn(
            f"on a CPU all of it is in RAM: {plan.gib(both)} are planned, and this machine has "
            f"{plan.gib(host_memory())}"
        )
    return preset.model_copy(update={"memory": memory}), made


def planned(preset: Preset, there_is: fit.Room | None) -> plan.Plan:
    """Return the plan of a run, its free settings chosen; one that does not fit is shown, too.

    Raises:
        TrainingError: settings were to be chosen, and none fit.
    """
    planner = Planner(preset)
    if there_is is None:
        return planner.plan(preset.memory)
    return planner.plan(_chosen(Fitter(planner, preset, there_is)))


def _chosen(fitter: Fitter) -> Memory:
    """Return a preset's memory settings, those that are free chosen, and tell the choice."""
    free = free_keys(fitter.preset)
    if not free:
        return fitter.preset.memory
    found = fitter.choose(free)
    if found is None:
        raise refusal(fitter)
    passed = f" ({found.why})" if found.why else ""
    there_is = f"{plan.gib(fitter.room.device)} of the GPU"
    console.say("fit", f"{there_is}: {described(found.memory)}{passed}")
    return found.memory


def free_keys(preset: Preset) -> frozenset[str]:
    """Return the keys of `[memory]` that are to be chosen."""
    memory = preset.memory
    free = _KEYS - memory.model_fields_set if memory.fit is not None else frozenset()
    return free | {"checkpointing"} if memory.checkpointing == "auto" else free


def refusal(fitter: Fitter) -> TrainingError:
    """Return the error that says a run cannot fit, and what would make it."""
    preset, room = fitter.preset, fitter.room
    needed = plan.gib(max(fitter.least(free_keys(preset)), 0))
    start = (
        f"the run does not fit: training at {fitter.planner.sizes[0][0]} px needs {needed} of the "
        f"GPU, and there are {plan.gib(room.device)}"
    )
    made = fitter.choose(_KEYS)
    if made is not None:
        return TrainingError(f"{start}; it would fit with {_as_keys(made.memory, preset.memory)}")
    for change, smaller in _smaller(preset):
        if Fitter(Planner(smaller), smaller, room).choose(_KEYS) is not None:
            return TrainingError(f"{start}; it would fit with {change}, and memory.fit set")
    return TrainingError(f"{start}; it fits in no way this kit has")


def room(
    preset: Preset, device: torch.device, vram: float | None = None, ram: float | None = None
) -> fit.Room | None:
    """Return the memory there is to fit into; None where nothing has to fit.

    Args:
        preset: its `memory.fit` may name a card.
        device: where the run will compute.
        vram: GiB of a card that is to be taken instead.
        ram: GiB of the host's memory; this machine's if None.

    Raises:
        PresetError: "auto" is asked for where there is no GPU.
    """
    asked = preset.memory.fit
    card = vram or (None if asked is None else parse_card(asked))
    host = host_memory() if ram is None else int(ram * GIB)
    if card is not None:
        return fit.Room(plan.usable(card), host)
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        return fit.Room(min(plan.usable(total / GIB), free), host)
    if asked == "auto" or preset.memory.checkpointing == "auto":
        raise PresetError(
            'memory: "auto" measures the GPU, and there is none here; name a card, such as '
            'memory.fit = "16GB"'
        )
    return None


def own_device() -> torch.device:
    """Return the device that a run would compute on here."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def host_memory() -> int:
    """Return the bytes of this machine's memory; a generous guess where it is not told."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):  # Windows has no sysconf
        return 64 * GIB


def _smaller(preset: Preset) -> Iterator[tuple[str, Preset]]:
    """Yield smaller runs, and what makes them so."""
    train, dataset = preset.train, preset.dataset
    single = train.model_copy(update={"batch_size": 1})
    also = ""
    if train.batch_size > 1:
        also = " and train.batch_size = 1"
        yield "train.batch_size = 1", preset.model_copy(update={"train": single})
    for side in _SMALLER:
        if side < dataset.resolution:
            sizes = dataset.sizes.model_copy(update={"extra": ()})
            changed = dataset.model_copy(update={"resolution": side, "sizes": sizes})
            smaller = preset.model_copy(update={"dataset": changed, "train": single})
            yield f"dataset.resolution = {side}{also}", smaller


def _as_keys(memory: Memory, given: Memory) -> str:
    """Return the settings that differ from the given ones, as a preset has them."""
    values, before = memory.model_dump(), given.model_dump()
    changed = (key for key in sorted(_KEYS) if values[key] != before[key])
    return ", ".join(f"memory.{key} = {json.dumps(values[key])}" for key in changed)
