"""Models and tokenizers through diffusers and transformers: whole and fitting, or a ModelError.

Both libraries fill what a file lacks with random numbers and log it, and raise over a damaged
config whatever its values happen to break.
"""

import importlib.metadata
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from bioicons_kit.errors import KitError, ModelError


def versions(*libraries: str) -> dict[str, str]:
    """Return major and minor version of libraries, under their names.

    They belong to what an encoder is: a kernel or an attention that is computed in another
    order gives other numbers. Patch versions mend errors and keep the numbers.
    """
    installed = {name: importlib.metadata.version(name) for name in libraries}
    return {name: ".".join(version.split(".")[:2]) for name, version in installed.items()}


def pretrained_model(kind: Any, folder: Path, variant: str | None, dtype: torch.dtype) -> nn.Module:
    """Return a model with every one of its weights from `folder`.

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
    with library_errors(folder, kind):
        return kind.from_pretrained(folder, local_files_only=True, **options)


@contextmanager
def library_errors(folder: Path, kind: Any) -> Iterator[None]:
    """Turn whatever a library raises over a damaged config or file into a ModelError."""
    try:
        yield
    except (KitError, MemoryError):
        raise
    except ImportError:
        raise  # what is missing then is no part of the model
    except Exception as error:  # a value of the wrong type can surface as anything at all
        first = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise ModelError(f"{folder}: cannot be loaded as a {kind.__name__} ({first})") from error
