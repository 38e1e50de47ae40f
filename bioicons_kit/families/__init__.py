"""Model families: the only room that knows diffusers' and transformers' models.

`load` finds the family by name in a table of module paths, so that training one family
never imports another.
"""

from importlib import import_module
from pathlib import Path

from bioicons_kit.families.base import Batch, Encoder, Family, Sampler
from bioicons_kit.preset import Model

__all__ = ["Batch", "Encoder", "Family", "Sampler", "load"]

_FAMILIES = {"flux": ("bioicons_kit.families.flux", "Flux")}


def load(model: Model, cache_root: Path) -> Family:
    """Return the family a preset names, its model found on disk (weights not yet read).

    Args:
        model: the preset's `[model]` section.
        cache_root: where models the kit builds itself are kept.

    Raises:
        ModelError: the path is no model of this family, or the hub cannot deliver it.
    """
    _quiet_libraries()
    module, name = _FAMILIES[model.family]
    family: Family = getattr(import_module(module), name)(model, cache_root)
    return family


def _quiet_libraries() -> None:
    """Leave progress bars and chatter to the kit's own console; errors are still shown."""
    import diffusers.utils.logging
    import transformers.utils.logging

    for library in (diffusers, transformers):
        library.utils.logging.set_verbosity_error()
        library.utils.logging.disable_progress_bar()
