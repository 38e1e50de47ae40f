"""Write a LoRA at another rank: a fixed one, or for each module what it needs.

python tools/resize_lora.py big.safetensors --rank 16 --out small.safetensors
python tools/resize_lora.py big.safetensors --energy 0.98 --rank 32 --out small.safetensors
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from bioicons_kit import cli, console, files


def main(arguments: Sequence[str]) -> None:
    """Resize as the command line asks."""
    parser = cli.Parser(prog="resize_lora.py", description="Write a LoRA at another rank.")
    parser.add_argument("lora", type=Path, help="a LoRA file of any layout")
    parser.add_argument("--out", type=Path, required=True, help="the file to write")
    parser.add_argument("--rank", type=cli.positive, help="of each module, at most")
    parser.add_argument("--energy", type=cli.share, help="share of the squared norm to keep")
    parser.add_argument("--error", type=cli.share, help="share of the norm that may be lost")
    parser.add_argument("--to", choices=("diffusers", "kohya", "bfl"), default="diffusers")
    parser.add_argument("--dtype", choices=("fp32", "bf16", "fp16"), default="fp32")
    parser.add_argument("--report", type=Path, help="write ranks and errors of all modules (TSV)")
    parser.add_argument("--ignore-unmatched", action="store_true", help="go on without odd keys")
    options = parser.parse_args(arguments)
    if options.rank is None and options.energy is None and options.error is None:
        parser.error("say how small: --rank, --energy or --error (or several: all are kept to)")

    # late, so that a mistyped option is told at once
    from bioicons_kit.lora import formats, report, resize
    from bioicons_kit.lora.rounding import DTYPES

    files.require_targets((options.out, options.report), (options.lora,))
    lora = formats.read(options.lora, options.ignore_unmatched)
    for key in lora.unmatched:
        console.warn(f"left out: {key}")
    rule = resize.Rule(options.rank, options.energy, options.error)
    with console.bar("resize", len(lora.layers), "module") as bar:
        found = resize.resize(lora.layers, rule, bar.update)
    layers = {name: each.layer for name, each in found.items()}
    formats.write(options.out, layers, options.to, lora.metadata, DTYPES[options.dtype])
    if options.report:
        rows = [(n, e.before, e.layer.rank, e.effect, e.error) for n, e in found.items()]
        header = ("module", "rank before", "rank", "effect", "error")
        files.write_text(options.report, report.table(header, rows))
    ranks = Counter(layer.rank for layer in layers.values())
    error = resize.total_error({name: (each.effect, each.error) for name, each in found.items()})
    console.say("ranks", ", ".join(f"{rank} ({n})" for rank, n in sorted(ranks.items())))
    console.say("error", f"{error:.3%} of the effect, {max(e.error for e in found.values()):.3%} "
                "in the worst module")  # fmt: skip
    console.say("done", console.shown(options.out))


if __name__ == "__main__":
    cli.run(main)
