"""FLUX.1: where its parts are, how its denoiser is called, what its loss is.

The packing, position ids and scaling follow Black Forest Labs' published inference code
and diffusers' FluxPipeline; tests hold them against the latter.
"""

from collections.abc import Callable, Generator, Iterable
from pathlib import Path
from typing import Any

import torch
from accelerate import init_empty_weights
from PIL.Image import Image
from torch import Tensor, nn

from bioicons_kit.errors import ModelError
from bioicons_kit.families import flow, flux_memory, flux_source, hub, preservation
from bioicons_kit.families.base import DTYPES, Batch, Encoder, Sampler, Tensors
from bioicons_kit.families.flux_encoders import (
    ClipEncoder,
    FluxImageEncoder,
    T5Encoder,
)
from bioicons_kit.families.flux_sampler import FluxSampler
from bioicons_kit.families.flux_targets import TARGET_SETS
from bioicons_kit.families.pretrained import library_errors, pretrained, pretrained_model
from bioicons_kit.memory import modulation
from bioicons_kit.memory.levels import NONE
from bioicons_kit.memory.load import load
from bioicons_kit.memory.quantize import Coverage
from bioicons_kit.memory.saved import Shelf
from bioicons_kit.preset import Memory, Model, Train

# Small, or at the ends where an error reaches the whole picture: kept in full precision.
KEEP = (r"x_embedder", r"context_embedder", r"time_text_embed\..*", r"norm_out\..*", r"proj_out")

# A mask may leave nothing to look at: such a sample has no loss, rather than 0 / 0.
_LEAST_WEIGHT = 1e-6


class Flux:
    """FLUX.1-dev, or any FLUX with guidance embedding, as a folder or a single file."""

    name = "flux"
    lora_prefix = "transformer"
    target_sets = TARGET_SETS
    makes_modulation = staticmethod(flux_memory.makes_modulation)

    def __init__(self, model: Model, cache_root: Path, shelf: Shelf | None = None) -> None:
        found = flux_source.find(model, cache_root)
        self.folder, self._denoiser = found.folder, found.denoiser
        self.title, self.architecture = found.title, found.architecture
        self._variant, self._shelf = model.variant, shelf
        self._tokens = model.max_sequence_length
        self._vae = VaeScaling.of(self.folder)

    def image_encoder(self) -> Encoder[Image]:
        """Return the VAE's encoder; it makes `latents.mean` and `latents.logvar`."""
        return FluxImageEncoder(self.folder, self._variant)

    def text_encoders(self, memory: Memory) -> tuple[Encoder[str], ...]:
        """Return CLIP (`clip.pooled`) and T5 (`t5.states`)."""
        shelf = self._shelf if memory.keep_quantized else None
        at = (self.folder, self._variant, memory.dtype)
        t5 = T5Encoder(*at, self._tokens, storage=memory.text_encoder, shelf=shelf)
        return ClipEncoder(*at), t5

    def denoiser_bytes(self) -> int:
        """Return the size of the transformer's weights on disk."""
        return self._denoiser.nbytes()

    def denoiser_files(self) -> tuple[Path, ...]:
        """Return the transformer's config and weight files."""
        return self._denoiser.files()

    def skeleton(self) -> nn.Module:
        """Return the transformer on the meta device: names and shapes, no weights."""
        from diffusers import FluxTransformer2DModel

        empty = init_empty_weights(include_buffers=False)
        with empty, library_errors(self._denoiser.where, FluxTransformer2DModel):
            denoiser: nn.Module = FluxTransformer2DModel.from_config(self._denoiser.config)
        return denoiser

    def load_denoiser(
        self,
        memory: Memory,
        device: torch.device,
        advance: Callable[[int], object] = lambda _: None,
    ) -> tuple[nn.Module, Coverage]:
        """Return the transformer, quantized as it streamed in and frozen, and the coverage."""
        denoiser: Any = self.skeleton()
        level, dtype = memory.quantization, DTYPES[memory.dtype]
        exclude = KEEP if memory.keep is None else memory.keep
        shelf = self._shelf if memory.keep_quantized and level != NONE else None
        coverage = load(
            denoiser,
            self._denoiser.weights(),
            level=level,
            exclude=exclude,
            dtype=dtype,
            device=device,
            advance=advance,
            keep=shelf.place(self.denoiser_files(), level, exclude, dtype) if shelf else None,
            away=flux_memory.host_modules(denoiser, memory),
        )
        keep_timesteps_float32(denoiser)
        flux_memory.arrange(denoiser, memory, device)
        return denoiser, coverage

    def loss(self, denoiser: nn.Module, batch: Batch, objective: Train) -> Tensor:
        """Return the flow-matching loss of each sample, float32 `[batch]`; see `loss`."""
        return loss(denoiser, batch, objective, self._vae)

    def prepared(
        self, denoiser: nn.Module, stream: Iterable[Batch], objective: Train, count: int
    ) -> Generator[Batch]:
        """Yield the next `count` batches, with their modulation where it is computed ahead."""
        return flux_memory.prepared(denoiser, stream, objective, count)

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
        return FluxSampler(pipeline, device, _compute_dtype(denoiser))


class VaeScaling:
    """`z = (sample - shift) * scale`, the VAE config's two numbers."""

    def __init__(self, shift: float, factor: float) -> None:
        self._shift, self._factor = shift, factor

    @classmethod
    def of(cls, model: Path) -> "VaeScaling":
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


def loss(denoiser: nn.Module, batch: Batch, objective: Train, scaling: "VaeScaling") -> Tensor:
    """Return the flow-matching loss of each sample, float32 `[batch]`.

    The error of the predicted velocity (`flow.error`), meaned over a sample's latents, with
    the weights of `mask.weight` `[batch, height, width]` where the batch has it, and times
    its level's weight (`flow.weight`). Where `objective` preserves the base model's output,
    plus that error (`preservation`).
    """
    mean = batch.tensors["latents.mean"].float()
    draws = flow.draw(batch.seeds, mean.shape[1:])
    noise, clean = draws.noise.to(mean.device), mean
    if objective.latents == "sample":
        deviation = (batch.tensors["latents.logvar"].float() / 2).exp()
        clean = mean + deviation * draws.posterior.to(mean.device)
    clean = scaling.scale(clean)
    level = flux_memory.levels(batch, objective).to(mean.device)
    noisy = flow.interpolate(clean, noise, level)
    target = pack(flow.velocity(clean, noise))
    if objective.preservation == "none":
        predicted = predict(denoiser, noisy, level, objective.guidance, batch.tensors).float()
        return flow.weight(objective.weighting, level) * _error(predicted, target, batch, objective)
    predicted, now, before = _with_class(denoiser, noisy, level, batch, objective)
    weight = 1.0 if objective.preservation_weight is None else objective.preservation_weight
    kept = flow.error(objective.loss, now, before, objective.loss_delta).mean(dim=(1, 2))
    own = _error(predicted, target, batch, objective)
    return flow.weight(objective.weighting, level) * (own + weight * kept)


def _error(predicted: Tensor, target: Tensor, batch: Batch, objective: Train) -> Tensor:
    """Return each sample's mean error `[batch]`, with the weights of its mask."""
    error = flow.error(objective.loss, predicted, target, objective.loss_delta)
    if "mask.weight" not in batch.tensors:
        return error.mean(dim=(1, 2))
    mask = batch.tensors["mask.weight"][:, None]
    share = pack(mask.expand(-1, batch.tensors["latents.mean"].shape[1], -1, -1))
    total = share.sum(dim=(1, 2)).clamp_min(_LEAST_WEIGHT)
    return (error * share).sum(dim=(1, 2)) / total


def _with_class(
    denoiser: nn.Module, noisy: Tensor, level: Tensor, batch: Batch, objective: Train
) -> tuple[Tensor, Tensor, Tensor]:
    """Predict for the captions, and for the class with the adapter and without it."""
    alone, both = preservation.texts(batch.tensors), preservation.both(batch.tensors)
    answers = batch.tensors.get(modulation.KEY)  # of both, one after the other
    if answers is not None:
        alone[modulation.KEY], both[modulation.KEY] = answers[len(level) :], answers
    with preservation.adapter_off(denoiser):
        before = predict(denoiser, noisy, level, objective.guidance, alone).float()
    twice = torch.cat([noisy, noisy]), torch.cat([level, level])
    predicted = predict(denoiser, *twice, objective.guidance, both).float()
    return (*predicted.chunk(2), before)  # type: ignore[return-value]  # two chunks


def predict(
    denoiser: nn.Module, noisy: Tensor, level: Tensor, guidance: float, text: Tensors
) -> Tensor:
    """Call the denoiser as FLUX's pipeline does; return packed velocity `[batch, tokens, 64]`.

    Args:
        denoiser: a FluxTransformer2DModel, wrapped or not.
        noisy: latents `[batch, channels, height, width]`.
        level: float32 `[batch]`, the timestep in 0..1.
        guidance: the guidance embedded with the timestep.
        text: `t5.states` `[batch, tokens, width]`, `clip.pooled` `[batch, width]`, and where it
            was computed ahead, `modulation`.
    """
    batch, _, height, width = noisy.shape
    states, pooled = text["t5.states"], text["clip.pooled"]
    dtype = _compute_dtype(denoiser)
    device = noisy.device
    strength = torch.full((batch,), guidance, device=device, dtype=torch.float32)
    flux_memory.hand_over(denoiser, text.get(modulation.KEY), level, strength, pooled)
    velocity: Tensor = denoiser(
        hidden_states=pack(noisy).to(dtype),
        timestep=level,
        guidance=strength,
        pooled_projections=pooled.to(dtype),
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
