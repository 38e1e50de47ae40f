"""FLUX's three encoders: the VAE for pictures, CLIP-L and T5-XXL for texts.

Each is loaded for the length of a `with` block and freed after it, so that no two of them,
and never one of them and the denoiser, are in memory together.

What FLUX conditions on, as in its inference pipeline: CLIP's pooled output, and T5's last
hidden states of a caption padded to `max_sequence_length` tokens, padding included and
unmasked.
"""

import gc
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL.Image import Image
from safetensors import SafetensorError
from torch import Tensor, nn

from bioicons_kit import console
from bioicons_kit.errors import ModelError
from bioicons_kit.families.base import DTYPES

ImageEncode = Callable[[Sequence[Image]], list[dict[str, Tensor]]]
TextEncode = Callable[[Sequence[str]], list[dict[str, Tensor]]]


class FluxImageEncoder:
    """Pictures -> the mean and log variance of the VAE's posterior.

    Both are `[16, height / 8, width / 8]`, unscaled; a latent is drawn from them, shifted
    and scaled, in the loss. Computed in float32: the VAE is small.
    """

    name = "latents"

    def __init__(self, model: Path, variant: str | None) -> None:
        self._folder, self._variant = model / "vae", variant
        self.files = weight_files(self._folder, variant)
        self.settings: Mapping[str, str] = {"compute": "fp32"}

    @contextmanager
    def loaded(self, device: torch.device) -> Iterator[ImageEncode]:
        """Load the VAE on `device` and yield the function that encodes pictures."""
        from diffusers import AutoencoderKL

        with _on_device(AutoencoderKL, self._folder, self._variant, torch.float32, device) as vae:

            def encode(pictures: Sequence[Image]) -> list[dict[str, Tensor]]:
                pixels = torch.stack([picture_tensor(picture) for picture in pictures])
                posterior = vae.encode(pixels.to(device)).latent_dist
                mean, logvar = posterior.mean.cpu(), posterior.logvar.cpu()
                return [{"mean": m, "logvar": v} for m, v in zip(mean, logvar, strict=True)]

            yield encode


class ClipEncoder:
    """Texts -> CLIP's pooled output, `[width]`, 77 tokens at most."""

    name = "clip"

    def __init__(self, model: Path, variant: str | None, dtype: str) -> None:
        self._model, self._variant, self._dtype = model, variant, DTYPES[dtype]
        self.files = (
            *weight_files(model / "text_encoder", variant),
            *_tokenizer_files(model / "tokenizer", ("vocab.json", "merges.txt")),
        )
        self.settings: Mapping[str, str] = {"compute": dtype}

    @contextmanager
    def loaded(self, device: torch.device) -> Iterator[TextEncode]:
        """Load CLIP on `device` and yield the function that encodes texts."""
        from transformers import CLIPTextModel, CLIPTokenizer

        tokenizer = pretrained(CLIPTokenizer, self._model / "tokenizer")
        folder = self._model / "text_encoder"
        with _on_device(CLIPTextModel, folder, self._variant, self._dtype, device) as clip:

            def encode(texts: Sequence[str]) -> list[dict[str, Tensor]]:
                ids = _token_ids(tokenizer, texts, tokenizer.model_max_length)
                pooled = clip(ids.to(device)).pooler_output.cpu()
                return [{"pooled": row} for row in pooled]

            yield encode


class T5Encoder:
    """Texts -> T5's last hidden states, `[max_sequence_length, width]`."""

    name = "t5"

    def __init__(self, model: Path, variant: str | None, dtype: str, tokens: int) -> None:
        self._model, self._variant, self._dtype = model, variant, DTYPES[dtype]
        self._tokens = tokens
        self.files = (
            *weight_files(model / "text_encoder_2", variant),
            *_tokenizer_files(model / "tokenizer_2", ()),
        )
        self.settings: Mapping[str, str] = {"compute": dtype, "tokens": str(tokens)}

    @contextmanager
    def loaded(self, device: torch.device) -> Iterator[TextEncode]:
        """Load T5 on `device` and yield the function that encodes texts."""
        from transformers import T5EncoderModel, T5Tokenizer

        tokenizer = pretrained(T5Tokenizer, self._model / "tokenizer_2")
        folder = self._model / "text_encoder_2"
        with _on_device(T5EncoderModel, folder, self._variant, self._dtype, device) as t5:

            def encode(texts: Sequence[str]) -> list[dict[str, Tensor]]:
                ids = _token_ids(tokenizer, texts, self._tokens)
                states = t5(ids.to(device)).last_hidden_state.cpu()
                return [{"states": row} for row in states]

            yield encode


def picture_tensor(picture: Image) -> Tensor:
    """Return an RGB picture as float32 `[3, height, width]` in -1..1."""
    pixels = torch.from_numpy(np.array(picture.convert("RGB"), dtype=np.float32))
    return pixels.permute(2, 0, 1) / 127.5 - 1


def weight_files(folder: Path, variant: str | None) -> tuple[Path, ...]:
    """Return the config and weight files of one component, sorted.

    Raises:
        ModelError: the component's folder, its config or its weights are not there.
    """
    suffix = ".safetensors" if variant is None else f".{variant}.safetensors"
    weights = sorted(
        path
        for path in folder.glob("*.safetensors")
        if _is_of_variant(path, variant) and path.is_file()
    )
    config = folder / "config.json"
    if not config.is_file() or not weights:
        raise ModelError(
            f"{folder}: not a whole model component (needs config.json and *{suffix}); "
            "the download or copy is incomplete"
        )
    return (config, *weights)


def _is_of_variant(path: Path, variant: str | None) -> bool:
    """Tell `model.bf16-00001-of-00002.safetensors` and the like from the plain ones."""
    parts = path.name.removesuffix(".safetensors").split(".")
    mark = parts[1].split("-")[0] if len(parts) > 1 else None
    return mark == variant


def _tokenizer_files(folder: Path, older: tuple[str, ...]) -> tuple[Path, ...]:
    """Return the files of one tokenizer, sorted.

    Args:
        folder: the tokenizer's.
        older: the files that together serve in place of `tokenizer.json`, if any do.

    Raises:
        ModelError: its vocabulary is not there; transformers would go on with none.
    """
    found = tuple(sorted(path for path in folder.glob("*") if path.is_file()))
    names = {path.name for path in found}
    if "tokenizer.json" not in names and not (older and names.issuperset(older)):
        instead = f" (or {' and '.join(older)})" if older else ""
        raise ModelError(
            f"{folder}: the tokenizer needs tokenizer.json{instead}; "
            "the download or copy is incomplete"
        )
    return found


def _token_ids(tokenizer: Any, texts: Sequence[str], length: int) -> Tensor:
    """Return token ids `[batch, length]`, padded or cut to `length`; a cut is told."""
    for text in dict.fromkeys(texts):
        tokens = len(tokenizer(text).input_ids)
        if tokens > length:
            console.warn(
                f"cut from {tokens} to {length} tokens for {type(tokenizer).__name__}: {text}"
            )
    ids: Tensor = tokenizer(
        list(texts), padding="max_length", max_length=length, truncation=True, return_tensors="pt"
    ).input_ids
    return ids


@contextmanager
def _on_device(
    kind: Any, folder: Path, variant: str | None, dtype: torch.dtype, device: torch.device
) -> Iterator[Any]:
    """Load a model for inference on `device`; drop it, and its memory, at the end."""
    model = pretrained_model(kind, folder, variant, dtype)
    model.requires_grad_(False).eval().to(device)
    try:
        with torch.no_grad():
            yield model
    finally:
        model.to("meta")  # frees the weights even while someone still holds the function
        gc.collect()
        if device.type == "cuda":
            torch.cuda.empty_cache()


def pretrained_model(kind: Any, folder: Path, variant: str | None, dtype: torch.dtype) -> nn.Module:
    """Return a model with every one of its weights from `folder`.

    transformers and diffusers fill what a file lacks with random numbers, and only log it.

    Raises:
        ModelError: a weight is missing or has another shape, or nothing can be loaded.
    """
    model, report = pretrained(
        kind,
        folder,
        variant=variant,
        use_safetensors=True,
        output_loading_info=True,
        **{"torch_dtype" if kind.__module__.startswith("diffusers.") else "dtype": dtype},
    )
    assert isinstance(model, nn.Module)
    lacking = [*report["missing_keys"], *report["mismatched_keys"]]
    if lacking:
        first = lacking[0] if isinstance(lacking[0], str) else lacking[0][0]
        raise ModelError(
            f"{folder}: {len(lacking)} of the weights of a {kind.__name__} are missing or of "
            f"another shape, first {first}; the download or copy is incomplete"
        )
    return model


def pretrained(kind: Any, folder: Path, **options: Any) -> Any:
    """Return `kind.from_pretrained(folder)`, its failures as a ModelError."""
    try:
        return kind.from_pretrained(folder, local_files_only=True, **options)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        first = next(iter(str(error).splitlines()), type(error).__name__)
        raise ModelError(f"{folder}: cannot be loaded as a {kind.__name__} ({first})") from error
