"""A merged model onto the disk, and a second look at it.

The output is built under another name and gets its own only when it has been reopened and
checked, so that whatever goes wrong leaves nothing behind.
"""

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from bioicons_kit import files, tensor_stream
from bioicons_kit.errors import ModelError
from bioicons_kit.lora import checkpoint
from bioicons_kit.lora.base_merge import Merger
from bioicons_kit.lora.checkpoint import Checkpoint, ModelFile, Weight
from bioicons_kit.lora.merge import Term
from bioicons_kit.lora.metadata import carried
from bioicons_kit.lora.svd import seed_of
from bioicons_kit.tensor_stream import Slot

# Summing in float32 is off by a few of its steps, of the row's largest number.
_FLOAT32_SUMS = 1e-5

_INDEXES = tuple(f"{stem}.safetensors.index.json" for stem in checkpoint.STEMS)
# Endings of files that hold weights, in any form, and of the indexes of variants.
_WEIGHTS = (
    *(".safetensors", ".safetensors.index.json", ".bin", ".bin.index.json", ".msgpack", ".onnx"),
    *(".onnx_data", ".ckpt", ".pt", ".pth", ".h5", ".gguf"),
)


def write(
    merger: Merger,
    out: Path,
    metadata: Mapping[str, str],
    advance: Callable[[int], object] = lambda _: None,
) -> tuple[str, ...]:
    """Write the merged model to `out`, in the layout of its base, and check it.

    Args:
        merger: makes the tensors.
        out: a folder or file that does not exist yet.
        metadata: added to the headers of files that are changed.
        advance: called with bytes written (for a progress bar).

    Returns:
        files of the base that were left out, as they hold the weights once more.

    Raises:
        ModelError: `out` is there already, or the output is not as planned; nothing stays.
        StorageError: no room or no permission; nothing stays.
    """
    base = merger.base
    if out.exists():
        raise ModelError(f"{out}: already there; choose another --out, or remove it first")
    files.require_room(out.parent, size(merger), "the merged model")
    if not base.root.is_dir():
        partial = out.with_name(f".{out.name}.partial")
        try:
            _write_file(base.files[0], partial, merger, metadata, advance)
            check(merger, checkpoint.find(partial))
            partial.replace(out)
        finally:
            partial.unlink(missing_ok=True)
        return ()
    with files.atomic_folder(out) as scratch:
        copied, left_out = _others(merger)
        for path in copied:
            _copy(base.root / path, scratch / path, advance)
        for file in base.files:
            if merger.touches(file):
                _write_file(file, scratch / file.relative, merger, metadata, advance)
        _write_indexes(scratch, merger)
        check(merger, checkpoint.find(scratch))
    return tuple(map(str, left_out))


def size(merger: Merger) -> int:
    """Return the bytes that the output will have."""
    root = merger.base.root
    copied = _others(merger)[0] if root.is_dir() else []
    written = [file for file in merger.base.files if merger.touches(file)]
    return sum((root / path).stat().st_size for path in copied) + sum(
        slot.nbytes for file in written for slot in _plan(file, merger).values()
    )


def expected(weight: Weight, parts: Sequence[Term], row: int) -> Tensor | None:
    """Return one row of the merged weight in float64, reckoned from the base again.

    None where a row cannot be reckoned alone (DoRA over columns).
    """
    if any(term.layer.dora is not None and not term.layer.rows_are_normed for term in parts):
        return None
    source, stored = weight.file.source, weight.rows.start + row
    base = source.read(weight.key, slice(stored, stored + 1)).double().flatten()
    height = weight.rows.stop - weight.rows.start
    own = (row + height // 2) % height if weight.swapped else row
    result = base.clone()
    for term in parts:
        up, down = term.layer.matrices
        changed = base + term.layer.scale * (up[own].double() @ down.double())
        if term.layer.dora is not None:
            changed *= term.layer.dora[own].double() / changed.norm()
        result += term.weight * (changed - base)
    return result


def check(merger: Merger, written: Checkpoint) -> None:
    """Compare the reopened output with the base: keys, shapes, dtypes, and a row a module.

    Args:
        merger: that wrote it.
        written: the model that was written, reopened.

    Raises:
        ModelError: something is not as it should be.
    """
    for before, after in zip(merger.base.files, written.files, strict=True):
        found = {k: Slot(e.dtype, e.shape) for k, e in after.source.entries.items() if e.dtype}
        if found != _plan(before, merger):
            raise ModelError(f"{after.source.path}: does not hold the tensors that were planned")
    for name, parts in merger.sums.items():
        row = seed_of(name) % merger.base.modules[name].shape[0]
        exact = expected(merger.base.modules[name], parts, row)
        if exact is None:
            continue
        weight = written.modules[name]
        start = weight.rows.start + row
        stored = weight.file.source.read(weight.key, slice(start, start + 1)).flatten()
        grid = torch.finfo(stored.dtype)
        # a whole step: stochastic rounding goes either way; and float32's own sums
        slack = grid.eps * (exact.abs() + grid.tiny) + _FLOAT32_SUMS * exact.abs().max()
        if not bool(((stored.double() - exact).abs() <= slack).all()):
            raise ModelError(f"{weight.file.source.path}: '{weight.key}' is not what was reckoned")


def _plan(file: ModelFile, merger: Merger) -> dict[str, Slot]:
    """Return what a file will hold."""
    changed = merger.touches(file)
    return {
        key: Slot(merger.dtype(file, key), entry.shape)
        for key, entry in file.source.entries.items()
        if changed or entry.dtype
    }


def _write_file(
    file: ModelFile,
    path: Path,
    merger: Merger,
    metadata: Mapping[str, str],
    advance: Callable[[int], object],
) -> None:
    """Write one file of the merged model."""
    header = {"format": "pt", **carried(file.source.metadata), **metadata}
    tensor_stream.write(
        path, _plan(file, merger), header, lambda key: merger.make(file, key), advance
    )


def _others(merger: Merger) -> tuple[list[Path], list[Path]]:
    """Return what of a model's folder is copied as it is, and what is left out.

    Beside merged weights, the same weights in another form (.fp16, .bin, or the whole model
    as a single file in the root) would still be the old ones: they are left out.
    """
    base = merger.base
    written = {file.relative for file in base.files if merger.touches(file)}
    changed = {path.parent for path in written} | {Path()}
    kept = {file.relative for file in base.files} - written
    copied: list[Path] = []
    left_out: list[Path] = []
    for path in _walk(base.root):
        made_anew = path in written or (path.parent in changed and path.name in _INDEXES)
        stale = path.name.endswith(_WEIGHTS) and path.parent in changed and path not in kept
        if not made_anew:
            (left_out if stale else copied).append(path)
    return copied, left_out


def _walk(root: Path) -> Iterator[Path]:
    """Yield the files below `root`, relative to it; hidden ones (.cache, .git) left out."""
    for folder, below, names in os.walk(root):
        below[:] = sorted(name for name in below if not name.startswith("."))
        for name in sorted(names):
            if not name.startswith("."):
                yield (Path(folder) / name).relative_to(root)


def _copy(source: Path, target: Path, advance: Callable[[int], object]) -> None:
    """Copy a file's content, not its link."""
    with files.storage_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    advance(source.stat().st_size)


def _write_indexes(folder: Path, merger: Merger) -> None:
    """Write the indexes of sharded components, which have new sizes."""
    base = merger.base
    for parent in {file.relative.parent for file in base.files if merger.touches(file)}:
        shards = [file for file in base.files if file.relative.parent == parent]
        slots = [slot for file in shards for slot in _plan(file, merger).values()]
        total = {"total_size": sum(slot.nbytes for slot in slots)}
        for name in _INDEXES:
            index = base.root / parent / name
            if index.is_file():
                content = json.loads(index.read_text("utf-8"))
                said = content.get("metadata")
                content["metadata"] = {**(said if isinstance(said, dict) else {}), **total}
                files.write_text(folder / parent / name, json.dumps(content, indent=2) + "\n")
