"""Write a LoRA of any layout in diffusers', kohya's or the original (bfl) one.

python tools/convert_lora.py civitai.safetensors --to diffusers --out mine.safetensors
"""

from collections.abc import Sequence
from pathlib import Path

from bioicons_kit import cli, console, files


def main(arguments: Sequence[str]) -> None:
    """Convert as the command line asks."""
    parser = cli.Parser(prog="convert_lora.py", description="Write a LoRA in another layout.")
    parser.add_argument("lora", type=Path, help="a LoRA file of any layout")
    parser.add_argument("--to", required=True, choices=("diffusers", "kohya", "bfl"))
    parser.add_argument("--out", type=Path, required=True, help="the file to write")
    parser.add_argument("--dtype", choices=("fp32", "bf16", "fp16"), default="fp32")
    parser.add_argument("--fold-alpha", action="store_true", help="kohya: make alpha the rank")
    parser.add_argument("--ignore-unmatched", action="store_true", help="go on without odd keys")
    options = parser.parse_args(arguments)
    if options.fold_alpha and options.to != "kohya":
        parser.error(f"--fold-alpha is for kohya; {options.to}'s layout has alpha folded always")

    # late, so that a mistyped option is told at once
    from bioicons_kit.lora import formats
    from bioicons_kit.lora.rounding import DTYPES

    files.require_targets((options.out,), (options.lora,))
    lora = formats.read(options.lora, options.ignore_unmatched)
    for key in lora.unmatched:
        console.warn(f"left out: {key}")
    layers = lora.layers
    if options.fold_alpha:
        layers = {name: layer.folded() for name, layer in layers.items()}
    formats.write(options.out, layers, options.to, lora.metadata, DTYPES[options.dtype])
    console.say("from", f"{', '.join(lora.layouts)}: {len(layers)} modules")
    console.say("done", f"{console.shown(options.out)}, in {options.to}'s layout")


if __name__ == "__main__":
    cli.run(main)
