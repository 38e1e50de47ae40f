"""ATTRIBUTION.md: every author and license of a mixed set, and nothing a stranger can break."""

import re
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from bioicons_kit.icons import licenses
from bioicons_kit.icons.credits import attribution

CHANGES = "rasterized on a flat background, resized to 1024 pixels"


def record(spdx: str, title: str, author: str, **more: Any) -> dict[str, Any]:
    source = f"{spdx.lower()}/A/{author}/{title}.svg"
    return {
        **{"license": spdx, "title": title, "author": author, "author_url": None},
        **{"source": source, "source_url": None, "changes": CHANGES, **more},
    }


MIXED = [
    record("CC-BY-4.0", "gut", "Jo", source_url="https://example.org/gut.svg"),
    record("CC0-1.0", "avocet", "EwaOz", author_url="https://example.org/ewa"),
    record("MIT", "cat", "Li"),
    record("MIT", "dog", "Ann"),
    record("BSD-3-Clause", "logo", "Facebook"),
    record("CC-BY-SA-4.0", "rat", "Max"),
    record("LicenseRef-own-work", "me", "Me"),
    record("Apache-2.0", "rust", "Rust"),
]


def sections(text: str) -> dict[str, str]:
    parts = re.split(r"^## .* \((\S+)\)$", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_every_author_and_license_of_a_mixed_set_is_named():
    text = attribution.markdown(MIXED)
    found = sections(text)
    assert list(found) == [
        *("CC0-1.0", "MIT", "BSD-3-Clause", "Apache-2.0", "CC-BY-4.0", "CC-BY-SA-4.0"),
        "LicenseRef-own-work",
    ]
    for each in MIXED:
        section = found[each["license"]]
        (line,) = [line for line in section.splitlines() if f'- "{each["title"]}" by' in line]
        assert each["author"] in line
        assert each["license"] in line
        assert CHANGES in line
        assert licenses.get(each["license"]).url in section
    assert "holds 8 pictures" in text


def test_credit_links_author_source_and_license():
    text = attribution.markdown(MIXED)
    assert (
        '- "avocet" by [EwaOz](<https://example.org/ewa>), source cc0-1.0/A/EwaOz/avocet.svg, '
        "[CC0-1.0](<https://creativecommons.org/publicdomain/zero/1.0/>); " + CHANGES in text
    )
    assert "source [cc-by-4.0/A/Jo/gut.svg](<https://example.org/gut.svg>)" in text


def test_what_each_license_asks_is_said_for_pictures_and_loras():
    found = sections(attribution.markdown(MIXED))
    assert "The pictures: asks you to name the author" in found["CC-BY-4.0"]
    assert "A LoRA: asks you to name these authors" in found["CC-BY-4.0"]
    assert "share it under the same license" in found["CC-BY-SA-4.0"]
    assert "the terms are their owner's" in found["LicenseRef-own-work"]


def test_notices_are_there_in_full():
    found = sections(attribution.markdown(MIXED))
    assert "    Copyright (c) Li, Ann\n" in found["MIT"]
    assert "    The above copyright notice and this permission notice" in found["MIT"]
    assert "    Copyright (c) Facebook\n" in found["BSD-3-Clause"]
    assert "    3. Neither the name" in found["BSD-3-Clause"]
    assert "download it from <https://spdx.org/licenses/Apache-2.0.html>" in found["Apache-2.0"]


def test_picture_in_two_buckets_is_named_once():
    text = attribution.markdown([*MIXED, {**MIXED[0], "bucket": 1}])
    assert text == attribution.markdown(MIXED)


# Text that a file's name or a sidecar can hold: one line, and what Markdown reads in it.
NAMES = st.text(st.sampled_from("ab1 \\`*_[]()<>#|~$&!\"'-"), min_size=1, max_size=12)


@given(NAMES, NAMES)
def test_markdown_of_strangers_is_shown_as_it_is(title, author):
    text = attribution.markdown([record("CC0-1.0", title, author)])
    (line,) = [line for line in text.splitlines() if line.startswith('- "')]
    shown = line.split(", [CC0-1.0](")[0]
    unescaped = re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", shown)
    assert unescaped == f'- "{title}" by {author}, source cc0-1.0/A/{author}/{title}.svg'
    # what is left without its escapes has nothing that Markdown acts on
    assert not re.search(r"[`*_\[\]<>#|~$&!]", re.sub(r"\\.", "", shown))
