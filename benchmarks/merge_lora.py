"""Time merging LoRAs into a model, and measure the memory it takes.

    python benchmarks/merge_lora.py [--double 3] [--single 7] [--rank 16]

Builds a part of FLUX.1 at its real widths from random numbers (the default: 2.01 billion
parameters, 4.0 GB in bfloat16, in shards of at most 1 GB), and one and two LoRAs on every
linear of its blocks, in a temporary folder, which needs three times the model's size. Each
merge is a process of its own, one thread. Prints seconds and the largest resident memory,
from the operating system's own account of the finished process.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from bioicons_kit import tensor_stream
from bioicons_kit.lora import formats
from bioicons_kit.lora.layer import Layer
from bioicons_kit.tensor_stream import Slot

HIDDEN, MLP = 3072, 12288
TOOL = Path(__file__).parent.parent / "tools" / "merge_lora.py"
STEM = "diffusion_pytorch_model"
SHARD = 10**9  # bytes

ATTENTION = ("to_q", "to_k", "to_v", "to_out.0", "add_q_proj", "add_k_proj", "add_v_proj")
DOUBLE = {
    **{f"attn.{name}": (HIDDEN, HIDDEN) for name in (*ATTENTION, "to_add_out")},
    **{f"{stream_}.net.0.proj": (MLP, HIDDEN) for stream_ in ("ff", "ff_context")},
    **{f"{stream_}.net.2": (HIDDEN, MLP) for stream_ in ("ff", "ff_context")},
    **{f"{norm}.linear": (6 * HIDDEN, HIDDEN) for norm in ("norm1", "norm1_context")},
}
SINGLE = {
    **{f"attn.{name}": (HIDDEN, HIDDEN) for name in ("to_q", "to_k", "to_v")},
    "proj_mlp": (MLP, HIDDEN),
    "proj_out": (HIDDEN, HIDDEN + MLP),
    "norm.linear": (3 * HIDDEN, HIDDEN),
}


def modules(double: int, single: int) -> dict[str, tuple[int, int]]:
    """Return the shapes of the model's linears."""
    blocks = [("transformer_blocks", double, DOUBLE), ("single_transformer_blocks", single, SINGLE)]
    return {
        f"{kind}.{number}.{name}": shape
        for kind, count, linears in blocks
        for number in range(count)
        for name, shape in linears.items()
    }


def build_model(folder: Path, shapes: dict[str, tuple[int, int]]) -> int:
    """Write a sharded transformer of random numbers; return its bytes."""
    slots = {}
    for name, shape in shapes.items():
        slots[f"{name}.weight"] = Slot(torch.bfloat16, shape)
        slots[f"{name}.bias"] = Slot(torch.bfloat16, shape[:1])
    shards: list[dict[str, Slot]] = [{}]
    for key, slot in slots.items():
        if sum(s.nbytes for s in shards[-1].values()) + slot.nbytes > SHARD:
            shards.append({})
        shards[-1][key] = slot
    names = [f"{STEM}-{n:05d}-of-{len(shards):05d}.safetensors" for n in range(1, len(shards) + 1)]
    for name, shard in zip(names, shards, strict=True):
        tensor_stream.write(
            folder / name, shard, {"format": "pt"}, lambda key: random(slots[key].shape)
        )
    mapped = {key: name for name, shard in zip(names, shards, strict=True) for key in shard}
    index = {"metadata": {}, "weight_map": mapped}
    (folder / f"{STEM}.safetensors.index.json").write_text(json.dumps(index), "utf-8")
    (folder / "config.json").write_text('{"_class_name": "FluxTransformer2DModel"}', "utf-8")
    return sum(slot.nbytes for slot in slots.values())


def random(shape: tuple[int, ...]) -> torch.Tensor:
    """Return numbers of a model's size."""
    return torch.empty(shape, dtype=torch.bfloat16).uniform_(-0.03, 0.03)


def build_lora(path: Path, shapes: dict[str, tuple[int, int]], rank: int) -> Path:
    """Write a LoRA on all `shapes`."""
    layers = {
        f"transformer.{name}": Layer(
            torch.randn(rank, inside) / 100, torch.randn(outside, rank) / 100, float(rank)
        )
        for name, (outside, inside) in shapes.items()
    }
    return formats.write(path, layers, "kohya", {}, torch.bfloat16)


def once(command: list[str]) -> tuple[float, float]:
    """Run a command; return its seconds and peak resident memory in GB."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    started = time.monotonic()
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.monotonic() - started
    if status != 0:
        raise SystemExit(f"failed with status {os.waitstatus_to_exitcode(status)}: {command}")
    return seconds, usage.ru_maxrss * 1024 / 1e9  # kB on Linux


def main() -> None:
    """Print one row for each merge."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--double", type=int, default=3, help="double blocks, 340 M parameters each"
    )
    parser.add_argument(
        "--single", type=int, default=7, help="single blocks, 142 M parameters each"
    )
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--folder", type=Path, help="where to build (default: the system's)")
    options = parser.parse_args()
    torch.manual_seed(0)
    shapes = modules(options.double, options.single)
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        root = Path(name)
        (root / "model").mkdir()
        size = build_model(root / "model", shapes)
        first = build_lora(root / "a.safetensors", shapes, options.rank)
        second = build_lora(root / "b.safetensors", shapes, options.rank)
        print(
            f"Python {platform.python_version()}, torch {torch.__version__}, {os.cpu_count()} cores"
        )
        print(f"{size / 1e9:.2f} GB, {len(shapes)} linears, rank {options.rank}")
        print("| merge | seconds | peak resident GB |\n|---|---|---|")
        started = once([sys.executable, "-c", "import bioicons_kit.lora.merge_files"])
        print(f"| (importing torch alone) | {started[0]:.1f} | {started[1]:.2f} |")
        for label, loras, more in (
            ("one LoRA", [first], []),
            ("two LoRAs", [first, second], []),
            ("two LoRAs, stochastic rounding", [first, second], ["--rounding", "stochastic"]),
            ("two LoRAs, to fp8", [first, second], ["--dtype", "fp8"]),
        ):
            given = [word for lora in loras for word in ("--lora", f"{lora}:0.5")]
            out = root / "out"
            base = ["--base", str(root / "model"), "--out", str(out)]
            seconds, memory = once([sys.executable, str(TOOL), *given, *base, *more])
            print(f"| {label} | {seconds:.1f} | {memory:.2f} |", flush=True)
            for path in out.iterdir():
                path.unlink()
            out.rmdir()


if __name__ == "__main__":
    main()
