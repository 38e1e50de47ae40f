"""Networks of random weights on disk, written tensor by tensor; shared by benchmarks."""

import json
from pathlib import Path

import torch
from torch import Tensor, nn

from bioicons_kit import console, tensor_stream
from bioicons_kit.tensor_stream import Slot


def write(folder: Path, stem: str, network: nn.Module, files: int) -> int:
    """Write bfloat16 weights for a network, without loading it; return their bytes.

    Args:
        folder: where to.
        stem: of the files' names.
        network: on the meta device; tensors under several names are written under the first.
        files: how many to share them out to, with an index if more than one.
    """
    slots = {
        name: Slot(torch.bfloat16, tuple(each.shape)) for name, each in network.named_parameters()
    }
    names, places = list(slots), {}
    generator = torch.Generator().manual_seed(0)

    def random(name: str) -> Tensor:
        values = torch.randn(slots[name].shape, generator=generator, dtype=torch.bfloat16)
        return values.mul_(0.02)

    total = sum(slot.nbytes for slot in slots.values())
    with console.bar(f"write {folder.name}", total, "B", scale=True) as bar:
        for number in range(files):
            part = names[number * len(names) // files : (number + 1) * len(names) // files]
            numbered = f"-{number + 1:05}-of-{files:05}" if files > 1 else ""
            file = f"{stem}{numbered}.safetensors"
            plan = {name: slots[name] for name in part}
            tensor_stream.write(folder / file, plan, {"format": "pt"}, random, bar.update)
            places.update(dict.fromkeys(part, file))
    if files > 1:
        index = {"metadata": {}, "weight_map": places}
        (folder / f"{stem}.safetensors.index.json").write_text(json.dumps(index))
    return total
