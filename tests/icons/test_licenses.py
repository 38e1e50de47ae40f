import re

import pytest

from bioicons_kit.errors import LibraryError
from bioicons_kit.icons import licenses
from bioicons_kit.icons.credits import license_texts


@pytest.mark.parametrize(
    ("text", "spdx"),
    [
        ("cc-0", "CC0-1.0"),
        ("CC0", "CC0-1.0"),
        ("cc0-1.0", "CC0-1.0"),
        ("public_domain", "CC-PDM-1.0"),
        ("pd", "CC-PDM-1.0"),
        ("mit", "MIT"),
        ("bsd", "BSD-3-Clause"),
        ("BSD 3-clause", "BSD-3-Clause"),
        ("bsd-2-clause", "BSD-2-Clause"),
        ("apache-2.0", "Apache-2.0"),
        ("cc-by-2.0", "CC-BY-2.0"),
        ("cc-by-3.0", "CC-BY-3.0"),
        ("CC BY 4.0", "CC-BY-4.0"),
        ("cc-by-sa-2.5", "CC-BY-SA-2.5"),
        ("cc_by_sa_3.0", "CC-BY-SA-3.0"),
        ("CC-BY-SA-4.0", "CC-BY-SA-4.0"),
        ("cc-by-nc-nd-4.0", "CC-BY-NC-ND-4.0"),
        ("gpl-3.0", "GPL-3.0-only"),
        ("GPL-2.0+", "GPL-2.0-or-later"),
        ("LicenseRef-own-work", "LicenseRef-own-work"),
        ("licenseref-Mine.2", "LicenseRef-Mine.2"),
    ],
)
def test_folder_names_and_ids_become_spdx_ids(text, spdx):
    assert licenses.normalize(text) == spdx
    assert licenses.get(spdx).spdx == spdx


@pytest.mark.parametrize("text", ["", "cc-by", "gpl", "LicenseRef-", "LicenseRef-a b", "cc-by-3.1"])
def test_half_a_name_is_no_license(text):
    with pytest.raises(LibraryError, match="unknown license"):
        licenses.normalize(text)


def test_no_spelling_stands_for_two_licenses():
    meant = {
        (re.sub(r"[^a-z0-9+]", "", spelling.lower()), entry.spdx)
        for entry in licenses.LICENSES
        for spelling in (entry.spdx, *entry.folder_names)
    }
    assert len({spelling for spelling, _ in meant}) == len(meant)
    assert all(licenses.normalize(spelling) == spdx for spelling, spdx in meant)


def test_unknown_license_lists_the_known_and_the_nearest():
    with pytest.raises(LibraryError) as caught:
        licenses.normalize("cc-by-5.0")
    message = str(caught.value)
    assert "unknown license 'cc-by-5.0'; did you mean CC-BY-" in message
    for entry in licenses.LICENSES:
        assert re.sub(r"(CC-BY.*)-\d\.\d", r"\1", entry.spdx) in message
    with pytest.raises(LibraryError, match=r"unknown license 'zzz'; known licenses: CC0-1.0, "):
        licenses.normalize("zzz")


FOUND_IN_BIOICONS = {
    # attribution, notice, share-alike, changes
    "CC0-1.0": (False, False, False, False),
    "MIT": (False, True, False, False),
    "BSD-3-Clause": (False, True, False, False),
    "CC-BY-3.0": (True, False, False, True),
    "CC-BY-4.0": (True, False, False, True),
    "CC-BY-SA-3.0": (True, False, True, True),
    "CC-BY-SA-4.0": (True, False, True, True),
}


@pytest.mark.parametrize("spdx", FOUND_IN_BIOICONS)
def test_conditions_are_those_of_the_license_texts(spdx):
    entry = licenses.get(spdx)
    asked = (entry.attribution, entry.notice, entry.share_alike, entry.changes)
    assert asked == FOUND_IN_BIOICONS[spdx]
    assert not entry.non_commercial
    assert not entry.no_derivatives


def test_conditions_of_the_other_kinds():
    assert licenses.get("CC-BY-NC-SA-4.0").non_commercial
    assert licenses.get("CC-BY-NC-SA-4.0").share_alike
    assert licenses.get("CC-BY-NC-ND-2.0").no_derivatives
    assert licenses.get("GPL-3.0-only").share_alike
    assert licenses.get("Apache-2.0").changes
    assert licenses.get("CC-BY-NC-ND-1.0").url.endswith("/by-nd-nc/1.0/")


def test_what_is_asked_is_said_in_words():
    assert "same license" in licenses.get("CC-BY-SA-4.0").asks
    assert "share it under the same license" in licenses.get("CC-BY-SA-4.0").asks_of_a_lora
    assert "nothing" in licenses.get("CC0-1.0").asks
    assert "nothing" in licenses.get("CC0-1.0").asks_of_a_lora
    assert "license text" in licenses.get("MIT").asks_of_a_lora
    assert "not publish" in licenses.get("CC-BY-ND-4.0").asks_of_a_lora
    assert "no commercial" in licenses.get("CC-BY-NC-4.0").asks
    assert "owner's" in licenses.get("LicenseRef-own-work").asks


def test_a_license_that_asks_more_is_stricter():
    order = ["CC0-1.0", "MIT", "CC-BY-4.0", "LicenseRef-x", "CC-BY-NC-4.0", "CC-BY-SA-4.0"]
    order += ["CC-BY-NC-SA-4.0", "CC-BY-ND-4.0"]
    numbers = [licenses.get(spdx).strictness for spdx in order]
    assert numbers == sorted(set(numbers))


def test_short_licenses_have_their_texts():
    for spdx in ("MIT", "BSD-2-Clause", "BSD-3-Clause", "ISC"):
        text = license_texts.notice(spdx, ["Jo Doe", "Д.Ильин"])
        assert text is not None
        assert text.startswith("Copyright (c) Jo Doe, Д.Ильин\n")
        assert "WARRANT" in text
    assert "endorse or promote" in (license_texts.notice("BSD-3-Clause", ["x"]) or "")
    assert "endorse or promote" not in (license_texts.notice("BSD-2-Clause", ["x"]) or "")
    assert license_texts.notice("Apache-2.0", ["x"]) is None


@pytest.mark.parametrize(
    "text",
    [
        "MIT\u975e\u5546\u7528",
        "\u79c1\u306emit",
        "CC-BY-4.0 \u0438\u043d\u0430\u0447\u0435",
        "m\u00eft",
    ],
)
def test_letters_of_any_script_count(text):
    assert not licenses.is_known(text)
    with pytest.raises(LibraryError, match="unknown license"):
        licenses.normalize(text)
