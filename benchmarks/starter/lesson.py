"""Measure what a LoRA has taught the starter: the icons' style, and the subjects kept.

    python benchmarks/starter/lesson.py runs/quickstart [--seeds 1] [--first 0] [--sheet FILE]

Every subject that the starter knows is asked for with the run's trigger, at equal seeds with the
base model and with the LoRA; the judge says whether it is there and whether it is drawn as an
icon is. Subjects that were among the training pictures and others are counted apart.
"""

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

from pictures import grid
from PIL import Image

from bioicons_kit import preset_file, sample, sheet
from bioicons_kit.data import job
from bioicons_kit.drawings import generate
from bioicons_kit.evaluate import judge
from bioicons_kit.icons.words.noun import article
from bioicons_kit.preset import Preset


@dataclass(frozen=True)
class Asked:
    """A prompt, the subject it names, and whether the LoRA has seen that one."""

    prompt: str
    subject: str
    seen: bool


def asked(run: Path, preset: Preset) -> list[Asked]:
    """Return a prompt for every subject, in the words of the run's captions."""
    lines = (run / "dataset" / "metadata.jsonl").read_text("utf-8").splitlines()
    shown = {judge.subject_of(json.loads(line)["text"]) for line in lines}
    trigger = preset.dataset.trigger
    return [
        Asked(f"{trigger}, {article(name)} {name}".replace("  ", " "), name, name in shown)
        for name in generate.NAMES
    ]


def draw(
    run: Path, preset: Preset, prompts: list[Asked], seed: int
) -> list[tuple[Image.Image, ...]]:
    """Return each prompt's picture by the base model, and with the LoRA."""
    settings = preset.sample.model_copy(
        update={"prompts": [each.prompt for each in prompts], "seed": seed, "svg": False}
    )
    wanted = preset.model_copy(update={"sample": settings})
    drawn = sample.with_lora(wanted, run / "lora.safetensors", True, job.accelerator())
    return [pictures for _, pictures in drawn]


def main() -> None:
    """Draw, judge and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="seeds to leave out before")
    parser.add_argument("--sheet", type=Path)
    chosen = parser.parse_args()
    preset = preset_file.load(chosen.run / "preset.toml")
    prompts = asked(chosen.run, preset)
    drawn = [
        pictures
        for seed in range(chosen.first, chosen.first + chosen.seeds)
        for pictures in draw(chosen.run, preset, prompts, 1000 * seed)
    ]
    print("| subjects | pictures | model | subject | icons' style |\n|---|---|---|---|---|")
    for title, seen in (("seen", True), ("not seen", False)):
        for at, model in enumerate(("base", "LoRA")):
            chosen_ones = [
                (pictures[at], each)
                for pictures, each in zip(drawn, prompts * chosen.seeds, strict=True)
                if each.seen == seen
            ]
            pictures = [picture for picture, _ in chosen_ones]
            score = judge.score(judge.verdicts(pictures), [each.subject for _, each in chosen_ones])
            shares = f"{score.subject or 0:.1%} | {score.style:.1%}"
            print(f"| {title} | {score.count} | {model} | {shares} |")
    if chosen.sheet:
        both = [picture for pair in drawn for picture in pair]
        sheet.write_png(chosen.sheet, grid(both), "base and LoRA, in turn")


if __name__ == "__main__":
    main()
