"""Put what `train.py` made where the package has it.

    python benchmarks/starter/pack.py runs/starter [--judge-only]

The networks go to `bioicons_kit/families/starter_weights`, a file for each, the judge beside its
code. Raise `starter.VERSION` with new weights: caches know the starter by it.
"""

import argparse
from pathlib import Path

from torch import Tensor

from bioicons_kit import tensors
from bioicons_kit.evaluate import judge
from bioicons_kit.families import starter

METADATA = {"license": "Apache-2.0", "made_by": "benchmarks/starter/train.py"}


def main() -> None:
    """Sort the tensors of all files by the network that their names begin with."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--judge-only", action="store_true")
    chosen = parser.parse_args()
    networks: dict[str, dict[str, Tensor]] = {}
    for path in sorted(chosen.folder.glob("weights-*.safetensors")):
        for key, value in tensors.read(path)[0].items():
            network, name = key.split("/", 1)
            networks.setdefault(network, {})[name] = value
    targets = {"judge": judge.WEIGHTS}
    if not chosen.judge_only:
        targets |= {name: starter.WEIGHTS / f"{name}.safetensors" for name in starter.NETWORKS}
    missing = targets.keys() - networks.keys()
    if missing:
        raise SystemExit(f"{chosen.folder}: no weights of {', '.join(sorted(missing))}")
    for name, path in targets.items():
        path.parent.mkdir(exist_ok=True)
        tensors.write(path, networks[name], METADATA)
        print(f"{path}: {path.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
