"""Write the difference of two models as a LoRA.

python tools/extract_lora.py --base FLUX.1-dev --tuned mine --rank 32 --out x.safetensors
"""

from collections.abc import Sequence
from pathlib import Path

from bioicons_kit import cli, console, files


def main(arguments: Sequence[str]) -> None:
    """Extract as the command line asks."""
    parser = cli.Parser(prog="extract_lora.py", description="Two models' difference as a LoRA.")
    parser.add_argument("--base", type=Path, required=True, help="diffusers folder or single file")
    parser.add_argument("--tuned", type=Path, required=True, help="the same model, fine-tuned")
    parser.add_argument("--rank", type=cli.positive, required=True, help="of each module, at most")
    parser.add_argument("--out", type=Path, required=True, help="the file to write")
    parser.add_argument("--to", choices=("diffusers", "kohya", "bfl"), default="diffusers")
    parser.add_argument("--dtype", choices=("fp32", "bf16", "fp16"), default="fp32")
    parser.add_argument("--seed", type=int, default=0, help="of the approximation of large weights")
    parser.add_argument("--report", type=Path, help="write effects and errors of modules (TSV)")
    options = parser.parse_args(arguments)

    # late, so that a mistyped option is told at once
    from bioicons_kit.lora import checkpoint, extract, formats, report, resize
    from bioicons_kit.lora.rounding import DTYPES

    files.require_targets((options.out, options.report), (options.base, options.tuned))
    base, tuned = checkpoint.find(options.base), checkpoint.find(options.tuned)
    names = extract.common(base, tuned)
    with console.bar("extract", len(names), "module") as bar:
        found = extract.extract(base, tuned, options.rank, options.seed, bar.update)
    beyond = extract.beyond(base, tuned)
    if beyond:
        console.warn(f"no LoRA can hold what also differs: {formats.listed(beyond)}")
    layers = {name: each.layer for name, each in found.items()}
    formats.write(options.out, layers, options.to, {}, DTYPES[options.dtype])
    if options.report:
        rows = [(n, e.layer.rank, e.effect, e.error) for n, e in found.items()]
        files.write_text(options.report, report.table(("module", "rank", "effect", "error"), rows))
    error = resize.total_error({name: (each.effect, each.error) for name, each in found.items()})
    console.say("modules", f"{len(found)} of {len(names)} differ")
    console.say("error", f"{error:.3%} of the difference is beyond the rank")
    console.say("done", console.shown(options.out))


if __name__ == "__main__":
    cli.run(main)
