"""Say what is in a LoRA file: format, model, ranks, norms, licenses, and whether it is whole.

python tools/inspect_lora.py my_lora.safetensors
python tools/inspect_lora.py my_lora.safetensors --modules --map my_lora.svg
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from bioicons_kit import cli, console, files


def main(arguments: Sequence[str]) -> None:
    """Print what the command line asks for."""
    parser = cli.Parser(prog="inspect_lora.py", description="Say what is in a LoRA file.")
    parser.add_argument("lora", type=Path, help="a LoRA file of any layout")
    parser.add_argument("--modules", action="store_true", help="also list every module")
    parser.add_argument("--metadata", action="store_true", help="also print the header's entries")
    parser.add_argument("--map", type=Path, help="write an SVG map of the norms over the blocks")
    parser.add_argument("--ignore-unmatched", action="store_true", help="go on without odd keys")
    options = parser.parse_args(arguments)

    # late, so that a mistyped option is told at once
    from bioicons_kit.lora import formats, provenance, report

    files.require_targets((options.map,), (options.lora,))
    lora = formats.read(options.lora, options.ignore_unmatched)
    rows = report.rows(lora.layers)
    ranks = Counter(row.rank for row in rows)
    alphas = Counter(row.alpha for row in rows)
    console.say("layout", ", ".join(lora.layouts))
    console.say("model", report.guess_base(lora))
    console.say("modules", f"{len(rows)}, {sum(row.dora for row in rows)} with DoRA")
    console.say("ranks", ", ".join(f"{rank} ({n})" for rank, n in sorted(ranks.items())))
    console.say("alphas", ", ".join(f"{alpha:g} ({n})" for alpha, n in sorted(alphas.items())))
    console.say("effect", f"{sum(row.effect**2 for row in rows) ** 0.5:.4g} (norm over all)")
    origin = provenance.Origin(lora.path.name, "", 1.0, dict(lora.metadata))
    counts = ", ".join(f"{spdx} ({n})" for spdx, n in origin.licenses.items())
    console.say("licenses", counts or "the header names none")
    console.say("authors", ", ".join(origin.authors) or "the header names none")
    for key, right in report.hashes(lora):
        console.say("hash", f"{key} is {'right' if right else 'WRONG: the data were changed'}")
    for key in lora.unmatched:
        console.warn(f"left out: {key}")
    if options.metadata:
        for key, value in sorted(lora.metadata.items()):
            console.say("header", f"{key} = {value}")
    if options.modules:
        print(report.modules_table(rows), end="")
    if options.map:
        files.write_text(options.map, report.heat_map(rows, lora.path.name))
        console.say("map", console.shown(options.map))


if __name__ == "__main__":
    cli.run(main)
