"""Errors for people: what happened, where, and what to do about it.

    KitError                 anything a user can put right; one line, exit status 2
      PresetError            preset missing, not TOML, unknown key, value out of range
      LibraryError           icon library missing, empty bucket, nothing readable
      DocumentError          one SVG that cannot be used (skipped and counted by callers)
      ModelError             path that is no model, gated or unreachable hub model
      TrainingError          a loss that is no number any more, settings at odds with the launch
      LoraError              LoRA file that is damaged or belongs to another model
      DamagedFileError       a safetensors file that is truncated, malformed, or none at all
      StorageError           no room, or no permission, where a file has to be written

`bioicons_kit.cli.run` turns a KitError into its one line. Programmers' errors are
plain `assert`s and keep their tracebacks.
"""

import re

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def plain(text: str) -> str:
    """Return a text with control characters spelled out: what files hold could steer a terminal."""
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


class KitError(Exception):
    """Base of every error whose message is written for the user."""


class PresetError(KitError):
    """A preset that is missing, is not TOML, or says something the kit cannot do."""


class LibraryError(KitError):
    """An icon library that is missing, or out of which a bucket selects nothing."""


class DocumentError(KitError):
    """One SVG that cannot be read or drawn; a run skips it, names it and counts it."""


class ModelError(KitError):
    """A model that is not there, is of another kind, or cannot be fetched."""


class TrainingError(KitError):
    """Training that cannot start as launched, or cannot go on."""


class LoraError(KitError):
    """A LoRA file that is damaged, or whose tensors fit no module of the model."""


class DamagedFileError(KitError):
    """A safetensors file that is truncated, malformed, or not safetensors at all."""


class StorageError(KitError):
    """A file that could not be written: no room, no permission, read-only."""
