"""Going on from a checkpoint: which one, and whether the run is still the same.

The same run: one whose steps so far would be the same under the present settings. So paths,
pictures to draw, checkpoints to keep and what trades memory for time may change; rows,
captions and models are held to their contents; and `train.steps` may change as long as the
learning rates of the steps that are done stay what they were. (With a schedule that ends
with the run, such as cosine or linear, they do not.)
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from bioicons_kit import console, preset_file
from bioicons_kit.data.batches import Content, Item
from bioicons_kit.data.encode import Encoded
from bioicons_kit.data.identity import Identities
from bioicons_kit.data.job import Job
from bioicons_kit.errors import DamagedFileError, PresetError, TrainingError
from bioicons_kit.files import sha256_bytes
from bioicons_kit.preset import Preset
from bioicons_kit.train import checkpoint, optim
from bioicons_kit.train.checkpoint import Kept
from bioicons_kit.train.run_folder import RunFolder

# Settings that do not reach the numbers, or reach them only through what `identity` tells.
_FREE = re.compile(
    r"name|(output|sample|checkpoint|validation|tracking|model|dataset|cache)\..*|train\.steps|"
    r"memory\.(keep_quantized|checkpointing|checkpoint_inputs|modulation|offload_blocks|fit|"
    r"text_encoder)"
)
_BY_CONTENT = re.compile(r"(model|dataset|cache)\..*|memory\.text_encoder")
_SHOWN = 6  # keys


def find(run: RunFolder, asked: Path | None) -> Kept:
    """Return the checkpoint to go on from.

    Args:
        run: whose newest whole checkpoint is taken where none is asked for.
        asked: a checkpoint's folder, or a run's.

    Raises:
        TrainingError: there is none.
        DamagedFileError: the one that is asked for is not whole.
    """
    if asked is not None and (asked / "state.json").is_file():
        return checkpoint.read(asked)
    root = (RunFolder(asked) if asked is not None else run).checkpoints
    found = checkpoint.steps(root)
    if asked is not None and not found:
        raise TrainingError(f"{asked}: neither a checkpoint nor a run that has one")
    for step in reversed(found):
        try:
            return checkpoint.read(checkpoint.folder(root, step))
        except DamagedFileError as error:
            console.warn(f"{error}; going on from the one before it")
    raise TrainingError(
        f"{root}: no checkpoint to go on from; leave out --resume to start, or name one with "
        "--resume PATH"
    )


def require_same_settings(kept: Kept, preset: Preset, processes: int) -> None:
    """Refuse to go on under settings that would have made the steps so far others.

    Raises:
        TrainingError: names the keys.
    """
    given, before = (
        flat(preset.model_dump(mode="json")),
        flat(_settings(kept).model_dump(mode="json")),
    )
    changed = [key for key in differing(before, given) if not _FREE.fullmatch(key)]
    if changed:
        told = ", ".join(f"{key} (was {before.get(key)!r})" for key in changed[:_SHOWN])
        raise TrainingError(
            f"{kept.path}: made under other settings: {told}; set them back, or start anew "
            "without --resume"
        )
    if preset.train.steps < kept.step:
        raise TrainingError(
            f"{kept.path}: is {kept.step} steps on, and train.steps is {preset.train.steps}; "
            "set it higher, or name an earlier checkpoint with --resume PATH"
        )
    _require_same_rates(kept, preset)
    if processes != kept.plain["processes"]:
        raise TrainingError(
            f"{kept.path}: made by {kept.plain['processes']} process(es), and there are "
            f"{processes}: the batches would be others; launch as many"
        )
    if kept.plain["torch"] != torch.__version__:
        console.warn(
            f"the checkpoint was made with torch {kept.plain['torch']}: the losses may differ in "
            "their last digits"
        )


def identity(encoded: Encoded, work: Job) -> dict[str, str]:
    """Return what a run's numbers rest on besides its settings, as hashes."""
    preset = work.preset
    measured = [
        item
        for row, item in zip(encoded.rows, encoded.items, strict=True)
        if row.role == "validation"
    ]
    return {
        "rows": _digest(_lines(encoded.content(preset))),
        "validation": _digest([str(preset.validation.levels), *map(_line, measured)]),
        "model": Identities(work.cache.root).of(work.family.denoiser_files()),
    }


def require_same_content(kept: Kept, now: Mapping[str, str], preset: Preset) -> None:
    """Refuse to go on with other rows, captions or weights.

    Raises:
        TrainingError: names the keys, if it was settings that changed them.
    """
    before = kept.plain["identity"]
    other = [what for what in ("model", "rows") if before[what] != now[what]]
    if not other:
        return
    given = flat(preset.model_dump(mode="json"))
    changed = differing(flat(_settings(kept).model_dump(mode="json")), given)
    keys = [key for key in changed if _BY_CONTENT.fullmatch(key)]
    what = "another model" if other[0] == "model" else "other rows, pictures, captions or encoders"
    why = f" ({', '.join(keys[:_SHOWN])})" if keys else ""
    raise TrainingError(
        f"{kept.path}: made with {what}{why}; put them back, or start anew without --resume"
    )


def differing(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return the keys that are not the same in both, in order."""
    return [key for key in {**before, **now} if before.get(key) != now.get(key)]


def flat(table: Any, name: str = "") -> dict[str, Any]:
    """Return nested tables and lists as one table with dotted keys."""
    if isinstance(table, dict) and table:
        pairs = [(str(key), value) for key, value in table.items()]
    elif isinstance(table, list) and any(isinstance(each, dict) for each in table):
        pairs = [(str(index), value) for index, value in enumerate(table)]
    else:
        return {name: table}
    found: dict[str, Any] = {}
    for key, value in pairs:
        found |= flat(value, f"{name}.{key}" if name else key)
    return found


def _require_same_rates(kept: Kept, preset: Preset) -> None:
    """Refuse a number of steps under which the steps so far would have had other rates."""
    before = _settings(kept).train
    if before.steps == preset.train.steps:
        return
    if any(
        optim.learning_rate(step, before) != optim.learning_rate(step, preset.train)
        for step in range(kept.step)
    ):
        raise TrainingError(
            f"{kept.path}: made under train.steps = {before.steps}, and train.schedule = "
            f"'{before.schedule}' follows it: the learning rates so far would have been others; "
            "set train.steps back, or start anew without --resume"
        )


def _settings(kept: Kept) -> Preset:
    """Return the settings a checkpoint was made with."""
    try:
        return preset_file.load(kept.preset)
    except PresetError as error:
        raise TrainingError(
            f"{kept.path}: made with kit version {kept.plain['kit']}, whose settings this one "
            f"does not know ({error})"
        ) from error


def _lines(content: Content) -> Iterator[str]:
    """Yield what training batches are made of, in words that name it by its content."""
    yield from map(_line, content.items)
    texts = (*content.empty, *(content.trigger or ()), *content.preserved)
    yield f"{content.background} {[each.key for each in texts]}"


def _line(item: Item) -> str:
    """Return one row's pictures and captions, by their keys, and how it counts."""
    views = [[each.key for view in version for each in view.entries] for version in item.views]
    texts = [[each.key for each in text] for text in item.texts]
    return f"{views} {texts} {item.repeats} {item.weight} {item.is_prior}"


def _digest(lines: Iterable[str]) -> str:
    """Return one hash for lines in their order."""
    return sha256_bytes("\n".join(lines).encode())
