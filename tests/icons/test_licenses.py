import pytest

from bioicons_kit.errors import LibraryError
from bioicons_kit.icons import licenses


@pytest.mark.parametrize(
    ("text", "spdx"),
    [
        ("cc-0", "CC0-1.0"),
        ("CC0", "CC0-1.0"),
        ("cc0-1.0", "CC0-1.0"),
        ("mit", "MIT"),
        ("bsd", "BSD-3-Clause"),
        ("BSD 3-clause", "BSD-3-Clause"),
        ("cc-by-3.0", "CC-BY-3.0"),
        ("CC BY 4.0", "CC-BY-4.0"),
        ("cc_by_sa_3.0", "CC-BY-SA-3.0"),
        ("CC-BY-SA-4.0", "CC-BY-SA-4.0"),
    ],
)
def test_folder_names_and_ids_become_spdx_ids(text, spdx):
    assert licenses.normalize(text) == spdx
    assert licenses.get(spdx).spdx == spdx


def test_unknown_license_lists_the_known_and_the_nearest():
    with pytest.raises(LibraryError) as caught:
        licenses.normalize("cc-by-5.0")
    message = str(caught.value)
    assert "unknown license 'cc-by-5.0'; did you mean CC-BY-" in message
    assert all(entry.spdx in message for entry in licenses.LICENSES)
    with pytest.raises(LibraryError, match=r"unknown license 'zzz'; known licenses: CC0-1.0, MIT"):
        licenses.normalize("zzz")


def test_conditions_are_those_of_the_license_texts():
    conditions = {
        entry.spdx: (entry.attribution, entry.notice, entry.share_alike)
        for entry in licenses.LICENSES
    }
    assert conditions == {
        "CC0-1.0": (False, False, False),
        "MIT": (False, True, False),
        "BSD-3-Clause": (False, True, False),
        "CC-BY-3.0": (True, False, False),
        "CC-BY-4.0": (True, False, False),
        "CC-BY-SA-3.0": (True, False, True),
        "CC-BY-SA-4.0": (True, False, True),
    }
    assert "same license" in licenses.get("CC-BY-SA-4.0").asks
    assert "nothing" in licenses.get("CC0-1.0").asks
