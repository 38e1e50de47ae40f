"""Encode a preset's pictures, captions and prompts into the cache, or look after the cache.

python tools/cache_latents.py presets/quickstart.toml              fill it
python tools/cache_latents.py PRESET --dry-run                     what is missing, and why
python tools/cache_latents.py PRESET --verify                      read every entry
python tools/cache_latents.py PRESET PRESET --prune                what neither needs: delete
accelerate launch --num_processes 2 tools/cache_latents.py PRESET
"""

import argparse
import os
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bioicons_kit import cli, console, preset_file
from bioicons_kit.errors import DamagedFileError, KitError
from bioicons_kit.preset import Preset

if TYPE_CHECKING:
    from bioicons_kit.data.plan import Plan

_SHOWN = 10  # missing entries of a reason, damaged files


def main(arguments: Sequence[str]) -> None:
    """Do what the command line asks of the cache."""
    options = _parser().parse_args(arguments)
    _check(options)
    presets = [preset_file.load(path, options.overrides) for path in options.presets]
    if options.verify:
        _verify(presets[0])
    elif options.prune:
        _prune(presets, sure=options.yes)
    elif options.dry_run:
        _tell_needs(presets[0], options.only)
    else:
        _fill(presets[0], options.only)


def _parser() -> cli.Parser:
    """Return the parser of the command line."""
    parser = cli.Parser(prog="cache_latents.py", description="Fill, check or prune the cache.")
    parser.add_argument("presets", type=Path, nargs="+", metavar="preset", help="TOML file")
    parser.add_overrides()
    parser.add_argument("--only", choices=("latents", "text"), help="leave the other alone")
    todo = parser.add_mutually_exclusive_group()
    todo.add_argument("--verify", action="store_true", help="read every entry and check it")
    todo.add_argument(
        "--prune", action="store_true", help="delete what none of the presets needs, after asking"
    )
    todo.add_argument("--dry-run", action="store_true", help="tell what is missing, and why")
    parser.add_argument("--yes", action="store_true", help="with --prune: delete without asking")
    return parser


def _check(options: argparse.Namespace) -> None:
    """Refuse options that cannot apply."""
    if len(options.presets) > 1 and not options.prune:
        raise KitError("several presets are for --prune; give one")
    if options.yes and not options.prune:
        raise KitError("--yes answers what --prune asks; remove it")
    if options.only and (options.verify or options.prune):
        raise KitError("--only is for filling the cache; --verify and --prune take all of it")
    is_alone = os.environ.get("WORLD_SIZE", "1") == "1"
    if not is_alone and (options.verify or options.prune or options.dry_run):
        raise KitError("only filling the cache is work for several processes; run it with python")


def _fill(preset: Preset, only: str | None) -> None:
    """Encode what is missing."""
    # late, so that a mistyped key is told at once
    from bioicons_kit.data import encode, job, selection

    accelerator = job.accelerator()
    rows, work = selection.rows(preset, lambda: job.start(preset, accelerator))
    encoded = encode.dataset(rows, work, "latents" if only == "latents" else only and "text")
    pictures, texts = len(encoded.plan.pictures), len(encoded.texts)
    counts = {"latents": f"{pictures} pictures", "text": f"{texts} texts"}
    shown = counts[only] if only else ", ".join(counts.values())
    console.say("done", f"{shown} in {console.shown(work.cache.root)}")


def _tell_needs(preset: Preset, only: str | None) -> None:
    """Say what filling the cache would do."""
    from bioicons_kit.data import upkeep
    from bioicons_kit.data.cache import Cache

    cache = Cache(Path(preset.cache.root))
    planned = _plan(preset)
    total = 0
    for kind, sources in planned.sources().items():
        if only and (only == "text") != (kind in planned.texts):
            continue
        found = upkeep.needs(kind, sources, cache)
        total += found.nbytes
        megabytes = f"{found.nbytes / 1e6:,.1f} MB"
        console.say(kind, f"{found.hits} hits, {len(found.missing)} misses, {megabytes} needed")
        for reason, count in Counter(each.reason for each in found.missing).most_common(_SHOWN):
            first = next(each.of for each in found.missing if each.reason == reason)
            more = f" and {count - 1} more" if count > 1 else ""
            console.say("", f"{reason}: {first}{more}")
    for name, problem in list(planned.unreadable.items())[:_SHOWN]:
        console.say("unreadable", f"{name}: {problem}")
    console.say("needed", f"{total / 1e6:,.1f} MB in {console.shown(cache.root)}")


def _verify(preset: Preset) -> None:
    """Read every entry of the cache.

    Raises:
        DamagedFileError: some are damaged.
    """
    from bioicons_kit.data import upkeep
    from bioicons_kit.data.cache import Cache

    cache = Cache(Path(preset.cache.root))
    counts, problems = upkeep.damaged(cache)
    for kind, count in counts.items():
        console.say(kind, f"{count} entries")
    for path, problem in list(problems.items())[:_SHOWN]:
        console.warn(f"{path}: {problem}")
    if problems:
        raise DamagedFileError(
            f"{console.shown(cache.root)}: {len(problems)} damaged entries; fill the cache again, "
            "and those that are needed are rebuilt"
        )
    console.say("done", f"all {sum(counts.values())} entries are whole")


def _prune(presets: Sequence[Preset], *, sure: bool) -> None:
    """Delete the entries that none of the presets needs."""
    from bioicons_kit.data import upkeep
    from bioicons_kit.data.cache import Cache

    roots = {preset.cache.root for preset in presets}
    if len(roots) > 1:
        raise KitError(f"these presets have different caches ({', '.join(sorted(roots))})")
    if not sure and not sys.stdin.isatty():
        raise KitError("--prune asks before it deletes, and nobody is there to ask; add --yes")
    cache = Cache(Path(presets[0].cache.root))
    spare = upkeep.spare(cache, [_plan(preset) for preset in presets])
    what = f"{len(spare.entries)} entries, {spare.nbytes / 1e6:,.1f} MB"
    if not spare.entries:
        console.say("done", "nothing to delete: every entry is needed")
    elif sure or input(f"delete {what} that no preset given needs? [y/N] ").lower() == "y":
        for each in spare.entries:
            cache.drop(each)
        console.say("done", f"deleted {what} from {console.shown(cache.root)}")
    else:
        console.say("done", "deleted nothing")


def _plan(preset: Preset) -> "Plan":
    """Return what a preset needs."""
    from bioicons_kit.data import job, plan, selection

    accelerator = job.accelerator()
    rows, work = selection.rows(preset, lambda: job.start(preset, accelerator), generate=False)
    return plan.dataset(rows, work)


if __name__ == "__main__":
    cli.run(main)
