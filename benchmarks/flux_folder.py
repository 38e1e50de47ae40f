"""A folder that is FLUX.1-dev in all but its weights' values: 34 GB, random.

    python benchmarks/flux_folder.py FOLDER

What the kit does with the real one can be rehearsed with it at full size, before the license is
accepted and anything is fetched: caching, the plan, loading, training, samples, memory and
time. Pictures are noise, and whatever is learned of them.

    python tools/plan.py presets/cc0_animals.toml --set model.path=FOLDER
    accelerate launch -m bioicons_kit.train presets/cc0_animals.toml --set model.path=FOLDER

Tokenizers are the starter's, whose words are fewer. `--blocks 1 2` leaves but so many double and
single blocks, `--layers 2` of T5, for a first try (2.4 GB).
"""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from accelerate import init_empty_weights
from random_weights import write
from torch import nn

from bioicons_kit.families import flux_blueprint, starter
from bioicons_kit.files import atomic_folder

_TRANSFORMER_FILES, _T5_FILES = 3, 2  # as on the hub


def main() -> None:
    """Write the folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--blocks", type=int, nargs=2, metavar=("DOUBLE", "SINGLE"))
    parser.add_argument("--layers", type=int, help="of T5")
    options = parser.parse_args()
    if options.folder.exists():
        parser.error(f"{options.folder} is there already")
    transformer, t5 = dict(flux_blueprint.TRANSFORMER), dict(flux_blueprint.T5)
    if options.blocks:
        transformer["num_layers"], transformer["num_single_layers"] = options.blocks
    if options.layers:
        t5["num_layers"] = options.layers
    with atomic_folder(options.folder) as scratch:
        build(scratch, transformer, t5)


def build(folder: Path, transformer: Mapping[str, Any], t5: Mapping[str, Any]) -> None:
    """Write all components into an empty folder."""
    from diffusers import AutoencoderKL, FluxTransformer2DModel
    from transformers import CLIPTextConfig, CLIPTextModel, T5Config, T5EncoderModel

    small = {name: make() for name, make in starter.components().items() if "encoder" not in name}
    own = {name: small[name] for name in ("scheduler", "tokenizer", "tokenizer_2")}
    tokenizer = own["tokenizer"]
    clip = CLIPTextConfig(
        **flux_blueprint.CLIP,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    vae = {**flux_blueprint.VAE, "scaling_factor": 0.3611, "shift_factor": 0.1159}
    index: dict[str, Any] = {"_class_name": "FluxPipeline"}
    for name, part in own.items():
        part.save_pretrained(folder / name)
        index[name] = [type(part).__module__.split(".")[0], type(part).__name__]
    index["transformer"] = diffusers_part(
        folder / "transformer", FluxTransformer2DModel, transformer, _TRANSFORMER_FILES
    )
    index["vae"] = diffusers_part(folder / "vae", AutoencoderKL, vae, 1)
    index["text_encoder"] = transformers_part(folder / "text_encoder", CLIPTextModel, clip, 1)
    index["text_encoder_2"] = transformers_part(
        folder / "text_encoder_2", T5EncoderModel, T5Config(**t5), _T5_FILES
    )
    (folder / "model_index.json").write_text(json.dumps(index, indent=2) + "\n")


def diffusers_part(folder: Path, kind: Any, config: Mapping[str, Any], files: int) -> list[str]:
    """Write a network of diffusers; return its entry in the index."""
    folder.mkdir()
    with init_empty_weights():
        network: nn.Module = kind.from_config(dict(config))
    content = {"_class_name": kind.__name__, **config}
    (folder / "config.json").write_text(json.dumps(content, indent=2) + "\n")
    write(folder, "diffusion_pytorch_model", network, files)
    return ["diffusers", kind.__name__]


def transformers_part(folder: Path, kind: Any, config: Any, files: int) -> list[str]:
    """Write a network of transformers; return its entry in the index."""
    folder.mkdir()
    with init_empty_weights():
        network: nn.Module = kind(config)
    config.architectures, config.dtype = [kind.__name__], "bfloat16"
    config.save_pretrained(folder)
    write(folder, "model", network, files)
    return ["transformers", kind.__name__]


if __name__ == "__main__":
    main()
