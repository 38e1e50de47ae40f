"""tools/plan.py: the plan, before anything is there."""

import importlib.util
import xml.etree.ElementTree as ET
from pathlib import Path
from types import ModuleType

import pytest

REPOSITORY = Path(__file__).parent.parent.parent
PRESET = REPOSITORY / "presets" / "cc0_animals_12gb.toml"


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("plan_tool", REPOSITORY / "tools" / "plan.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_it_tells_each_phase_and_draws_it(tool: ModuleType, command, tmp_path: Path):
    picture = tmp_path / "plan.svg"
    done = command(tool.main, PRESET, "--vram", "12GB", "--ram", "32GB", "--svg", picture)
    assert done.status == 0, done.err
    for word in ("texts", "load", "train 1024 x 1024", "sample", "11.00 GiB usable", "TFLOP"):
        assert word in done.out
    assert "does not fit" not in done.out
    assert "cards of 12 GB and more" in done.out
    assert ET.parse(picture).getroot().tag.endswith("svg")


def test_what_does_not_fit_is_marked(tool: ModuleType, command):
    done = command(
        tool.main, PRESET, "--vram=12GB", "--ram=3GB", "--set=memory.modulation=resident"
    )
    assert done.status == 0
    assert "does not fit" in done.out
    assert "too little memory" in done.err


def test_without_a_card_it_says_which_would_do(tool: ModuleType, command):
    done = command(tool.main, PRESET, "--set=memory.modulation=resident")
    assert "cards of 16 GB and more" in done.out
    assert "usable" not in done.out


def test_a_size_that_is_none_is_refused(tool: ModuleType, command):
    done = command(tool.main, PRESET, "--vram", "much")
    assert done.error == "--vram much: must be a size such as 16GB"
