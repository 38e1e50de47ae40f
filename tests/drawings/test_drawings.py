"""The kit's own drawings: all of them can be drawn, they differ, and a number is a drawing."""

import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bioicons_kit.drawings import generate, pose, styles
from bioicons_kit.drawings.pen import Mark, Pen, band, smooth
from bioicons_kit.drawings.subjects import MODULES, SUBJECTS
from bioicons_kit.icons import document, raster
from bioicons_kit.icons.words.wording import clean_name

REPOSITORY = Path(__file__).parents[2]
SHIPPED = REPOSITORY / "bioicons_kit" / "icons" / "shipped"


def pixels(svg: str, side: int = 48) -> np.ndarray:
    image = raster.draw(svg.encode(), (side, side), "resvg").image
    return np.asarray(image.convert("RGB")).astype(float)


def test_there_are_many_subjects_and_five_styles():
    assert len(generate.NAMES) >= 60
    assert len(generate.STYLE_NAMES) == 5
    assert len(MODULES) == 8
    called = [name for each in SUBJECTS.values() for name in (each.name, *each.also)]
    assert len(set(called)) == len(called), "a name that two subjects go by"


def test_every_shipped_icons_subject_can_be_drawn():
    names = {clean_name(path.stem) for path in SHIPPED.glob("**/*.svg")}
    assert len(names) > 50
    assert names <= set(generate.NAMES)


@pytest.mark.parametrize("name", generate.NAMES)
def test_a_subject_shows_in_every_style(name: str):
    ground = {}
    for style in generate.STYLE_NAMES:
        drawn = generate.drawing(7, name, style)
        assert generate.NAMES[drawn.subject] == name
        assert generate.STYLE_NAMES[drawn.style] == style
        picture = pixels(drawn.svg)
        corner = picture[1, 1]
        inked = (np.abs(picture - corner).max(axis=2) > 60).mean()
        assert 0.015 < inked < 0.85, (style, inked)
        ground[style] = corner
        document.sanitize(drawn.svg.encode(), 0.0)  # as safe as an icon has to be
    blue = ground.pop("blueprint")
    assert blue[2] > blue[0] + 60
    assert all(corner.min() > 250 for corner in ground.values())


def test_grays_are_gray_and_crayons_are_not():
    for number in range(20):
        for style in ("outline", "hatched", "shaded"):
            picture = pixels(generate.drawing(number, None, style).svg)
            assert np.ptp(picture, axis=2).max() <= 2
    colored = [
        np.ptp(pixels(generate.drawing(n, None, "child-like").svg), axis=2) for n in range(20)
    ]
    assert sum(each.max() > 60 for each in colored) >= 18


def test_a_number_is_always_the_same_drawing():
    script = (
        "from bioicons_kit.drawings import generate\n"
        "import hashlib\n"
        "svgs = ''.join(generate.drawing(number).svg for number in range(30))\n"
        "print(hashlib.sha256(svgs.encode()).hexdigest())\n"
    )
    seen = {
        subprocess.run(
            [sys.executable, "-c", script],
            cwd=REPOSITORY,
            env={"PYTHONHASHSEED": seed, "PATH": ""},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(seen) == 1


def test_numbers_vary_pose_and_detail():
    pictures = [pixels(generate.drawing(n, "mouse", "outline").svg) for n in range(12)]
    for index, one in enumerate(pictures):
        for other in pictures[:index]:
            assert np.abs(one - other).mean() > 4


def test_numbers_choose_subjects_and_styles_evenly():
    drawn = [generate.drawing(number) for number in range(1500)]
    assert {each.subject for each in drawn} == set(range(len(generate.NAMES)))
    counts = np.bincount([each.style for each in drawn])
    assert counts.min() > 1500 / 5 * 0.8


def test_a_pose_stays_on_the_sheet():
    for number in range(200):
        rng = random.Random(number)
        subject = SUBJECTS[rng.choice(generate.NAMES)]
        points = [p for mark in generate.marks_of(subject, rng) for p in mark.points]
        assert min(min(p) for p in points) >= 0
        assert max(max(p) for p in points) <= 100


class TestCaptions:
    def captions(self, subject: str, style: str, count: int = 300) -> list[str]:
        at = generate.NAMES.index(subject), generate.STYLE_NAMES.index(style)
        rng = random.Random(0)
        return [generate.caption(*at, rng) for _ in range(count)]

    def test_name_the_subject(self):
        for subject in ("honey bee", "DNA helix", "lungs"):
            names = (subject, *SUBJECTS[subject].also)
            assert all(
                any(name in text for name in names) for text in self.captions(subject, "outline")
            )

    def test_mostly_name_the_style(self):
        texts = self.captions("mouse", "blueprint")
        named = sum("blueprint" in text for text in texts) / len(texts)
        assert 0.7 < named < 0.95

    def test_never_say_the_words_of_the_icons_own_style(self):
        for style in generate.STYLE_NAMES:
            for text in self.captions("heart", style):
                assert not {"bioicon", "flat", "icon", "vector"} & set(
                    text.replace(",", "").split()
                )

    def test_have_the_right_articles(self):
        assert "an octopus" in " ".join(self.captions("octopus", "shaded"))
        assert "a lungs" not in " ".join(self.captions("lungs", "shaded"))
        assert generate.prompt(generate.NAMES.index("eye"), 0) == "outline drawing, an eye"
        assert generate.prompt(generate.NAMES.index("lungs"), 4) == "blueprint, lungs"


class TestMarks:
    def test_a_spline_goes_through_its_points(self):
        points = ((0.0, 0.0), (10.0, 20.0), (30.0, 5.0), (40.0, 40.0))
        assert set(points) <= set(smooth(points, False))
        assert set(points) <= set(smooth(points, True))
        assert smooth(points[:2], False) == points[:2]

    def test_a_band_has_the_widths_it_was_given(self):
        outline = band(((0.0, 0.0), (50.0, 0.0), (100.0, 0.0)), 4.0, 2.0)
        assert [round(y, 6) for _, y in outline] == [4, 3, 2, -2, -3, -4]

    def test_a_pose_moves_all_marks_alike(self):
        pen = Pen(random.Random(3))
        pen.line(20, 20, 80, 20)
        pen.line(20, 20, 20, 80)
        first, second = pose.posed(pen.marks, 30.0, random.Random(5))
        assert first.points[0] == second.points[0]

    def test_a_dot_is_ink_in_every_style(self):
        pen = Pen(random.Random(1))
        pen.box(5, 5, 95, 95, tone=0.0)
        pen.dot(50, 50, 20)
        assert pen.marks[1] == Mark(pen.marks[1].points, True, 1.0, 1.0, True)
        for name, style in styles.STYLES.items():
            picture = pixels(style(pen.marks, random.Random(2)))
            assert np.abs(picture[24, 24] - picture[10, 24]).max() > 60, name
