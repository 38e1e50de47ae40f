"""Encode a preset's pictures, captions and prompts into the cache, without training.

python tools/cache_latents.py presets/quickstart.toml
accelerate launch --num_processes 2 tools/cache_latents.py presets/cc0_animals.toml
"""

from collections.abc import Sequence

from bioicons_kit import cli, console, preset_file


def main(arguments: Sequence[str]) -> None:
    """Fill the cache as the command line asks."""
    parser = cli.Parser(
        prog="cache_latents.py", description="Encode a preset's data into the cache."
    )
    parser.add_preset()
    parser.add_overrides()
    options = parser.parse_args(arguments)
    preset = preset_file.load(options.preset, options.overrides)

    # late, so that a mistyped key is told at once
    from bioicons_kit.data import encode, job
    from bioicons_kit.icons import library, select

    icons = library.scan(preset.dataset.root)
    rows = select.rows(icons, preset.dataset.buckets)
    console.say("icons", f"{len(icons.icons)} in {console.shown(icons.root)}, {len(rows)} selected")
    work = job.start(preset, job.accelerator())
    encoded = encode.dataset(rows, work)
    counts = f"{len(encoded.rows)} pictures, {len(encoded.texts)} texts"
    console.say("done", f"{counts} in {console.shown(work.cache.root)}")


if __name__ == "__main__":
    cli.run(main)
