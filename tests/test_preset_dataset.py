"""Options of a dataset that cannot apply, or contradict one another, are refused."""

from typing import Any

import pytest
from pydantic import ValidationError

from bioicons_kit.preset import Bucket, Captioner, Dataset, Hub, Quality

HUB = Hub(license="CC0-1.0")


def dataset(*buckets: Bucket, **settings: Any) -> Dataset:
    settings = {"root": "/icons", "caption": "{category}", **settings}
    return Dataset(buckets=buckets or (Bucket(),), **settings)


def refused(*buckets: Bucket, **settings: Any) -> str:
    with pytest.raises(ValidationError) as problem:
        dataset(*buckets, **settings)
    return str(problem.value)


def test_what_is_asked_of_images_is_refused_where_there_are_icons_only():
    strict = Quality(min_side=100)
    assert "quality is for images" in refused(quality=strict)
    assert dataset(source="images", quality=strict).quality == strict
    assert dataset(Bucket(source="images", root="/photos"), Bucket(), quality=strict)


@pytest.mark.parametrize(("key", "value"), [("margin", 0.2), ("renderer", "resvg")])
def test_what_is_for_icons_is_refused_where_there_are_none(key: str, value: object):
    assert f"{key} is for icons" in refused(source="images", **{key: value})
    assert getattr(dataset(**{key: value}), key) == value


def test_a_hub_table_that_no_bucket_uses_is_refused():
    own = Bucket(source="icons", root="/icons")
    assert "[dataset.hub] cannot apply" in refused(own, source="hub", root="a/b", hub=HUB)
    assert "[dataset.hub] is missing" in refused(source="hub", root="a/b")


@pytest.mark.parametrize("key", ["name", "exclude"])
def test_names_are_not_chosen_by_where_a_hub_dataset_has_no_titles(key: str):
    bucket = Bucket(limit=3, **{key: ("sunrise*",)})
    assert "set hub.title" in refused(bucket, source="hub", root="a/b", hub=HUB)
    titled = Hub(license="CC0-1.0", title="title")
    assert dataset(bucket, source="hub", root="a/b", hub=titled)


def test_a_column_cannot_hold_two_things():
    with pytest.raises(ValidationError, match="asks twice of the column 'style'"):
        Hub(license="MIT", where=("style=Realism", " style =Impressionism"))


@pytest.mark.parametrize("template", [" ", "\t"])
def test_a_blank_template_is_refused(template: str):
    assert "must not be blank" in refused(caption=template)
    with pytest.raises(ValidationError, match="must not be blank"):
        Bucket(caption=template)


def test_a_share_too_small_for_any_picture_is_refused():
    with pytest.raises(ValidationError, match=r"greater than or equal to 0\.0001"):
        Bucket(share=1e-7)


def test_a_pace_is_for_servers():
    with pytest.raises(ValidationError, match="requests_per_minute cannot apply"):
        Captioner(kind="local", model="x", requests_per_minute=5.0)
    assert Captioner(kind="openai", model="x", requests_per_minute=5.0)


def test_a_prompt_about_icons_is_not_asked_of_photographs():
    own = Captioner(kind="local", model="x", prompt="What is it?")
    images = {"source": "images", "captions": "c.jsonl"}
    assert "set captioner.prompt" in refused(captioner=Captioner(kind="local", model="x"), **images)
    assert dataset(captioner=own, **images).captioner == own
