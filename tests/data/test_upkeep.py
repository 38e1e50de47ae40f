"""Looking after a cache: why entries are missing, which are damaged, which are spare."""

import os
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator

from bioicons_kit import preset_file
from bioicons_kit.data import encode, job, plan, selection, upkeep
from bioicons_kit.data.cache import Cache, Entry, entry
from bioicons_kit.data.plan import Plan
from bioicons_kit.icons import library

ICONS = ("mouse", "frog", "sea-turtle")
Look = Callable[..., dict[str, Counter[str]]]


@pytest.fixture
def icons(tmp_path: Path) -> Path:
    folder = tmp_path / "library" / "cc-0" / "Animals" / "Petri_Press"
    folder.mkdir(parents=True)
    for name in ICONS:
        shutil.copy(library.SHIPPED / "cc-0/Animals/Petri_Press" / f"{name}.svg", folder)
    return folder


@pytest.fixture
def planned(
    small_preset: Path, fresh_cache: Path, icons: Path
) -> Callable[..., tuple[Plan, Cache]]:
    """A function that plans the small preset on the small library, and fills it if asked."""

    def make(*overrides: str, fill: bool = False) -> tuple[Plan, Cache]:
        fixed = [f"dataset.root={icons.parents[2]}", f"cache.root={fresh_cache}"]
        preset = preset_file.load(small_preset, [*fixed, *overrides])
        rows, work = selection.rows(preset, lambda: job.start(preset, Accelerator()))
        if fill:
            encode.dataset(rows, work)
        return plan.dataset(rows, work), work.cache

    return make


@pytest.fixture
def look(planned: Callable[..., tuple[Plan, Cache]]) -> Look:
    """A function that returns the reasons of what is missing, by kind."""

    def reasons(*overrides: str) -> dict[str, Counter[str]]:
        wanted, cache = planned(*overrides)
        before = sorted(cache.root.rglob("*"))
        found = {
            kind: upkeep.needs(kind, sources, cache) for kind, sources in wanted.sources().items()
        }
        assert sorted(cache.root.rglob("*")) == before  # looking changes nothing
        for kind, each in found.items():
            assert each.hits + len(each.missing) == len(wanted.sources()[kind])
            assert each.nbytes > 0 or not each.missing
        return {k: Counter(n.reason for n in each.missing) for k, each in found.items()}

    return reasons


def test_every_reason_is_told(
    look: Look, planned: Callable[..., tuple[Plan, Cache]], icons: Path
) -> None:
    assert look() == {"latents": {"new": 3}, "clip": {"new": 6}, "t5": {"new": 6}}
    _, cache = planned(fill=True)
    assert look() == {"latents": {}, "clip": {}, "t5": {}}

    assert look("dataset.background=black")["latents"] == {"other background": 3}
    assert look("dataset.resolution=80")["latents"] == {"other size": 3}
    assert look("dataset.resolution=80", "dataset.margin=0.2")["latents"] == {
        "other margin, size": 3
    }
    longer = look("model.max_sequence_length=32")
    assert longer["t5"] == {"other model.max_sequence_length": 6}
    assert longer["clip"] == {}
    assert look("cache.dtype=fp32")["clip"] == {"other cache.dtype": 6}
    assert look("dataset.caption=a {name}")["clip"] == {"changed caption": 3}
    assert look("sample.prompts=['a fern']")["clip"] == {"changed caption": 1}

    mouse = icons / "mouse.svg"
    mouse.write_text(mouse.read_text("utf-8").replace("</svg>", "<path d='M0 0h9v9z'/></svg>"))
    shutil.copy(library.SHIPPED / "cc-0/Animals/Petri_Press/garden-snail.svg", icons)
    assert look()["latents"] == {"changed picture": 1, "new": 1}
    path = next(cache.root.glob("clip/*/*.safetensors"))
    path.write_bytes(path.read_bytes()[:-1])
    assert look()["clip"] == {"damaged": 1, "new": 1}
    assert path.exists()


def test_every_damaged_entry_is_found_whatever_size_and_time_say(
    planned: Callable[..., tuple[Plan, Cache]],
) -> None:
    wanted, cache = planned(fill=True)
    counts, problems = upkeep.damaged(cache)
    assert counts == {"clip": 6, "latents": 3, "t5": 6}
    assert problems == {}

    flipped, cut, moved = (cache.path(each) for each in list(wanted.texts["t5"])[:3])
    stat, data = flipped.stat(), flipped.read_bytes()
    flipped.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    os.utime(flipped, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    cut.write_bytes(cut.read_bytes()[:-1])
    shutil.copy(cache.path(list(wanted.texts["t5"])[4]), moved)
    forged = Entry("t5", "ab" * 32)
    cache.put(forged, {"x": torch.zeros(1)}, {"of": "x", "parts": {"text": "another"}})
    silent = entry("t5", {"n": "1"})
    cache.put(silent, {"x": torch.zeros(1)})

    counts, problems = upkeep.damaged(cache)
    assert counts["t5"] == 8
    assert {Path(path).name for path in problems} == {
        path.name for path in (flipped, cut, moved, cache.path(forged), cache.path(silent))
    }


def test_spare_is_what_none_of_the_presets_needs(
    planned: Callable[..., tuple[Plan, Cache]],
) -> None:
    small, cache = planned(fill=True)
    large, _ = planned("dataset.resolution=80", "dataset.trigger=flat icon", fill=True)
    assert upkeep.spare(cache, [small, large]).entries == ()
    spare = upkeep.spare(cache, [small])
    others = [e for kind, sources in large.sources().items() for e in sources]
    needed = {e for sources in small.sources().values() for e in sources}
    assert set(spare.entries) == set(others) - needed
    assert spare.nbytes == sum(cache.path(each).stat().st_size for each in spare.entries)
    assert set(upkeep.spare(cache, []).entries) == {*needed, *others}


@pytest.mark.parametrize(
    "told",
    [{}, {"of": 3, "parts": 4}, {"parts": {"a": 1}}, {"parts": {"kind": "x"}}, {"parts": []}],
)
def test_an_account_that_makes_no_sense_explains_nothing(
    planned: Callable[..., tuple[Plan, Cache]], told: dict[str, object]
) -> None:
    wanted, cache = planned()
    cache.put(entry("latents", {"n": "1"}), {"x": torch.zeros(1)}, told)
    found = upkeep.needs("latents", wanted.pictures, cache)
    assert {each.reason for each in found.missing} == {"new"}
