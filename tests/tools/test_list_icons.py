"""The listing tool, and that refused licenses stop it and training alike."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bioicons_kit.icons import library
from bioicons_kit.train.__main__ import main as train

SHARE_ALIKE = "cc-by-sa-4.0/Animals/Petri_Press/newt.svg"


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """A library with one share-alike icon, a copy of another icon, and a misplaced file."""
    root = tmp_path / "library"
    shutil.copytree(library.SHIPPED / "cc-0", root / "cc-0")
    newt = root / SHARE_ALIKE
    newt.parent.mkdir(parents=True)
    text = (root / "cc-0/Animals/Petri_Press/frog.svg").read_text("utf-8")
    newt.write_text(text.replace("</svg>", "<path/></svg>"), "utf-8")
    shutil.copy(root / "cc-0/Animals/Petri_Press/frog.svg", root / "cc-0/Animals/toad.svg")
    (root / "stray.svg").write_text("<svg/>")
    return root


def test_a_library_is_counted(command: Any, tool: Any, mixed: Path) -> None:
    done = command(tool("list_icons"), mixed, "--by", "license")
    assert done.status == 0
    cc0 = len(library.scan(str(mixed)).icons) - 1
    assert f"license       icons\nCC-BY-SA-4.0      1\nCC0-1.0          {cc0}\n" in done.out
    assert "left out    2 files, 1 of them copies; --skipped lists them" in done.out
    assert "stray.svg" not in done.out
    told = command(tool("list_icons"), mixed, "--skipped").out
    assert "stray.svg\n    misplaced: " in told
    assert "toad.svg\n    the same drawing as cc-0/Animals/Petri_Press/frog.svg" in told


def test_without_arguments_it_lists_the_shipped_icons(command: Any, tool: Any) -> None:
    done = command(tool("list_icons"))
    assert "license    category          author" in done.out
    assert f"found       {len(library.scan('shipped').icons)} icons under 3 licenses" in done.out


def test_a_preset_shows_what_its_buckets_select(
    command: Any, tool: Any, small_preset: Path
) -> None:
    done = command(tool("list_icons"), small_preset, "--set=dataset.held_out.share=0.2")
    assert done.status == 0
    assert "bucket  role   icons  held out  repeats  epoch" in done.out
    assert "     0  train      5         1  x1           4" in done.out
    assert "selected    5 icons under 1 license, in 1 category" in done.out


def test_names_that_the_console_cannot_show_are_spelled_out(tmp_path: Path) -> None:
    icon = tmp_path / "mit/A/Д.Ильин/x.svg"
    icon.parent.mkdir(parents=True)
    icon.write_text("<svg/>")
    script = Path(__file__).parents[2] / "tools/list_icons.py"
    done = subprocess.run(
        [sys.executable, script, tmp_path],
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert r"MIT      A         \u0414." in done.stdout


def test_json_is_for_other_programs(command: Any, tool: Any, small_preset: Path) -> None:
    done = command(tool("list_icons"), small_preset, "--json", "--by", "license,category")
    found = json.loads(done.out)
    assert found["counts"] == [{"license": "CC0-1.0", "category": "Animals", "icons": 5}]
    assert found["buckets"][0]["epoch"] == 5
    assert found["skipped"] == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "nowhere: no such icon library"),
        (["nowhere.toml"], "nowhere.toml: no such preset"),
        (["--by", "license,size"], "'license,size' is no list out of license,category,author"),
        (["shipped", "--set", "dataset.seed=1"], "no preset is given"),
    ],
)
def test_its_errors_are_one_line(
    command: Any, tool: Any, arguments: list[str], message: str
) -> None:
    assert message in command(tool("list_icons"), *arguments).error


@pytest.mark.parametrize("name", ["list_icons", "train"])
def test_share_alike_stops_with_the_reason_unless_allowed(
    command: Any, tool: Any, small_preset: Path, mixed: Path, tmp_path: Path, name: str
) -> None:
    main = train if name == "train" else tool(name)
    # a bucket that asks for no license; five of its icons would be drawn
    small_preset.write_text(small_preset.read_text("utf-8").replace('license = "CC0-1.0"\n', ""))
    root = f"--set=dataset.root={mixed}"
    line = command(main, small_preset, root).error
    assert line.startswith(f"bucket 0 selects 1 icon under CC-BY-SA-4.0, for example {SHARE_ALIKE}")
    assert "share-alike: a LoRA trained on them may have to carry the same license" in line
    assert 'dataset.licenses.allow = ["CC-BY-SA-4.0"]' in line
    assert not (tmp_path / "runs").exists()


def test_share_alike_that_is_allowed_is_listed(
    command: Any,
    tool: Any,
    small_preset: Path,
    mixed: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)  # no terminal: nothing is cut
    text = small_preset.read_text("utf-8").replace('license = "CC0-1.0"', 'name = "newt"')
    small_preset.write_text(text.replace("limit = 5\n", ""))
    allow = '--set=dataset.licenses.allow=["cc-by-sa-4.0"]'
    done = command(tool("list_icons"), small_preset, f"--set=dataset.root={mixed}", allow)
    assert done.status == 0, done.err
    assert "CC-BY-SA-4.0 (1)" in done.out
