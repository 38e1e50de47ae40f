import pytest
from lxml import etree

from bioicons_kit.svg import references, styles

SVG = "http://www.w3.org/2000/svg"
XLINK = "http://www.w3.org/1999/xlink"


def settled(body: str) -> str:
    root = etree.fromstring(f'<svg xmlns="{SVG}" xmlns:xlink="{XLINK}">{body}</svg>')
    references.settle(root)
    text = etree.tostring(root).decode()
    return text[text.index(">") + 1 : text.rindex("</svg>")]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ('<g id="a"/><use xlink:href="#a"/>', '<g id="a"/><use xlink:href="#a"/>'),
        ('<g id="a b"/><use xlink:href="#a b"/>', '<g id="{}"/><use xlink:href="#{}"/>'),
        ('<g id="a b"/><use xlink:href="#a%20b"/>', '<g id="{}"/><use xlink:href="#{}"/>'),
        ('<g id="é"/><use xlink:href="#%C3%A9"/>', '<g id="&#233;"/><use xlink:href="#&#233;"/>'),
        ('<g id="a%20b"/><use xlink:href="#a%20b"/>', '<g id="{}"/><use xlink:href="#{}"/>'),
        ('<g id="a b" fill="url(\'#a b\')"/>', '<g id="{}" fill="url(\'#{}\')"/>'),
        ('<g id="1" style="fill:url(#1)"/>', '<g id="{}" style="fill:url(#{})"/>'),
        (
            '<g id="1"/><style>.b{fill:url(#1)}</style>',
            '<g id="{}"/><style>.b{fill:url(#{})}</style>',
        ),
        ('<g id="a"/><g id="a"/>', '<g id="a"/><g/>'),
        ('<use xlink:href="#none"/>', '<use xlink:href="#none"/>'),
    ],
)
def test_ids_become_plain_and_stay_found(body, expected):
    assert settled(body) == expected.replace("{}", "plain-id-1")


def test_an_id_that_a_rule_styles_stays_on_all_its_elements():
    body = '<style>#a{fill:red}</style><g id="a"/><g id="a"/>'
    assert settled(body) == body


@pytest.mark.parametrize("name", ["filter", "mask", "clip-path", "marker-end"])
def test_effects_without_a_target_are_dropped_and_paints_are_not(name):
    assert settled(f'<g {name}="url(#x)" fill="url(#x)"/>') == '<g fill="url(#x)"/>'
    assert settled(f'<g style="{name}:url(#x);fill:red"/>') == '<g style="fill:red"/>'
    assert settled(f"<style>.a{{{name}:url(#x);fill:red}}</style>") == "<style>.a{fill:red}</style>"
    kept = f'<mask id="x"/><g {name}="url(#x)"/>'
    assert settled(kept) == kept


def test_settling_twice_changes_nothing():
    once = settled('<g id="a b" fill="url(\'#a b\')"/><g id="a b"/><use xlink:href="#a%20b"/>')
    assert settled(once) == once
    assert styles.references("url('#plain-id-1')") == ["plain-id-1"]
