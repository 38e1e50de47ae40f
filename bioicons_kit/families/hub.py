"""A model's name -> a folder on disk, or a reason and a way out.

Of a diffusers model only the files of that layout are fetched: FLUX.1-dev's repository also
holds the same weights once more as a single 24 GB file.
"""

import json
from collections.abc import Sequence
from pathlib import Path

from bioicons_kit.errors import ModelError, StorageError
from bioicons_kit.preset import Model

_LARGEST = 2**20  # bytes; a model's config has a thousand or two


def find(
    model: Model, pipeline: str, parts: Sequence[str] = (), setting: str = "model.path"
) -> Path:
    """Return the diffusers folder of `model`, fetched from the hub where it is a hub id.

    Args:
        model: the preset's `[model]` section; its path is a folder or "owner/name".
        pipeline: the pipeline class that `model_index.json` has to name.
        parts: the component folders it has to have; only these are fetched.
        setting: the preset's key that names it, for errors.

    Raises:
        ModelError: no such folder, not a diffusers folder, another family, or the hub
            refuses or cannot be reached.
    """
    folder = Path(model.path)
    if not folder.is_dir():
        if not model.is_hub:
            raise ModelError(
                f"{model.path}: no such model folder; {setting} is a diffusers folder, "
                'a hub id such as "black-forest-labs/FLUX.1-dev", or "starter"'
            )
        # "*/*" leaves out files in the repository's root other than the named one
        wanted = [f"{part}/*" for part in parts] or ["*/*"]
        folder = fetch(model.path, model.revision, ("model_index.json", *wanted), setting)
    _check(folder, pipeline, parts, setting)
    return folder


def fetch(
    name: str, revision: str | None, patterns: Sequence[str], setting: str = "model.path"
) -> Path:
    """Return a model's snapshot of the hub, downloading what is not there yet.

    Args:
        name: "owner/name".
        revision: branch, tag or commit; the default branch if None.
        patterns: of the files that are needed.
        setting: the preset's key that names it, for errors.

    Raises:
        ModelError: the hub refuses, or cannot be reached.
        StorageError: no room or no permission in the hub's cache.
    """
    from huggingface_hub import errors, snapshot_download
    from huggingface_hub.utils.tqdm import disable_progress_bars, enable_progress_bars

    where = name + ("" if revision is None else f" at revision {revision}")
    enable_progress_bars()  # transformers' own switch, off by now, is the hub's too
    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=list(patterns)))
    except errors.HFValidationError as error:
        raise ModelError(
            f"{where}: no such model folder, and the hub allows no such id ({error})"
        ) from error
    except errors.GatedRepoError as error:
        raise ModelError(
            f"{where}: the model is gated; accept its license at "
            f"https://huggingface.co/{name} and log in with `hf auth login`"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise ModelError(f"{where}: the hub has no such revision of the model") from error
    except errors.RepositoryNotFoundError as error:
        raise ModelError(
            f"{where}: the hub knows no such model, or it is private: check the name, "
            "or log in with `hf auth login`"
        ) from error
    except (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled) as error:
        raise ModelError(
            f"{where}: no such folder, not in the local hub cache, and the hub cannot be reached; "
            f"connect once, or download it elsewhere with `hf download {name}` and give "
            f"the folder as {setting}"
        ) from error
    except OSError as error:
        if error.errno is not None and error.filename is not None:
            raise StorageError(f"{where}: cannot be stored ({error})") from error
        raise ModelError(f"{where}: the hub cannot be reached ({error})") from error
    except ValueError as error:  # a network's log-in page, for one
        raise ModelError(
            f"{where}: the hub cannot be reached: what answers in its place is no hub ({error})"
        ) from error
    except Exception as error:  # each transport below the hub's client has errors of its own
        raise ModelError(
            f"{where}: the download broke off ({type(error).__name__}: {error}); run again, "
            "and it goes on from there"
        ) from error
    finally:
        disable_progress_bars()


def _check(folder: Path, pipeline: str, parts: Sequence[str], setting: str) -> None:
    """Refuse a folder that is not a whole diffusers folder of the pipeline class `pipeline`."""
    index = folder / "model_index.json"
    if not index.is_file():
        raise ModelError(
            f"{folder}: not a diffusers model folder (it has no model_index.json); "
            f"{setting} must be the folder that holds transformer/, vae/, text_encoder/, ..."
        )
    found = read_json(index).get("_class_name")
    if found != pipeline:
        raise ModelError(f"{folder}: holds a {found}, and this preset's family needs a {pipeline}")
    missing = [name for name in parts if not (folder / name).is_dir()]
    if missing:
        raise ModelError(
            f"{folder / missing[0]}: not there; the download or copy of the model is incomplete"
        )


def read_json(path: Path) -> dict[str, object]:
    """Return the JSON object in `path`.

    Raises:
        ModelError: the file is missing or holds no JSON object.
    """
    try:
        if path.is_file() and path.stat().st_size > _LARGEST:
            raise ModelError(f"{path}: not a model config (it is larger than any)")
        value = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{path}: not a readable model config ({error})") from error
    if not isinstance(value, dict):
        raise ModelError(f"{path}: not a model config (no JSON object)")
    return value
