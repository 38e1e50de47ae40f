"""A local vision-language model that answers prompts about pictures, through transformers.

Any model that transformers loads as "image-text-to-text" from safetensors, without code of
its own: those with a chat template are asked as a user would, others (Florence-2, BLIP) get
the picture and the prompt as they are. The likeliest words are taken (greedy), so that a
picture, a prompt and a model give one answer. One picture at a time.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from PIL.Image import Image

from bioicons_kit import preset
from bioicons_kit.errors import ModelError
from bioicons_kit.families import hub
from bioicons_kit.families.base import DTYPES
from bioicons_kit.families.pretrained import pretrained, pretrained_model, versions

_FILES = ("*.json", "*.jinja", "*.txt", "*.model", "*.safetensors")
# Tokens an English word takes, with room for the commas.
_TOKENS_PER_WORD = 3


class LocalCaptioner:
    """A vision-language model on a device; see `load`."""

    def __init__(
        self, model: str, settings: Mapping[str, str], processor: Any, network: Any, words: int
    ) -> None:
        self.model, self.settings = model, settings
        self._processor, self._network = processor, network
        self._tokens = words * _TOKENS_PER_WORD

    @torch.inference_mode()
    def describe(self, image: Image, prompt: str) -> tuple[str, str]:
        """Return the answer to `prompt` about one RGB picture, and the hash of the weights."""
        inputs = self._inputs(image, prompt).to(self._network.device, self._network.dtype)
        tokens = self._network.generate(
            **inputs, max_new_tokens=self._tokens, do_sample=False, num_beams=1
        )
        if not self._network.config.is_encoder_decoder:  # such a model repeats the question
            tokens = tokens[:, inputs["input_ids"].shape[1] :]
        (text,) = self._processor.batch_decode(tokens, skip_special_tokens=True)
        return str(text), self.settings["weights"]

    def _inputs(self, image: Image, prompt: str) -> Any:
        """Return what the network takes."""
        if not getattr(self._processor, "chat_template", None):
            return self._processor(images=image, text=prompt, return_tensors="pt")
        content = [{"type": "image", "image": image}, {"type": "text", "text": prompt}]
        return self._processor.apply_chat_template(
            [{"role": "user", "content": content}],
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
        )


def find(model: str) -> Path:
    """Return the folder of a vision-language model, fetched from the hub if it is a hub id.

    Raises:
        ModelError: there is none, or the hub cannot deliver it.
    """
    folder = Path(model)
    if not folder.is_dir():
        folder = hub.fetch(model, None, _FILES, "dataset.captioner.model")
    files(folder)
    return folder


def files(folder: Path) -> tuple[Path, ...]:
    """Return the files that make up a model, sorted.

    Raises:
        ModelError: the folder has no config or no safetensors.
    """
    found = sorted({path for pattern in _FILES for path in folder.glob(pattern) if path.is_file()})
    if not {"config.json"} <= {path.name for path in found}:
        raise ModelError(f"{folder}: not a model of transformers (it has no config.json)")
    if not any(path.suffix == ".safetensors" for path in found):
        raise ModelError(f"{folder}: has no *.safetensors; other formats are not loaded")
    return tuple(found)


def load(
    folder: Path, settings: preset.Captioner, weights: str, device: torch.device
) -> LocalCaptioner:
    """Load a vision-language model, in bfloat16 on a GPU and in float32 elsewhere.

    Args:
        folder: where its files are.
        settings: the preset's `[dataset.captioner]`.
        weights: the hash of the files.
        device: where it computes.

    Raises:
        ModelError: it is no such model, is incomplete, or needs a library that is missing.
    """
    from transformers import AutoModelForImageTextToText, AutoProcessor
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    dtype = "fp32" if device.type == "cpu" else "bf16"
    try:
        processor = pretrained(AutoProcessor, folder, trust_remote_code=False)
        network = pretrained_model(AutoModelForImageTextToText, folder, None, DTYPES[dtype])
    except ImportError as error:
        first = next(iter(str(error).strip().splitlines()), "")
        raise ModelError(f"{folder}: this model needs more than is installed ({first})") from error
    network.requires_grad_(False).eval().to(device)
    shaped_by = {"weights": weights, "compute": dtype, **versions("torch", "transformers")}
    return LocalCaptioner(settings.model, shaped_by, processor, network, settings.max_words)
