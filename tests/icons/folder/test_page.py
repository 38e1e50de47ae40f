"""A page that is one file: it loads nothing, runs nothing, and shows text as text."""

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import html
from PIL import Image

from bioicons_kit.icons.folder import page

TEXT = st.text(st.characters(blacklist_categories=("Cs", "Cc")), max_size=40)


def parsed(fragment: str) -> html.HtmlElement:
    return html.fragment_fromstring(fragment, create_parent="div")


@settings(max_examples=80)
@given(TEXT, TEXT)
def test_text_stays_text_wherever_it_goes(first: str, second: str):
    hostile = f"\"'><script>x</script><img src=http://x/{first}>{second}&amp;"
    pieces = [
        page.note(hostile),
        page.link(hostile, "https://example.org/" + hostile),
        page.tiles([(hostile, hostile)]),
        page.bars([(hostile, 3)]),
        page.table([hostile], [[page.text(hostile)]]),
        page.band([("#ffffff", 1.0)]) + page.named([(hostile, page.text(hostile))]),
        page.more(hostile, page.text(hostile)),
        page.figures([("", hostile)]),
        page.pairs([("", "", hostile, hostile)]),
        page.document(hostile, hostile, "", [("a", hostile, "")]),
    ]
    for piece in pieces:
        tree = parsed(piece) if not piece.startswith("<!") else html.document_fromstring(piece)
        assert not tree.xpath("//script|//img|//*[@onload or @onerror]")
        assert "<script>x</script>" in "".join(
            (*tree.itertext(), *(value for each in tree.iter() for value in each.attrib.values()))
        )


@pytest.mark.parametrize(
    "url", ["javascript:alert(1)", "data:text/html,x", "file:///etc", "", None]
)
def test_only_web_addresses_are_links(url: str | None):
    assert page.link("name", url) == "name"
    assert 'href="https://example.org"' in page.link("name", "https://example.org")


def test_a_document_forbids_everything_but_itself(tmp_path: Path):
    Image.new("RGB", (300, 200), "teal").save(tmp_path / "x.png")
    image = page.image(tmp_path / "x.png", 64, 'a "picture"')
    whole = page.document("title", "lead", "", [("one", "One", image)])
    tree = html.document_fromstring(whole)
    (policy,) = tree.xpath("//meta[@http-equiv='Content-Security-Policy']/@content")
    assert policy.startswith("default-src 'none'")
    assert "script-src" not in policy
    assert not re.search(r"https?://", whole)
    (source,) = tree.xpath("//img/@src")
    assert source.startswith("data:image/webp;base64,")
    assert tree.xpath("//img/@alt") == ['a "picture"']
    assert tree.xpath("//nav//a/@href") == ["#one"]


def test_bars_are_as_long_as_their_share():
    widths = re.findall(r"width:([\d.]+)%", page.bars([("a", 10), ("b", 5), ("c", 0)]))
    assert widths == ["100.0", "50.0", "0.0"]
    assert page.bars([]) == ""
