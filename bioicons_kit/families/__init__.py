"""Model families: the only room that knows diffusers' and transformers' models.

`load` finds the family by name in a table of module paths, so that training one family
never imports another.
"""

from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path

from bioicons_kit.families.base import Batch, Blueprint, Encoder, Family, Sampler
from bioicons_kit.memory.saved import Shelf
from bioicons_kit.preset import Model

__all__ = ["Batch", "Blueprint", "Encoder", "Family", "Sampler", "blueprint", "load"]

_FAMILIES = {"flux": ("bioicons_kit.families.flux", "Flux")}


def load(
    model: Model, cache_root: Path, identify: Callable[[Sequence[Path]], str] | None = None
) -> Family:
    """Return the family a preset names, its model found on disk (weights not yet read).

    Args:
        model: the preset's `[model]` section.
        cache_root: where models the kit builds itself are kept, and quantized ones.
        identify: returns one hash for the contents of files; without it, no quantized model is
            kept.

    Raises:
        ModelError: the path is no model of this family, or the hub cannot deliver it.
    """
    _quiet_libraries()
    module, name = _FAMILIES[model.family]
    shelf = Shelf(cache_root, identify) if identify else None
    family: Family = getattr(import_module(module), name)(model, cache_root, shelf)
    return family


def blueprint(model: Model, cache_root: Path) -> Blueprint:
    """Return the sizes of the model that a preset names; nothing is fetched.

    Raises:
        ModelError: the model's folder holds no readable configs.
    """
    _quiet_libraries()
    found: Blueprint = import_module(f"{_FAMILIES[model.family][0]}_blueprint").of(
        model, cache_root
    )
    return found


def _quiet_libraries() -> None:
    """Leave progress bars and chatter to the kit's own console; errors are still shown."""
    import diffusers.utils.logging
    import transformers.utils.logging

    for library in (diffusers, transformers):
        library.utils.logging.set_verbosity_error()
        library.utils.logging.disable_progress_bar()
