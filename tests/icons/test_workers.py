import itertools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bioicons_kit.files import sha256_bytes
from bioicons_kit.icons import picture
from bioicons_kit.icons.picture import Recipe
from bioicons_kit.icons.processes import pool
from bioicons_kit.icons.workers import Painters, Task

RECIPE = Recipe(64, 64, 0.05, "auto")
SVG = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 10 10">{}</svg>'
DOT = SVG.format('<circle cx="5" cy="5" r="{}"/>')
# Within every limit of the sanitizer, and too much for any second.
ENDLESS = SVG.format('<circle cx="5" cy="5" r="4" stroke="#000"/>' * 49_000)
HUNGRY = SVG.format('<g opacity=".9">' * 90 + '<rect width="9" height="9"/>' + "</g>" * 90)


def write(folder: Path, **contents: str) -> dict[str, Path]:
    paths = {name: folder / f"{name}.svg" for name in contents}
    for name, content in contents.items():
        paths[name].write_text(content, "utf-8")
    return paths


def ends(pid: int, seconds: float = 20.0) -> bool:
    """Whether a process is gone, or goes within some seconds; a zombie is not gone."""
    for _ in range(int(seconds * 10)):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.1)
    return False


@pytest.fixture(scope="module")
def painters():
    with Painters(2) as made:
        yield made


def test_pictures_come_in_the_order_of_their_tasks_and_bad_files_between_them(painters, tmp_path):
    dots = {f"dot{radius}": DOT.format(radius) for radius in range(1, 6)}
    paths = write(tmp_path, **dots, bad="<svg", empty="")
    order = ["dot5", "bad", "dot1", "empty", "dot3", "dot2", "dot4"]
    outcomes = list(painters.paint(Task(paths[name], "svg", RECIPE) for name in order))
    assert [outcome.task.path.stem for outcome in outcomes] == order
    problems = {o.task.path.stem: o.problem for o in outcomes if o.problem}
    assert problems.keys() == {"bad", "empty"}
    assert problems["empty"] == "the file is empty"
    for outcome in outcomes:
        if outcome.picture:
            direct = picture.make(outcome.task.path.read_bytes(), "svg", RECIPE)
            assert outcome.picture.image.tobytes() == direct.image.tobytes()
            assert outcome.picture.alpha.tobytes() == direct.alpha.tobytes()
            assert outcome.picture.renderer == direct.renderer


def test_what_was_removed_is_told_across_the_processes(painters, tmp_path):
    paths = write(tmp_path, script=SVG.format('<script>é</script><rect width="9" height="9"/>'))
    (outcome,) = painters.paint([Task(paths["script"], "svg", RECIPE)])
    assert outcome.picture.removed == ("<script>",)


def test_work_is_done_a_little_ahead_and_no_further(painters, tmp_path):
    paths = write(tmp_path, dot=DOT.format(3))
    taken = itertools.count()
    tasks = (Task(paths["dot"], "svg", RECIPE) for _ in zip(itertools.count(), taken, strict=False))
    outcomes = painters.paint(tasks)
    assert next(outcomes).picture
    outcomes.close()
    assert next(taken) <= 2 * pool.AHEAD + 2


def test_files_that_are_none_are_refused_at_once(painters, tmp_path):
    (tmp_path / "folder.svg").mkdir()
    (tmp_path / "dangling.svg").symlink_to("nowhere")
    with open(tmp_path / "huge.svg", "wb") as file:
        file.truncate(2**31)
    reasons = {
        "folder": "is no file",
        "dangling": "cannot be read (No such file or directory)",
        "missing": "cannot be read (No such file or directory)",
        "huge": "the file has 2,048.0 MiB; the limit is 16",
    }
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.svg")
        reasons["pipe"] = "is no file"
    for name, reason in reasons.items():
        (outcome,) = painters.paint([Task(tmp_path / f"{name}.svg", "svg", RECIPE)])
        assert outcome.problem == reason


def test_content_that_changed_meanwhile_is_not_drawn(painters, tmp_path):
    paths = write(tmp_path, dot=DOT.format(3))
    right = sha256_bytes(paths["dot"].read_bytes())
    tasks = [Task(paths["dot"], "svg", RECIPE, key) for key in (right, "0" * 64)]
    first, second = painters.paint(tasks)
    assert first.picture
    assert second.problem == "changed since this run began; run again"


def test_what_takes_too_long_or_too_much_is_ended_and_the_rest_goes_on(tmp_path):
    paths = write(tmp_path, endless=ENDLESS, dot=DOT.format(3), hungry=HUNGRY)
    large = Recipe(2048, 2048, 0.0, "cairosvg")
    tasks = [
        Task(paths["dot"], "svg", large),
        Task(paths["endless"], "svg", large),
        Task(paths["dot"], "svg", RECIPE),
        Task(paths["hungry"], "svg", large),
        Task(paths["dot"], "svg", RECIPE),
    ]
    with Painters(1, seconds=3.0, memory=300_000_000) as one:
        outcomes = list(one.paint(tasks))
    assert [bool(outcome.picture) for outcome in outcomes] == [True, False, True, False, True]
    assert outcomes[1].problem == "took longer than 3 s"
    assert "memory" in outcomes[3].problem


def test_worker_that_dies_is_replaced_and_none_is_left(tmp_path):
    paths = write(tmp_path, dot=DOT.format(3))
    task = Task(paths["dot"], "svg", RECIPE)
    with Painters(1) as one:
        assert next(one.paint([task])).picture
        (first,) = (each._process.pid for each in one._alive)
        os.kill(first, signal.SIGKILL)
        lost, found = one.paint([task, task])
        assert "ended the process that worked on it (signal 9)" in lost.problem
        assert found.picture
        (second,) = (each._process.pid for each in one._alive)
    assert ends(first, 0.2)
    assert ends(second, 0.2)


def test_nothing_is_started_for_nothing(monkeypatch):
    monkeypatch.setattr(pool, "_Worker", None)
    with Painters() as none:
        assert list(none.paint([])) == []


SCRIPT = """
import sys
from pathlib import Path
from bioicons_kit.icons.picture import Recipe
from bioicons_kit.icons.workers import Painters, Task

folder = Path(sys.argv[1])
recipe = Recipe(1024, 1024, 0.05, "cairosvg")
with Painters(1, seconds=4.0) as painters:
    for outcome in painters.paint(Task(folder / name, "svg", recipe)
                                  for name in ("dot.svg", "endless.svg")):
        print(*(each._process.pid for each in painters._alive), flush=True)
"""


@pytest.mark.parametrize("signal_", [signal.SIGINT, signal.SIGKILL])
def test_workers_end_with_their_parent(signal_, tmp_path):
    write(tmp_path, dot=DOT.format(3), endless=ENDLESS)
    command = [sys.executable, "-c", SCRIPT, str(tmp_path)]
    parent = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    worker = int(parent.stdout.readline())
    parent.send_signal(signal_)
    # Without a parent to end it, the worker's own alarm does, some seconds after the limit.
    assert parent.wait(20) == -signal_
    assert ends(worker)
    parent.stdout.close()
