"""FLUX's pictures, drawn by diffusers' own pipeline around the kit's denoiser."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from PIL.Image import Image
from torch import Tensor, nn

from bioicons_kit.families import flux_memory
from bioicons_kit.families.base import Tensors
from bioicons_kit.memory import modulation
from bioicons_kit.preset import Sample


class FluxSampler:
    """One prompt and one seed in, one picture out.

    Args:
        pipeline: a FluxPipeline with transformer, VAE and scheduler, and no text encoders.
        device: where transformer and VAE are.
        dtype: that the transformer computes in.
    """

    def __init__(self, pipeline: Any, device: torch.device, dtype: torch.dtype) -> None:
        self._pipeline, self._device, self._dtype = pipeline, device, dtype
        # Tiles are as large as the pictures the VAE was trained on; smaller ones stay whole.
        pipeline.vae.enable_tiling()

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

        def latents(callback: Any) -> Tensor:
            drawn: Tensor = self._pipeline(
                prompt_embeds=text["t5.states"][None].to(self._device, self._dtype),
                pooled_prompt_embeds=text["clip.pooled"][None].to(self._device, self._dtype),
                width=size[0],
                height=size[1],
                num_inference_steps=settings.steps,
                guidance_scale=settings.guidance,
                # a CPU generator: the same seed gives the same noise on every device
                generator=torch.Generator().manual_seed(seed),
                callback_on_step_end=callback,
                output_type="latent",
            ).images
            return drawn

        with self._modulated(lambda: latents(None)):
            return self._decode(latents(after_step).float(), size)

    @contextmanager
    def _modulated(self, rehearse: Callable[[], object]) -> Iterator[None]:
        """Give each coming step its modulation, where that is computed ahead.

        The pipeline is run once with a transformer that only notes what it is asked: so what
        the steps will ask is known, whatever the scheduler.
        """
        denoiser = self._pipeline.transformer
        if not modulation.is_ahead(denoiser):
            yield
            return
        seen: list[Tensor] = []
        with _noting(denoiser, seen):
            rehearse()
        coming = iter(modulation.answers(denoiser, seen))

        def hand_over(_module: nn.Module, _args: Any) -> None:
            modulation.use(denoiser, next(coming).to(self._device, non_blocking=True))

        handle = denoiser.register_forward_pre_hook(hand_over)
        try:
            yield
        finally:
            handle.remove()

    def _decode(self, packed: Tensor, size: tuple[int, int]) -> Image:
        """Decode packed latents."""
        vae = self._pipeline.vae
        latents = unpack(packed, size[1] // 8, size[0] // 8)
        latents = latents / vae.config.scaling_factor + vae.config.shift_factor
        pixels = vae.decode(latents.to(vae.dtype), return_dict=False)[0]
        picture: Image = self._pipeline.image_processor.postprocess(pixels, output_type="pil")[0]
        return picture


def unpack(tokens: Tensor, height: int, width: int) -> Tensor:
    """`[b, h w / 4, 4 c] -> [b, c, h, w]`, the inverse of `flux.pack`."""
    batch, _, size = tokens.shape
    patches = tokens.reshape(batch, height // 2, width // 2, size // 4, 2, 2)
    return patches.permute(0, 3, 1, 4, 2, 5).reshape(batch, size // 4, height, width)


@contextmanager
def _noting(denoiser: Any, seen: list[Tensor]) -> Iterator[None]:
    """Have a denoiser note what its modulation would see, and predict nothing."""

    def forward(hidden_states: Tensor, **asked: Any) -> tuple[Tensor]:
        arguments = (asked[name] for name in ("timestep", "guidance", "pooled_projections"))
        seen.append(flux_memory.vector(denoiser, *arguments))
        return (torch.zeros_like(hidden_states),)

    denoiser.forward = forward
    try:
        yield
    finally:
        del denoiser.forward
