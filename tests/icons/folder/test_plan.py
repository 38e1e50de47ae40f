"""Names that every system takes and no loader misreads; keys that miss nothing."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bioicons_kit.icons.augment import Version
from bioicons_kit.icons.folder import plan
from bioicons_kit.icons.picture import Recipe
from bioicons_kit.icons.workers import Task

NAMES = st.text(st.characters(blacklist_characters="/\0"), min_size=1, max_size=300)
# How `datasets` 5 finds splits in folders' names, written another way than in `plan`.
SPLIT = re.compile(
    r"(^|[-._ 0-9])(train|training|validation|valid|dev|val|test|testing|eval|evaluation)"
    r"($|[-._ 0-9])"
)


@settings(max_examples=300)
@given(NAMES)
def test_any_name_becomes_portable(name: str):
    made = plan.portable(name)
    assert made
    assert len(made.encode("utf-8")) <= 164
    assert not re.search(r'[<>:"/\\|?*\x00-\x1f]', made)
    assert made == made.strip(" .")
    assert not made.startswith("__")
    assert made not in {".", ".."}
    assert not SPLIT.search(made)


@pytest.mark.parametrize(
    ("given", "made"),
    [
        ("Animals", "Animals"),
        ("Plants, Algae (all)", "Plants, Algae (all)"),
        ("mouse-1", "mouse-1"),
        ("Mäuse", "Mäuse"),
        ("test", "test~"),
        ("Lab test tubes", "Lab test~ tubes"),
        ("dev", "dev~"),
        ("contest", "contest"),
        ("latest_tests", "latest_tests"),
        ("a:b?c", "a_b_c"),
        ("con", "~con"),
        ("Contact", "Contact"),
        ("COM1.x", "~COM1.x"),
        ("...", "~"),
        ("__init__", "init__"),
    ],
)
def test_names_by_example(given: str, made: str):
    assert plan.portable(given) == made


def test_pictures_of_one_name_are_numbered():
    names = plan.Names()
    assert names.take("train", "cc-0/A/x/mouse.svg") == "train/cc-0/A/x/mouse.png"
    assert names.take("train", "cc-0/A/x/mouse.svg") == "train/cc-0/A/x/mouse~2.png"
    assert names.take("train", "cc-0/A/x/Mouse.svg") == "train/cc-0/A/x/Mouse~3.png"
    assert names.take("train", "cc-0/A/x/mouse~2.svg") == "train/cc-0/A/x/mouse_2.png"
    assert names.take("prior", "cc-0/A/x/mouse.svg") == "prior/cc-0/A/x/mouse.png"


@settings(max_examples=60)
@given(st.lists(st.lists(NAMES, min_size=1, max_size=3), max_size=12))
def test_no_two_pictures_have_one_path(paths: list[list[str]]):
    names = plan.Names()
    taken = [names.take("train", "/".join(parts)).casefold() for parts in paths]
    assert len(set(taken)) == len(taken)


def test_the_key_misses_nothing():
    task = Task(Path("/x.svg"), "svg", Recipe(64, 64, 0.05, "resvg"), "a" * 64)
    others = [
        task._replace(sha256="b" * 64),
        task._replace(kind="image"),
        *(
            task._replace(recipe=replace(task.recipe, **change))
            for change in (
                {"width": 80},
                {"height": 80},
                {"margin": 0.1},
                {"version": Version(flip=True)},
                {"version": Version(background="#000000")},
            )
        ),
    ]
    assert len({plan.key(each) for each in (task, *others)}) == len(others) + 1
    assert plan.key(task) == plan.key(task._replace(path=Path("/moved.svg")))
