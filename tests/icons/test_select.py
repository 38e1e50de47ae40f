from pathlib import Path

import pytest

from bioicons_kit.errors import LibraryError
from bioicons_kit.icons import select
from bioicons_kit.icons.library import Icon, Library
from bioicons_kit.preset import Bucket


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


def names(*buckets: Bucket) -> list[tuple[int, str]]:
    return [(row.bucket, row.icon.path.stem) for row in select.rows(LIBRARY, buckets)]


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
        (Bucket(category="Animals", limit=2), ["Mouse_lying", "avocet"]),
    ],
)
def test_each_filter_has_to_hold(bucket, expected):
    assert names(bucket) == [(0, name) for name in expected]


def test_rows_carry_their_bucket_and_repeats():
    rows = select.rows(LIBRARY, [Bucket(name="cat", repeats=3), Bucket(name="flask")])
    assert [(row.bucket, row.repeats) for row in rows] == [(0, 3), (1, 1)]


def test_icon_in_two_buckets_counts_in_the_first_and_is_told(capsys):
    found = names(Bucket(license="mit"), Bucket(category="Animals"))
    assert found == [(0, "cat"), (0, "phage"), (1, "Mouse_lying"), (1, "avocet"), (1, "mouse-old")]
    assert "bucket 1: 1 of its 4 icons are also in bucket 0" in capsys.readouterr().err


def test_limit_leaves_the_rest_to_later_buckets():
    assert names(Bucket(license="mit", limit=1), Bucket(license="mit")) == [
        (0, "cat"),
        (1, "phage"),
    ]


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
        select.rows(LIBRARY, [bucket])
    assert str(caught.value) == message


def test_unknown_license_names_its_bucket():
    with pytest.raises(LibraryError, match=r"bucket 1: unknown license 'gpl'; .*CC-BY-SA-4.0"):
        select.rows(LIBRARY, [Bucket(), Bucket(license="gpl")])


def test_bucket_whose_icons_all_belong_to_an_earlier_one_is_refused():
    with pytest.raises(LibraryError, match=r"bucket 1: bucket 0 already has all 1 icons"):
        select.rows(LIBRARY, [Bucket(category="Animals"), Bucket(name="cat")])


def test_long_lists_in_errors_are_cut():
    many = tuple(icon(f"cc-0/C{n:02}/a/x.svg", "CC0-1.0") for n in range(40))
    with pytest.raises(LibraryError, match=r"C29 and 10 more$"):
        select.rows(Library(Path(), many, ()), [Bucket(category="zzzz")])
