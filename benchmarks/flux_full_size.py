"""FLUX.1-dev at full size: memory against the plan, host RAM, load time, speed.

    python benchmarks/flux_full_size.py                    the whole table, on a GPU
    python benchmarks/flux_full_size.py --sides 1024 --ways "bf16 + ahead" --caps 24
    python benchmarks/flux_full_size.py --predict          what the plan says of it, anywhere
    python benchmarks/flux_full_size.py --device cpu --steps 1 --sides 1024 --ways qfloat8
                                                           at full size on a CPU, in half an hour
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
whose allocator tells nothing, both are of live tensors, and the plan's is without the workspace;
there is no cap, "host" has all of it, and at full size RAM has to hold it (qfloat8 at 1024 px:
20 GiB).
Load is the time to draw, store and arrange the weights.
"""

import argparse
import multiprocessing
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from diffusers.utils import logging
from filelock import FileLock
from flux_ways import PLAIN, WAYS, Case, Result, predicted, synchronize, trained

from bioicons_kit.memory import plan

SIDES = {"full": (512, 768, 1024), "small": (64,)}  # pixels
CAPS = (12, 16, 24)  # GB of the cards that are stood for

MEASURED = (
    "| way | px | card | peak GiB | planned | tensors GiB | host GiB | load s | s/step "
    "| of the floor |\n|---|---|---|---|---|---|---|---|---|---|"
)
PREDICTED = (
    "| way | px | GPU GiB (predicted) | host GiB (predicted) | TFLOP a step | smallest card |\n"
    "|---|---|---|---|---|---|"
)


def main() -> None:
    """Run every case and print the table."""
    options = _options()
    logging.set_verbosity_error()
    if options.predict:
        print(PREDICTED)
        for case in cases(options):
            print(predicted_row(case, predicted(case, workspace=True)), flush=True)
        return
    call = in_a_process if options.size == "full" else lambda act, *given: act(*given)
    name, rate = call(machine, options.device, options.size)
    print(f"{name}, torch {torch.__version__}, one large product: {rate / 1e12:.2f} TFLOP/s\n")
    print(MEASURED, flush=True)
    for case in cases(options):
        print(row(case, call(run, case), rate), flush=True)


def _options() -> argparse.Namespace:
    """Return what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", choices=sorted(SIDES), default="full")
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--sides", type=int, nargs="+", help="pixels, multiples of 16")
    parser.add_argument("--caps", type=int, nargs="+", help="GB of a card; 0 for none")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--compile", action="store_true", help="each way compiled, too")
    parser.add_argument("--device", choices=("cuda", "cpu"), help="the GPU, if there is one")
    parser.add_argument("--predict", action="store_true", help="only the plan's, without training")
    options = parser.parse_args()
    options.sides = options.sides or SIDES[options.size]
    if options.steps < 1 or any(side < 16 or side % 16 for side in options.sides):
        parser.error("--steps wants 1 or more, --sides multiples of 16")
    if options.predict:
        options.device = "cuda"
        return options
    has_gpu = in_a_process(torch.cuda.is_available)
    if options.size == "full" and options.device is None and not has_gpu:
        parser.error(
            "the full size wants a GPU; --device cpu takes ten minutes a step and 6 GiB more RAM "
            "than --predict says, --size small runs on a CPU in a minute"
        )
    if options.device == "cuda" and not has_gpu:
        parser.error("--device cuda: there is no GPU here")
    options.device = options.device or ("cuda" if has_gpu else "cpu")
    if options.device == "cpu" and any(options.caps or ()):
        parser.error("--caps stand for a GPU's memory; on a CPU there is nothing to cap")
    return options


def cases(options: argparse.Namespace) -> Iterator[Case]:
    """Yield the rows of the table."""
    capped = options.device == "cuda" and not options.predict
    for side in options.sides:
        for cap in (options.caps or CAPS) if capped else (0,):
            for way in options.ways:
                case = Case(options.size, way, side, cap, False, options.steps, options.device)
                yield case
                if options.compile and way != PLAIN and not case.memory.offload_blocks:
                    yield replace(case, compiled=True)


def run(case: Case) -> Result:
    """Train some steps of a case in this process."""
    logging.set_verbosity_error()
    torch.backends.cuda.enable_cudnn_sdp(False)  # see `flux_memory.set_attention`
    where = torch.device(case.device)
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
        if case.device == "cpu":
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


def machine(kind: str, size: str) -> tuple[str, float]:
    """Return what computes here, and its rate in the dtype that is trained in."""
    where = torch.device(kind)
    name = (
        torch.cuda.get_device_name()
        if kind == "cuda"
        else f"CPU, {torch.get_num_threads()} thread(s)"
    )
    dtype = torch.bfloat16 if size == "full" else torch.float32
    with one_at_a_time():
        return name, product_rate(where, 8192 if kind == "cuda" else 2048, dtype)


def product_rate(where: torch.device, size: int, dtype: torch.dtype) -> float:
    """Return the operations a second of a product of two matrices `[size, size]`."""
    left = torch.randn(size, size, device=where, dtype=dtype)
    left @ left
    synchronize(where)
    started, rounds = time.monotonic(), 10
    for _ in range(rounds):
        left @ left
    synchronize(where)
    return rounds * 2 * size**3 / (time.monotonic() - started)


def row(case: Case, result: Result, rate: float) -> str:
    """Return a line of the table of what was measured."""
    cap = f"{case.cap} GB" if case.cap else "no cap"
    start = f"| {named(case)} | {case.side} | {cap} |"
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


def predicted_row(case: Case, result: Result) -> str:
    """Return a line of the table of what is predicted."""
    fitting = [f"{cap} GB" for cap in CAPS if result.planned <= plan.usable(cap)]
    return (
        f"| {named(case)} | {case.side} | {result.planned / plan.GIB:.1f} | "
        f"{result.planned_host / plan.GIB:.1f} | {result.flops / 1e12:.0f} | "
        f"{fitting[0] if fitting else 'larger'} |"
    )


def named(case: Case) -> str:
    """Return the way, and whether it is compiled."""
    return f"{case.way}{', compiled' if case.compiled else ''}"


if __name__ == "__main__":
    main()
