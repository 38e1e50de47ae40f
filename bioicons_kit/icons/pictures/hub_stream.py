"""A dataset of the Hugging Face hub (or a folder in one of its formats), row by row.

`datasets` streams it: nothing is downloaded but what is read, no code of the dataset's is
run, and pictures come undecoded. Rows are untrusted: a picture's bytes are capped, and a
row that refers to a file is followed into the dataset's own files only.
"""

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from bioicons_kit.errors import DocumentError, KitError, LibraryError
from bioicons_kit.icons import picture
from bioicons_kit.icons.scan import reading
from bioicons_kit.preset import Hub, is_hub_id

_MAX_BYTES = 256 * 2**20  # of one picture
_INSTALL = "reading hub datasets needs the package `datasets`; pip install 'bioicons_kit[hub]'"
_ZIP_MEMBER = re.compile(r"zip://[^:]*::")


class Stream:
    """The rows of a split from some position on.

    Attributes:
        root: hub id or folder.
        features: column -> its type, as `datasets` describes it.
    """

    def __init__(self, root: str, rows: Any, skip: int = 0):
        self.root = root
        self.features: Mapping[str, Any] = rows.features
        self._rows = rows
        self._skip = skip

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        """Yield the rows, each a column -> value.

        Raises:
            LibraryError: the network or a damaged file ends it.
        """
        with _explained(self.root):
            # not `rows.skip`: the positions of what it returns fit no other stream
            yield from islice(self._rows, self._skip, None)

    def position(self) -> dict[str, Any]:
        """Return where the stream is, for `opened`."""
        return dict(self._rows.state_dict())

    def content(self, value: object) -> bytes:
        """Return the file that a value of the picture column holds or refers to.

        Raises:
            DocumentError: there is none, it is too large, or outside the dataset.
        """
        data = value.get("bytes") if isinstance(value, Mapping) else value
        if isinstance(value, Mapping) and data is None and isinstance(value.get("path"), str):
            data = self._file(value["path"])
        if not isinstance(data, bytes):
            raise DocumentError("the row has no picture")
        if len(data) > _MAX_BYTES:
            raise DocumentError(f"the picture has more than {_MAX_BYTES >> 20} MiB")
        return data

    def _file(self, path: str) -> bytes:
        """Return a file of the dataset's own, or out of an archive of its own."""
        place = _ZIP_MEMBER.sub("", path, count=1)
        if is_hub_id(self.root):
            is_own = place.startswith(f"hf://datasets/{self.root}@")
        else:  # an address would be a file's relative path here
            is_own = Path(place).is_absolute() and reading.is_inside(Path(place), Path(self.root))
        if not is_own:
            raise DocumentError("the row refers to a file outside the dataset")
        if Path(path).is_absolute():
            return picture.read(Path(path), "image")
        import fsspec

        with _explained(self.root), fsspec.open(path, "rb") as file:
            return bytes(file.read(_MAX_BYTES + 1))


def opened(
    root: str, hub: Hub, revision: str | None, position: Mapping[str, Any] | None, skip: int
) -> Stream:
    """Open a split at a position, or after so many rows where the position is not known.

    Raises:
        LibraryError: there is no such dataset, configuration, split or column, or it cannot
            be reached.
        KitError: the package `datasets` is missing.
    """
    datasets = _library()
    with _explained(root):
        rows = datasets.load_dataset(
            root, name=hub.config, split=hub.split, revision=revision, streaming=True
        )
        _check_columns(root, hub, rows.features)
        used = [name for name in rows.features if name in columns(hub)]
        rows = rows.select_columns(used).cast_column(hub.image, datasets.Image(decode=False))
        if position is not None:
            rows.load_state_dict(dict(position))
            return Stream(root, rows)
        return Stream(root, rows, skip)


def columns(hub: Hub) -> dict[str, str]:
    """Return the columns that are used, each with the key of the preset that names it."""
    named = {
        getattr(hub, key): f"hub.{key}"
        for key in ("caption", "category", "author", "title", "image")
        if getattr(hub, key) is not None
    }
    return {each.partition("=")[0].strip(): "hub.where" for each in hub.where} | named


def version() -> str:
    """Return the version of `datasets`, on which the form of positions depends."""
    return str(_library().__version__)


def commit(root: str, revision: str | None) -> str | None:
    """Return the commit that a hub dataset's revision is now; None for a folder.

    Raises:
        LibraryError: there is no such dataset or revision, or the hub cannot be reached.
    """
    if not is_hub_id(root):
        if not os.path.isdir(root):  # noqa: PTH112 - Path.is_dir raises for overlong names
            raise LibraryError(f'{root}: no such folder, and no hub dataset\'s id ("owner/name")')
        if revision is not None:
            raise LibraryError(f"{root}: is a folder, so hub.revision cannot apply; remove it")
        return None
    from huggingface_hub import HfApi

    with _explained(root):
        return HfApi().dataset_info(root, revision=revision).sha


def _check_columns(root: str, hub: Hub, features: Mapping[str, Any] | None) -> None:
    """Refuse columns that are not there, and an image column without images."""
    if features is None:
        raise LibraryError(
            f"{root}: does not say what its columns hold; it must be in parquet, arrow, "
            "webdataset or image folder format"
        )
    for column, key in columns(hub).items():
        if column not in features:
            raise LibraryError(
                f"{root}: {key} names the column {column!r}; its columns are {', '.join(features)}"
            )
    kind = features[hub.image]
    if type(kind).__name__ != "Image" and getattr(kind, "dtype", "") != "binary":
        raise LibraryError(
            f"{root}: the column {hub.image!r} holds no pictures; its columns are "
            f"{', '.join(f'{name} ({type(each).__name__})' for name, each in features.items())}"
        )


def _library() -> Any:
    """Return the package `datasets`."""
    try:
        import datasets
    except ImportError as error:
        raise KitError(_INSTALL) from error
    return datasets


@contextmanager
def _explained(root: str) -> Iterator[None]:
    """Turn what `datasets` and the hub's client raise into one line."""
    from huggingface_hub import errors

    try:
        yield
    except (KitError, DocumentError):
        raise
    except errors.GatedRepoError as error:
        raise LibraryError(
            f"{root}: the dataset is gated; accept its terms at "
            f"https://huggingface.co/datasets/{root} and log in with `hf auth login`"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise LibraryError(f"{root}: the hub has no such revision of the dataset") from error
    except errors.RepositoryNotFoundError as error:
        raise LibraryError(
            f"{root}: the hub knows no such dataset, or it is private: check the name, or log in "
            "with `hf auth login`"
        ) from error
    except (errors.OfflineModeIsEnabled, ConnectionError) as error:
        raise LibraryError(
            f"{root}: the hub cannot be reached ({type(error).__name__}); connect and run again, "
            "or download the dataset and give its folder as root"
        ) from error
    except FileNotFoundError as error:  # also when a dataset has no data files
        raise LibraryError(f"{root}: {error}") from error
    except ValueError as error:  # no such split or configuration; the text lists those there are
        raise LibraryError(f"{root}: cannot be read: {error}") from error
    except Exception as error:  # each format and each transport has errors of its own
        raise LibraryError(
            f"{root}: reading broke off ({type(error).__name__}: {error}); run again, and it goes "
            "on from there"
        ) from error
