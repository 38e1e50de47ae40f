"""Files that were made to harm, given to the simplifier: refused or done, soon, reading nothing."""

import pytest

from bioicons_kit.errors import DocumentError
from bioicons_kit.svg import optimize

SVG = "http://www.w3.org/2000/svg"


def svg(body: str, before: str = "") -> bytes:
    return (
        f'{before}<svg xmlns="{SVG}" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'viewBox="0 0 10 10">{body}</svg>'
    ).encode()


def laughs(count: int) -> str:
    entities = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, count))
    return f'<!DOCTYPE svg [<!ENTITY e0 "ha">{entities}]>'


def uses(levels: int, attribute: str) -> str:
    made = (
        f'<g id="g{n}">{f"""<use {attribute}="#g{n - 1}"/>""" * 10}</g>' for n in range(1, levels)
    )
    return f'<g id="g0"><path d="M0 0h1v1z"/></g>{"".join(made)}'


REFUSED = {
    "zero bytes": (b"", "empty"),
    "no XML": (b"\x89PNG\r\n", "not readable"),
    "another root": (b"<html/>", "root element"),
    "external entity": (
        svg("<text>&x;</text>", '<!DOCTYPE s [<!ENTITY x SYSTEM "file:///etc/hostname">]>'),
        "not readable",
    ),
    "billion laughs": (svg("<text>&e9;</text>", laughs(10)), "not readable"),
    "50 MB": (svg(f'<path d="{"M0 0" * 12_500_000}"/>'), "the limit is 16"),
    "use bomb": (svg(uses(9, "xlink:href")), "once references are expanded"),
    "use bomb without xlink": (svg(uses(9, "href")), "once references are expanded"),
    "use of itself": (svg('<g id="a"><use xlink:href="#a"/></g>'), "refers to itself"),
    "use of itself without xlink": (svg('<g id="a"><use href="#a"/></g>'), "refers to itself"),
    "deep": (svg("<g>" * 200 + "</g>" * 200), "levels of nesting"),
    "many rules": (
        svg("<style>" + "*{fill:red}" * 10_000 + "</style>" + "<g/>" * 10_000),
        "style rules are too many",
    ),
    "clip path of itself": (
        svg('<clipPath id="c" clip-path="url(#c)"><path d="M0 0h9v9z"/></clipPath>'),
        "refers to itself",
    ),
    "endless circle": (svg('<circle r="1e400"/>'), "coordinates beyond"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_documents_over_a_limit_are_refused(name):
    data, reason = REFUSED[name]
    with pytest.raises(DocumentError, match=reason) as caught:
        optimize.simplify_document(data)
    assert "\n" not in str(caught.value)


DONE = {
    "many elements": svg("<g/>" * 20_001),
    "a link to what holds it": svg('<g id="a"><a href="#a"><path d="M0 0h9v9z"/></a></g>'),
    "gradients in a circle": svg(
        '<linearGradient id="a" xlink:href="#b"/><linearGradient id="b" xlink:href="#a"/>'
        '<path fill="url(#a)" d="M0 0h9v9z"/>'
    ),
    "a path that goes to and fro": svg(f'<path d="M0 0{"l9 9-9-9" * 3000}"/>'),
    "a point 20,000 times": svg(f'<path d="M5 5{"l0 0" * 20_000}"/>'),
    "one point, many loops": svg(f'<path d="M5 5{"c9 9-9 9 0 0" * 3000}"/>'),
    "a thousand specks": svg('<path d="' + "M5 5h1e-7v1e-7z" * 1000 + '"/>'),
    "a staircase": svg('<path d="M0 0' + "h.001v.001" * 4000 + '"/>'),
    "noise": svg(
        '<path d="M0 0' + "".join(f"L{n * n % 97 / 10} {n * 31 % 89 / 10}" for n in range(8000))
        + '"/>'
    ),
    "huge": svg('<path d="M1e12 1e12l1 1 1 0 1 1z"/>'),
    "a font that loads": svg(
        "<style>@font-face{font-family:x;src:url(http://127.0.0.1:9/x)}</style><text>t</text>"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", DONE)
def test_strange_documents_are_done_and_no_longer_than_before(name):
    result = optimize.simplify_document(DONE[name])
    assert len(result.svg) <= len(DONE[name])
    assert result.report.nodes_after <= result.report.nodes_before
    assert result.report.error <= optimize.TOLERANCE * (1 + 1e-6)


def test_entities_are_resolved_not_repeated():
    data = svg("<text>&a;</text>", '<!DOCTYPE svg [<!ENTITY a "once">]>')
    text = optimize.simplify_document(data).svg.decode()
    assert "once" in text
    assert "ENTITY" not in text
