"""What a model family supplies: encoders, a frozen denoiser, a loss, a sampler. No loop.

The rooms above speak only these types. Tensors an encoder makes travel under the
encoder's own names (`latents.mean`, `t5.states`, ...) through the cache into a `Batch`;
nothing between the encoder and the loss needs to know what they mean.
"""

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch
from PIL.Image import Image
from torch import Tensor, nn

from bioicons_kit.memory.measure import Subject
from bioicons_kit.memory.quantize import Coverage
from bioicons_kit.preset import Memory, Sample, Train

Input_contra = TypeVar("Input_contra", contravariant=True)
Tensors = Mapping[str, Tensor]

# Modules that get an adapter together: regular expressions on whole names, or what makes them
# of the names of all of a model's linears.
TargetSet = tuple[str, ...] | Callable[[Sequence[str]], tuple[str, ...]]

DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}  # as presets name them


@dataclass(frozen=True)
class Batch:
    """Pictures of one size and their texts, as the encoders left them.

    Attributes:
        tensors: by name, the encoders' outputs stacked along a new first axis.
        seeds: one per sample; noise and timestep are drawn from it alone, so a sample's
            draw does not depend on the batch, the process or the device it lands on.
        weights: `[batch]` loss weights.
        levels: `[batch]` noise levels in (0, 1), where they are given and not drawn.
    """

    tensors: Tensors
    seeds: tuple[int, ...]
    weights: Tensor
    levels: Tensor | None = None

    def to(self, device: torch.device) -> "Batch":
        """Return the batch with its tensors on `device`."""
        moved = {
            name: tensor.to(device, non_blocking=True) for name, tensor in self.tensors.items()
        }
        return replace(self, tensors=moved, weights=self.weights.to(device, non_blocking=True))


@dataclass(frozen=True)
class Stage:
    """A network without weights, and a run of it: what a plan probes.

    Attributes:
        name: for people.
        module: on the meta device.
        run: computes with it once.
    """

    name: str
    module: nn.Module
    run: Callable[[], object]


class Encoder(Protocol[Input_contra]):
    """One network that turns pictures or texts into tensors for the cache.

    Attributes:
        name: prefix of its entries, for example "latents", "clip", "t5".
        files: everything on disk that shapes its output (config, weights, vocabulary).
        settings: everything else that does (dtype, sequence length, ...).
    """

    name: str
    files: tuple[Path, ...]
    settings: Mapping[str, str]

    def shapes(self, size: tuple[int, int]) -> Mapping[str, tuple[int, ...]]:
        """Return the shapes of the tensors it makes of one input.

        Args:
            size: width and height of a picture, in pixels; of no account to texts.

        Raises:
            ModelError: its config does not say.
        """
        ...

    def loaded(
        self, device: torch.device
    ) -> AbstractContextManager[Callable[[Sequence[Input_contra]], list[dict[str, Tensor]]]]:
        """Load the weights for the length of a `with` block, and free them after it.

        Yields:
            a function from inputs to one dict of CPU tensors each.
        """
        ...


class Sampler(Protocol):
    """Draws pictures with a denoiser that is already on its device."""

    def __call__(
        self,
        text: Tensors,
        seed: int,
        settings: Sample,
        size: tuple[int, int],
        step: Callable[[], object],
    ) -> Image:
        """Return one RGB picture.

        Args:
            text: the text encoders' tensors of one prompt (no batch axis).
            seed: of the starting noise.
            settings: steps and guidance.
            size: width and height in pixels.
            step: called after each denoising step (for a progress bar).
        """
        ...


class Family(Protocol):
    """A model family bound to one model on disk."""

    name: str
    title: str  # what to call the model to a person: its hub id, or its folder
    architecture: str  # modelspec.architecture of a LoRA for it
    lora_prefix: str  # of the denoiser's keys in a diffusers LoRA file
    target_sets: Mapping[str, TargetSet]  # by the names that presets give them

    def image_encoder(self) -> Encoder[Image]:
        """Return the encoder of pictures."""
        ...

    def text_encoders(self, memory: Memory) -> tuple[Encoder[str], ...]:
        """Return the encoders of captions and prompts, in the order they should run."""
        ...

    def skeleton(self) -> nn.Module:
        """Return the denoiser on the meta device: names and shapes, no weights."""
        ...

    def load_denoiser(
        self, memory: Memory, device: torch.device, advance: Callable[[int], object]
    ) -> tuple[nn.Module, Coverage]:
        """Return the denoiser, quantized as it streamed in, frozen, and what was done."""
        ...

    def denoiser_bytes(self) -> int:
        """Return the size of the denoiser's weights on disk."""
        ...

    def makes_modulation(self, name: str) -> bool:
        """Tell whether a module is one of the modulation's, or of what makes its vector."""
        ...

    def denoiser_files(self) -> tuple[Path, ...]:
        """Return the denoiser's config and weight files: what it is, by content."""
        ...

    def loss(self, denoiser: nn.Module, batch: Batch, objective: Train) -> Tensor:
        """Return the loss of each sample, float32 `[batch]`, not yet weighted."""
        ...

    def prepared(
        self, denoiser: nn.Module, stream: Iterable[Batch], objective: Train, count: int
    ) -> Generator[Batch]:
        """Yield the next `count` batches of a stream, with what can be computed of them ahead."""
        ...

    def sampler(self, denoiser: nn.Module, device: torch.device) -> Sampler:
        """Return what draws pictures with `denoiser` (and loads the picture decoder)."""
        ...


class Blueprint(Protocol):
    """A model by its sizes alone: enough to plan a run before any weight is there."""

    @property
    def title(self) -> str: ...  # noqa: D102  # what to call the model to a person
    @property
    def known(self) -> bool: ...  # noqa: D102  # whether the sizes are its own, not assumed
    @property
    def target_sets(self) -> Mapping[str, TargetSet]: ...  # noqa: D102  # see `Family`

    def makes_modulation(self, name: str) -> bool:
        """Tell whether a module is one of the modulation's, or of what makes its vector."""
        ...

    def subject(self, memory: Memory) -> Subject:
        """Return the denoiser without weights, stored as `memory` says."""
        ...

    def batch(self, size: tuple[int, int], count: int, dtype: torch.dtype) -> Batch:
        """Return a batch of pictures of one size, without values."""
        ...

    def loss(self, denoiser: nn.Module, batch: Batch, objective: Train) -> Tensor:
        """Return the loss of each sample, as the family computes it."""
        ...

    def predict(self, denoiser: nn.Module, batch: Batch) -> Tensor:
        """Run the denoiser once, as drawing a picture does at each step."""
        ...

    def text_stages(self, memory: Memory, count: int) -> tuple[Stage, ...]:
        """Return what encodes `count` texts at once, one network after another."""
        ...

    def encode_stage(self, size: tuple[int, int], count: int) -> Stage:
        """Return what encodes `count` pictures at once."""
        ...

    def decode_stage(self, size: tuple[int, int], memory: Memory) -> Stage:
        """Return what makes a picture of what the denoiser made."""
        ...


def batched(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    """Yield consecutive pieces of at most `size` items."""
    for start in range(0, len(items), size):
        yield items[start : start + size]
