"""FLUX.1: where its parts are, how its denoiser is called, what its loss is.

The packing, position ids and scaling follow Black Forest Labs' published inference code
and diffusers' FluxPipeline; tests hold them against the latter.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from accelerate import init_empty_weights
from PIL.Image import Image
from torch import Tensor, nn

from bioicons_kit.errors import ModelError
from bioicons_kit.families import flow, hub, starter
from bioicons_kit.families.base import DTYPES, Batch, Encoder, Sampler, Tensors
from bioicons_kit.families.flux_encoders import (
    ClipEncoder,
    FluxImageEncoder,
    T5Encoder,
    pretrained,
    pretrained_model,
)
from bioicons_kit.memory import quantize
from bioicons_kit.preset import STARTER, Memory, Model, Sample, Train

_PARTS = (
    *("transformer", "vae", "text_encoder", "text_encoder_2"),
    *("tokenizer", "tokenizer_2", "scheduler"),
)
_STEM = "diffusion_pytorch_model"

# Small, or at the ends where an error reaches the whole picture: kept in full precision.
_KEEP = (r"x_embedder", r"context_embedder", r"time_text_embed\..*", r"norm_out\..*", r"proj_out")

_BLOCKS = r"(?:single_)?transformer_blocks\.\d+\."
_ATTENTION = _BLOCKS + r"attn\.(?:to_[qkv]|add_[qkv]_proj|to_out\.0|to_add_out)"
_FEED_FORWARD = (
    r"transformer_blocks\.\d+\.ff(?:_context)?\.net\.(?:0\.proj|2)",
    r"single_transformer_blocks\.\d+\.proj_(?:mlp|out)",
)


class Flux:
    """FLUX.1-dev, or any FLUX with guidance embedding, in diffusers' folder layout."""

    name = "flux"
    lora_prefix = "transformer"
    target_sets: Mapping[str, tuple[str, ...]] = {
        "attention": (_ATTENTION,),
        "feed_forward": _FEED_FORWARD,
        "all": (_BLOCKS + r".*",),
    }

    def __init__(self, model: Model, cache_root: Path) -> None:
        if model.path == STARTER:
            self.folder = starter.ensure(cache_root / "models")
            self.title, self.architecture = "the starter FLUX", "flux-starter/lora"
        else:
            self.folder = hub.find(model, "FluxPipeline", _PARTS)
            self.title, self.architecture = model.path, "flux-1-dev/lora"
        self._variant = model.variant
        self._tokens = model.max_sequence_length
        self._vae = _VaeScaling.of(self.folder)

    def image_encoder(self) -> Encoder[Image]:
        """Return the VAE's encoder; it makes `latents.mean` and `latents.logvar`."""
        return FluxImageEncoder(self.folder, self._variant)

    def text_encoders(self, memory: Memory) -> tuple[Encoder[str], ...]:
        """Return CLIP (`clip.pooled`) and T5 (`t5.states`)."""
        return (
            ClipEncoder(self.folder, self._variant, memory.dtype),
            T5Encoder(self.folder, self._variant, memory.dtype, self._tokens),
        )

    def denoiser_bytes(self) -> int:
        """Return the size of the transformer's weight files."""
        return sum(p.stat().st_size for p in self._shards())

    def skeleton(self) -> nn.Module:
        """Return the transformer on the meta device: names and shapes, no weights."""
        from diffusers import FluxTransformer2DModel

        folder = self.folder / "transformer"
        config = hub.read_json(folder / "config.json")
        if not config.get("guidance_embeds"):
            raise ModelError(
                f"{folder}: has no guidance embedding (FLUX.1-schnell?); this family is FLUX.1-dev"
            )
        axes, width = (
            config.get("axes_dims_rope", (16, 56, 56)),
            config.get("attention_head_dim", 128),
        )
        try:
            with init_empty_weights(include_buffers=False):
                denoiser: nn.Module = FluxTransformer2DModel.from_config(config)
            assert isinstance(axes, list | tuple)
            fits = sum(axes) == width
        except (TypeError, ValueError, RuntimeError, AssertionError) as error:
            raise ModelError(f"{folder / 'config.json'}: not a FLUX's config ({error})") from error
        if not fits:
            raise ModelError(
                f"{folder / 'config.json'}: axes_dims_rope {axes} must add up to "
                f"attention_head_dim {width}"
            )
        return denoiser

    def load_denoiser(
        self,
        memory: Memory,
        device: torch.device,
        advance: Callable[[int], object] = lambda _: None,
    ) -> tuple[nn.Module, quantize.Coverage]:
        """Return the transformer, quantized as it streamed in and frozen, and the coverage."""
        denoiser: Any = self.skeleton()
        coverage = quantize.load(
            denoiser,
            self._shards(),
            level=memory.quantization,
            exclude=_KEEP,
            dtype=DTYPES[memory.dtype],
            device=device,
            advance=advance,
        )
        keep_timesteps_float32(denoiser)
        if memory.checkpointing:
            denoiser.enable_gradient_checkpointing()
        return denoiser, coverage

    def loss(self, denoiser: nn.Module, batch: Batch, objective: Train) -> Tensor:
        """Return the flow-matching loss of each sample, float32 `[batch]`.

        The squared error of the predicted velocity, meaned over a sample's latents.
        """
        mean = batch.tensors["latents.mean"].float()
        draws = flow.draw(batch.seeds, mean.shape[1:])
        noise, posterior = draws.noise.to(mean.device), draws.posterior.to(mean.device)
        clean = self._vae.scale(
            mean + (batch.tensors["latents.logvar"].float() / 2).exp() * posterior
        )
        tokens = clean.shape[2] * clean.shape[3] // 4
        level = flow.levels(objective.timestep_sampling, draws.uniform, tokens).to(mean.device)
        predicted = predict(
            denoiser,
            flow.interpolate(clean, noise, level),
            level,
            objective.guidance,
            batch.tensors,
        )
        error = predicted.float() - pack(flow.velocity(clean, noise))
        return error.square().mean(dim=(1, 2))

    def sampler(self, denoiser: nn.Module, device: torch.device) -> Sampler:
        """Return a function that draws pictures through diffusers' FluxPipeline."""
        from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler, FluxPipeline

        # in the denoiser's dtype: at 1024 px, decoding in float32 would set the run's peak
        vae = pretrained_model(
            AutoencoderKL, self.folder / "vae", self._variant, _compute_dtype(denoiser)
        )
        pipeline = FluxPipeline(
            scheduler=pretrained(FlowMatchEulerDiscreteScheduler, self.folder / "scheduler"),
            vae=vae.to(device),
            text_encoder=None,
            tokenizer=None,
            text_encoder_2=None,
            tokenizer_2=None,
            transformer=denoiser,
        )
        pipeline.set_progress_bar_config(disable=True)
        return _Sampler(pipeline, device)

    def _shards(self) -> tuple[Path, ...]:
        """Return the transformer's weight files."""
        return quantize.shards(self.folder / "transformer", _STEM, self._variant)


class _Sampler:
    """One prompt and one seed in, one picture out."""

    def __init__(self, pipeline: Any, device: torch.device) -> None:
        self._pipeline, self._device = pipeline, device

    @torch.no_grad()
    def __call__(
        self,
        text: Tensors,
        seed: int,
        settings: Sample,
        size: tuple[int, int],
        step: Callable[[], object],
    ) -> Image:
        """Draw one RGB picture; see `Sampler`."""

        def after_step(
            _pipe: Any, _index: int, _time: Any, values: dict[str, Any]
        ) -> dict[str, Any]:
            step()
            return values

        dtype = _compute_dtype(self._pipeline.transformer)
        latents = self._pipeline(
            prompt_embeds=text["t5.states"][None].to(self._device, dtype),
            pooled_prompt_embeds=text["clip.pooled"][None].to(self._device, dtype),
            width=size[0],
            height=size[1],
            num_inference_steps=settings.steps,
            guidance_scale=settings.guidance,
            # a CPU generator: the same seed gives the same noise on every device
            generator=torch.Generator().manual_seed(seed),
            callback_on_step_end=after_step,
            output_type="latent",
        ).images
        return self._decode(latents.float(), size)

    def _decode(self, packed: Tensor, size: tuple[int, int]) -> Image:
        """Decode packed latents."""
        vae = self._pipeline.vae
        latents = unpack(packed, size[1] // 8, size[0] // 8)
        latents = latents / vae.config.scaling_factor + vae.config.shift_factor
        pixels = vae.decode(latents.to(vae.dtype), return_dict=False)[0]
        picture: Image = self._pipeline.image_processor.postprocess(pixels, output_type="pil")[0]
        return picture


class _VaeScaling:
    """`z = (sample - shift) * scale`, the VAE config's two numbers."""

    def __init__(self, shift: float, factor: float) -> None:
        self._shift, self._factor = shift, factor

    @classmethod
    def of(cls, model: Path) -> "_VaeScaling":
        """Read the scaling of a model folder's VAE."""
        path = model / "vae" / "config.json"
        config = hub.read_json(path)
        shift, factor = config.get("shift_factor"), config.get("scaling_factor")
        if not isinstance(shift, int | float) or not isinstance(factor, int | float):
            raise ModelError(f"{path}: has no shift_factor and scaling_factor; not a FLUX VAE")
        return cls(float(shift), float(factor))

    def scale(self, sample: Tensor) -> Tensor:
        """Return the latents the denoiser works on."""
        return (sample - self._shift) * self._factor


def predict(
    denoiser: nn.Module, noisy: Tensor, level: Tensor, guidance: float, text: Tensors
) -> Tensor:
    """Call the denoiser as FLUX's pipeline does; return packed velocity `[batch, tokens, 64]`.

    Args:
        denoiser: a FluxTransformer2DModel, wrapped or not.
        noisy: latents `[batch, channels, height, width]`.
        level: float32 `[batch]`, the timestep in 0..1.
        guidance: the guidance embedded with the timestep.
        text: `t5.states` `[batch, tokens, width]` and `clip.pooled` `[batch, width]`.
    """
    batch, _, height, width = noisy.shape
    states = text["t5.states"]
    dtype = _compute_dtype(denoiser)
    device = noisy.device
    velocity: Tensor = denoiser(
        hidden_states=pack(noisy).to(dtype),
        timestep=level,
        guidance=torch.full((batch,), guidance, device=device, dtype=torch.float32),
        pooled_projections=text["clip.pooled"].to(dtype),
        encoder_hidden_states=states.to(dtype),
        txt_ids=torch.zeros(states.shape[1], 3, device=device),
        img_ids=image_ids(height // 2, width // 2, device),
        return_dict=False,
    )[0]
    return velocity


def pack(latents: Tensor) -> Tensor:
    """`[b, c, 2h, 2w] -> [b, h w, 4 c]`: each 2x2 patch becomes one token."""
    batch, channels, height, width = latents.shape
    patches = latents.reshape(batch, channels, height // 2, 2, width // 2, 2)
    return patches.permute(0, 2, 4, 1, 3, 5).reshape(batch, -1, channels * 4)


def unpack(tokens: Tensor, height: int, width: int) -> Tensor:
    """`[b, h w / 4, 4 c] -> [b, c, h, w]`, the inverse of `pack`."""
    batch, _, size = tokens.shape
    patches = tokens.reshape(batch, height // 2, width // 2, size // 4, 2, 2)
    return patches.permute(0, 3, 1, 4, 2, 5).reshape(batch, size // 4, height, width)


def image_ids(rows: int, columns: int, device: torch.device) -> Tensor:
    """Return the position ids `(0, row, column)` of packed tokens, `[rows columns, 3]`."""
    ids = torch.zeros(rows, columns, 3, device=device)
    ids[..., 1] = torch.arange(rows, device=device)[:, None]
    ids[..., 2] = torch.arange(columns, device=device)
    return ids.reshape(-1, 3)


def keep_timesteps_float32(denoiser: nn.Module) -> None:
    """Make a FluxTransformer2DModel embed the timesteps it is given, not their bf16 rounding.

    diffusers casts the timestep to the hidden states' dtype before scaling it by 1000,
    which in bfloat16 moves it by up to 2. Two hooks carry a float32 timestep around that
    cast; a timestep given in another dtype is left alone.
    """
    exact: list[Tensor] = []

    def remember(_module: nn.Module, _args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        exact.clear()
        timestep = kwargs.get("timestep")
        if isinstance(timestep, Tensor) and timestep.dtype == torch.float32:
            exact.append(timestep)

    def restore(_module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...] | None:
        return (exact.pop() * 1000, *args[1:]) if exact else None

    denoiser.register_forward_pre_hook(remember, with_kwargs=True)
    denoiser.get_submodule("time_text_embed").register_forward_pre_hook(restore)


def _compute_dtype(denoiser: nn.Module) -> torch.dtype:
    """Return the dtype the denoiser's unquantized parts are kept in."""
    # with an adapter on it, the embedder's own weights still come first
    embedder = next(m for name, m in denoiser.named_modules() if name.endswith("x_embedder"))
    dtype: torch.dtype = next(embedder.parameters()).dtype
    return dtype
