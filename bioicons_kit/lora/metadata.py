"""What a LoRA file says of itself in its header: model, settings, data, licenses.

Keys are those of the two conventions that tools read, ModelSpec 1.0.1 (`modelspec.*`) and
kohya's (`ss_*`), and the kit's own. Dates and paths are left out on purpose: the same
preset on the same data gives the same file. When the run was is in its `run.json`.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bioicons_kit import __version__
from bioicons_kit.preset import Model, Preset

# What describes a file's tensors: wrong as soon as these are others.
_OF_THE_TENSORS = (
    "format",
    "lora_adapter_metadata",
    "modelspec.hash_sha256",
    "ss_network_alpha",
    "ss_network_dim",
    "sshs_legacy_hash",
    "sshs_model_hash",
)


def header(
    preset: Preset,
    architecture: str,
    records: Sequence[Mapping[str, Any]],
    manifest: str,
) -> dict[str, str]:
    """Return the header's metadata.

    Args:
        preset: the run's settings.
        architecture: modelspec's name for the base model and adapter kind.
        records: the dataset manifest's rows (author, license, repeats, ...).
        manifest: the manifest's SHA-256.
    """
    rank = preset.lora.rank  # alpha is folded into the weights, and so equals it
    size = f"{preset.dataset.resolution}x{preset.dataset.resolution}"
    licenses = Counter(str(record["license"]) for record in records)
    return {
        "modelspec.sai_model_spec": "1.0.1",
        "modelspec.architecture": architecture,
        "modelspec.implementation": "https://github.com/huggingface/diffusers",
        "modelspec.title": preset.name,
        "modelspec.resolution": size,
        "modelspec.trigger_phrase": preset.dataset.trigger,
        "ss_base_model_version": architecture.partition("/")[0],
        "ss_network_dim": str(rank),
        "ss_network_alpha": str(float(rank)),
        "ss_learning_rate": str(preset.train.learning_rate),
        "ss_steps": str(preset.train.steps),
        "ss_num_train_images": str(sum(int(record["repeats"]) for record in records)),
        "ss_resolution": f"({preset.dataset.resolution}, {preset.dataset.resolution})",
        "ss_seed": str(preset.train.seed),
        "bioicons_kit.version": __version__,
        "bioicons_kit.base_model": _base_model(preset.model),
        "bioicons_kit.base_revision": preset.model.revision or "",
        "bioicons_kit.manifest_sha256": manifest,
        "bioicons_kit.trained_alpha": str(rank if preset.lora.alpha is None else preset.lora.alpha),
        "bioicons_kit.training_licenses": json.dumps(dict(sorted(licenses.items()))),
        "bioicons_kit.training_authors": json.dumps(
            sorted({str(record["author"]) for record in records}), ensure_ascii=False
        ),
    }


def carried(metadata: Mapping[str, str]) -> dict[str, str]:
    """Return what of a LoRA's header stays true when its tensors are written anew."""
    return {key: value for key, value in metadata.items() if key not in _OF_THE_TENSORS}


def _base_model(model: Model) -> str:
    """Return the base model's hub id or name; of a folder only the last part, no path."""
    return model.path if model.is_hub else Path(model.path).name
