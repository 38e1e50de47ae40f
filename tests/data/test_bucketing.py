"""Sizes of pictures: what buckets there are, and which one a picture gets."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bioicons_kit.data.bucketing import Size, fitting, lines, nearest, table
from bioicons_kit.preset import BUCKET_STEP, Sizes

resolutions = st.integers(1, 32).map(lambda n: n * BUCKET_STEP)
sides = st.integers(1, 6000)
pictures = st.builds(Size, sides, sides)
BUCKETS = Sizes(aspects="buckets")


@given(resolutions)
def test_buckets_keep_the_budget_and_the_step(resolution: int) -> None:
    sizes = table(resolution)
    assert Size(resolution, resolution) in sizes
    for size in sizes:
        assert size.width % BUCKET_STEP == size.height % BUCKET_STEP == 0
        assert size.width * size.height <= resolution**2
        assert max(size) <= 2048
        # one step more either way would be too many pixels, or too long
        for more in (size._replace(width=size.width + 64), size._replace(height=size.height + 64)):
            assert more.width * more.height > resolution**2 or max(more) > 2048
    assert list(sizes) == sorted(set(sizes), key=lambda size: size.aspect)
    assert {Size(h, w) for w, h in sizes} == set(sizes)


def test_the_buckets_of_1024_by_example() -> None:
    wide = [tuple(size) for size in table(1024) if size.aspect >= 1]
    assert wide[:6] == [
        (1024, 1024),
        (1088, 960),
        (1152, 896),
        (1216, 832),
        (1344, 768),
        (1472, 704),
    ]
    assert table(64) == (Size(64, 64),)


@given(pictures, resolutions)
def test_the_nearest_bucket_is_nearest_in_log_aspect(picture: Size, resolution: int) -> None:
    sizes = table(resolution)
    found = nearest(picture, sizes)
    distances = [abs(math.log(size.aspect) - math.log(picture.aspect)) for size in sizes]
    assert abs(math.log(found.aspect) - math.log(picture.aspect)) <= min(distances) + 1e-12
    turned = nearest(Size(picture.height, picture.width), sizes)
    assert turned.aspect == pytest.approx(1 / found.aspect)


@given(
    pictures,
    resolutions,
    st.sampled_from(["square", "buckets"]),
    st.sampled_from(["center", "none"]),
)
def test_nothing_is_enlarged_unless_asked(
    picture: Size, resolution: int, aspects: str, crop: str
) -> None:
    settings = Sizes(aspects=aspects, crop=crop)  # type: ignore[arg-type]
    size = fitting(picture, resolution, settings)
    if size is None:
        assert (max if crop == "none" else min)(picture) < BUCKET_STEP or min(picture) < BUCKET_STEP
        return
    scales = (size.width / picture.width, size.height / picture.height)
    assert (min if crop == "none" else max)(scales) <= 1
    assert size.width % 16 == size.height % 16 == 0
    assert size.width * size.height <= resolution**2


@given(pictures, resolutions)
def test_asked_to_a_picture_gets_its_bucket_whatever_its_size(
    picture: Size, resolution: int
) -> None:
    square = Sizes(upscale=True)
    assert fitting(picture, resolution, square) == Size(resolution, resolution)
    buckets = Sizes(aspects="buckets", upscale=True)
    assert fitting(picture, resolution, buckets) == nearest(picture, table(resolution))


@pytest.mark.parametrize(
    ("picture", "settings", "size"),
    [
        ((3000, 3000), Sizes(), (512, 512)),
        ((3000, 600), Sizes(), (512, 512)),
        ((500, 3000), Sizes(), (448, 448)),  # cut: the short side decides
        ((500, 3000), Sizes(crop="none"), (512, 512)),  # whole: the long one
        ((63, 3000), Sizes(), None),
        ((1600, 1000), BUCKETS, (640, 384)),
        ((1000, 1600), BUCKETS, (384, 640)),
        ((600, 450), BUCKETS, (576, 448)),
        ((500, 330), BUCKETS, (448, 320)),  # too small for 640 x 384 both ways
    ],
)
def test_sizes_at_512_by_example(
    picture: tuple[int, int], settings: Sizes, size: tuple[int, int] | None
) -> None:
    found = fitting(Size(*picture), 512, settings)
    assert found == (None if size is None else Size(*size))


def test_the_table_for_people() -> None:
    header, *rows = lines({Size(1216, 832): 30, Size(512, 512): 10})
    assert header.split() == ["size", "aspect", "an", "epoch", "share"]
    assert [row.split() for row in rows] == [
        ["512", "x", "512", "1.00", "10", "25.0%"],
        ["1216", "x", "832", "1.46", "30", "75.0%"],
    ]
