"""Draw pictures with a LoRA: a run's, or any file, whatever its layout.

python tools/sample.py runs/quickstart --compare
python tools/sample.py my_lora.safetensors --preset presets/cc0_animals.toml --prompt "a fox"
"""

from collections.abc import Sequence
from pathlib import Path

from bioicons_kit import cli, console, preset_file
from bioicons_kit.errors import LoraError, PresetError
from bioicons_kit.preset import Preset


def main(arguments: Sequence[str]) -> None:
    """Draw what the command line asks for."""
    parser = cli.Parser(prog="sample.py", description="Draw pictures with a LoRA.")
    parser.add_argument("lora", type=Path, help="a run's folder, or a LoRA file")
    parser.add_argument("--preset", type=Path, help="model and settings (default: beside the LoRA)")
    parser.add_argument("--prompt", action="append", help="instead of the preset's (repeatable)")
    parser.add_argument("--seed", type=int, help="of the first picture; instead of the preset's")
    parser.add_argument("--compare", action="store_true", help="also draw with the base model")
    parser.add_argument("--svg", action="store_true", help="also write the pictures as icons")
    parser.add_overrides()
    parser.add_argument("--out", type=Path, help="folder (default: samples/ beside the LoRA)")
    options = parser.parse_args(arguments)
    lora = options.lora / "lora.safetensors" if options.lora.is_dir() else options.lora
    if not lora.is_file():
        raise LoraError(f"{lora}: no such LoRA; give a run's folder or a .safetensors file")
    overrides = list(options.overrides)
    if options.seed is not None:
        overrides.append(f"sample.seed={options.seed}")
    if options.svg:
        overrides.append("sample.svg=true")
    preset = _load(lora, options.preset, overrides, options.prompt)

    # late, so that a mistyped key is told at once
    from bioicons_kit import sample
    from bioicons_kit.data import job

    out = options.out or lora.parent / "samples"
    drawn = sample.with_lora(preset, lora, options.compare, job.accelerator())
    shown = sample.write_all(drawn, out, preset)
    if options.compare:
        sample.write_comparison(out / "comparison.png", shown, preset)
    console.say("done", f"{len(drawn)} prompt(s) drawn into {console.shown(out)}")


def _load(
    lora: Path, given: Path | None, overrides: list[str], prompts: list[str] | None
) -> Preset:
    """Return the preset to draw with, its prompts replaced by the command line's."""
    path = given or lora.parent / "preset.toml"
    if given is None and not path.is_file():
        raise PresetError(f"{lora}: no preset.toml beside it; name the model with --preset PRESET")
    preset = preset_file.load(path, overrides)
    if prompts is not None:
        preset = preset.model_copy(
            update={"sample": preset.sample.model_copy(update={"prompts": tuple(prompts)})}
        )
    if not preset.sample.prompts:
        raise PresetError(f"{path}: sample.prompts is empty; give --prompt TEXT")
    return preset


if __name__ == "__main__":
    cli.run(main)
