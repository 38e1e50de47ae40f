"""Where a FLUX is: one diffusers folder, or a single file and the folder of what it lacks."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from bioicons_kit.errors import ModelError
from bioicons_kit.families import flux_config, hub, starter
from bioicons_kit.families.flux_single_file import SingleFile
from bioicons_kit.memory.shards import Shards, Weights, shards
from bioicons_kit.preset import STARTER, Model

_PIPELINE = "FluxPipeline"
_OTHER_PARTS = (
    *("vae", "text_encoder", "text_encoder_2"),
    *("tokenizer", "tokenizer_2", "scheduler"),
)
_PARTS = ("transformer", *_OTHER_PARTS)
_STEM = "diffusion_pytorch_model"


class Denoiser(Protocol):
    """The denoiser on disk.

    Attributes:
        where: what its config is of, for messages.
        config: what diffusers builds it from.
    """

    @property
    def where(self) -> Path: ...  # noqa: D102  # see the class
    @property
    def config(self) -> Mapping[str, Any]: ...  # noqa: D102

    def files(self) -> tuple[Path, ...]:
        """Return everything that it is: config and weights."""
        ...

    def nbytes(self) -> int:
        """Return the bytes of its weight files."""
        ...

    def weights(self) -> Weights:
        """Return its weights; headers are read, and checked, by now."""
        ...


@dataclass(frozen=True)
class _Folder:
    """A `transformer` folder as diffusers saves it."""

    where: Path
    config: Mapping[str, Any]
    variant: str | None

    def files(self) -> tuple[Path, ...]:
        return (self.where / "config.json", *self._shards())

    def nbytes(self) -> int:
        return sum(path.stat().st_size for path in self._shards())

    def weights(self) -> Weights:
        return Shards(self._shards())

    def _shards(self) -> tuple[Path, ...]:
        return shards(self.where, _STEM, self.variant)


@dataclass(frozen=True)
class _File:
    """One file in Black Forest Labs' layout."""

    single: SingleFile

    @property
    def where(self) -> Path:
        return self.single.where

    @property
    def config(self) -> Mapping[str, Any]:
        return self.single.config

    def files(self) -> tuple[Path, ...]:
        return (self.where,)

    def nbytes(self) -> int:
        return sum(self.single.nbytes(name) for name in self.single.shapes)

    def weights(self) -> Weights:
        return self.single


@dataclass(frozen=True)
class Found:
    """A FLUX on disk, its parts checked against each other.

    Attributes:
        folder: of everything but the denoiser.
        denoiser: its config and weights.
        title: what to call the model to a person.
        architecture: `modelspec.architecture` of a LoRA for it.
    """

    folder: Path
    denoiser: Denoiser
    title: str
    architecture: str


def find(model: Model, cache_root: Path) -> Found:
    """Return where the preset's model is, fetched or built first where need be.

    Raises:
        ModelError: it is not there, is no FLUX, or its parts do not fit each other.
    """
    title, architecture = model.path, "flux-1-dev/lora"
    if model.path == STARTER:
        folder = starter.ensure(cache_root / "models")
        title, architecture = "the starter FLUX", "flux-starter/lora"
        denoiser: Denoiser = _folder(folder, None)
    elif model.components is not None:
        path = Path(model.path)
        if not path.is_file():
            raise ModelError(f"{path}: no such file; model.path is to be a FLUX's weights")
        denoiser = _File(SingleFile(path))
        rest = model.model_copy(update={"path": model.components, "components": None})
        folder = hub.find(rest, _PIPELINE, _OTHER_PARTS, "model.components")
    else:
        folder = hub.find(model, _PIPELINE, _PARTS)
        denoiser = _folder(folder, model.variant)
    flux_config.check(folder, denoiser.where, denoiser.config)
    return Found(folder, denoiser, title, architecture)


def _folder(model: Path, variant: str | None) -> _Folder:
    """Return the denoiser of a diffusers folder."""
    where = model / "transformer"
    return _Folder(where, hub.read_json(where / "config.json"), variant)
