"""A FLUX by its sizes alone: what a plan is made from, before any weight is on disk.

Configs come from the model's folder where there is one. Of a model of the hub nothing is
fetched: it is taken for FLUX.1-dev, whose numbers stand below.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import init_empty_weights
from torch import Tensor, nn

from bioicons_kit.families import flux, flux_memory, hub, starter
from bioicons_kit.families.base import DTYPES, Batch, Stage
from bioicons_kit.families.flux_config import VAE_FACTOR
from bioicons_kit.families.flux_single_file import SingleFile
from bioicons_kit.memory import quantize
from bioicons_kit.memory.measure import Subject
from bioicons_kit.preset import STARTER, Memory, Model, Train

# black-forest-labs/FLUX.1-dev's configs, as far as they shape its tensors.
TRANSFORMER: Mapping[str, Any] = {
    "in_channels": 64,
    "num_layers": 19,
    "num_single_layers": 38,
    "attention_head_dim": 128,
    "num_attention_heads": 24,
    "joint_attention_dim": 4096,
    "pooled_projection_dim": 768,
    "guidance_embeds": True,
    "axes_dims_rope": (16, 56, 56),
}
VAE: Mapping[str, Any] = {
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "block_out_channels": (128, 256, 512, 512),
    "layers_per_block": 2,
    "latent_channels": 16,
    "norm_num_groups": 32,
    "use_quant_conv": False,
    "use_post_quant_conv": False,
    "sample_size": 1024,
}
CLIP: Mapping[str, Any] = {
    "vocab_size": 49408,
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "max_position_embeddings": 77,
}
T5: Mapping[str, Any] = {
    "vocab_size": 32128,
    "d_model": 4096,
    "d_kv": 64,
    "d_ff": 10240,
    "num_layers": 24,
    "num_heads": 64,
    "feed_forward_proj": "gated-gelu",
    "is_encoder_decoder": False,
    "use_cache": False,
}

_META = torch.device("meta")


@dataclass(frozen=True)
class FluxBlueprint:
    """The configs of a FLUX's four networks.

    Attributes:
        title: what to call the model to a person.
        known: whether the configs are the model's own, and not taken for FLUX.1-dev's.
        tokens: T5 tokens of a caption.
        transformer, vae, clip, t5: the configs.
    """

    title: str
    known: bool
    tokens: int
    transformer: Mapping[str, Any]
    vae: Mapping[str, Any]
    clip: Mapping[str, Any]
    t5: Mapping[str, Any]

    target_sets = flux.Flux.target_sets
    makes_modulation = staticmethod(flux_memory.makes_modulation)

    def subject(self, memory: Memory) -> Subject:
        """Return the denoiser without weights, stored as `memory` says."""
        from diffusers import FluxTransformer2DModel

        from bioicons_kit.families import flux_blocks  # which imports diffusers

        with init_empty_weights(include_buffers=False):
            denoiser: Any = FluxTransformer2DModel.from_config(dict(self.transformer))
        dtype = DTYPES[memory.dtype]
        exclude = flux.KEEP if memory.keep is None else memory.keep
        quantize.swap_linears(denoiser, memory.quantization, exclude, dtype)
        for parameter in denoiser.parameters():
            parameter.data = parameter.data.to(dtype)
        denoiser.requires_grad_(False)
        flux.keep_timesteps_float32(denoiser)
        if not memory.compile:  # as `flux_memory.arrange` has them
            flux_blocks.apply(denoiser)
        return Subject(
            denoiser, flux_memory.blocks(denoiser), flux_memory.modulation_linears(denoiser)
        )

    def batch(self, size: tuple[int, int], count: int, dtype: torch.dtype) -> Batch:
        """Return a batch of pictures of one size, without values."""
        latents = (self.vae["latent_channels"], size[1] // VAE_FACTOR, size[0] // VAE_FACTOR)
        shapes = {
            "latents.mean": latents,
            "latents.logvar": latents,
            "clip.pooled": (self.transformer["pooled_projection_dim"],),
            "t5.states": (self.tokens, self.transformer["joint_attention_dim"]),
            "t5.mask": (self.tokens,),
        }
        tensors = {
            name: torch.empty(count, *shape, dtype=dtype, device=_META)
            for name, shape in shapes.items()
        }
        return Batch(tensors, tuple(range(count)), torch.ones(count, device=_META))

    def loss(self, denoiser: nn.Module, batch: Batch, objective: Train) -> Tensor:
        """Return the loss of each sample, as the family computes it."""
        return flux.loss(denoiser, batch, objective, flux.VaeScaling(0.0, 1.0))

    def predict(self, denoiser: nn.Module, batch: Batch) -> Tensor:
        """Run the denoiser once, as drawing a picture does at each step."""
        noisy = batch.tensors["latents.mean"]
        level = torch.empty(noisy.shape[0], device=_META)
        return flux.predict(denoiser, noisy, level, 1.0, batch.tensors)

    def text_stages(self, memory: Memory, count: int) -> tuple[Stage, ...]:
        """Return what encodes `count` texts at once: CLIP, then T5."""
        from transformers import CLIPTextConfig, CLIPTextModel, T5Config, T5EncoderModel

        clip = _empty(lambda: CLIPTextModel(CLIPTextConfig(**self.clip)))
        t5 = _empty(lambda: T5EncoderModel(T5Config(**self.t5)))
        t5.encoder.embed_tokens = t5.shared  # one embedding under two names
        dtype = DTYPES[memory.dtype]
        quantize.swap_linears(t5, memory.text_encoder, (), dtype)
        words = self.clip.get("max_position_embeddings", 77)
        return (
            Stage("CLIP", _cast(clip, dtype), _texts(clip, count, words)),
            Stage("T5", _cast(t5, dtype), _texts(t5, count, self.tokens)),
        )

    def encode_stage(self, size: tuple[int, int], count: int) -> Stage:
        """Return what encodes `count` pictures at once: the VAE, in float32."""
        vae = self._vae()
        pixels = torch.empty(count, 3, size[1], size[0], device=_META)
        return Stage("VAE", vae, lambda: vae.encode(pixels))

    def decode_stage(self, size: tuple[int, int], memory: Memory) -> Stage:
        """Return what decodes one picture: the VAE, tile by tile where it is large."""
        dtype = DTYPES[memory.dtype]
        vae = _cast(self._vae(), dtype)
        vae.enable_tiling()
        latents = torch.empty(
            1,
            self.vae["latent_channels"],
            size[1] // VAE_FACTOR,
            size[0] // VAE_FACTOR,
            dtype=dtype,
            device=_META,
        )
        return Stage("VAE", vae, lambda: vae.decode(latents))

    def _vae(self) -> Any:
        """Return the VAE without weights."""
        from diffusers import AutoencoderKL

        return _empty(lambda: AutoencoderKL.from_config(dict(self.vae)))


def of(model: Model, cache_root: Path) -> FluxBlueprint:
    """Return the blueprint of a preset's model; nothing is fetched.

    Raises:
        ModelError: the model's folder holds no readable configs.
    """
    folder, title = _folder(model, cache_root)
    if folder is None:
        title = "FLUX.1-dev" if title.endswith("/FLUX.1-dev") else f"{title}, taken for FLUX.1-dev"
        configs: tuple[Mapping[str, Any], ...] = (TRANSFORMER, VAE, CLIP, T5)
    else:
        parts = ("transformer", "vae", "text_encoder", "text_encoder_2")
        configs = tuple(_config(folder, part) for part in parts)
    if model.components is not None and Path(model.path).is_file():
        configs = (SingleFile(Path(model.path)).config, *configs[1:])
    return FluxBlueprint(title, folder is not None, model.max_sequence_length, *configs)


def _folder(model: Model, cache_root: Path) -> tuple[Path | None, str]:
    """Return the folder of the configs, None where there is none here; and the model's name."""
    if model.path == STARTER:
        return starter.ensure(cache_root / "models"), "the starter FLUX"
    folder = Path(model.components or model.path)
    return (folder if folder.is_dir() else None), model.path


def _config(folder: Path, part: str) -> dict[str, Any]:
    """Return a network's config; a single file's folder has no transformer."""
    if part == "transformer" and not (folder / part).is_dir():
        return dict(TRANSFORMER)
    return hub.read_json(folder / part / "config.json")


def _empty(make: Callable[[], Any]) -> Any:
    """Return a network without weights, for inference."""
    with init_empty_weights(include_buffers=False):
        module = make()
    module.to(_META).requires_grad_(False).eval()
    return module


def _cast(module: Any, dtype: torch.dtype) -> Any:
    """Return a network with its parameters in `dtype`, quantized weights as they are."""
    for parameter in module.parameters():
        parameter.data = parameter.data.to(dtype)
    return module


def _texts(encoder: Any, count: int, tokens: int) -> Callable[[], object]:
    """Return a function that encodes `count` texts."""
    ids = torch.empty(count, tokens, dtype=torch.long, device=_META)
    return lambda: encoder(ids)
