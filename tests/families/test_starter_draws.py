"""The starter draws what it is asked for: random weights, or broken sampling, cannot."""

from pathlib import Path

import pytest
import torch

from bioicons_kit import families
from bioicons_kit.drawings import generate
from bioicons_kit.evaluate import judge
from bioicons_kit.preset import Memory, Model, Sample

ASKED = [(subject, subject % len(generate.STYLE_NAMES)) for subject in range(0, 111, 4)]


@pytest.mark.slow
def test_it_draws_subject_and_style(models: Path):
    memory = Memory(dtype="fp32", quantization="none")
    family = families.load(Model(path="starter", max_sequence_length=16), models)
    prompts = [generate.prompt(*each) for each in ASKED]
    texts = [dict[str, torch.Tensor]() for _ in prompts]
    cpu = torch.device("cpu")
    for encoder in family.text_encoders(memory):
        with encoder.loaded(cpu) as encode:
            for text, found in zip(texts, encode(prompts), strict=True):
                text |= {f"{encoder.name}.{key}": value for key, value in found.items()}
    denoiser, _ = family.load_denoiser(memory, cpu)
    draw = family.sampler(denoiser, cpu)
    settings = Sample(steps=12, guidance=2.5)
    pictures = [
        draw(text, seed, settings, (96, 96), lambda: None) for seed, text in enumerate(texts)
    ]
    seen = judge.verdicts(pictures)
    pairs = list(zip(seen, ASKED, strict=True))
    subject = sum(v.subject == generate.NAMES[asked] for v, (asked, _) in pairs) / len(pairs)
    style = sum(v.style == generate.STYLE_NAMES[asked] for v, (_, asked) in pairs) / len(pairs)
    assert subject >= 0.5, "of all 555: docs/STARTER.md"
    assert style >= 0.65
