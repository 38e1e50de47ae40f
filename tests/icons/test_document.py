import base64
import io

import numpy as np
import pytest
from lxml import etree
from PIL import Image

from bioicons_kit.errors import DocumentError
from bioicons_kit.icons import document, raster

SVG = "http://www.w3.org/2000/svg"
XLINK = "http://www.w3.org/1999/xlink"


def svg(body: str = "", attributes: str = 'viewBox="0 0 10 10"', before: str = "") -> bytes:
    return f'{before}<svg xmlns="{SVG}" xmlns:xlink="{XLINK}" {attributes}>{body}</svg>'.encode()


def clean(body: str) -> str:
    """Return what stands inside the frame once `body` is sanitized."""
    canvas = etree.fromstring(document.sanitize(svg(body), 0).svg)
    return "".join(
        etree.tostring(child, method="c14n", exclusive=True)
        .decode()
        .replace(f' xmlns="{SVG}"', "")
        .replace(f' xmlns:xlink="{XLINK}"', "")
        for child in canvas[0]
    )


def png(color: str, size: tuple[int, int] = (4, 4), kind: str = "PNG") -> str:
    file = io.BytesIO()
    Image.new("RGB", size, color).save(file, kind)
    return base64.b64encode(file.getvalue()).decode()


@pytest.fixture(params=["cairosvg", "resvg"])
def draw(request):
    """Return a function that draws an SVG, [size, size, 3], with each of the renderers."""
    try:
        renderer = raster.choose(request.param)
    except Exception:
        pytest.skip(f"{request.param} does not work here")

    def drawn(data: bytes, size: int = 100, margin: float = 0.0) -> np.ndarray:
        return np.asarray(raster.picture(data, size, "#ffffff", margin, renderer))

    return drawn


RED, BLUE, WHITE = [255, 0, 0], [0, 0, 255], [255, 255, 255]


# The frame


@pytest.mark.parametrize(
    ("attributes", "size"),
    [
        ('viewBox="0 0 10 20"', (10, 20)),
        ('viewBox="0,0 , 10 20"', (10, 20)),
        ('width="30" height="40px"', (30, 40)),
        ('width="1in" height="2.54cm"', (96, 96)),
        ('width="25.4mm" height="72pt"', (96, 96)),
        ('width="6pc" height="6em"', (96, 96)),
        ('width="100%" height="100%" viewBox="0 0 10 20"', (10, 20)),
        ('width="100" viewBox="0 0 10 20"', (100, 200)),
        ('height="100" viewBox="0 0 10 20"', (50, 100)),
        ('width="100" height="50" viewBox="0 0 10 20"', (100, 50)),
        ('width="8" height="9" viewBox="0 0 10"', (8, 9)),
        ('width="-8" height="9" viewBox="0 0 1 1"', (9, 9)),
    ],
)
def test_size_is_what_a_browser_would_show(attributes, size):
    found = document.sanitize(svg("<rect/>", attributes), 0.1)
    assert (found.width, found.height) == pytest.approx(size)


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        ("", "neither a viewBox nor a size, and nothing drawn"),
        ('width="100%" height="100%"', "neither a viewBox nor"),
        ('width="10" height="1potato"', "neither a viewBox nor"),
        ('width="0" height="10"', "zero"),
        ('viewBox="0 0 0 10"', "zero"),
        ('viewBox="0 0 10 -1"', "zero"),
        ('viewBox="0 0 1e400 10"', "out of reach"),
        ('viewBox="0 0 1e-300 1e300"', "out of reach"),
        ('viewBox="1e300 0 10 10"', "out of reach"),
        ('width="1e400" height="1"', "out of reach"),
    ],
)
def test_roots_without_a_usable_size_are_refused(attributes, reason):
    with pytest.raises(DocumentError, match=reason):
        document.sanitize(svg("<rect/>", attributes), 0)


@pytest.mark.parametrize("attributes", ["", 'width="100%" height="100%"', 'width="8"', 'x="1"'])
def test_drawing_without_a_size_is_shown_whole(draw, attributes):
    far = svg(
        '<g transform="translate(500 -300)"><rect width="20" height="10" fill="red"/></g>'
        '<rect x="510" y="-290" width="20" height="30" fill="blue"/>',
        attributes,
    )
    found = document.sanitize(far, 0.1)
    assert (found.width, found.height) == pytest.approx((30, 40))
    picture = draw(far, size=100, margin=0.1)
    rows, columns = np.nonzero((picture != WHITE).any(axis=2))
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (10, 89, 20, 79)
    assert picture[15, 25].tolist() == RED
    assert picture[85, 75].tolist() == BLUE


def test_a_line_without_a_size_is_given_room(draw):
    picture = draw(svg('<path d="M0 5H10" stroke="red" stroke-width=".004"/>', ""), size=100)
    assert document.sanitize(svg('<path d="M0 5H10"/>', ""), 0).width == 10
    assert picture.shape == (100, 100, 3)


def test_bombs_are_refused_before_their_bounds_are_followed():
    groups = "".join(
        f'<g id="g{n}">{f"<use href=&quot;#g{n - 1}&quot;/>".replace("&quot;", chr(34)) * 10}</g>'
        for n in range(1, 9)
    )
    with pytest.raises(DocumentError, match="draws more than"):
        document.sanitize(svg(f'<g id="g0"><rect width="1" height="1"/></g>{groups}', ""), 0)


def test_drawing_stands_in_the_middle_with_the_margin_free(draw):
    tall = svg('<rect width="10" height="20" fill="red"/>', 'viewBox="0 0 10 20"')
    picture = draw(tall, size=100, margin=0.1)
    rows, columns = np.nonzero((picture != WHITE).any(axis=2))
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (10, 89, 30, 69)


def test_nothing_outside_the_viewport_shows(draw):
    wide = svg(
        '<rect x="-50" y="-50" width="200" height="200" fill="red"/>',
        'viewBox="5 5 20 10" overflow="visible" style="overflow:visible"',
    )
    picture = draw(wide, size=100)
    assert picture[50, 2].tolist() == picture[50, 97].tolist() == RED
    assert picture[22, 50].tolist() == picture[77, 50].tolist() == WHITE


def test_viewport_wider_than_the_viewbox_shows_what_is_beside_it(draw):
    beside = svg(
        '<rect x="-5" width="20" height="10" fill="red"/>',
        'width="20" height="10" viewBox="0 0 10 10"',
    )
    picture = draw(beside, size=100)
    assert picture[50, 3].tolist() == picture[50, 96].tolist() == RED


def test_preserve_aspect_ratio_none_stretches(draw):
    stretched = svg(
        '<rect width="10" height="10" fill="red"/>',
        'width="20" height="10" viewBox="0 0 10 10" preserveAspectRatio="none"',
    )
    assert draw(stretched, size=100)[50, 2].tolist() == RED


def test_output_is_the_same_bytes_each_time_and_sanitizing_twice_draws_the_same(draw):
    data = svg('<g fill="red"><circle cx="5" cy="5" r="3"/></g>')
    once = document.sanitize(data, 0)
    assert document.sanitize(data, 0) == once
    again = document.sanitize(once.svg, 0)
    assert again.removed == ()
    assert np.array_equal(draw(data), draw(once.svg))


# What is drawn stays


def test_drawing_elements_attributes_and_text_are_kept():
    body = (
        '<defs><linearGradient id="g"><stop offset="0"></stop></linearGradient></defs>'
        '<clipPath id="c"></clipPath>'
        '<path clip-path="url(#c)" d="M0 0L1 1" style="fill:url(#g)"></path>'
        '<use xlink:href="#x"></use>'
        '<text x="1" xml:space="preserve"> a <tspan>b</tspan> c </text>'
    )
    assert clean(body) == body


def test_plain_href_becomes_xlink_and_wins_over_it():
    assert clean('<use href="#a" xlink:href="#b"/>') == '<use xlink:href="#a"></use>'


def test_foreign_namespaces_comments_and_metadata_go_without_a_word():
    body = (
        "<!-- x --><metadata><a/></metadata><title>t</title><desc>d</desc><?pi x?>"
        '<q:w xmlns:q="urn:q"><rect/></q:w><rect xmlns:q="urn:q" q:a="1" data-x="2" width="1"/>'
    )
    found = document.sanitize(svg(body), 0)
    assert found.removed == ()
    assert clean(body) == '<rect width="1"></rect>'


def test_svg_without_a_namespace_is_read_as_svg():
    found = document.sanitize(b'<svg viewBox="0 0 1 1"><rect width="1"/></svg>', 0)
    assert b'<rect width="1"></rect>' in found.svg


def test_switch_draws_the_fallback_of_foreign_objects():
    illustrator = (
        '<switch><foreignObject requiredExtensions="http://ns.adobe.com/x"/>'
        '<g id="art"><rect/></g><g id="second"/></switch>'
    )
    assert clean(illustrator) == '<g><g id="art"><rect></rect></g></g>'
    drawio = (
        '<switch><foreignObject requiredFeatures="x"><div xmlns="urn:html">a</div></foreignObject>'
        "<text>a</text></switch>"
    )
    assert clean(drawio) == "<g><text>a</text></g>"
    languages = (
        '<switch><g systemLanguage="fr"/><g systemLanguage="de, en-US"/><g id="x"/></switch>'
    )
    assert clean(languages) == "<g><g></g></g>"


def test_text_around_what_is_removed_and_in_links_survives():
    body = '<text>a<script>x</script>b<a xlink:href="http://x">c</a>d<tspan>e</tspan>f</text>'
    assert clean(body) == "<text>ab<tspan>c</tspan>d<tspan>e</tspan>f</text>"
    assert clean('<a href="http://x"><rect/></a>') == "<g><rect></rect></g>"


def test_style_sheets_survive_in_cdata_and_apply(draw):
    sheet = '<style type="text/css"><![CDATA[.a{fill:#f00}]]></style>'
    body = f'{sheet}<rect class="a" width="10" height="10"/>'
    assert draw(svg(body))[50, 50].tolist() == RED


def test_internal_entities_are_resolved(draw):
    doctype = f'<!DOCTYPE svg [<!ENTITY red "fill:#f00"><!ENTITY ns "{SVG}">]>'
    root = '<svg xmlns="&ns;" viewBox="0 0 1 1">'
    data = f'{doctype}{root}<rect width="1" height="1" style="&red;"/></svg>'
    found = document.sanitize(data.encode(), 0)
    assert b"DOCTYPE" not in found.svg
    assert draw(data.encode())[50, 50].tolist() == RED


@pytest.mark.parametrize("encoding", ["utf-8", "iso-8859-1", "utf-16"])
def test_declared_encodings_are_read(encoding):
    data = svg("<text>é</text>", before=f'<?xml version="1.0" encoding="{encoding}"?>')
    found = document.sanitize(data.decode().encode(encoding), 0)
    assert "<text>é</text>" in found.svg.decode("utf-8")


def test_references_that_browsers_follow_are_followed(draw):
    gradient = '<linearGradient id="{}"><stop stop-color="#f00"/></linearGradient>'
    for identifier, reference in (("a b", "#a b"), ("a b", "#a%20b"), ("é", "#%C3%A9")):
        body = (
            gradient.format(identifier)
            + f'<linearGradient id="g" xlink:href="{reference}"/>'
            + '<rect width="10" height="10" fill="url(#g)"/>'
        )
        assert draw(svg(body))[50, 50].tolist() == RED


def test_transform_in_a_style_becomes_the_attribute_and_wins(draw):
    body = '<rect width="5" height="10" fill="red" transform="scale(0)" style="{}"/>'
    assert draw(svg(body.format("transform:translate(5px,0)")))[50, 75].tolist() == RED
    assert 'transform="translate(5 0)"' in clean(body.format("transform:translate(5px,0px)"))
    assert "scale(0)" in clean(body.format("transform:translate(5em)"))


def test_groups_in_a_clip_path_do_not_clip():
    body = '<clipPath id="c"><g><rect></rect></g><path d="M0 0"></path></clipPath>'
    assert clean(body) == '<clipPath id="c"><path d="M0 0"></path></clipPath>'


def test_missing_filters_masks_and_clips_are_as_none(draw):
    body = '<rect width="10" height="10" fill="red" filter="url(#f)" style="clip-path:url(#c)"/>'
    assert draw(svg(body))[50, 50].tolist() == RED


# Pictures inside


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP"])
def test_embedded_pictures_are_drawn(draw, kind):
    href = f"data:image/{kind.lower()};base64,{png('red', (8, 8), kind)}"
    found = draw(svg(f'<image width="10" height="10" xlink:href="{href}"/>'))[50, 50]
    assert np.abs(found.astype(int) - RED).max() <= 4  # JPEG and WebP are lossy


def test_embedded_picture_is_announced_as_what_it_is():
    data = png("red")
    broken_up = f"{data[:10]}&#10; {data[10:].rstrip('=')}"
    kept = clean(f'<image href="data:image/jpeg;charset=x;base64,{broken_up}"/>')
    assert kept == f'<image xlink:href="data:image/png;base64,{data}"></image>'


@pytest.mark.parametrize(
    ("href", "reason"),
    [
        ("data:image/png;base64,AAAA", "cannot be decoded"),
        ("data:image/png;base64,!!", "damaged base64"),
        ("data:image/tiff;base64,AAAA", "a kind that is not drawn"),
        ("data:text/html,<b>", "a kind that is not drawn"),
        ("data:image/png", "a kind that is not drawn"),
        (f"data:image/png;base64,{png('red', (40, 40))[:-40]}", "cannot be decoded"),
        (f"data:image/png;base64,{png('red', (8000, 4001))}", "8000 x 4001 pixels are too many"),
        ("data:image/svg+xml;base64,AAAA", "not readable as XML"),
        ("data:image/svg+xml,%3Csvg/%3E", "neither a viewBox"),
        ("data:image/svg+xml,%3Csvg viewBox='0 0 1 1'%3E%3Cstyle/%3E%3C/svg%3E", "style sheet"),
    ],
)
def test_unusable_pictures_are_removed_and_told(href, reason):
    body = f'<image href="{href.replace("<", "&lt;")}"/><rect/>'
    assert clean(body) == "<rect></rect>"
    assert any(reason in entry for entry in document.sanitize(svg(body), 0).removed)


def test_pictures_of_a_document_share_one_budget(monkeypatch):
    body = "".join(
        f'<image href="data:image/png;base64,{png("red", (3999, 4000))}"/>' for _ in range(3)
    )
    assert clean(body).count("<image") == 2


def test_svg_inside_an_svg_is_drawn_under_ids_of_its_own(draw):
    inner = svg(
        '<linearGradient id="g"><stop stop-color="#00f"/></linearGradient>'
        '<rect width="10" height="10" fill="url(#g)" onclick="x()"/>'
    )
    href = f"data:image/svg+xml;base64,{base64.b64encode(inner).decode()}"
    outer = svg(
        '<linearGradient id="g"><stop stop-color="#f00"/></linearGradient>'
        '<rect width="10" height="10" fill="url(#g)"/>'
        f'<image x="5" y="0" width="5" height="10" preserveAspectRatio="none" href="{href}"/>'
    )
    assert document.sanitize(outer, 0).removed == ("event handler onclick",)
    picture = draw(outer)
    assert picture[50, 25].tolist() == RED
    assert picture[10, 75].tolist() == BLUE
