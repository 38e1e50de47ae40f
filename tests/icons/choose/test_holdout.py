from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bioicons_kit.errors import LibraryError
from bioicons_kit.icons.choose import holdout
from bioicons_kit.icons.library import Icon
from bioicons_kit.icons.row import Row
from bioicons_kit.preset import HeldOut


def icon(stem: str, author: str = "Jo") -> Icon:
    path = Path(f"mit/A/{author}/{stem}.svg")
    return Icon(path, path.as_posix(), "A", "MIT", author, stem)


def row(stem: str, author: str = "Jo", role: str = "train", bucket: int = 0) -> Row:
    return Row(icon(stem, author), bucket, 3, role)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("mouse-1", "Mouse_2"),
        ("mouse", "mice"),
        ("lymphocytes-3", "Lymphocyte"),
        ("gut_bacteria.drawio", "gut-bacterium"),
        ("petri_dishes", "petri-dish"),
        ("capillaries", "capillary"),
        ("virus", "viruses"),
        ("cuvette-red", "cuvette_blue_2"),
        ("axes", "axis"),
    ],
)
def test_variants_are_one_concept(one, other):
    assert holdout.concept(icon(one)) == holdout.concept(icon(other))


@pytest.mark.parametrize(
    ("one", "other"),
    [("mouse", "rat"), ("T-cell", "B-cell"), ("virus", "viral-vector"), ("glass", "gas")],
)
def test_other_things_are_other_concepts(one, other):
    assert holdout.concept(icon(one)) != holdout.concept(icon(other))


def test_what_has_only_a_color_for_a_name_keeps_it():
    assert holdout.concept(icon("red_2")) == "red"


ROWS = st.lists(
    st.builds(
        row,
        st.builds(
            "{}-{}".format, st.sampled_from(["mouse", "cell", "leaf", "gut"]), st.integers(1, 9)
        ),
        st.sampled_from(["Jo", "Ewa Oz", "ewa-oz", "Li"]),
        st.sampled_from(["train", "train", "train", "prior"]),
        st.integers(0, 2),
    ),
    min_size=4,
    max_size=40,
)


@given(ROWS, st.floats(0.2, 0.5), st.sampled_from(["concept", "author"]), st.integers(0, 999))
def test_nothing_leaks_across_the_split(rows, share, by, seed):
    choice = HeldOut(share=share, by=by)
    key = holdout._KEYS[by]
    groups = {key(each.icon) for each in rows if each.role == "train"}
    count = int(share * len(groups) + 0.5)
    if len(groups) < 2 or count == 0:
        with pytest.raises(LibraryError, match=by):
            holdout.held_out(rows, choice, seed)
        return
    split = holdout.held_out(rows, choice, seed)
    held = [each for each in split if each.role == "validation"]
    kept = [each for each in split if each.role != "validation"]
    assert not {key(each.icon) for each in held} & {key(each.icon) for each in kept}
    assert len({key(each.icon) for each in held} & groups) == count
    assert any(each.role == "train" for each in kept)
    assert {each.icon.path for each in split} == {each.icon.path for each in rows}
    assert len({each.icon.path for each in held}) == len(held)  # measured once
    assert all(each.repeats == 1 for each in held)
    assert kept == [each for each in rows if key(each.icon) not in {key(h.icon) for h in held}]
    assert {
        each.icon
        for each in holdout.held_out(rows[::-1], choice, seed)
        if each.role == "validation"
    } == {each.icon for each in held}


def test_rows_of_validation_buckets_stay_as_they_are():
    measured = row("mouse-1", role="validation", bucket=1)
    rows = [row("mouse-2"), row("rat"), row("frog"), measured]
    for seed in range(5):
        split = holdout.held_out(rows, HeldOut(share=0.34), seed)
        assert split[3] == measured
        assert sum(each.role == "validation" for each in split) == 2


def test_bucket_that_is_held_out_whole_is_told(capsys):
    rows = [row("mouse"), row("rat", bucket=1)]
    split = holdout.held_out(rows, HeldOut(share=0.5), 0)
    (held,) = [each.bucket for each in split if each.role == "validation"]
    assert f"bucket {held}: all of it is held out" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("stems", "share", "message"),
    [
        (["mouse-1", "mouse-2"], 0.5, "the training rows have 1 concept, and to hold it out"),
        (["a", "b", "c", "d"], 0.1, "have 4 concepts, of which a share of 0.1 is none; .* 0.126"),
    ],
)
def test_split_that_holds_out_nothing_or_everything_is_refused(stems, share, message):
    with pytest.raises(LibraryError, match=message):
        holdout.held_out([row(stem) for stem in stems], HeldOut(share=share), 0)
