"""The starter: a small FLUX that is built offline in seconds, for the quick start and tests.

Every part is the real class with a small config, saved in diffusers' folder layout and
loaded through the very path that loads FLUX.1-dev. The folder is byte for byte the same
each time.

`benchmarks/starter` trained its weights, which are packed beside this file, on drawings that the
kit makes itself (docs/STARTER.md). Without them they are drawn from a fixed seed: the starter then
exercises the whole road, and draws nothing but texture.

Sizes: 64-128 px pictures, 16-channel f8 VAE, about 9 M parameters in all.
"""

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from bioicons_kit import console, tensors
from bioicons_kit.families.starter_vocabulary import clip_merges, clip_vocabulary, t5_vocabulary
from bioicons_kit.files import atomic_folder, sha256_file, storage_errors
from bioicons_kit.preset import STARTER

VERSION = 3  # raise it with any change below: it is part of the folder's name

# What training left, in bfloat16, a file for each network; without the folder they are random.
WEIGHTS = Path(__file__).parent / "starter_weights"
NETWORKS = ("transformer", "vae", "text_encoder", "text_encoder_2")

_HASHES = "hashes.json"  # of all its files: tells a damaged folder
_SEED = 20260
_WIDTH = 128  # of both text encoders
_CLIP_TOKENS = 77

TRANSFORMER: dict[str, Any] = {
    "in_channels": 64,  # 16 latent channels x 2 x 2 packing, as FLUX.1
    "num_layers": 3,
    "num_single_layers": 6,
    "attention_head_dim": 32,
    "num_attention_heads": 6,
    "joint_attention_dim": _WIDTH,
    "pooled_projection_dim": _WIDTH,
    "guidance_embeds": True,
    "axes_dims_rope": (8, 12, 12),  # sums to the head's 32
}

VAE: dict[str, Any] = {
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "block_out_channels": (8, 16, 32, 64),
    "layers_per_block": 1,
    "latent_channels": 16,
    "norm_num_groups": 4,
    "use_quant_conv": False,
    "use_post_quant_conv": False,
    "scaling_factor": 0.3611,
    "shift_factor": 0.1159,
    "sample_size": 128,
}

# FLUX.1-dev's inference schedule.
SCHEDULER: dict[str, Any] = {
    "shift": 3.0,
    "use_dynamic_shifting": True,
    "base_shift": 0.5,
    "max_shift": 1.15,
    "base_image_seq_len": 256,
    "max_image_seq_len": 4096,
}


def ensure(root: Path) -> Path:
    """Return the starter's folder below `root`, built first if it is not there or damaged.

    Raises:
        StorageError: no room or no permission; no half-built folder stays.
    """
    folder = root / f"{STARTER}-{VERSION}"
    if folder.is_dir() and not is_whole(folder):
        console.warn(f"{console.shown(folder)}: damaged; building the starter model again")
        with storage_errors(folder), tempfile.TemporaryDirectory(dir=root) as aside:
            folder.rename(Path(aside) / folder.name)
    if not folder.is_dir():
        with storage_errors(folder), atomic_folder(folder) as scratch:
            build(scratch)
    return folder


def is_whole(folder: Path) -> bool:
    """Tell whether a starter's folder holds what was built, by the hashes noted then."""
    try:
        hashes = json.loads((folder / _HASHES).read_text("utf-8"))
        return isinstance(hashes, dict) and all(
            sha256_file(folder / path) == digest for path, digest in hashes.items()
        )
    except (OSError, ValueError, RecursionError):
        return False


def _files(folder: Path) -> list[str]:
    """Return the files below a folder, by their paths in it."""
    return [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]


def build(folder: Path) -> None:
    """Write the starter's components into the existing, empty `folder`."""
    index: dict[str, Any] = {"_class_name": "FluxPipeline"}
    with torch.random.fork_rng(devices=[]):
        for name, make in components().items():
            torch.manual_seed(_SEED)  # what a library draws before the weights are put in
            part = make()
            if name in NETWORKS and WEIGHTS.is_dir():
                weights, _ = tensors.read(WEIGHTS / f"{name}.safetensors")
                part.load_state_dict(weights)
            _save(part, folder / name)
            index[name] = [type(part).__module__.split(".")[0], type(part).__name__]
        (folder / "model_index.json").write_text(json.dumps(index, indent=2) + "\n", "utf-8")
    hashes = {path: sha256_file(folder / path) for path in _files(folder)}
    (folder / _HASHES).write_text(json.dumps(hashes, indent=1, sort_keys=True) + "\n", "utf-8")


def components() -> dict[str, Callable[[], Any]]:
    """Return functions that make the parts of the pipeline, networks without trained weights."""
    from diffusers import (
        AutoencoderKL,
        FlowMatchEulerDiscreteScheduler,
        FluxTransformer2DModel,
    )
    from transformers import (
        CLIPTextConfig,
        CLIPTextModel,
        CLIPTokenizer,
        T5Config,
        T5EncoderModel,
        T5Tokenizer,
    )

    clip_words, t5_words = clip_vocabulary(), t5_vocabulary()
    clip_tokenizer = CLIPTokenizer(
        vocab=clip_words, merges=clip_merges(), model_max_length=_CLIP_TOKENS
    )
    t5_tokenizer = T5Tokenizer(vocab=t5_words, extra_ids=0)
    return {
        "transformer": lambda: FluxTransformer2DModel(**TRANSFORMER),
        "vae": lambda: AutoencoderKL(**VAE),
        "scheduler": lambda: FlowMatchEulerDiscreteScheduler(**SCHEDULER),
        "text_encoder": lambda: CLIPTextModel(_clip_config(CLIPTextConfig, clip_tokenizer)),
        "text_encoder_2": lambda: T5EncoderModel(_t5_config(T5Config, len(t5_words))),
        "tokenizer": lambda: clip_tokenizer,
        "tokenizer_2": lambda: t5_tokenizer,
    }


def _save(part: Any, folder: Path) -> None:
    """Save one component; transformer and VAE in bfloat16, as FLUX.1-dev's are.

    The text encoders stay float32: transformers loads a model in the dtype it was saved in,
    diffusers in float32, and a pipeline loaded without naming a dtype would mix the two.
    """
    if type(part).__module__.startswith("diffusers.models"):
        part.to(torch.bfloat16)
    try:
        part.save_pretrained(folder)
    except OSError:
        raise
    except Exception as error:  # safetensors hides the file system's error in its own type
        if "os error" not in str(error).lower() and "i/o error" not in str(error).lower():
            raise
        raise OSError(_errno(str(error)), str(error), str(folder)) from error


def _errno(message: str) -> int:
    """Return the number in Rust's "... (os error 28)", or 5 (EIO)."""
    _, _, tail = message.rpartition("os error ")
    digits = tail.rstrip(')}" ').split(")")[0]
    return int(digits) if digits.isdigit() else 5


def _clip_config(kind: Any, tokenizer: Any) -> Any:
    """Return the config of a small CLIP text model."""
    return kind(
        vocab_size=len(tokenizer),
        hidden_size=_WIDTH,
        intermediate_size=2 * _WIDTH,
        projection_dim=_WIDTH,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=_CLIP_TOKENS,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )


def _t5_config(kind: Any, words: int) -> Any:
    """Return the config of a small T5 encoder."""
    return kind(
        vocab_size=words,
        d_model=_WIDTH,
        d_kv=32,
        d_ff=2 * _WIDTH,
        num_layers=2,
        num_heads=4,
        feed_forward_proj="gated-gelu",
        is_encoder_decoder=False,
        use_cache=False,
    )
