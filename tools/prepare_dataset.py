"""Write a preset's dataset folder: pictures, captions, credits, contact sheets and a report.

python tools/prepare_dataset.py presets/bioicons_cc_by.toml
python tools/prepare_dataset.py presets/cc0_animals.toml --push-to-hub you/animals
"""

from collections.abc import Sequence
from pathlib import Path

from bioicons_kit import cli, console, preset_file


def main(arguments: Sequence[str]) -> None:
    """Prepare, and if asked to, push, as the command line asks."""
    parser = cli.Parser(
        prog="prepare_dataset.py", description="Write a preset's dataset folder, or continue it."
    )
    parser.add_preset()
    parser.add_argument("--out", type=Path, help="folder (default: datasets/NAME of the preset)")
    parser.add_argument("--workers", type=cli.positive, help="processes that draw (default: cores)")
    parser.add_argument("--push-to-hub", metavar="NAME", help="also push it, as owner/name")
    parser.add_argument("--private", action="store_true", help="make a new repository private")
    parser.add_argument("--yes", action="store_true", help="push without asking")
    parser.add_overrides()
    options = parser.parse_args(arguments)
    if options.push_to_hub is None and (options.private or options.yes):
        parser.error("--private and --yes go with --push-to-hub")
    preset = preset_file.load(options.preset, options.overrides)

    # late, so that a mistyped key is told at once
    from bioicons_kit.icons.folder import prepare, push

    if options.push_to_hub is not None:
        push.check(options.push_to_hub)  # before any work
    folder = options.out or Path("datasets") / preset.name
    prepared = prepare.prepare(preset, folder.absolute(), options.workers)
    count = len(prepared.contents.pictures)
    console.say("done", f"{count} pictures in {console.shown(folder.absolute())}")
    console.say("look", f"{console.shown(folder.absolute() / 'report.html')}")
    if options.push_to_hub is not None:
        push.push(prepared.contents, options.push_to_hub, options.private, options.yes)


if __name__ == "__main__":
    cli.run(main)
