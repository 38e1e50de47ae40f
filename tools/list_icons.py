"""Show what is in an icon library, or what a preset's buckets select.

python tools/list_icons.py                                  # the icons that come with the kit
python tools/list_icons.py ../bioicons/static/icons --by license,category
python tools/list_icons.py presets/cc0_animals.toml --by author --skipped
"""

import json
import shutil
from argparse import ArgumentTypeError
from collections.abc import Sequence
from pathlib import Path

from bioicons_kit import cli, console, preset_file
from bioicons_kit.icons import library, select
from bioicons_kit.icons.choose import listing
from bioicons_kit.preset import SHIPPED


def main(arguments: Sequence[str]) -> None:
    """List what the command line names."""
    parser = cli.Parser(prog="list_icons.py", description="Show a library or a selection.")
    parser.add_argument("what", nargs="?", default=SHIPPED, metavar="ROOT|PRESET")
    parser.add_argument(
        "--by", type=_fields, default=listing.FIELDS, help="count by these: license,category,author"
    )
    parser.add_argument("--skipped", action="store_true", help="list what is not used, and why")
    parser.add_argument("--json", action="store_true", help="print it for other programs")
    parser.add_overrides()
    options = parser.parse_args(arguments)
    is_preset = options.what.endswith(".toml")
    if options.overrides and not is_preset:
        parser.error("--set changes a preset, and no preset is given")

    width = shutil.get_terminal_size((0, 0)).columns or None  # None where the output is no terminal
    facts, tables = {}, []
    if is_preset:
        from bioicons_kit.icons import sources  # late: it imports what reads photographs

        preset = preset_file.load(Path(options.what), options.overrides)
        found = sources.libraries(preset.dataset, Path(preset.cache.root))
        rows = select.rows(found, preset.dataset)
        icons = [row.icon for row in rows]
        skipped = [each for one in found.values() for each in one.skipped]
        facts["buckets"] = listing.buckets(rows, preset.dataset)
        tables.append(listing.buckets_table(rows, preset.dataset, width))
    else:
        one = library.scan(options.what)
        icons, skipped = list(one.icons), list(one.skipped)
    if options.json:
        print(json.dumps({**facts, **listing.as_json(icons, skipped, options.by)}, indent=2))
        return
    tables.append(listing.counts_table(icons, options.by, width))
    tables += [listing.skipped_lines(skipped)] if options.skipped and skipped else []
    print(*tables, sep="\n\n", end="\n\n")
    console.say("selected" if is_preset else "found", listing.summary(icons))
    hint = "" if options.skipped else "; --skipped lists them"
    if skipped:
        console.say("left out", f"{listing.skipped_summary(skipped)}{hint}")


def _fields(text: str) -> tuple[str, ...]:
    """Return the fields to count by, as the command line lists them."""
    fields = tuple(dict.fromkeys(part.strip() for part in text.split(",")))
    if not set(fields) <= set(listing.FIELDS):
        raise ArgumentTypeError(f"{text!r} is no list out of {','.join(listing.FIELDS)}")
    return fields


if __name__ == "__main__":
    cli.run(main)
