"""Loading a 4 GB FLUX: memory and time of streaming it in, against the plain way.

    python benchmarks/streaming_load.py [--folder FOLDER] [--level qfloat8]

Builds a FLUX of real widths and few blocks with random weights (4.0 GB of bfloat16 in four
shards, deleted at the end; 8 GB of disk are needed), then loads it in a process of its own
for each way:

    plain    diffusers' from_pretrained, then optimum-quanto's quantize and freeze
    whole    from_pretrained, then each weight in one piece through the kit's own level
    stream   the kit's loader: tensor by tensor
    keep     the same, and the result is kept for the next start
    reload   what was kept is read

Peak memory is the process's highest resident size, imports included. Times are of loading
alone, from files in the page cache, and end when each byte of the result has been read once.
The bytes of the last four are compared.
"""

import argparse
import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import random_weights
import torch
from accelerate import init_empty_weights
from torch import Tensor, nn

from bioicons_kit.memory import peak
from bioicons_kit.memory.levels import LEVELS
from bioicons_kit.memory.load import load
from bioicons_kit.memory.quantize import swap_linears
from bioicons_kit.memory.saved import Shelf
from bioicons_kit.memory.shards import Shards, shards

CONFIG: dict[str, Any] = {"num_layers": 2, "num_single_layers": 9, "guidance_embeds": True}
SHARDS = 4
STEM = "diffusion_pytorch_model"
KEEP = (r"x_embedder", r"context_embedder", r"time_text_embed\..*", r"norm_out\..*", r"proj_out")
WAYS = ("plain", "whole", "stream", "keep", "reload")
CPU = torch.device("cpu")


def main() -> None:
    """Build the model, load it in every way, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, help="where 8 GB can be written; the system's")
    parser.add_argument("--level", choices=sorted(set(LEVELS) - {"nf4"}), default="qfloat8")
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.way:
        print(json.dumps(measure(options.way, options.folder, options.level)))
        return
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        size = build(folder / "transformer")
        print(f"{size / 1e9:.2f} GB of bfloat16 in {SHARDS} shards, to {options.level}")
        found = {way: in_a_process(way, folder, options.level) for way in WAYS}
    report(found)


def build(folder: Path) -> int:
    """Write a FLUX of random weights in diffusers' layout; return its size in bytes."""
    model = skeleton(CONFIG)
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(
        json.dumps({"_class_name": "FluxTransformer2DModel", **CONFIG})
    )
    return random_weights.write(folder, STEM, model, SHARDS)


def skeleton(config: Mapping[str, Any]) -> nn.Module:
    """Return the model on the meta device."""
    from diffusers import FluxTransformer2DModel

    with init_empty_weights(include_buffers=False):
        model: nn.Module = FluxTransformer2DModel(**config)
    return model


def in_a_process(way: str, folder: Path, level: str) -> dict[str, Any]:
    """Run one way in a fresh process; return what it measured."""
    command = [sys.executable, __file__, "--way", way, "--folder", str(folder), "--level", level]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    if way == "plain":  # the next one is to find the disk as this one did
        shutil.rmtree(folder / "quantized", ignore_errors=True)
    measured: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    print(f"  {way}: {measured['seconds']:.1f} s, peak {measured['peak'] / 1e9:.2f} GB")
    return measured


def measure(way: str, folder: Path, level: str) -> dict[str, Any]:
    """Load the model in one way, in this process; return seconds, peak bytes and the hash."""
    model = skeleton(CONFIG) if way in {"stream", "keep", "reload"} else None
    import optimum.quanto  # noqa: F401  # what all ways import is no part of their time

    started = time.monotonic()
    if model is None:
        model = plain(folder, level) if way == "plain" else whole(folder, level)
    else:
        kit(model, folder, level, way)
    held = [*model.parameters(), *model.buffers()]
    touched = sum(int(as_words(tensor).sum()) for tensor in held)
    seconds, most = time.monotonic() - started, peak.resident()
    digest = "" if way == "plain" else content(model)
    return {"seconds": seconds, "peak": most, "sum": touched, "sha256": digest}


def plain(folder: Path, level: str) -> nn.Module:
    """Load as the libraries' pages have it."""
    from diffusers import FluxTransformer2DModel
    from optimum.quanto import freeze, qtypes, quantize

    model: nn.Module = FluxTransformer2DModel.from_pretrained(
        folder / "transformer", dtype=torch.bfloat16
    )
    model.requires_grad_(False)
    quantize(model, weights=qtypes[level], exclude=[pattern.split("\\")[0] for pattern in KEEP])
    freeze(model)
    return model


def whole(folder: Path, level: str) -> nn.Module:
    """Load everything, then store each weight in one piece."""
    from diffusers import FluxTransformer2DModel

    model: nn.Module = FluxTransformer2DModel.from_pretrained(
        folder / "transformer", dtype=torch.bfloat16
    )
    weights = dict(model.state_dict())
    for name in swap_linears(model, level, KEEP):
        layer: Any = model.get_submodule(name)
        layer.fill(LEVELS[level].encode(weights.pop(f"{name}.weight")))
    return model


def kit(model: nn.Module, folder: Path, level: str, way: str) -> None:
    """Load as the kit does."""
    shelf = Shelf(folder, lambda files: "+".join(path.name for path in files))
    files = shards(folder / "transformer", STEM, None)
    dtype = torch.bfloat16
    place = None if way == "stream" else shelf.place(files, level, KEEP, dtype)
    assert (way == "reload") == (place is not None and place.path.is_file())
    load(model, Shards(files), level=level, exclude=KEEP, dtype=dtype, device=CPU, keep=place)


def as_bytes(tensor: Tensor) -> Tensor:
    """Return a tensor's memory; of quanto's, the stored values'."""
    inner = getattr(tensor, "_data", tensor)
    return getattr(inner, "_data", inner).detach().reshape(-1).view(torch.uint8)


def as_words(tensor: Tensor) -> Tensor:
    """Return a tensor's memory as numbers that are summed without a copy of it."""
    data = as_bytes(tensor)
    return data.view(torch.int64) if data.numel() % 8 == 0 else data.to(torch.int64)


def content(model: nn.Module) -> str:
    """Return the SHA-256 of a model's tensors by name."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(as_bytes(tensor).numpy().data)
    return digest.hexdigest()


def report(found: Mapping[str, Mapping[str, Any]]) -> None:
    """Print the table and what was to be shown."""
    print("\n| way | peak RSS, GB | s |\n|---|---|---|")
    for way, each in found.items():
        print(f"| {way} | {each['peak'] / 1e9:.2f} | {each['seconds']:.1f} |")
    same = len({found[way]["sha256"] for way in WAYS if way != "plain"}) == 1
    faster = found["stream"]["seconds"] / found["reload"]["seconds"]
    print(f"\nsame bytes in whole, stream, keep and reload: {same}")
    print(f"reload is {faster:.1f} times as fast as quantizing again")


if __name__ == "__main__":
    main()
