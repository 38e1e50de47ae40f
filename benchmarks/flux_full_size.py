"""FLUX.1-dev at full size on one GPU: memory against the plan, host RAM, load time, speed.

    python benchmarks/flux_full_size.py                    the whole table, on a GPU
    python benchmarks/flux_full_size.py --sides 1024 --ways "bf16 + ahead" --caps 24
    python benchmarks/flux_full_size.py --size small       the same code on a CPU, in a minute

No model files are needed: weights are random, made on the device and stored there as they
would be from a file. Each way trains a rank-16 LoRA on attention for some steps, batch 1,
512 text tokens, in a process of its own, under a cap that stands for a card (what CUDA's
context takes is left out: 11.0, 15.0 and 22.8 GiB for 12, 16 and 24 GB).

    plain diffusers     bf16, diffusers' model, peft's adapter, full checkpointing
    bf16 + ahead        modulation computed ahead
    qfloat8             8-bit weights
    qfloat8 + ahead     both
    qint4               4-bit weights
    12 GB recipe        presets/cc0_animals_12gb.toml's memory settings

No way may use cuDNN's attention, which torch takes first on an H100 or H200: there it ended in
illegal memory accesses.

The floor is the step's operations (the plan's) at the rate of one large bf16 product, which is
measured first; s/step is the median from the third step on, plus a 64th of the time in which the
modulation of 64 samples is computed ahead, where it is. "peak" is what torch reserved, "tensors"
what was allocated of that; the plan's workspace is an allowance for the difference. On a CPU,
whose allocator tells nothing, both are of live tensors, and the plan's is without the workspace.
Load is the time to draw, store and arrange the weights.
"""

import argparse
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from diffusers.utils import logging
from filelock import FileLock
from torch import Tensor, nn

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
SIDES = {"full": (512, 768, 1024), "small": (64,)}  # pixels
CAPS = {"full": (12, 16, 24), "small": (0,)}  # GB of the card that is stood for; 0: no cap
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

    @property
    def memory(self) -> Memory:
        """The kit's settings of this way."""
        changed = {"compile": self.compiled, "dtype": "bf16" if self.size == "full" else "fp32"}
        return WAYS[self.way].model_copy(update=changed)

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


def main() -> None:
    """Run every case and print the table."""
    options = _options()
    call = in_a_process if options.size == "full" else lambda act, *given: act(*given)
    name, rate = call(machine)
    print(f"{name}, torch {torch.__version__}, one large product: {rate / 1e12:.2f} TFLOP/s\n")
    print(
        "| way | px | card | peak GiB | planned | tensors GiB | host GiB | load s | s/step "
        "| of the floor |\n|---|---|---|---|---|---|---|---|---|---|"
    )
    for case in cases(options):
        print(row(case, call(run, case), rate), flush=True)


def _options() -> argparse.Namespace:
    """Return what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", choices=sorted(SIDES), default="full")
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--sides", type=int, nargs="+", help="pixels")
    parser.add_argument("--caps", type=int, nargs="+", help="GB of a card; 0 for none")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--compile", action="store_true", help="each way compiled, too")
    options = parser.parse_args()
    if options.size == "full" and not in_a_process(torch.cuda.is_available):
        parser.error("the full size needs a GPU; --size small runs on a CPU")
    return options


def cases(options: argparse.Namespace) -> Iterator[Case]:
    """Yield the rows of the table."""
    for side in options.sides or SIDES[options.size]:
        for cap in options.caps or CAPS[options.size]:
            for way in options.ways:
                case = Case(options.size, way, side, cap, False, options.steps)
                yield case
                if options.compile and way != PLAIN and not case.memory.offload_blocks:
                    yield replace(case, compiled=True)


def run(case: Case) -> Result:
    """Train some steps of a case in this process."""
    logging.set_verbosity_error()
    torch.backends.cuda.enable_cudnn_sdp(False)  # see `flux_memory.set_attention`
    where = device()
    if case.cap:
        share = plan.usable(case.cap) / torch.cuda.get_device_properties(where).total_memory
        torch.cuda.set_per_process_memory_fraction(min(1.0, share))
    planned = predicted(case, workspace=where.type == "cuda")
    try:
        with one_at_a_time():
            return replace(planned, **trained(case, where))
    except torch.OutOfMemoryError:
        return replace(planned, failed="out of memory")
    except RuntimeError as error:
        if case.size == "small":
            raise
        return replace(planned, failed=(str(error).strip().splitlines() or ["failed"])[-1][:80])


def one_at_a_time() -> FileLock:
    """Return a lock on this machine's device: two that run at once would time each other."""
    return FileLock(Path(tempfile.gettempdir()) / "flux_full_size.lock")


def in_a_process(act: Callable[..., Any], *given: Any) -> Any:
    """Return `act(*given)` from a process of its own: the peaks and the cap are its own.

    It is started anew: a process that has touched the GPU cannot be forked.
    """
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(act, *given).result()


def predicted(case: Case, workspace: bool) -> Result:
    """Return what the plan says of a case."""
    memory, settings = case.memory, Train(batch_size=1)
    subject = case.blueprint.subject(memory)
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
    return Result(planned=sum(parts.values()), flops=plan.flops(step, layout))


def trained(case: Case, where: torch.device) -> dict[str, Any]:
    """Load the model, train, and return what that took."""
    started = time.monotonic()
    denoiser = plain(case, where) if case.way == PLAIN else loaded(case, where)
    synchronize(where)
    seconds = time.monotonic() - started
    parameters = attach(denoiser)
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
    times = []
    started = time.monotonic()
    for each in flux_memory.prepared(denoiser, batches(case), settings, case.steps):
        loss = flux.loss(denoiser, each.to(where), settings, SCALING).mean()
        torch.autograd.backward([loss])
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        assert torch.isfinite(loss), "random weights of this scale keep losses finite"
        del loss
        synchronize(where)
        times.append(time.monotonic() - started)
        started = time.monotonic()
    return times


def loaded(case: Case, where: torch.device) -> nn.Module:
    """Return the denoiser as the kit loads and arranges it."""
    from accelerate import init_empty_weights
    from diffusers import FluxTransformer2DModel

    memory = case.memory
    with init_empty_weights(include_buffers=False):
        denoiser: Any = FluxTransformer2DModel.from_config(dict(case.blueprint.transformer))
    load(
        denoiser,
        RandomWeights(denoiser, where),
        level=memory.quantization,
        exclude=flux.KEEP,
        dtype=DTYPES[memory.dtype],
        device=where,
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


def attach(denoiser: nn.Module) -> list[nn.Parameter]:
    """Attach the adapter; return its parameters."""
    names = adapter.target_modules(denoiser, ("attention",), flux.Flux.target_sets)
    return adapter.attach(denoiser, names, RANK, None, 0.0)


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


def machine() -> tuple[str, float]:
    """Return what computes here, and its rate."""
    name = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
    with one_at_a_time():
        return name, product_rate(device())


def product_rate(where: torch.device) -> float:
    """Return the operations a second of a large product in the dtype that is trained in."""
    size, dtype = (8192, torch.bfloat16) if where.type == "cuda" else (1024, torch.float32)
    left = torch.randn(size, size, device=where, dtype=dtype)
    left @ left
    synchronize(where)
    started, rounds = time.monotonic(), 10
    for _ in range(rounds):
        left @ left
    synchronize(where)
    return rounds * 2 * size**3 / (time.monotonic() - started)


def row(case: Case, result: Result, rate: float) -> str:
    """Return a line of the table."""
    way = f"{case.way}{', compiled' if case.compiled else ''}"
    start = f"| {way} | {case.side} | {f'{case.cap} GB' if case.cap else 'no cap'} |"
    planned = f"{result.planned / plan.GIB:.3g}"
    if result.failed:
        return f"{start} {result.failed} | {planned} | | | | | |"
    difference = result.peak / result.planned - 1
    return (
        f"{start} {result.peak / plan.GIB:.3g} | {planned} ({difference:+.0%}) | "
        f"{result.tensors / plan.GIB:.3g} | {result.host / plan.GIB:.2f} | {result.load:.1f} | "
        f"{result.step:.3g} | "
        f"{result.flops / rate / result.step:.0%} |"
    )


def device() -> torch.device:
    """Return where to compute."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def synchronize(where: torch.device) -> None:
    """Wait until the device has done what it was asked."""
    if where.type == "cuda":
        torch.cuda.synchronize(where)


if __name__ == "__main__":
    main()
