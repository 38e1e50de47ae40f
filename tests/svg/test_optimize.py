"""Documents before and after: what goes, what stays, and that nothing shows."""

import math
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from bioicons_kit.errors import DocumentError
from bioicons_kit.icons.clean import cleaner
from bioicons_kit.icons.clean.pictures import Pictures
from bioicons_kit.svg import likeness, optimize, tree
from bioicons_kit.svg.credit import Credit

NAMESPACES = (
    'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
    'xmlns:inkscape="http://www.inkscape.org/namespaces/inkscape" '
    'xmlns:sodipodi="http://sodipodi.sourceforge.net/DTD/sodipodi-0.dtd" '
    'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" '
    'xmlns:cc="http://creativecommons.org/ns#" xmlns:dc="http://purl.org/dc/elements/1.1/"'
)
# Many short curves along a wave: what there is to simplify.
WAVE = "M10 50" + "c1.0000 2.000 2.0000 3.0000 3.0000 3.0000s2.000-1.000 3.000-3.000" * 12
DENSE = "M10.00001 50.00001" + "l1.00001 .00001" * 60


def svg(body: str, root: str = 'viewBox="0 0 100 100"') -> bytes:
    return f"<svg {NAMESPACES} {root}>{body}</svg>".encode()


def done(body: str, **options: object) -> str:
    return optimize.simplify_document(svg(body), **options).svg.decode()  # type: ignore[arg-type]


def body_of(text: str) -> str:
    return text.partition(">")[2].removesuffix("</svg>")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("<metadata>x</metadata><sodipodi:namedview/><path d='M0 0h9v9z'/>",
         '<path d="M0 0h9v9z"/>'),
        ("<path inkscape:label='x' id='a' d='M0 0h9v9z'/>", '<path d="M0 0h9v9z"/>'),
        ("<!-- x --><g><g><path d='M0 0h9v9z'/></g></g>", '<path d="M0 0h9v9z"/>'),
        ("<g fill='red'><path d='M0 0h9v9z'/></g>", '<path d="M0 0h9v9z" fill="red"/>'),
        ("<g/><defs/><path d='M0 0h9v9z' display='none'/>", ""),
        ("<path style='opacity:0' d='M0 0h9v9z'/>", ""),
        ("<path fill='none' d='M0 0h9v9z'/>", ""),
        ("<path style='fill:none;stroke:red;stroke-width:0' d='M0 0h9v9z'/>", ""),
        ("<path d='M300 300h9v9z'/>", ""),
        ("<path transform='translate(-300)' d='M300 30h9v9z'/>",
         '<path transform="translate(-300)" d="M300 30h9v9z"/>'),
        ("<defs><linearGradient id='a'/></defs>", ""),
        ("<style>.a{fill:red}</style><path class='a' d='M0 0h9v9z'/>",
         '<style>.a{fill:red}</style><path class="a" d="M0 0h9v9z"/>'),
        ("<style>.a , .b{fill : red;}.c{fill:blue} #d{x:y}@font-face{font-family:f}</style>"
         "<path class='a e' d='M0 0h9v9z'/>",
         '<style>.a{fill:red}</style><path class="a" d="M0 0h9v9z"/>'),
        ("<style>.c{fill:blue}</style><path class='e' d='M0 0h9v9z'/>", '<path d="M0 0h9v9z"/>'),
        ("<path style='fill:#FF0000;stroke:none;-inkscape-x:y;font-size:3px' d='M0 0h9v9z'/>",
         '<path d="M0 0h9v9z" fill="red"/>'),
        ("<path style='fill:#000000;fill-opacity:1;stroke-width:3' d='M0 0h9v9z'/>",
         '<path d="M0 0h9v9z"/>'),
        ("<g fill='red'><rect width='5' height='5' fill='red'/><rect x='6' width='5' height='5'"
         " fill='#000'/></g>",
         '<g fill="red"><rect width="5" height="5"/><rect x="6" width="5" height="5" '
         'fill="#000"/></g>'),
        ("<text x='1' y='9' style='font-size:9px'>a <tspan>b</tspan> c</text>",
         '<text x="1" y="9" font-size="9px">a <tspan>b</tspan> c</text>'),
        ("<g transform='matrix(1 0 0 1 2.50 0)'><path d='M0 0h9v9z'/></g>",
         '<path d="M0 0h9v9z" transform="translate(2.5)"/>'),
        ("<title>The whole</title><g><title>a part</title><path d='M0 0h9v9z'/></g>",
         '<title>The whole</title><path d="M0 0h9v9z"/>'),
        ("<polygon points='0,0 9.000,0 9,9.000'/>", '<polygon points="0 0 9 0 9 9"/>'),
    ],
)  # fmt: skip
def test_what_says_nothing_goes(before, after):
    assert body_of(done(before)) == after


@pytest.mark.parametrize(
    "kept",
    [
        "<rect id='a' width='5' height='5' fill='#000'/><use xlink:href='#a' fill='red'/>",
        "<g id='a' display='none'><path d='M0 0h9v9z'/></g><script>show('a')</script>",
        "<g opacity='.5'><path d='M0 0h9v9z'/></g>",
        "<g filter='url(#f)'/><filter id='f'><feFlood/></filter>",
        "<style>g>path{fill:red}</style><g><path d='M0 0h9v9z'/></g>",
        "<path id='p' d='M0 0h9v9z'/><text><textPath xlink:href='#p'>along</textPath></text>",
        "<path d='M0 0h9' fill='none' stroke='red' marker-end='url(#m)'/><marker id='m'/>",
        "<foreignObject width='9' height='9'><p xmlns='http://www.w3.org/1999/xhtml' "
        "class='x'>a  b</p></foreignObject>",
        "<clipPath id='c'><path d='M0 0h9v9z' opacity='0'/></clipPath>"
        "<g clip-path='url(#c)'><path d='M0 0h99v99z'/></g>",
    ],
)
def test_what_means_something_stays(kept):
    def tags(data: bytes) -> list[str]:
        return [tree.local(one) for one in tree.parse(data).iter(etree.Element)]

    assert tags(optimize.simplify_document(svg(kept)).svg) == tags(svg(kept))


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (f"<path d='{DENSE}' stroke='red' stroke-dasharray='3'/>", "dashed"),
        (f"<path d='{DENSE}' stroke='red' style='marker-mid:url(#m)'/>", "markers"),
        (f"<path d='{DENSE}' stroke='red' vector-effect='non-scaling-stroke'/>", "does not scale"),
        (f"<path d='{DENSE}' stroke='red' stroke-width='10%'/>", "not understood"),
        (f"<path d='{DENSE}' fill='url(#g)'/><linearGradient id='g'/>", "bounding box"),
        (f"<path d='{DENSE}' fill='url(#g)'/><pattern id='g'/>", "bounding box"),
        (f"<path id='p' d='{DENSE}'/><text><textPath href='#p'>x</textPath></text>", "text runs"),
        (f"<path d='{DENSE}'/><animate/>", "moves"),
        (f"<path d='{DENSE}'/><style>a path{{stroke-width:9}}</style>", "by structure"),
        (f"<path d='{DENSE}' class='a'/><style>.a{{transform:scale(2)}}</style>", "sets geometry"),
        (f"<path d='{DENSE}' transform='scale(x)'/>", "transform"),
        (f"<clipPath id='c' clipPathUnits='objectBoundingBox'><path d='{DENSE}'/></clipPath>"
         "<rect clip-path='url(#c)' width='9' height='9'/>", "bounding box"),
        (f"<path d='{DENSE}L1'/>", "error"),
    ],
)  # fmt: skip
def test_outlines_that_mean_more_are_left_alone(body, reason):
    result = optimize.simplify_document(svg(body))
    (found,) = [text for text in result.report.left if reason in text]
    assert result.report.left[found] >= 1
    assert DENSE in result.svg.decode()


def test_outlines_are_simplified_by_how_large_they_are_drawn():
    plain = optimize.simplify_document(svg(f"<path d='{WAVE}'/>")).report
    assert plain.nodes_after < plain.nodes_before
    assert 0 < plain.error <= optimize.TOLERANCE
    large = svg(f"<path d='{WAVE}' transform='scale(10 .1)'/>", 'viewBox="0 0 1000 100"')
    data = optimize.simplify_document(large).svg.decode()
    small = optimize.simplify_document(svg(f"<path d='{WAVE}' transform='scale(.01)'/>"))
    assert len(small.svg) < len(data)


def test_a_shape_used_large_keeps_what_shows_there():
    """The largest of all uses decides."""
    sine = "".join(f"L{x} {50 + 20 * math.sin(x / 8):.4f}" for x in range(100))
    once = f"<path id='p' d='M0 50{sine}' transform='scale(.1)'/>"
    used = f"{once}<use xlink:href='#p' transform='scale(100)'/>"
    nodes = [optimize.simplify_document(svg(body)).report.nodes_after for body in (once, used)]
    assert nodes[0] < nodes[1]


def test_structure_is_kept_when_asked():
    body = (
        "<g id='layer1' inkscape:groupmode='layer' inkscape:label='Cells'><title>t</title>"
        f"<g><path id='p' d='{DENSE}' style='fill:#ff0000'/></g></g><sodipodi:namedview/>"
    )
    text = done(body, keep_structure=True)
    for kept in ('id="layer1"', 'label="Cells"', "<title>t</title>", 'id="p"', "<g><path"):
        assert kept in text
    assert "namedview" not in text
    assert DENSE not in text


RDF = (
    "<metadata><rdf:RDF><cc:Work rdf:about=''><dc:format>image/svg+xml</dc:format>{}"
    "<dc:title/></cc:Work></rdf:RDF></metadata>"
)


def test_license_and_author_are_kept_word_for_word():
    said = (
        "<cc:license rdf:resource='http://creativecommons.org/licenses/by/4.0/'/>"
        "<dc:creator><cc:Agent><dc:title>Ada  &amp; Co</dc:title></cc:Agent></dc:creator>"
    )
    text = done(RDF.format(said) + f"<path d='{DENSE}'/>")
    assert 'resource="http://creativecommons.org/licenses/by/4.0/"' in text
    assert "Ada  &amp; Co" in text
    assert "image/svg+xml" not in text
    again = optimize.simplify_document(text.encode()).svg.decode()
    assert len(again) == len(text)
    assert "Ada  &amp; Co" in again


def test_metadata_that_say_nothing_go():
    assert "metadata" not in done(RDF.format("") + f"<path d='{DENSE}'/>")


def test_a_known_license_is_written_where_there_is_none():
    about = Credit("https://creativecommons.org/publicdomain/zero/1.0/", "Ada", "", "Wave")
    text = done(f"<path d='{DENSE}'/>", about=about)
    root = tree.parse(text.encode())
    said = {etree.QName(one).localname: one.text for one in root.iter(etree.Element)}
    assert said["Agent"] is None
    assert {"Ada", "Wave"} <= {one.text for one in root.iter(etree.Element)}
    theirs = RDF.format("<dc:rights>Grace</dc:rights>") + f"<path d='{DENSE}'/>"
    assert "Ada" not in done(theirs, about=about)


def test_a_file_that_cannot_gain_comes_back_as_it_was():
    data = b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"><path d="M0 0h9v9z"/></svg>'
    result = optimize.simplify_document(data)
    assert result.svg == data or len(result.svg) < len(data)
    assert result.report.nodes_after == result.report.nodes_before == 3


@pytest.mark.parametrize(
    "body",
    [
        f"<path d='{WAVE}' fill='none' stroke='navy' stroke-width='3'/>",
        f"<path d='{WAVE}' fill='none' stroke='navy' stroke-width='9' stroke-linecap='square'/>",
        f"<g transform='rotate(20) skewX(10)'><path d='{WAVE}' fill='green'/></g>",
        f"<clipPath id='c'><path d='{WAVE}z'/></clipPath>"
        "<rect width='99' height='99' clip-path='url(#c)' fill='red'/>",
        f"<mask id='m'><path d='{WAVE}z' fill='#fff'/></mask>"
        "<rect width='99' height='99' mask='url(#m)' fill='red'/>",
        f"<linearGradient id='g' gradientUnits='userSpaceOnUse' x2='80'><stop stop-color='red'/>"
        f"<stop offset='1' stop-color='blue'/></linearGradient><path d='{WAVE}' fill='url(#g)'/>",
        f"<linearGradient id='g'><stop stop-color='red'/><stop offset='1' stop-color='blue'/>"
        f"</linearGradient><path d='{WAVE}' fill='url(#g)'/>",
        f"<symbol id='s' viewBox='0 0 120 120'><path d='{WAVE}'/></symbol>"
        "<use xlink:href='#s' width='100' height='100'/>",
        f"<svg x='10' y='10' width='50' height='50' viewBox='0 0 100 100'><path d='{WAVE}'/></svg>",
        f"<switch><foreignObject requiredExtensions='x'/><g><path d='{WAVE}' fill='red'/></g>"
        "</switch>",
        "<style>.a{fill:#00f}.b{stroke:red;stroke-width:2px}</style>"
        f"<g class='b'><path class='a' d='{WAVE}'/></g>",
        "<rect x='5.123456' y='5.1' width='30.5' height='20.25' rx='3' stroke='red'/>"
        "<circle cx='70' cy='70' r='12.3456'/><polyline points='1,1 5.0001,9 20,20 33,50'/>",
    ],
)
def test_pictures_are_the_same_by_both_engines(body):
    data = svg(body)
    result = optimize.simplify_document(data)
    assert len(result.svg) < len(data)
    before, after = Pictures(data), Pictures(result.svg)
    for engine in ("cairosvg", "resvg"):
        one, other = before.by(engine), after.by(engine)
        assert one is not None
        assert other is not None
        assert one.min() < 255, "nothing was drawn"
        assert likeness.ssim(one, other) >= 0.999
        assert not likeness.broken(one, other)


@pytest.mark.parametrize("keep_structure", [True, False])
def test_a_document_read_once_is_simplified_at_any_tolerance(keep_structure):
    data = svg(f"<metadata/><g><path d='{WAVE}'/></g><polygon points='1,1 9,9.001 20,20 1,40'/>")
    document = optimize.Document(data, keep_structure)
    for tolerance in (0.002, 0.0001, 0.002):
        alone = optimize.simplify_document(data, tolerance, keep_structure)
        assert document.simplified(tolerance) == alone
    assert (
        document.simplified(0.02).report.nodes_after < document.simplified(1e-5).report.nodes_after
    )


BODIES = st.lists(
    st.sampled_from(
        [
            *("<g>", "</g>", "<path d='M0 0L9 9'/>", "<path d='M0 0NaN'/>", "<use href='#a'/>"),
            *(
                "<path id='a' style='fill:url(#b)' d='M0 0c1 1 2 2 3 3z'/>",
                "<style>a{",
                "}</style>",
            ),
            *("<g transform='rotate('>", "<svg viewBox='0 0 0 0'>", "</svg>", "<defs>", "</defs>"),
            *("<clipPath id='b'>", "</clipPath>", "<rect width='-1' height='nan'/>", "&x;"),
            *("<path d='M1e300 1L-1e300 1e-300'/>", "<switch>", "</switch>", "<text>t</text>"),
        ]
    ),
    max_size=12,
)


@settings(max_examples=150)
@given(BODIES)
def test_whatever_is_in_a_file_it_is_simplified_or_refused(parts):
    data = svg("".join(parts))
    try:
        result = optimize.simplify_document(data)
    except DocumentError:
        return
    tree.parse(result.svg)
    assert len(result.svg) <= len(data)
    assert result.report.nodes_after <= result.report.nodes_before


def real_icons() -> list[Path]:
    root = os.environ.get("BIOICONS_ROOT")
    return sorted(Path(root).rglob("*.svg"))[8::300] if root else []


@pytest.mark.skipif(not os.environ.get("BIOICONS_ROOT"), reason="BIOICONS_ROOT is not set")
def test_real_icons_stay_alike():
    nodes = np.zeros(2)
    for icon in real_icons():
        data = icon.read_bytes()
        try:
            checked = cleaner.simplified(data)
        except DocumentError:
            continue
        report = checked.result.report
        nodes += report.nodes_before, report.nodes_after
        assert report.bytes_after <= report.bytes_before
        assert report.nodes_after <= report.nodes_before
        assert report.error <= report.tolerance * (1 + 1e-6)
        assert min(checked.similarity.values()) >= 0.999
    assert nodes[1] <= 0.85 * nodes[0]
