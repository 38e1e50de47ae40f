from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bioicons_kit.errors import LibraryError
from bioicons_kit.icons import select
from bioicons_kit.icons.library import Icon, Library
from bioicons_kit.preset import Bucket, Dataset


def icon(relative: str, spdx: str) -> Icon:
    _, category, author, name = relative.split("/")
    return Icon(Path(relative), relative, category.replace("_", " "), spdx, author, Path(name).stem)


LIBRARY = Library(
    Path(),
    (
        icon("cc-0/Animals/EwaOz/Mouse_lying.svg", "CC0-1.0"),
        icon("cc-0/Animals/EwaOz/avocet.svg", "CC0-1.0"),
        icon("cc-0/Animals/Jo/mouse-old.svg", "CC0-1.0"),
        icon("cc-0/Lab_apparatus/Jo/flask.svg", "CC0-1.0"),
        icon("mit/Animals/Jo/cat.svg", "MIT"),
        icon("mit/Viruses/Jo/phage.svg", "MIT"),
    ),
    (),
)


def dataset(*buckets: Bucket, **settings: object) -> Dataset:
    return Dataset(root="icons", caption="{name}", buckets=buckets, **settings)


def names(*buckets: Bucket) -> list[tuple[int, str]]:
    return [(row.bucket, row.icon.path.stem) for row in select.rows(LIBRARY, dataset(*buckets))]


@pytest.mark.parametrize(
    ("bucket", "expected"),
    [
        (Bucket(), ["Mouse_lying", "avocet", "mouse-old", "flask", "cat", "phage"]),
        (Bucket(category="animals"), ["Mouse_lying", "avocet", "mouse-old", "cat"]),
        (Bucket(category="LAB apparatus"), ["flask"]),
        (Bucket(category="Lab_apparatus"), ["flask"]),
        (Bucket(license="mit"), ["cat", "phage"]),
        (Bucket(license=("CC0-1.0", "mit"), author="ewaoz"), ["Mouse_lying", "avocet"]),
        (Bucket(name="MOUSE*"), ["Mouse_lying", "mouse-old"]),
        (Bucket(name="mouse lying"), ["Mouse_lying"]),
        (Bucket(name=("mouse*", "?at"), exclude="*old"), ["Mouse_lying", "cat"]),
        (Bucket(author="EWA-oz", name="a*"), ["avocet"]),
    ],
)
def test_each_filter_has_to_hold(bucket, expected):
    assert names(bucket) == [(0, name) for name in expected]


def test_rows_carry_their_bucket_and_repeats():
    rows = select.rows(LIBRARY, dataset(Bucket(name="cat", repeats=3), Bucket(name="flask")))
    assert [(row.bucket, row.repeats) for row in rows] == [(0, 3), (1, 1)]


def test_rows_carry_their_role_and_the_caption_template_that_applies():
    rows = select.rows(
        LIBRARY,
        dataset(Bucket(name="cat"), Bucket(name="flask", role="prior", caption="a {name}")),
    )
    assert [(row.role, row.template) for row in rows] == [
        ("train", "{name}"),
        ("prior", "a {name}"),
    ]


def test_icon_in_two_buckets_counts_in_the_first_and_is_told(capsys):
    found = names(Bucket(license="mit"), Bucket(category="Animals"))
    assert found == [(0, "cat"), (0, "phage"), (1, "Mouse_lying"), (1, "avocet"), (1, "mouse-old")]
    assert "bucket 1: 1 of its 4 icons are also in bucket 0, where alone" in capsys.readouterr().err


def test_icon_in_two_buckets_counts_in_each_if_the_preset_says_so(capsys):
    buckets = Bucket(name="cat"), Bucket(license="mit"), Bucket(name="cat", repeats=2)
    rows = select.rows(LIBRARY, dataset(*buckets, overlap="each"))
    assert [(row.bucket, row.icon.title) for row in rows] == [
        (0, "cat"),
        (1, "cat"),
        (1, "phage"),
        (2, "cat"),
    ]
    told = capsys.readouterr().err
    assert "bucket 1: 1 of its 2 icons are also in bucket 0, and count in each" in told
    assert "bucket 2: 1 of its 1 icons are also in bucket 0, and count in each" in told


def test_what_is_measured_by_is_not_learned_from():
    measured = Bucket(name="c*", role="validation")
    with pytest.raises(LibraryError, match=r"bucket 0: 1 of its icons, .*cat.* bucket 1"):
        select.rows(LIBRARY, dataset(Bucket(license="mit"), measured, overlap="each"))
    rows = select.rows(LIBRARY, dataset(measured, Bucket(license="mit")))
    assert [(row.role, row.icon.title) for row in rows] == [
        ("validation", "cat"),
        ("train", "phage"),
    ]


def test_limit_leaves_the_rest_to_later_buckets():
    (first, second) = names(Bucket(license="mit", limit=1), Bucket(license="mit"))
    assert {first[1], second[1]} == {"cat", "phage"}
    assert (first[0], second[0]) == (0, 1)


def test_quota_that_cannot_be_met_is_refused():
    with pytest.raises(LibraryError, match=r"bucket 0: its quota is 3 icons, but 2 are there"):
        names(Bucket(license="mit", quota=3))
    with pytest.raises(LibraryError, match=r"bucket 1: its quota is 4 icons, but 3 are there"):
        names(Bucket(license="mit"), Bucket(category="Animals", quota=4))
    assert len(names(Bucket(quota=6))) == 6


def test_each_bucket_selects_from_its_own_library():
    other = Library(Path("other"), (icon("mit/Animals/Jo/dog.svg", "MIT"),), ())
    here = {("icons", "icons"): LIBRARY, ("images", "other"): other}
    buckets = (Bucket(name="cat"), Bucket(source="images", root="other"))
    rows = select.rows(here, dataset(*buckets))
    assert [(row.bucket, row.icon.title) for row in rows] == [(0, "cat"), (1, "dog")]
    with pytest.raises(LibraryError, match=r"bucket 0: no icon matches name 'flask'"):
        select.rows(here, dataset(Bucket(source="images", root="other", name="flask")))


CATEGORIES = ("A", "B", "C")
ICONS = st.lists(
    st.tuples(st.sampled_from(CATEGORIES), st.sampled_from("xyz"), st.integers(0, 40)),
    min_size=1,
    max_size=40,
    unique=True,
).map(lambda found: [icon(f"mit/{c}/{a}/thing-{n}.svg", "MIT") for c, a, n in found])


@st.composite
def libraries_and_buckets(draw: st.DrawFn) -> tuple[list[Icon], list[Bucket]]:
    """A library, and buckets that each select something, with limits and quotas that fit."""
    icons = draw(ICONS)
    buckets = []
    for category in draw(st.permutations(sorted({each.category for each in icons}))):
        there = sum(each.category == category for each in icons)
        count = draw(st.sampled_from(["limit", "quota", None]))
        counts = {count: draw(st.integers(1, there))} if count else {}
        buckets.append(Bucket(category=category, **counts))
    return icons, buckets


@given(libraries_and_buckets(), st.randoms(use_true_random=False), st.integers(0, 2**32 - 1))
def test_draw_is_of_the_right_size_and_depends_on_no_order(made, random, seed):
    icons, buckets = made
    chosen = dataset(*buckets, seed=seed)
    rows = select.rows(Library(Path(), tuple(icons), ()), chosen)
    for index, bucket in enumerate(buckets):
        there = [each for each in icons if each.category == bucket.category[0]]
        mine = [row.icon.relative for row in rows if row.bucket == index]
        assert mine == sorted(mine)
        assert len(mine) == (bucket.quota or bucket.limit or len(there))
        assert set(mine) <= {each.relative for each in there}
    random.shuffle(icons)
    assert select.rows(Library(Path(), tuple(icons), ()), chosen) == rows


@given(ICONS, st.integers(0, 99), st.data())
def test_an_icon_that_comes_changes_a_draw_by_one_at_most(icons, seed, data):
    limit = data.draw(st.integers(1, len(icons)))
    new = icon("mit/A/w/new.svg", "MIT")

    def drawn(there: list[Icon]) -> set[str]:
        chosen = dataset(Bucket(limit=limit), seed=seed)
        rows = select.rows(Library(Path(), tuple(there), ()), chosen)
        return {row.icon.relative for row in rows}

    before, after = drawn(icons), drawn([*icons, new])
    assert len(before - after) <= 1
    assert after - before <= {new.relative}


def test_seeds_draw_differently_and_favor_no_author():
    icons = tuple(icon(f"mit/A/{'ab'[n % 2]}/thing-{n}.svg", "MIT") for n in range(200))
    there = Library(Path(), icons, ())

    def drawn(seed: int) -> list[str]:
        rows = select.rows(there, dataset(Bucket(limit=100), seed=seed))
        return [row.icon.relative for row in rows]

    assert drawn(0) == drawn(0) != drawn(1)
    # a binomial draw of 1000 gives fewer than 420 of either once in a million times
    by_a = sum("/a/" in name for seed in range(10) for name in drawn(seed))
    assert 420 < by_a < 580


def test_shares_are_shares_of_the_whole():
    icons = [
        icon(f"mit/{c}/x/{n}.svg", "MIT")
        for c, many in zip("ABC", (50, 9, 30), strict=True)
        for n in range(many)
    ]
    there = Library(Path(), tuple(icons), ())
    buckets = [Bucket(category=c, share=s) for c, s in zip("ABC", (0.5, 0.3, 0.2), strict=True)]

    def taken(size: int | None) -> list[int]:
        rows = select.rows(there, dataset(*buckets, size=size))
        return [sum(row.bucket == index for row in rows) for index in range(3)]

    assert taken(20) == [10, 6, 4]
    assert taken(None) == [16, 9, 6]  # B has no more than nine
    with pytest.raises(LibraryError, match=r"bucket 1: its share, 0.3 of 40, is 12 .*size to 31"):
        taken(40)


def test_held_out_rows_are_for_validation():
    chosen = dataset(Bucket(repeats=4), held_out={"share": 0.4})
    rows = select.rows(LIBRARY, chosen)
    assert len(rows) == 6
    held = [row for row in rows if row.role == "validation"]
    assert len(held) == 2
    assert {row.repeats for row in held} == {1}
    assert {row.repeats for row in rows if row.role == "train"} == {4}


@pytest.mark.parametrize(
    ("bucket", "message"),
    [
        (
            Bucket(category="Animal", license="cc-0"),
            "bucket 0: no icon matches category 'Animal' and license CC0-1.0; did you mean "
            "'Animals'? categories with CC0-1.0 icons: Animals, Lab apparatus",
        ),
        (
            Bucket(category="Viruses", license="cc-0"),
            "bucket 0: no icon matches category 'Viruses' and license CC0-1.0; "
            "categories with CC0-1.0 icons: Animals, Lab apparatus",
        ),
        (
            Bucket(author="Joe"),
            "bucket 0: no icon matches author 'Joe'; did you mean 'Jo'? "
            "authors with icons: EwaOz, Jo",
        ),
        (
            Bucket(category="Viruses", name=("fage", "x*")),
            "bucket 0: no icon matches category 'Viruses' and name 'fage' or 'x*'; "
            "did you mean 'phage'? names with icons of 'Viruses': phage",
        ),
        (
            Bucket(category="Plants", author="Nobody"),
            "bucket 0: no icon matches category 'Plants' and author 'Nobody'; "
            "categories with icons: Animals, Lab apparatus, Viruses",
        ),
        (
            Bucket(category="Viruses", exclude="ph*"),
            "bucket 0: exclude 'ph*' leaves out all 1 icons that match category 'Viruses'; "
            "take a pattern away",
        ),
    ],
)
def test_empty_bucket_says_what_there_is_instead(bucket, message):
    with pytest.raises(LibraryError) as caught:
        select.rows(LIBRARY, dataset(bucket))
    assert str(caught.value) == message


def test_unknown_license_names_its_bucket():
    with pytest.raises(LibraryError, match=r"bucket 1: unknown license 'gpl'; .*CC-BY-SA"):
        select.rows(LIBRARY, dataset(Bucket(), Bucket(license="gpl")))


def test_bucket_whose_icons_all_belong_to_an_earlier_one_is_refused():
    with pytest.raises(LibraryError, match=r"bucket 1: bucket 0 already has all 1 icons"):
        select.rows(LIBRARY, dataset(Bucket(category="Animals"), Bucket(name="cat")))


def test_long_lists_in_errors_are_cut():
    many = tuple(icon(f"cc-0/C{n:02}/a/x.svg", "CC0-1.0") for n in range(40))
    with pytest.raises(LibraryError, match=r"C29 and 10 more$"):
        select.rows(Library(Path(), many, ()), dataset(Bucket(category="zzzz")))


def test_brackets_in_a_pattern_are_letters_like_others():
    odd = icon("mit/A/Jo/mouse_[1].svg", "MIT")
    named = Library(Path(), (odd, icon("mit/A/Jo/mouse_1.svg", "MIT")), ())
    rows = select.rows(named, dataset(Bucket(name="mouse [1]")))
    assert [row.icon for row in rows] == [odd]


def test_images_are_chosen_by_their_titles():
    sunrise = Icon(
        Path("x/0000001.jpg"),
        "x/0000001.jpg",
        "x",
        "MIT",
        "Jo",
        "Impression: sunrise",
        kind="image",
    )
    row = Icon(Path("x/0000002.jpg"), "x/0000002.jpg", "x", "MIT", "Jo", "row 2", kind="image")
    rows = select.rows(Library(Path(), (sunrise, row), ()), dataset(Bucket(name="*sunrise")))
    assert [row.icon for row in rows] == [sunrise]


def test_what_no_icon_has_is_told_even_where_others_match(capsys):
    bucket = Bucket(
        category=("Animals", "Animlas"), author=("Jo", "Ewa Oz"), name=("c*", "zzz*"), exclude="old"
    )
    assert names(bucket) == [(0, "cat")]
    told = capsys.readouterr().err
    assert "bucket 0: no icon has the category 'Animlas'; did you mean 'Animals'?" in told
    assert "bucket 0: no icon has the name 'zzz*'" in told
    assert "bucket 0: no icon has the excluded name 'old'" in told
    assert told.count("warning") == 3
