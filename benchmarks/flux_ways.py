"""The ways of `flux_full_size.py`: what each one builds, trains, and is predicted to hold.

Weights are random, made on the device and stored there as they would be from a file. Where the
device is the CPU, blocks take diffusers' attention with torch's fused kernel, as on a GPU, and
not the kit's own for CPUs, which trades memory for time.
"""

import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from bioicons_kit.families import flux, flux_blueprint, flux_memory, starter
from bioicons_kit.families.base import DTYPES, Batch
from bioicons_kit.families.flux_blueprint import FluxBlueprint
from bioicons_kit.lora import adapter
from bioicons_kit.memory import measure, modulation, peak, plan
from bioicons_kit.memory.load import load
from bioicons_kit.memory.probe import probing
from bioicons_kit.preset import Memory, Train
from bioicons_kit.train.planning import layout_of

PLAIN = "plain diffusers"
WAYS: Mapping[str, Memory] = {
    PLAIN: Memory(quantization="none"),
    "bf16 + ahead": Memory(quantization="none", modulation="ahead"),
    "qfloat8": Memory(quantization="qfloat8"),
    "qfloat8 + ahead": Memory(quantization="qfloat8", modulation="ahead"),
    "qint4": Memory(quantization="qint4"),
    "12 GB recipe": Memory(quantization="qfloat8", modulation="ahead", offload_blocks=6),
}
SCALING = flux.VaeScaling(0.1159, 0.3611)
RANK = 16


@dataclass(frozen=True)
class Case:
    """One row of the table."""

    size: str
    way: str
    side: int
    cap: int
    compiled: bool
    steps: int
    device: str

    @property
    def memory(self) -> Memory:
        """The kit's settings of this way."""
        changed = {"compile": self.compiled, "dtype": "bf16" if self.size == "full" else "fp32"}
        if self.slow:
            changed["attention"] = "_native_flash"
        return WAYS[self.way].model_copy(update=changed)

    @property
    def slow(self) -> bool:
        """Whether to show how far it is: at full size, a CPU takes minutes."""
        return self.size == "full" and self.device == "cpu"

    @property
    def blueprint(self) -> FluxBlueprint:
        """The model's sizes."""
        small = self.size == "small"
        return FluxBlueprint(
            "starter" if small else "FLUX.1-dev",
            True,
            16 if small else 512,
            starter.TRANSFORMER if small else flux_blueprint.TRANSFORMER,
            flux_blueprint.VAE,
            flux_blueprint.CLIP,
            flux_blueprint.T5,
        )


@dataclass(frozen=True)
class Result:
    """What a case gave; seconds and bytes. `failed` says why there is nothing else."""

    planned: int
    planned_host: int
    flops: int
    peak: int = 0
    tensors: int = 0
    host: int = 0
    load: float = 0.0
    step: float = 0.0
    failed: str = ""


class RandomWeights:
    """Weights that are drawn where they are wanted; a stand-in for files (`memory.shards`)."""

    where = Path("random")

    def __init__(self, model: nn.Module, device: torch.device) -> None:
        self.shapes = {name: tuple(p.shape) for name, p in model.named_parameters()}
        self._device = device

    def file(self, _name: str) -> Path:
        """Return a path for messages."""
        return self.where

    def nbytes(self, name: str) -> int:
        """Return the bytes that a bf16 file would hold."""
        return 2 * torch.Size(self.shapes[name]).numel()

    def read(self, name: str, rows: slice | None) -> Tensor:
        """Return random rows, scaled so that activations stay finite."""
        shape = torch.empty(self.shapes[name], device="meta")[rows if rows else ...].shape
        drawn = torch.randn(shape, device=self._device, dtype=torch.bfloat16)
        return drawn * 0.02


def predicted(case: Case, workspace: bool) -> Result:
    """Return what the plan says of a case; of peft's own layers it takes the kit's."""
    memory, settings = case.memory, Train(batch_size=1)
    # compiled blocks, too, are diffusers' own
    blocks = {"compile": True} if case.way == PLAIN else {}
    subject = case.blueprint.subject(memory.model_copy(update=blocks))
    attach(subject.denoiser)
    subject.denoiser.to("meta")
    batch = case.blueprint.batch((case.side, case.side), 1, torch.bfloat16)
    step = measure.step(
        subject,
        lambda: case.blueprint.loss(subject.denoiser, batch, settings).mean(),
        list(batch.tensors.values()),
    )
    layout = layout_of(memory, step)
    adapter_bytes = sum(p.nbytes for p in subject.trained)
    parts = plan.training(step, layout, adapter_bytes, 2 * adapter_bytes, micro_steps=1)
    if not workspace:
        parts.pop("workspace")
    return Result(
        planned=sum(parts.values()),
        planned_host=plan.on_host(step, layout, modulation.SAMPLES_AHEAD),
        flops=plan.flops(step, layout),
    )


def trained(case: Case, where: torch.device) -> dict[str, Any]:
    """Load the model, train, and return what that took."""
    started = time.monotonic()
    denoiser = plain(case, where) if case.way == PLAIN else loaded(case, where)
    synchronize(where)
    seconds = time.monotonic() - started
    parameters = attach_plain(denoiser) if case.way == PLAIN else attach(denoiser)
    if where.type == "cuda":
        torch.cuda.reset_peak_memory_stats(where)
        times = steps(case, denoiser, parameters, where)
        held = peak.on_device(where) or 0
        tensors = torch.cuda.max_memory_allocated(where)
    else:
        with probing() as probe:
            times = steps(case, denoiser, parameters, where)
        held = tensors = probe.peak + resident(denoiser)
    visits = ahead(denoiser, where) / modulation.SAMPLES_AHEAD
    return {
        "peak": held,
        "tensors": tensors,
        "host": peak.resident() or 0,
        "load": seconds,
        "step": statistics.median(times[2:] or times) + visits,
    }


def ahead(denoiser: nn.Module, where: torch.device) -> float:
    """Return the seconds in which the modulation of many samples is computed, or 0."""
    if not modulation.is_ahead(denoiser):
        return 0.0
    linear = next(m.linear for m in denoiser.modules() if isinstance(m, modulation.AheadLinear))
    dtype = next(p.dtype for p in denoiser.parameters() if not p.requires_grad)
    vectors = torch.randn(
        modulation.SAMPLES_AHEAD, 1, linear.in_features, device=where, dtype=dtype
    )
    started = time.monotonic()
    modulation.answers(denoiser, list(vectors))
    synchronize(where)
    return time.monotonic() - started


def resident(denoiser: nn.Module) -> int:
    """Return the bytes of a model's tensors, those that share memory counted once."""
    tensors = (*denoiser.parameters(), *denoiser.buffers())
    storages = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}
    return sum(storages.values())


def steps(
    case: Case, denoiser: nn.Module, parameters: Sequence[nn.Parameter], where: torch.device
) -> list[float]:
    """Take optimizer steps; return the seconds of each."""
    settings = Train(batch_size=1)
    optimizer = torch.optim.AdamW(parameters, lr=1e-4)
    make_moments(optimizer, parameters)
    times = []
    with progress(case, denoiser):
        started = time.monotonic()
        for each in flux_memory.prepared(denoiser, batches(case), settings, case.steps):
            with as_examples_do(case):
                loss = flux.loss(denoiser, each.to(where), settings, SCALING).mean()
            torch.autograd.backward([loss])
            norm = torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            optimizer.zero_grad()
            assert torch.isfinite(loss), "random weights of this scale keep losses finite"
            assert 0 < norm < torch.inf, "every step teaches something"
            del loss
            synchronize(where)
            times.append(time.monotonic() - started)
            started = time.monotonic()
    return times


def as_examples_do(case: Case) -> AbstractContextManager[Any]:
    """Return the context in which a loss is computed: diffusers' examples autocast to bf16."""
    casts = case.way == PLAIN and case.memory.dtype == "bf16"
    return torch.autocast(case.device, torch.bfloat16) if casts else nullcontext()


def make_moments(optimizer: torch.optim.Optimizer, parameters: Sequence[nn.Parameter]) -> None:
    """Have the optimizer make its moments, so that the first step holds what all later ones do."""
    for parameter in parameters:
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    optimizer.zero_grad()


@contextmanager
def progress(case: Case, denoiser: nn.Module) -> Iterator[None]:
    """Show the blocks that have run, where a step takes minutes; each runs twice a step."""
    names = flux_memory.blocks(denoiser)
    title, total = f"{case.way}, {case.side} px", 2 * len(names) * case.steps
    with tqdm(total=total, desc=title, unit="block", disable=not case.slow) as bar:
        hooks = [
            denoiser.get_submodule(name).register_forward_pre_hook(lambda *_: bar.update() and None)
            for name in (names if case.slow else ())
        ]
        yield
        for hook in hooks:
            hook.remove()


def loaded(case: Case, where: torch.device) -> nn.Module:
    """Return the denoiser as the kit loads and arranges it."""
    from accelerate import init_empty_weights
    from diffusers import FluxTransformer2DModel

    memory = case.memory
    with init_empty_weights(include_buffers=False):
        denoiser: Any = FluxTransformer2DModel.from_config(dict(case.blueprint.transformer))
    weights = RandomWeights(denoiser, where)
    total = sum(map(weights.nbytes, weights.shapes))
    with tqdm(total=total, desc="weights", unit="B", unit_scale=True, disable=not case.slow) as bar:
        load(
            denoiser,
            weights,
            level=memory.quantization,
            exclude=flux.KEEP,
            dtype=DTYPES[memory.dtype],
            device=where,
            advance=bar.update,
            away=flux_memory.host_modules(denoiser, memory),
        )
    flux.keep_timesteps_float32(denoiser)
    flux_memory.arrange(denoiser, memory, where)
    model: nn.Module = denoiser
    return model


def plain(case: Case, where: torch.device) -> nn.Module:
    """Return the denoiser as diffusers makes it, all of it on the device."""
    from diffusers import FluxTransformer2DModel

    own = torch.get_default_dtype()
    torch.set_default_dtype(DTYPES[case.memory.dtype])
    try:
        with where:
            denoiser: Any = FluxTransformer2DModel.from_config(dict(case.blueprint.transformer))
    finally:
        torch.set_default_dtype(own)
    denoiser.requires_grad_(False)
    denoiser.enable_gradient_checkpointing()
    model: nn.Module = denoiser
    return model


def adapted(denoiser: nn.Module) -> tuple[str, ...]:
    """Return the names of the modules that get an adapter."""
    return adapter.target_modules(denoiser, ("attention",), flux.Flux.target_sets)


def attach(denoiser: nn.Module) -> list[nn.Parameter]:
    """Attach the adapter as the kit does; return its parameters, float32."""
    return adapter.attach(denoiser, adapted(denoiser), RANK, None, 0.0)


def attach_plain(denoiser: Any) -> list[nn.Parameter]:
    """Attach peft's own adapter as diffusers' examples do; return its parameters, float32."""
    from peft import LoraConfig

    denoiser.add_adapter(
        LoraConfig(r=RANK, lora_alpha=RANK, target_modules=list(adapted(denoiser)))
    )
    parameters = [p for p in denoiser.parameters() if p.requires_grad]
    for parameter in parameters:
        parameter.data = parameter.data.float()
    return parameters


def batches(case: Case) -> Iterator[Batch]:
    """Yield random batches of one picture."""
    shapes = case.blueprint.batch((case.side, case.side), 1, torch.bfloat16).tensors
    number = 0
    while True:
        generator = torch.Generator().manual_seed(number)
        tensors = {
            name: torch.randn(each.shape, generator=generator).to(torch.bfloat16)
            for name, each in shapes.items()
        }
        yield Batch(tensors, (number,), torch.ones(1))
        number += 1


def synchronize(where: torch.device) -> None:
    """Wait until the device has done what it was asked."""
    if where.type == "cuda":
        torch.cuda.synchronize(where)
