"""Put what `train.py` made where the package has it.

    python benchmarks/starter/pack.py runs/starter [--judge-only]

The networks go to `bioicons_kit/families/starter_weights`, a file for each, the judge beside its
code. Raise `starter.VERSION` with new weights: caches know the starter by it.
"""

import argparse
from pathlib import Path

import torch
from torch import Tensor

from bioicons_kit import tensors
from bioicons_kit.evaluate import judge
from bioicons_kit.families import starter

DTYPES = {"judge": torch.float16} | dict.fromkeys(starter.NETWORKS, torch.bfloat16)
METADATA = {"license": "Apache-2.0", "made_by": "benchmarks/starter/train.py"}


def main() -> None:
    """Write each network in the dtype that the package keeps it in."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--judge-only", action="store_true")
    chosen = parser.parse_args()
    targets = {"judge": judge.WEIGHTS}
    if not chosen.judge_only:
        targets |= {name: starter.WEIGHTS / f"{name}.safetensors" for name in starter.NETWORKS}
    sources = {name: chosen.folder / f"{name}.safetensors" for name in targets}
    missing = [name for name, path in sources.items() if not path.exists()]
    if missing:
        raise SystemExit(f"{chosen.folder}: no weights of {', '.join(sorted(missing))}")
    for name, path in targets.items():
        path.parent.mkdir(exist_ok=True)
        tensors.write(path, packed(tensors.read(sources[name])[0], DTYPES[name]), METADATA)
        print(f"{path}: {path.stat().st_size / 1e6:.2f} MB")


def packed(weights: dict[str, Tensor], dtype: torch.dtype) -> dict[str, Tensor]:
    """Return weights in half the bytes; what is no weight as it is."""
    return {k: v.to(dtype) if v.is_floating_point() else v for k, v in weights.items()}


if __name__ == "__main__":
    main()
