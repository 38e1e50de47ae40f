"""LoRA files in, one LoRA or a changed model out: what the merge tool does.

Everything is read and checked before anything is written.
"""

import math
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch

from bioicons_kit import console, files
from bioicons_kit.errors import LoraError
from bioicons_kit.lora import (
    base_merge,
    base_write,
    blocks,
    checkpoint,
    formats,
    merge,
    provenance,
    report,
    resize,
)
from bioicons_kit.lora.base_merge import Change, Rounding
from bioicons_kit.lora.merge import Input, Settings


def inputs(given: Sequence[str], rules: Sequence[str], ignore_unmatched: bool) -> list[Input]:
    """Read LoRAs named as `FILE[:WEIGHT]`, with rules such as `1=double.0-9:0.5`.

    Raises:
        LoraError: a file is no LoRA, a weight no number, a rule is for none of them.
        DamagedFileError: a file is not readable.
    """
    by_number = _rules(rules, len(given))
    found = []
    for number, text in enumerate(given, start=1):
        path, weight = file_and_weight(text)
        lora = formats.read(path, ignore_unmatched)
        for key in lora.unmatched:
            console.warn(f"{path.name}: left out: {key}")
        found.append(Input(lora, weight, by_number.get(number, ())))
        shown = f"{path.name}: {', '.join(lora.layouts)}, {len(lora.layers)} modules"
        console.say("lora", f"{shown}, weight {weight:g}")
    return found


def into_lora(
    given: Sequence[Input],
    out: Path,
    settings: Settings,
    *,
    layout: str,
    dtype: torch.dtype,
    table: Path | None,
) -> None:
    """Merge LoRAs into one file.

    Args:
        given: the LoRAs.
        out: the file to write; none of theirs.
        settings: how to merge.
        layout: one of `formats.LAYOUTS`.
        dtype: of the file's tensors.
        table: where to write what happened to each module; None is nowhere.

    Raises:
        LoraError: they cannot be merged, or the layout cannot hold the result.
    """
    files.require_targets((out, table), [each.lora.path for each in given])
    sums = merge.terms(given)
    with console.bar("merge", len(sums), "module") as bar:
        merged = merge.merge(sums, settings, bar.update)
    layers = {name: each.layer for name, each in merged.items()}
    formats.write(out, layers, layout, _header(given), dtype)
    if table:
        rows = [(name, each.layer.rank, each.effect, each.error) for name, each in merged.items()]
        files.write_text(table, report.table(("module", "rank", "effect", "error"), rows))
    ranks = sorted({layer.rank for layer in layers.values()})
    error = resize.total_error({name: (each.effect, each.error) for name, each in merged.items()})
    console.say("merged", f"{len(layers)} modules, rank {'-'.join(map(str, _ends(ranks)))}")
    console.say("error", f"{error:.3%} of the effect is beyond the rank")
    console.say("done", console.shown(out))


def into_model(
    given: Sequence[Input],
    root: Path,
    out: Path,
    rounding: Rounding,
    *,
    ignore_unmatched: bool,
    table: Path | None,
) -> None:
    """Merge LoRAs into a model.

    Args:
        given: the LoRAs.
        root: the model: a diffusers folder or a single file.
        out: a folder or file that does not exist yet.
        rounding: how numbers are stored.
        ignore_unmatched: whether to go on without modules that the model has not.
        table: where to write what happened to each module; None is nowhere.

    Raises:
        LoraError: the LoRAs do not fit the model.
        ModelError: it cannot be merged into, or the output is not as it should be.
    """
    files.require_targets((out, table), [root, *(each.lora.path for each in given)])
    base = checkpoint.find(root)
    wanted = merge.terms(given)
    sums = base_merge.match(base, wanted, ignore_unmatched)
    for name in wanted.keys() - sums.keys():
        console.warn(f"left out, not in the model: {name}")
    merger = base_merge.Merger(base, sums, rounding)
    header = {provenance.MERGED_FROM: _header(given)[provenance.MERGED_FROM]}
    with console.bar("merge", base_write.size(merger), "B", scale=True) as bar:
        left_out = base_write.write(merger, out, header, bar.update)
    for name in left_out:
        console.warn(f"not copied, it holds the weights before: {name}")
    if table:
        files.write_text(table, _changes(merger.changes))
    _tell(merger.changes)
    console.say("done", f"{console.shown(out)}, reopened and checked")


def file_and_weight(text: str) -> tuple[Path, float]:
    """Return the parts of `FILE[:WEIGHT]`; a file's own name may have colons.

    Raises:
        LoraError: the weight is no number, or absurdly large.
    """
    path, _, tail = text.rpartition(":")
    if not path or _is_file(Path(text)):
        return Path(text), 1.0
    try:
        weight = float(tail)
    except ValueError:
        if not _is_file(Path(path)):  # then the colon is the name's, and reading says what it is
            return Path(text), 1.0
        weight = math.nan
    if not abs(weight) <= blocks.LARGEST_WEIGHT:  # NaN is not, either
        raise LoraError(
            f"--lora {text}: the weight has to be a number such as 0.8, not '{tail}', "
            f"and {blocks.LARGEST_WEIGHT:,.0f} at most"
        )
    return Path(path), weight


def _is_file(path: Path) -> bool:
    """Tell whether there is such a file; there is none of a name too long for any."""
    try:
        return path.is_file()
    except OSError:
        return False


def _rules(given: Sequence[str], count: int) -> dict[int, tuple[blocks.Rule, ...]]:
    """Return rules by the number of the LoRA they are for, counted from 1."""
    found: dict[int, tuple[blocks.Rule, ...]] = {}
    for text in given:
        number, equals, rules = text.partition("=")
        if not equals or number not in map(str, range(1, count + 1)):
            raise LoraError(
                f"--blocks {text}: begin with the number of its --lora (1 to {count}) and '=', "
                "such as 1=double.0-9:0.5,single.*:1"
            )
        found[int(number)] = (*found.get(int(number), ()), *blocks.parse(rules))
    return found


def _header(given: Sequence[Input]) -> dict[str, str]:
    """Return the header of what is made of these LoRAs; tell what their licenses say to it."""
    origins = [
        provenance.Origin(
            each.lora.path.name,
            files.sha256_file(each.lora.path),
            each.weight,
            dict(each.lora.metadata),
        )
        for each in given
    ]
    for concern in provenance.concerns(origins):
        console.warn(concern)
    return provenance.united(origins)


def _ends(ranks: Sequence[int]) -> list[int]:
    """Return the least and the largest, once where they are the same."""
    return sorted({ranks[0], ranks[-1]})


def _changes(changes: Sequence[Change]) -> str:
    """Return the table of what merging did to each module."""
    header = ("module", "weight", "effect", "rounding", "rounding/weight", "rounding/effect")
    shares = [(_share(c.rounding, c.weight), _share(c.rounding, c.effect)) for c in changes]
    rows = [
        (c.name, c.weight, c.effect, c.rounding, *share)
        for c, share in zip(changes, shares, strict=True)
    ]
    return report.table(header, rows)


def _tell(changes: Sequence[Change]) -> None:
    """Say how large the effect is, and how much of it rounding loses at worst."""
    largest = max(changes, key=lambda change: change.effect)
    console.say("merged", f"{len(changes)} modules")
    console.say(
        "effect",
        f"{_norm(c.effect for c in changes):.4g} in all, "
        f"{largest.effect:.4g} at most ({largest.name})",
    )
    of_weight = max(changes, key=lambda change: _share(change.rounding, change.weight))
    of_effect = max(changes, key=lambda change: _share(change.rounding, change.effect))
    console.say(
        "rounding",
        f"at worst {_share(of_weight.rounding, of_weight.weight):.2e} of a weight "
        f"({of_weight.name}), {_share(of_effect.rounding, of_effect.effect):.2e} of an effect "
        f"({of_effect.name})",
    )
    if _share(of_effect.rounding, of_effect.effect) > 1:
        console.warn("rounding changes a weight by more than the LoRA does; --rounding stochastic")


def _share(part: float, whole: float) -> float:
    """Return a quotient; of nothing, 0 or infinity."""
    if whole == 0:
        return math.inf if part else 0.0
    return part / whole


def _norm(norms: Iterable[float]) -> float:
    """Return the norm over all modules from each one's."""
    return math.sqrt(sum(norm**2 for norm in norms))
