"""Counting pictures into buckets: never too few for `select`, and no more than is needed."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bioicons_kit.errors import LibraryError
from bioicons_kit.icons import select
from bioicons_kit.icons.library import Icon, Library
from bioicons_kit.icons.pictures import intake
from bioicons_kit.preset import Bucket, Dataset, Hub

ROOT = "owner/name"
KINDS = ("a", "b", "c")


def dataset(buckets: Sequence[Bucket], **settings: object) -> Dataset:
    hub = Hub(license="CC0-1.0", category="genre", author="artist", title="title")
    return Dataset(
        source="hub", root=ROOT, hub=hub, caption="{category}", buckets=tuple(buckets), **settings
    )


def icon(number: int, category: str, author: str = "x") -> Icon:
    name = f"{category}/{number:04d}.jpg"
    return Icon(Path(name), name, category, "CC0-1.0", author, name, kind="image")


buckets = st.builds(
    Bucket,
    category=st.sets(st.sampled_from(KINDS)).map(lambda kinds: tuple(sorted(kinds))),
    author=st.sets(st.sampled_from("xy")).map(lambda names: tuple(sorted(names))),
    quota=st.integers(1, 6),
)


@settings(max_examples=150)
@given(
    st.lists(buckets, min_size=1, max_size=4),
    st.lists(st.tuples(st.sampled_from(KINDS), st.sampled_from("xy")), min_size=200, max_size=200),
    st.sampled_from(["first", "each"]),
    st.integers(0, 99),
)
def test_when_all_are_full_select_fills_every_quota(chosen, stream, overlap, seed):
    preset = dataset(chosen, overlap=overlap, seed=seed)
    taken = intake.empty(preset, ROOT)
    kept = []
    for number, (category, author) in enumerate(stream):
        each = icon(number, category, author)
        if taken.wants(each):
            taken.add(each)
            kept.append(each)
        if taken.is_full:
            break
    if not taken.is_full:
        return
    rows = select.rows(Library(Path(), tuple(kept), ()), preset)
    counts = [sum(row.bucket == index for row in rows) for index in range(len(chosen))]
    assert counts == [bucket.quota for bucket in chosen]
    assert len(kept) <= 2 * sum(bucket.quota for bucket in chosen) ** 2
    assert taken.filled == taken.total


def test_shares_are_counts_of_the_size():
    preset = dataset([Bucket(category="a", share=0.3), Bucket(category="b", share=0.7)], size=10)
    taken = intake.empty(preset, ROOT)
    assert [place.wanted for place in taken.places] == [3, 7]
    kept = []
    for number in range(40):
        each = icon(number, KINDS[number % 3])
        if taken.wants(each):
            taken.add(each)
            kept.append(each)
    assert taken.is_full
    assert len(kept) == 10
    assert len(select.rows(Library(Path(), tuple(kept), ()), preset)) == 10
    assert taken.report() == "bucket 0: 3 of 3, bucket 1: 7 of 7"


def test_only_the_buckets_of_the_dataset_count():
    own = Bucket(root="/other", source="images", limit=9)
    preset = dataset([own, Bucket(category="b", limit=2)])
    taken = intake.empty(preset, ROOT)
    assert [place.number for place in taken.places] == [1]
    assert not taken.wants(icon(0, "a"))
    assert taken.wants(icon(1, "b"))


def test_a_license_that_no_picture_has_is_refused_before_the_stream():
    preset = dataset([Bucket(license="MIT", limit=2)])
    with pytest.raises(LibraryError, match=r"bucket 0: no picture has the license MIT.*CC0-1.0"):
        intake.empty(preset, ROOT)
    taken = intake.empty(dataset([Bucket(license="cc-0", limit=1)]), ROOT)
    assert taken.wants(icon(0, "a"))
    assert not taken.wants(replace(icon(0, "a"), license="MIT"))
