"""The dataset tool: its options, what it says, and its refusals in one line."""

from pathlib import Path
from typing import Any

import pytest

from bioicons_kit.icons.folder import push

PRESET = """
[model]
path = "starter"

[dataset]
root = "shipped"
resolution = 64
trigger = "bioicon style"

[[dataset.buckets]]
category = "Animals"
license = "CC0-1.0"
limit = 5
"""


@pytest.fixture
def small_preset(tmp_path: Path) -> Path:
    """A preset of five icons that needs no model."""
    path = tmp_path / "small.toml"
    path.write_text(PRESET, "utf-8")
    return path


@pytest.fixture
def main(tool: Any) -> Any:
    """The tool's `main`."""
    return tool("prepare_dataset")


def test_it_prepares_and_says_where_to_look(
    command: Any, main: Any, small_preset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = command(main, small_preset, "--workers", 1)
    assert done.status == 0, done.err
    assert "0 as they are to be, 5 to draw" in done.out
    assert "5 pictures in datasets/small" in done.out
    assert (tmp_path / "datasets" / "small" / "report.html").is_file()
    again = command(main, small_preset, "--workers", 1)
    assert "5 as they are to be, 0 to draw" in again.out


def test_it_pushes_what_it_has_prepared(
    command: Any, main: Any, small_preset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[tuple[str, ...]] = []
    monkeypatch.setattr(push, "check", lambda name: order.append(("check", name)))
    monkeypatch.setattr(
        push,
        "push",
        lambda contents, name, private, yes: order.append(
            ("push", name, str(len(contents.pictures)), str(private), str(yes))
        ),
    )
    out = ("--out", tmp_path / "out", "--workers", 1)
    done = command(main, small_preset, *out, "--push-to-hub", "me/icons", "--yes")
    assert done.status == 0, done.err
    assert order == [("check", "me/icons"), ("push", "me/icons", "5", "False", "True")]


def test_refusals_are_one_line(
    command: Any, main: Any, small_preset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)
    assert "no such preset" in command(main, tmp_path / "gone.toml").error
    assert "go with --push-to-hub" in command(main, small_preset, "--yes").error
    assert "no token" in command(main, small_preset, "--push-to-hub", "me/icons").error
    assert "is no name of a hub dataset" in command(main, small_preset, "--push-to-hub=x").error
    assert "no whole number above 0" in command(main, small_preset, "--workers=0").error
    busy = tmp_path / "busy"
    busy.mkdir()
    (busy / "thesis.doc").write_text("years")
    assert "choose another folder with --out" in command(main, small_preset, "--out", busy).error
    assert "is a file" in command(main, small_preset, "--out", busy / "thesis.doc").error
