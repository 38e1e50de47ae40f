"""The page on a run: what the folder holds, escaped, in one file."""

import json
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image

from bioicons_kit import preset_file
from bioicons_kit.train import report
from bioicons_kit.train.run_folder import RunFolder

HOSTILE = '"><script>alert(1)</script><img src=x onerror=y>'


class Seen(HTMLParser):
    """Collects a page's tags, attributes and sections."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.sections: list[str | None] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag == "section":
            self.sections.append(dict(attrs)["id"])


@pytest.fixture
def folder(small_preset: Path, tmp_path: Path) -> RunFolder:
    """A run's folder with the least in it."""
    made = RunFolder(tmp_path / "run")
    made.root.mkdir()
    made.preset.write_text(preset_file.dumps(preset_file.load(small_preset)), "utf-8")
    return made


JUDGED = {
    "base": {"subject": 0.75, "style": 0.0},
    "lora": {"subject": None, "style": 0.25},
    "pictures": [{"prompt": "a mouse", "base": "mouse, outline", "lora": "mouse, icon"}],
}


def record(**changes: str) -> dict[str, str]:
    """Return a manifest's record."""
    plain = {"license": "CC0-1.0", "author": "Ann", "category": "Animals"}
    return {**plain, "title": "mouse", "text": "a mouse", **changes}


def page(folder: RunFolder, **changes: str) -> Seen:
    """Return the folder's page, read."""
    report.write(folder, preset_file.load(folder.preset), [record(**changes)])
    return Seen(folder.report.read_text("utf-8"))


def test_with_nothing_but_a_preset_there_is_a_page(folder: RunFolder):
    seen = page(folder)
    assert seen.sections == [
        *("loss", "numbers", "timings", "dataset", "credits", "preset"),
    ]


def test_every_part_that_is_there_is_shown(folder: RunFolder):
    steps = [{"step": n, "loss": 1 / n, "learning_rate": 1e-4, "seconds": 0.5} for n in (1, 2, 3)]
    folder.metrics.write_text("".join(json.dumps(each) + "\n" for each in steps))
    folder.validation.write_text('{"step": 0, "mean": 0.7, "levels": {"0.100": 0.7}}\n')
    summary = {"seconds": 75.0, "loss_first_tenth": 1.0, "loss_last_tenth": 0.3, "kit": "1"}
    summary |= {"best": {"step": 0, "mean": 0.7}, "phases": {"train": 61.0}, "judge": JUDGED}
    folder.summary.write_text(json.dumps(summary))
    folder.step_pictures.mkdir(parents=True)
    Image.new("RGB", (80, 20)).save(folder.step_pictures / "strip-00.png")
    Image.new("RGB", (80, 20)).save(folder.comparison)
    seen = page(folder)
    assert seen.sections == [
        *("loss", "validation", "strips", "comparison", "judge"),
        *("numbers", "timings", "dataset", "credits", "preset"),
    ]
    assert seen.tags.count("img") == 2
    text = folder.report.read_text("utf-8")
    for told in ("0.7000 (best)", "1 min 01 s", "1 min 15 s", "25%", "75%", "mouse, icon"):
        assert told in text


def test_it_loads_and_runs_nothing_whatever_strangers_wrote(folder: RunFolder):
    folder.attribution.parent.mkdir()
    folder.attribution.write_text(HOSTILE)
    hostile = dict.fromkeys(("prompt", "base", "lora"), HOSTILE)
    folder.summary.write_text(
        json.dumps({"device": HOSTILE, "judge": JUDGED | {"pictures": [hostile]}})
    )
    fields = dict.fromkeys(("author", "title", "text", "category"), HOSTILE)
    seen = page(folder, **fields)
    assert "script" not in seen.tags
    assert "img" not in seen.tags
    assert not any(name.startswith("on") for name, _ in seen.attributes)
    assert all(
        (value or "").startswith(("data:", "#", "https://"))
        for name, value in seen.attributes
        if name in ("src", "href")
    )


def test_the_same_folder_gives_the_same_page(folder: RunFolder):
    page(folder)
    once = folder.report.read_bytes()
    page(folder)
    assert folder.report.read_bytes() == once
