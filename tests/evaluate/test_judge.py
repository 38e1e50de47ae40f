"""The judge knows subjects and styles, on drawings that it has not seen."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from bioicons_kit.drawings import generate
from bioicons_kit.evaluate import judge
from bioicons_kit.icons import raster

SHIPPED = Path(judge.__file__).parents[1] / "icons" / "shipped"
NEVER_TRAINED_ON = 3 * 10**9


def picture(svg: str) -> Image.Image:
    return raster.draw(svg.encode(), (96, 96), "resvg").image.convert("RGB")


@pytest.fixture(scope="module")
def held() -> tuple[list[generate.Drawn], list[Image.Image]]:
    """One drawing of every subject, and more by chance."""
    drawn = [generate.drawing(NEVER_TRAINED_ON + n, name) for n, name in enumerate(generate.NAMES)]
    drawn += [generate.drawing(NEVER_TRAINED_ON + 10_000 + n) for n in range(189)]
    return drawn, [picture(each.svg) for each in drawn]


def test_knows_subjects_and_styles(held: tuple[list[generate.Drawn], list[Image.Image]]):
    drawn, pictures = held
    seen = judge.verdicts(pictures)
    pairs = list(zip(seen, drawn, strict=True))
    subject = sum(v.subject == generate.NAMES[d.subject] for v, d in pairs) / len(pairs)
    style = sum(v.style == generate.STYLE_NAMES[d.style] for v, d in pairs) / len(pairs)
    assert subject >= 0.97  # 99.5% of 2,000: docs/STARTER.md
    assert style >= 0.93  # 98.0%


def test_knows_a_coarse_picture_too(held: tuple[list[generate.Drawn], list[Image.Image]]):
    drawn, pictures = held
    coarse = [each.filter(ImageFilter.GaussianBlur(1.5)) for each in pictures]
    seen = judge.verdicts(coarse)
    right = sum(v.subject == generate.NAMES[d.subject] for v, d in zip(seen, drawn, strict=True))
    assert right / len(seen) >= 0.8


def test_knows_the_icons_style():
    icons = [
        raster.picture(path.read_bytes(), 96, "#ffffff", 0.04, raster.choose("resvg"))
        for path in sorted(SHIPPED.glob("**/*.svg"))
    ]
    assert judge.score(judge.verdicts(icons), [None] * len(icons)).style >= 0.85  # 51 of 54
    drawings = [picture(generate.drawing(NEVER_TRAINED_ON + n).svg) for n in range(100)]
    assert judge.score(judge.verdicts(drawings), [None] * 100).style <= 0.05


def test_takes_noise_for_no_drawing():
    rng = np.random.default_rng(0)
    noise = []
    for side in (8, 16, 32, 48):
        for _ in range(5):
            coarse = Image.fromarray(rng.integers(0, 256, (side, side, 3), np.uint8))
            noise.append(coarse.resize((96, 96), Image.Resampling.BILINEAR))
    assert judge.score(judge.verdicts(noise), ["mouse"] * len(noise), judge.OTHER).style >= 0.9
    assert judge.score(judge.verdicts(noise), ["mouse"] * len(noise)).subject == pytest.approx(
        0, abs=0.15
    )


class TestScore:
    def test_counts_only_what_it_knows(self):
        mouse = picture(generate.drawing(NEVER_TRAINED_ON + 1, "mouse", "outline").svg)
        score = judge.score(
            judge.verdicts([mouse, mouse, mouse]), ["mouse", "zeppelin", None], "outline"
        )
        assert score == judge.Score(subject=1.0, style=1.0, known=1, count=3)
        assert judge.score(judge.verdicts([mouse]), [None]).subject is None

    def test_of_nothing_is_nothing(self):
        assert judge.score([], []) == judge.Score(None, 0.0, 0, 0)

    def test_does_not_depend_on_what_else_is_judged(self):
        one = picture(generate.drawing(NEVER_TRAINED_ON + 2, "cactus", "shaded").svg)
        other = picture(generate.drawing(NEVER_TRAINED_ON + 3, "brain", "blueprint").svg)
        assert judge.verdicts([one, other])[0] == judge.verdicts([one])[0]


@pytest.mark.parametrize(
    ("prompt", "subject"),
    [
        ("bioicon style, a mouse", "mouse"),
        ("bioicon style, a round bottom flask", "round bottom flask"),
        ("an erlenmeyer flask, blueprint", "erlenmeyer flask"),
        ("a flask", "erlenmeyer flask"),
        ("outline drawing, a DNA helix", "DNA helix"),
        ("a red blood cell", "red blood cells"),
        ("bioicon style, a mousetrap", None),
        ("", None),
    ],
)
def test_the_subject_of_a_prompt(prompt: str, subject: str | None):
    assert judge.subject_of(prompt) == subject


def test_is_small():
    assert judge.WEIGHTS.stat().st_size < 600_000
