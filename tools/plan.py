"""Tell what a run will hold and do, before it starts: memory, disk and work, phase by phase.

python tools/plan.py presets/cc0_animals.toml                    on this GPU, or on any
python tools/plan.py PRESET --vram 16GB --ram 32GB               on that machine
python tools/plan.py PRESET --set memory.modulation=resident     what if
python tools/plan.py PRESET --svg plan.svg                       as a picture, too

Nothing is loaded or fetched; of a model that is not here the sizes of FLUX.1-dev are taken.
The numbers are predictions: bytes of tensors are exact, the workspace is an allowance.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from bioicons_kit import cli, console, files, preset_file
from bioicons_kit.errors import PresetError
from bioicons_kit.preset import Preset, parse_card

_CARDS = (12, 16, 24, 32, 48, 80)  # GB that cards come with


def main(arguments: Sequence[str]) -> None:
    """Print the plan that the command line asks for."""
    parser = cli.Parser(prog="plan.py", description="Tell what a run will hold and do.")
    parser.add_argument("preset", type=Path, help="TOML file")
    parser.add_overrides()
    parser.add_argument(
        "--vram", metavar="SIZE", help='the card, such as "16GB"; this GPU if absent'
    )
    parser.add_argument("--ram", metavar="SIZE", help="the host's memory; this machine's if absent")
    parser.add_argument("--svg", type=Path, metavar="FILE", help="also write the picture here")
    options = parser.parse_args(arguments)
    _tell(preset_file.load(options.preset, options.overrides), options)


def _tell(preset: Preset, options: argparse.Namespace) -> None:
    """Plan a preset's run and print it."""
    from bioicons_kit.memory import plan_picture
    from bioicons_kit.memory.plan import usable
    from bioicons_kit.train import fitting

    vram, ram = _size("--vram", options.vram), _size("--ram", options.ram)
    room = fitting.room(preset, fitting.own_device(), vram, ram)
    planned = fitting.planned(preset, room)
    card = None if room is None else room.device
    for line in (*plan_picture.terminal(planned, card), "", *plan_picture.table(planned)):
        print(line)
    most = planned.largest
    fits = [f"{gb} GB" for gb in _CARDS if usable(gb) >= most.device]
    console.say("fits", f"cards of {fits[0]} and more" if fits else f"no card; {most.name} is most")
    if room is not None and planned.host > room.host:
        console.warn("the host has too little memory: see the column RAM")
    if options.svg is not None:
        files.write_text(options.svg, plan_picture.svg(planned, card))
        console.say("picture", console.shown(options.svg))


def _size(option: str, text: str | None) -> float | None:
    """Return the gigabytes of "16GB"."""
    size = None if text is None else parse_card(text)
    if text is not None and size is None:
        raise PresetError(f"{option} {text}: must be a size such as 16GB")
    return size


if __name__ == "__main__":
    cli.run(main)
