"""What a merged file says of its parts."""

import json
from typing import Any

import pytest

from bioicons_kit.lora import provenance
from bioicons_kit.lora.provenance import Origin


def origin(name: str, licenses: dict[str, int] | None = None, **metadata: str) -> Origin:
    header = {key.replace("__", "."): value for key, value in metadata.items()}
    if licenses is not None:
        header[provenance.LICENSES] = json.dumps(licenses)
    return Origin(name, name * 4, 0.5, header)


def value(header: dict[str, str], key: str) -> Any:
    return json.loads(header[key])


def test_licenses_are_counted_authors_listed_once_origins_kept() -> None:
    one = origin("a", {"CC0-1.0": 2, "MIT": 1}, bioicons_kit__training_authors='["Zoë", "Ann"]')
    two = origin("b", {"CC0-1.0": 3}, bioicons_kit__training_authors='["Ann"]')
    header = provenance.united([one, two])
    assert value(header, provenance.LICENSES) == {"CC0-1.0": 5, "MIT": 1}
    assert value(header, provenance.AUTHORS) == ["Ann", "Zoë"]
    assert "Zoë" in header[provenance.AUTHORS]
    assert value(header, provenance.MERGED_FROM) == [
        {"name": "a", "sha256": "aaaa", "weight": 0.5},
        {"name": "b", "sha256": "bbbb", "weight": 0.5},
    ]
    again = provenance.united([Origin("c", "c", 1.0, header)])
    assert value(again, provenance.MERGED_FROM)[0]["merged_from"][0]["name"] == "a"


def test_what_agrees_stays_what_differs_goes_and_some_is_joined() -> None:
    one = origin("a", x="1", y="1", modelspec__license="MIT", modelspec__trigger_phrase="cat")
    two = origin("b", x="1", y="2", modelspec__license="BSD", modelspec__trigger_phrase="cat")
    header = provenance.united([one, two])
    assert header["x"] == "1"
    assert "y" not in header
    assert header["modelspec.license"] == "MIT; BSD"
    assert header["modelspec.trigger_phrase"] == "cat"


def test_what_described_the_parts_tensors_does_not_describe_the_whole() -> None:
    stale = {"ss_network_dim": "4", "modelspec.hash_sha256": "0x0", "lora_adapter_metadata": "{}"}
    header = provenance.united([Origin("a", "", 1.0, stale)] * 2)
    assert not stale.keys() & header.keys()


@pytest.mark.parametrize("text", ["", "[1", "3", '"x"', "null", "[" * 200_000])
def test_a_header_that_is_no_json_counts_as_silent(text: str) -> None:
    odd = Origin("a", "", 1.0, {provenance.LICENSES: text, provenance.AUTHORS: text})
    assert odd.licenses == {}
    assert odd.authors == []
    provenance.united([odd])


def test_licenses_that_agree_are_no_concern() -> None:
    assert provenance.concerns([origin("a", {"CC0-1.0": 1}), origin("b", {"CC-BY-4.0": 1})]) == []
    assert provenance.concerns([origin("a"), origin("b")]) == []


@pytest.mark.parametrize(
    ("one", "two", "said"),
    [
        ({"licenses": {"CC-BY-SA-4.0": 1}}, {"licenses": {"CC-BY-NC-4.0": 1}}, "shared under it"),
        (
            {"licenses": {"CC-BY-SA-3.0": 1}},
            {"licenses": {"CC0-1.0": 1}, "modelspec__architecture": "flux-1-dev/lora"},
            "FLUX.1-dev's non-commercial",
        ),
        ({"licenses": {"CC-BY-ND-4.0": 1}}, {"licenses": {"MIT": 1}}, "allows no adaptations"),
        ({"licenses": {"MIT": 1}}, {}, "b says nothing"),
        (
            {"licenses": {"MIT": 1}, "modelspec__license": "x"},
            {"licenses": {"MIT": 1}, "modelspec__license": "y"},
            "under different licenses: x, y",
        ),
    ],
)
def test_licenses_that_do_not_agree_are_told(
    one: dict[str, Any], two: dict[str, Any], said: str
) -> None:
    (told,) = provenance.concerns([origin("a", **one), origin("b", **two)])
    assert said in told
