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
from accelerate import init_empty_weights
from PIL.Image import Image
from torch import Tensor, nn

from bioicons_kit import console
from bioicons_kit.errors import ModelError
from bioicons_kit.families import hub
from bioicons_kit.families.base import DTYPES
from bioicons_kit.families.pretrained import library_errors, pretrained, pretrained_model, versions
from bioicons_kit.memory.levels import LEVELS, NONE
from bioicons_kit.memory.load import load
from bioicons_kit.memory.saved import Shelf
from bioicons_kit.memory.shards import Shards, shards

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
        self.settings: Mapping[str, str] = {"compute": "fp32", **versions("torch", "diffusers")}

    def shapes(self, size: tuple[int, int]) -> Mapping[str, tuple[int, ...]]:
        """Return the shapes of mean and logvar: an eighth of the picture's for FLUX's VAE."""
        path = self._folder / "config.json"
        channels = _number(path, "latent_channels")
        blocks = hub.read_json(path).get("block_out_channels")
        if not isinstance(blocks, list) or not blocks:
            raise ModelError(f"{path}: has no block_out_channels; not a VAE's config")
        smaller = 2 ** (len(blocks) - 1)
        shape = (channels, size[1] // smaller, size[0] // smaller)
        return {"mean": shape, "logvar": shape}

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
        self.settings: Mapping[str, str] = {"compute": dtype, **versions("torch", "transformers")}

    def shapes(self, size: tuple[int, int]) -> Mapping[str, tuple[int, ...]]:  # noqa: ARG002
        """Return the shape of the pooled output."""
        return {"pooled": (_number(self._model / "text_encoder" / "config.json", "hidden_size"),)}

    @contextmanager
    def loaded(self, device: torch.device) -> Iterator[TextEncode]:
        """Load CLIP on `device` and yield the function that encodes texts."""
        from transformers import CLIPTextModel, CLIPTokenizer

        folder = self._model / "text_encoder"
        tokenizer = _tokenizer(CLIPTokenizer, self._model / "tokenizer", folder)
        with _on_device(CLIPTextModel, folder, self._variant, self._dtype, device) as clip:

            def encode(texts: Sequence[str]) -> list[dict[str, Tensor]]:
                ids = _token_ids(tokenizer, texts, tokenizer.model_max_length)
                pooled = clip(ids.to(device)).pooler_output.cpu()
                return [{"pooled": row} for row in pooled]

            yield encode


class T5Encoder:
    """Texts -> T5's last hidden states, `[max_sequence_length, width]`, and which are text.

    The mask is 1 for tokens of the text and 0 for padding; FLUX reads both alike.
    """

    name = "t5"

    def __init__(
        self,
        model: Path,
        variant: str | None,
        dtype: str,
        tokens: int,
        *,
        storage: str = NONE,
        shelf: Shelf | None = None,
    ) -> None:
        self._model, self._variant, self._dtype = model, variant, DTYPES[dtype]
        self._tokens, self._storage, self._shelf = tokens, storage, shelf
        self.files = (
            *weight_files(model / "text_encoder_2", variant),
            *_tokenizer_files(model / "tokenizer_2", ()),
        )
        quantizer = () if storage == NONE else LEVELS[storage].libraries
        libraries = ("torch", "transformers", *quantizer)
        self.settings: Mapping[str, str] = {
            "compute": dtype,
            "tokens": str(tokens),
            "storage": storage,
            **versions(*libraries),
        }

    def shapes(self, size: tuple[int, int]) -> Mapping[str, tuple[int, ...]]:  # noqa: ARG002
        """Return the shapes of states and mask."""
        width = _number(self._model / "text_encoder_2" / "config.json", "d_model")
        return {"states": (self._tokens, width), "mask": (self._tokens,)}

    @contextmanager
    def loaded(self, device: torch.device) -> Iterator[TextEncode]:
        """Load T5 on `device` and yield the function that encodes texts."""
        from transformers import T5Tokenizer

        folder = self._model / "text_encoder_2"
        tokenizer = _tokenizer(T5Tokenizer, self._model / "tokenizer_2", folder)
        with _resident(self._load(device), device) as t5:

            def encode(texts: Sequence[str]) -> list[dict[str, Tensor]]:
                ids = _token_ids(tokenizer, texts, self._tokens)
                states = t5(ids.to(device)).last_hidden_state.cpu()
                masks = (ids != tokenizer.pad_token_id).to(states.dtype)
                return [{"states": s, "mask": m} for s, m in zip(states, masks, strict=True)]

            yield encode

    def _load(self, device: torch.device) -> nn.Module:
        """Return T5 on `device`, its linears in fewer bits where so asked for."""
        from transformers import T5Config, T5EncoderModel

        folder = self._model / "text_encoder_2"
        config = pretrained(T5Config, folder)
        with init_empty_weights(include_buffers=False), library_errors(folder, T5EncoderModel):
            model: nn.Module = T5EncoderModel(config)
        # one embedding under two names, and empty weights do not know that they are one
        model.set_submodule("encoder.embed_tokens", model.get_submodule("shared"))
        shelf = None if self._storage == NONE else self._shelf
        weights = weight_files(folder, self._variant)
        load(
            model,
            Shards(shards(folder, "model", self._variant)),
            level=self._storage,
            exclude=(),
            dtype=self._dtype,
            device=device,
            keep=shelf.place(weights, self._storage, (), self._dtype) if shelf else None,
        )
        return model


def _number(path: Path, key: str) -> int:
    """Return a count out of a model's config.

    Raises:
        ModelError: it is not there.
    """
    value = hub.read_json(path).get(key)
    if not isinstance(value, int) or value < 1:
        raise ModelError(f"{path}: has no {key}; not the config of this encoder")
    return value


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


def _tokenizer(kind: Any, folder: Path, encoder: Path) -> Any:
    """Return a tokenizer whose every token the encoder in the folder `encoder` has.

    Raises:
        ModelError: it cannot be loaded, or is another model's.
    """
    tokenizer, path = pretrained(kind, folder), encoder / "config.json"
    known = _number(path, "vocab_size")
    if len(tokenizer) > known:
        raise ModelError(
            f"{folder}: has {len(tokenizer)} tokens, and {path} knows {known}; these parts are not "
            "of one model"
        )
    return tokenizer


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
    model = pretrained_model(kind, folder, variant, dtype).to(device)
    with _resident(model, device) as resident:
        yield resident


@contextmanager
def _resident(model: nn.Module, device: torch.device) -> Iterator[Any]:
    """Use a model for inference; drop it, and its memory, at the end."""
    model.requires_grad_(False).eval()
    try:
        with torch.no_grad():
            yield model
    finally:
        model.to("meta")  # frees the weights even while someone still holds the function
        gc.collect()
        if device.type == "cuda":
            torch.cuda.empty_cache()
