"""Draw the class pictures that a preset's prior buckets lack, with the model it fine-tunes.

python tools/make_prior.py PRESET
python tools/make_prior.py PRESET --dry-run      only tell how many are missing

Training does the same before it encodes.
"""

from collections.abc import Sequence

from bioicons_kit import cli, console, preset_file
from bioicons_kit.errors import PresetError


def main(arguments: Sequence[str]) -> None:
    """Draw what is missing."""
    parser = cli.Parser(prog="make_prior.py", description="Draw missing class pictures.")
    parser.add_preset()
    parser.add_overrides()
    parser.add_argument("--dry-run", action="store_true", help="only tell how many are missing")
    options = parser.parse_args(arguments)
    preset = preset_file.load(options.preset, options.overrides)
    if not any(bucket.generate is not None for bucket in preset.dataset.buckets):
        raise PresetError(
            f"{options.preset}: no bucket asks for class pictures; give a prior bucket "
            "generate = 200, for example"
        )

    # late, so that a mistyped key is told at once
    from bioicons_kit.data import job, prior

    work = job.start(preset, job.accelerator())
    made = 0 if options.dry_run else prior.ensure(work)
    for each in prior.wanted(work):
        count = f"{len(each.names)} class pictures, {len(each.missing)} missing"
        console.say(f"bucket {each.bucket}", f"{count}, in {console.shown(each.folder)}")
    console.say("done", f"{made} class pictures drawn")


if __name__ == "__main__":
    cli.run(main)
