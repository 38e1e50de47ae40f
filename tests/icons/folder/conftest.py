"""A small library of drawn icons under several licenses, and a preset that uses all of it."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from bioicons_kit import preset_file
from bioicons_kit.icons.folder import prepare
from bioicons_kit.preset import Preset

SHAPES = (
    '<circle cx="50" cy="50" r="{size}" fill="{color}"/>',
    '<rect x="10" y="{size}" width="60" height="30" fill="{color}"/>',
    '<path d="M10 90 L{size} 10 L90 80 Z" fill="{color}" stroke="black" stroke-width="3"/>',
    '<ellipse cx="{size}" cy="50" rx="20" ry="40" fill="none" stroke="{color}" stroke-width="6"/>',
)
COLORS = ("#d02030", "#2060c0", "#30a050", "#e0a020", "#804090")


def svg(number: int, extra: str = "") -> str:
    shape = SHAPES[number % 4].format(size=20 + 7 * (number % 5), color=COLORS[number % 5])
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 100 100">'
        f'{shape}<path d="M{number} 5 h40" stroke="#333"/>{extra}</svg>'
    )


# One a line: place, and what is added to the drawing.
ICONS = {
    "cc-0/Animals/Ann_Lee/mouse-1.svg": "",
    "cc-0/Animals/Ann_Lee/mouse_2.svg": "",
    "cc-0/Animals/Ann_Lee/FruitFly.svg": "",
    "cc-by-4.0/Animals/Bo/arm-left.svg": "",
    "cc-by-4.0/Animals/Bo/arm.svg": "<script>alert(1)</script>",
    "cc-by-4.0/test/Bo/tube.svg": '<image href="http://example.org/x.png" width="9" height="9"/>',
    "cc-by-4.0/test/Bo/Mäuse & <b>.svg": "",
    "mit/Lab dev/Cy/flask.svg": "",
    "mit/Lab dev/Cy/burner.svg": "",
    "mit/Lab dev/Cy/broken.svg": "<g>",
}


def write_library(root: Path) -> Path:
    """Write the icons; the last of them is no SVG that can be read."""
    for number, (relative, extra) in enumerate(ICONS.items()):
        path = root / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(svg(number, extra), "utf-8")
    authors = {"Ann_Lee": "https://example.org/ann", "Bo": "", "Cy": "example.org/cy"}
    (root / "authors.json").write_text(json.dumps(authors), "utf-8")
    return root


PRESET = """
[model]
path = "starter"

[dataset]
root = "icons"
resolution = 64
trigger = "bioicon style"
renderer = "resvg"

[[dataset.buckets]]
category = "Animals"
license = ["CC0-1.0", "CC-BY-4.0"]
repeats = 3
augment = { flip = true, rotation = 15 }

[[dataset.buckets]]
category = "test"
role = "validation"

[[dataset.buckets]]
category = "Lab_dev"
role = "prior"
caption = "{name}"
"""


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """Return the root of a small library."""
    return write_library(tmp_path / "icons")


def write_preset(folder: Path) -> Path:
    """Write a preset that uses all of the library beside it."""
    path = folder / "small.toml"
    path.write_text(f'{PRESET}\n[cache]\nroot = "{folder / "cache"}"\n', "utf-8")
    return path


@pytest.fixture
def preset_path(tmp_path: Path, library: Path) -> Path:
    """Return the file of a preset that uses all of the library."""
    return write_preset(tmp_path)


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a dataset folder of the preset, made once; tests only read it."""
    folder = tmp_path_factory.mktemp("prepared")
    write_library(folder / "icons")
    prepare.prepare(preset_file.load(write_preset(folder)), folder / "out", workers=1)
    return folder / "out"


@pytest.fixture
def out(tmp_path: Path, prepared: Path) -> Path:
    """Return a dataset folder of the preset, a copy of the prepared one."""
    return Path(shutil.copytree(prepared, tmp_path / "out"))


@pytest.fixture
def preset(preset_path: Path) -> Callable[..., Preset]:
    """Return a function that reads the preset with `--set` overrides."""

    def load(*overrides: str) -> Preset:
        return preset_file.load(preset_path, overrides)

    return load
