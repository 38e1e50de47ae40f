"""Merge LoRAs, of any layouts, into one LoRA or into a model.

python tools/merge_lora.py --lora a.safetensors:0.8 --lora b.safetensors:0.4 --out c.safetensors
python tools/merge_lora.py --lora a.safetensors --blocks 1=double.0-9:0.5,mid:0 --out c.safetensors
python tools/merge_lora.py --base FLUX.1-dev --lora a.safetensors:0.8 --out merged
"""

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from bioicons_kit import cli


def main(arguments: Sequence[str]) -> None:
    """Merge as the command line asks."""
    parser = cli.Parser(prog="merge_lora.py", description="Merge LoRAs into one, or into a model.")
    add = parser.add_argument
    add("--lora", action="append", required=True, metavar="FILE[:WEIGHT]", help="(repeatable)")
    add("--out", type=Path, required=True, help="file, or folder where --base is one")
    add("--blocks", action="append", default=[], metavar="N=BLOCKS:WEIGHT,...",
        help="weights by block of the N-th LoRA, such as 1=double.0-9:0.5,single.*:1")  # fmt: skip
    add("--ignore-unmatched", action="store_true", help="go on without what has no place")
    add("--seed", type=int, help="of dare, and of stochastic rounding (0)")
    add("--report", type=Path, help="write what happened to each module (TSV)")
    one = parser.add_argument_group("into one LoRA").add_argument
    one("--method", choices=("concat", "svd", "ties", "dare"), help="(concat: exact)")
    one("--rank", type=cli.positive, help="of the result; for svd, ties, dare")
    one("--density", type=cli.share, help="share of entries kept (ties 0.2, dare 0.5)")
    one("--to", choices=("diffusers", "kohya", "bfl"), help="layout (diffusers)")
    base = parser.add_argument_group("into a model").add_argument
    base("--base", type=Path, help="diffusers folder or single file; --out is in the same layout")
    base("--rounding", choices=("nearest", "stochastic"), help="(nearest)")
    add("--dtype", choices=("fp32", "bf16", "fp16", "fp8"),
        help="of the result (a LoRA: fp32; a model: as it was; fp8: models only)")  # fmt: skip
    options = parser.parse_args(arguments)
    _require_sense(parser, options)

    # late, so that a mistyped option is told at once
    from bioicons_kit.lora import base_merge, merge, merge_files
    from bioicons_kit.lora.rounding import DTYPES

    given = merge_files.inputs(options.lora, options.blocks, options.ignore_unmatched)
    seed = options.seed or 0
    if options.base:
        dtype = DTYPES[options.dtype] if options.dtype else None
        rounding = base_merge.Rounding(dtype, options.rounding or "nearest", seed)
        ignore, table = options.ignore_unmatched, options.report
        merge_files.into_model(
            given, options.base, options.out, rounding, ignore_unmatched=ignore, table=table
        )
        return
    method = options.method or "concat"
    density = options.density or merge.DENSITY.get(method, 1.0)
    settings = merge.Settings(method, options.rank, density, seed)
    layout, dtype = options.to or "diffusers", DTYPES[options.dtype or "fp32"]
    merge_files.into_lora(
        given, options.out, settings, layout=layout, dtype=dtype, table=options.report
    )


def _require_sense(parser: cli.Parser, options: Namespace) -> None:
    """Refuse options that would have no effect on what is asked for."""
    method = options.method or "concat"
    idle = {
        "--rank": options.rank is not None and method == "concat",
        "--density": options.density is not None and method not in {"ties", "dare"},
        "--rounding": options.rounding is not None and not options.base,
        "--dtype fp8": options.dtype == "fp8" and not options.base,
        "--method": options.method is not None and options.base,
        "--to": options.to is not None and options.base,
        "--seed": options.seed is not None
        and (options.rounding != "stochastic" if options.base else method not in {"ties", "dare"}),
    }
    for option, is_idle in idle.items():
        if is_idle:
            parser.error(f"{option} does not apply to {'--base' if options.base else method}")
    if method == "svd" and options.rank is None:
        parser.error("--method svd needs --rank")


if __name__ == "__main__":
    cli.run(main)
