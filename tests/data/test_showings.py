"""How a row is shown: what of it shapes a key, and where it is cut."""

from dataclasses import replace
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from bioicons_kit.data import showings
from bioicons_kit.data.bucketing import Size
from bioicons_kit.icons import picture
from bioicons_kit.icons.augment import Version
from bioicons_kit.icons.library import Icon
from bioicons_kit.icons.picture import Recipe
from bioicons_kit.icons.row import Row
from bioicons_kit.preset import Bucket, Dataset, Sizes


@given(
    width=st.integers(1, 9),
    margin=st.floats(0, 0.4),
    version=st.builds(Version, st.booleans(), st.floats(-45, 45), background=st.just("#00ff00")),
    crop=st.one_of(st.none(), st.tuples(st.floats(0, 1), st.floats(0, 1))),
)
def test_parts_are_those_of_the_picture(
    width: int, margin: float, version: Version, crop: tuple[float, float] | None
) -> None:
    recipe = Recipe(width, 8, margin, "auto", version, crop)
    assert showings.parts(recipe) == picture.parts(recipe)
    assert showings.parts(replace(recipe, height=9)) != showings.parts(recipe)


def row(name: str, repeats: int = 3) -> Row:
    icon = Icon(Path(name), name, "things", "CC0-1.0", "someone", name, kind="image")
    return Row(icon, 0, repeats)


def dataset(**settings: object) -> Dataset:
    return Dataset(
        root="/photos",
        source="images",
        trigger="style",
        buckets=(Bucket(),),
        sizes=Sizes(crop="random"),
        **settings,  # type: ignore[arg-type]
    )


def crops(of: Row, settings: Dataset) -> list[tuple[float, float] | None]:
    made = showings.recipes(of, (), [Size(64, 64), Size(96, 96)], settings)
    assert all(small.crop == large.crop for small, large in made)
    return [small.crop for small, _ in made]


def test_each_repeat_is_cut_elsewhere_and_always_there() -> None:
    first = crops(row("a.png"), dataset())
    assert len(set(first)) == 3
    assert crops(row("a.png"), dataset()) == first
    assert crops(row("a.png", 2), dataset()) == first[:2]
    assert not set(first) & set(crops(row("b.png"), dataset()))
    assert not set(first) & set(crops(row("a.png"), dataset(seed=1)))
    assert crops(replace(row("a.png", 1), role="validation"), dataset()) == [(0.5, 0.5)]
    drawn = [crop for n in range(200) for crop in crops(row(f"{n}.png"), dataset()) if crop]
    for axis in (0, 1):
        places = sorted(crop[axis] for crop in drawn)
        assert 0 <= places[0] < 0.05
        assert 0.45 < places[len(places) // 2] < 0.55
        assert 0.95 < places[-1] <= 1
