import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from bioicons_kit.svg import bounds

SVG = "http://www.w3.org/2000/svg"
XLINK = "http://www.w3.org/1999/xlink"


def of(body: str):
    return bounds.of(etree.fromstring(f'<svg xmlns="{SVG}" xmlns:xlink="{XLINK}">{body}</svg>'))


@pytest.mark.parametrize(
    ("body", "box"),
    [
        ('<rect x="1" y="2" width="3" height="4"/>', (1, 2, 3, 4)),
        ('<rect x="-1mm" width="2mm" height="1in"/>', (-3.7795, 0, 7.559, 96)),
        ('<circle cx="5" cy="5" r="2"/>', (3, 3, 4, 4)),
        ('<path d="M0 0C0 4 4 4 4 0"/>', (0, 0, 4, 3)),
        ('<path d="M0 0A5 5 0 0 1 10 0"/>', (0, -5, 10, 5)),
        ('<line x2="4" stroke="red" stroke-width="2"/>', (-1, -1, 6, 2)),
        ('<g transform="scale(2)" stroke="red"><line x2="4" y2="1"/></g>', (-1, -1, 10, 4)),
        ('<style>.a{stroke:red;stroke-width:4}</style><line class="a" x2="4"/>', (-2, -2, 8, 4)),
        ('<g transform="translate(10 20)"><rect width="1" height="1"/></g>', (10, 20, 1, 1)),
        (
            '<defs><rect id="a" width="2" height="2"/></defs><use x="5" xlink:href="#a"/>',
            (5, 0, 2, 2),
        ),
        ('<rect width="9" height="9" display="none"/><rect width="1" height="1"/>', (0, 0, 1, 1)),
        (
            '<clipPath><rect width="9" height="9"/></clipPath><rect width="1" height="1"/>',
            (0, 0, 1, 1),
        ),
        ('<image x="1" width="2" height="3"/>', (1, 0, 2, 3)),
        ('<text x="5" y="20" font-size="10">ab</text>', (5, 10, 12, 12)),
        ('<text y="20" font-size="10" text-anchor="end">ab</text>', (-12, 10, 12, 12)),
    ],
)
def test_bounds_enclose_what_is_drawn(body, box):
    assert of(body) == pytest.approx(box, abs=1e-3)


@pytest.mark.parametrize(
    "body", ["", "<g/>", "<text> </text>", '<use xlink:href="#x"/>', "<path/>"]
)
def test_nothing_drawn_has_no_bounds(body):
    assert of(body) is None


@given(st.floats(-180, 180), st.floats(0.1, 50), st.floats(-1000, 1000))
def test_a_turned_and_shifted_square_is_enclosed(angle, side, shift):
    body = f'<rect width="{side}" height="{side}" transform="translate({shift}) rotate({angle})"/>'
    x, y, width, height = of(body)
    turned = side * (abs(math.cos(math.radians(angle))) + abs(math.sin(math.radians(angle))))
    assert (width, height) == pytest.approx((turned, turned), abs=1e-6)
    assert x <= shift + 1e-9 <= x + width + 2e-9
    assert y <= 1e-9
