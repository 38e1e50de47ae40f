"""Killed, out of room or stopped in the middle: run again, and it is as if nothing had been."""

import os
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bioicons_kit.icons.folder import journal, prepare
from bioicons_kit.preset import Preset

TOOL = Path(__file__).parents[3] / "tools" / "prepare_dataset.py"
MANY = 60
MANY_OF_THEM = ("dataset.buckets=[{category='Animals', license='cc-0'}]",)


def content_of(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture
def many(library: Path) -> Path:
    """The library with many icons in one bucket, each of which takes a moment."""
    for number in range(MANY):
        rects = "".join(
            f'<rect x="{x}" y="{(x * number) % 90}" width="9" height="9" '
            f'fill="#{x:02x}{number:02x}99"/>'
            for x in range(0, 90, 2)
        )
        path = library / f"cc-0/Animals/Ann_Lee/animal_{number}x.svg"
        path.write_text(
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 100 100">{rects}</svg>'
        )
    return library


def start(preset_path: Path, out: Path, **options: Any) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, TOOL, preset_path, "--out", out, "--workers", "1", "--set", *MANY_OF_THEM],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def wait_for_pictures(out: Path, count: int, process: "subprocess.Popen[str]") -> None:
    while len([*out.rglob("*.png")]) < count:
        assert process.poll() is None, process.communicate()
        time.sleep(0.005)


@pytest.fixture
def running(
    preset_path: Path, many: Path, tmp_path: Path
) -> Iterator[tuple[Path, "subprocess.Popen[str]"]]:
    """A folder in the middle of being written, and the process that writes it."""
    out = tmp_path / "killed"
    process = start(preset_path, out)
    try:
        wait_for_pictures(out, 5, process)
        yield out, process
    finally:
        process.kill()
        process.communicate()


def as_if_never_interrupted(out: Path, preset: Preset, capsys: Any) -> int:
    """Finish a folder, compare it with one made at once; return how many pictures it had."""
    capsys.readouterr()
    prepare.prepare(preset, out, workers=1)
    told = re.search(r"pictures +(\d+) as they are to be, (\d+) to draw", capsys.readouterr().out)
    assert told
    whole = out.parent / "whole"
    prepare.prepare(preset, whole, workers=1)
    assert content_of(out) == content_of(whole)
    assert int(told[1]) + int(told[2]) == MANY + 3
    return int(told[1])


def test_killed_in_the_middle(
    running: tuple[Path, "subprocess.Popen[str]"], preset: Callable[..., Preset], capsys: Any
):
    out, process = running
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    drawn = len([path for path in out.rglob("*.png") if not path.name.startswith(".")])
    assert not (out / "README.md").exists(), "it was in the middle"
    (out / "train" / f".{journal.NAME}.x1y2z3w4.tmp").write_text("half")  # a write cut short
    assert as_if_never_interrupted(out, preset(*MANY_OF_THEM), capsys) == drawn >= 5


def test_stopped_with_control_c(
    running: tuple[Path, "subprocess.Popen[str]"], preset: Callable[..., Preset], capsys: Any
):
    out, process = running
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=20)
    assert process.returncode == 130
    assert told.splitlines()[-1] == "stopped"
    assert "Traceback" not in told
    assert as_if_never_interrupted(out, preset(*MANY_OF_THEM), capsys) >= 5


def test_no_room_is_one_line_and_what_is_whole_stays(
    preset_path: Path, many: Path, tmp_path: Path, preset: Callable[..., Preset], capsys: Any
):
    # the last drawing is larger than a file may get
    speckled = "".join(
        f'<rect x="{x}" y="{y}" width="2" height="2" fill="#{(x * 37 + y * 91) % 4096:03x}"/>'
        for x in range(0, 100, 2)
        for y in range(0, 100, 2)
    )
    (many / "cc-0/Animals/Ann_Lee/zebra.svg").write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 100 100">{speckled}</svg>'
    )
    out = tmp_path / "full"

    def little() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (8500, 8500))

    process = start(preset_path, out, preexec_fn=little)
    _, told = process.communicate(timeout=60)
    errors = [line for line in told.splitlines() if line.startswith("error: ")]
    assert process.returncode == 2, told
    assert len(errors) == 1
    assert "zebra.png: no room to write it" in errors[0]
    assert "Traceback" not in told
    assert not [*out.rglob("*.tmp")]
    (many / "cc-0/Animals/Ann_Lee/zebra.svg").unlink()
    assert as_if_never_interrupted(out, preset(*MANY_OF_THEM), capsys) == MANY + 3
