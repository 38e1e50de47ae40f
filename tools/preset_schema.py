"""Write presets/preset.schema.json, the JSON Schema that editors check presets against.

python tools/preset_schema.py           write it
python tools/preset_schema.py --check   only tell whether it is current
"""

from collections.abc import Sequence
from pathlib import Path

from bioicons_kit.cli import Parser, run
from bioicons_kit.console import say
from bioicons_kit.errors import PresetError
from bioicons_kit.files import write_text
from bioicons_kit.preset_file import json_schema

SCHEMA = Path(__file__).resolve().parent.parent / "presets" / "preset.schema.json"


def main(arguments: Sequence[str]) -> None:
    """Write the schema, or with --check refuse one that is not current."""
    parser = Parser(prog="preset_schema.py", description="Write the JSON Schema of presets.")
    parser.add_argument("--check", action="store_true", help="only tell whether it is current")
    parser.add_argument("--file", type=Path, default=SCHEMA, help="where (default: %(default)s)")
    options = parser.parse_args(arguments)
    text = json_schema()
    if options.check:
        if not options.file.is_file() or options.file.read_text(encoding="utf-8") != text:
            raise PresetError(f"{options.file}: not current; run python tools/preset_schema.py")
        say("schema", f"{options.file} is current")
    else:
        say("schema", f"wrote {write_text(options.file, text)}")


if __name__ == "__main__":
    run(main)
