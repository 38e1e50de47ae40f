"""Measure the starter as users get it: does it draw what it is asked, and how long does it take.

    python benchmarks/starter/measure.py [--styles 1] [--steps 16] [--guidance 2.5] [--sheet FILE]

Every subject is drawn in so many of the styles (in turn), with the kit's own loading, encoders
and sampler and a seed of its own; the judge says what it sees. Prints the shares of pictures
whose subject and whose style were recognized, the seconds to load and those of a picture.
"""

import argparse
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from pictures import grid
from PIL import Image

from bioicons_kit import families, sheet
from bioicons_kit.drawings import generate
from bioicons_kit.evaluate import judge
from bioicons_kit.families.base import Tensors
from bioicons_kit.preset import Memory, Model, Sample

SIDE, TOKENS = 96, 16


def prompts(styles: int) -> list[tuple[str, int, int]]:
    """Return prompt, subject and style of every picture."""
    count = len(generate.STYLE_NAMES)
    return [
        (generate.prompt(subject, (subject + turn) % count), subject, (subject + turn) % count)
        for subject in range(len(generate.NAMES))
        for turn in range(styles)
    ]


def encoded(family: families.base.Family, memory: Memory, texts: list[str]) -> list[Tensors]:
    """Return each text as the denoiser takes it."""
    found: list[Tensors] = [{} for _ in texts]
    for encoder in family.text_encoders(memory):
        with encoder.loaded(torch.device("cpu")) as encode:
            for at, result in enumerate(encode(texts)):
                found[at] |= {f"{encoder.name}.{key}": value for key, value in result.items()}
    return found


def main() -> None:
    """Draw, judge and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--styles", type=int, default=1)
    parser.add_argument("--steps", type=int, default=16)
    parser.add_argument("--guidance", type=float, default=2.5)
    parser.add_argument("--sheet", type=Path)
    chosen = parser.parse_args()
    asked = prompts(chosen.styles)
    memory = Memory(dtype="fp32", quantization="none")
    settings = Sample(steps=chosen.steps, guidance=chosen.guidance)
    with TemporaryDirectory() as root:
        family = families.load(Model(path="starter", max_sequence_length=TOKENS), Path(root))
        texts = encoded(family, memory, [prompt for prompt, _, _ in asked])
        started = time.monotonic()
        denoiser, _ = family.load_denoiser(memory, torch.device("cpu"))
        sampler = family.sampler(denoiser, torch.device("cpu"))
        loaded = time.monotonic() - started
        drawn: list[Image.Image] = []
        for seed, text in enumerate(texts):
            drawn.append(sampler(text, seed, settings, (SIDE, SIDE), lambda: None))
        seconds = (time.monotonic() - started - loaded) / len(drawn)
    seen = judge.verdicts(drawn)
    subject = sum(v.subject == generate.NAMES[s] for v, (_, s, _) in zip(seen, asked, strict=True))
    style = sum(
        v.style == generate.STYLE_NAMES[k] for v, (_, _, k) in zip(seen, asked, strict=True)
    )
    print("| pictures | subject | style | load, s | picture, s |\n|---|---|---|---|---|")
    shares = f"{subject / len(drawn):.1%} | {style / len(drawn):.1%}"
    print(f"| {len(drawn)} | {shares} | {loaded:.2f} | {seconds:.2f} |")
    if chosen.sheet:
        sheet.write_png(chosen.sheet, grid(drawn), "the starter's drawings")


if __name__ == "__main__":
    main()
