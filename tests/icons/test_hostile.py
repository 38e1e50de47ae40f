"""Files that were made to harm: nothing is fetched, read, run or waited for."""

import http.server
import threading
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from bioicons_kit.errors import DocumentError
from bioicons_kit.icons import document, raster
from bioicons_kit.icons.picture import Recipe
from bioicons_kit.icons.workers import Painters, Task
from bioicons_kit.svg import cost

SVG = "http://www.w3.org/2000/svg"
# What one file may take, in seconds, on a slow machine: the limits are there to keep it so.
PATIENCE = 20


def svg(body: str, before: str = "") -> bytes:
    return (
        f'{before}<svg xmlns="{SVG}" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'viewBox="0 0 10 10">{body}</svg>'
    ).encode()


def laughs(count: int) -> str:
    entities = "".join(
        f'<!ENTITY e{level} "{f"&e{level - 1};" * 10}">' for level in range(1, count)
    )
    return f'<!DOCTYPE svg [<!ENTITY e0 "ha">{entities}]>'


def nested_uses(levels: int, make: str) -> str:
    """Return groups of ten references to the group before, `make` being one reference."""
    groups = (f'<g id="g{level}">{make.format(level - 1) * 10}</g>' for level in range(1, levels))
    return f'<g id="g0"><rect width="1" height="1"/></g>{"".join(groups)}'


REFUSED = {
    "zero bytes": (b"", "empty"),
    "white space": (b" \n ", "empty"),
    "no XML": (b"\x89PNG\r\n\x1a\n\x00", "not readable as XML"),
    "compressed": (b"\x1f\x8b\x08\x00", "not readable as XML"),
    "another root": (b"<html/>", "root element is <html>"),
    "another namespace": (b'<svg xmlns="urn:x" viewBox="0 0 1 1"/>', "not an SVG"),
    "trailing content": (svg("<rect/>") + b"<svg/>", "not readable as XML"),
    "wrong encoding": (svg("<text>\u00e9</text>").decode().encode("latin-1"), "not readable"),
    "unknown encoding": (svg("", '<?xml version="1.0" encoding="klingon"?>'), "not readable"),
    "50 MB path": (svg(f'<path d="{"M0 0" * 12_500_000}"/>'), "the limit is 16"),
    "12 MB attribute": (svg(f'<path d="{"M0 0" * 3_000_000}"/>'), "not readable as XML"),
    "external entity": (
        svg("<text>&x;</text>", '<!DOCTYPE s [<!ENTITY x SYSTEM "file:///etc/hostname">]>'),
        "not readable as XML",
    ),
    "billion laughs": (svg("<text>&e9;</text>", laughs(10)), "not readable as XML"),
    "laughs in an attribute": (svg('<path d="&e9;"/>', laughs(10)), "not readable as XML"),
    "quadratic blowup": (
        svg("<text>" + "&x;" * 50_000 + "</text>", f'<!DOCTYPE s [<!ENTITY x "{"a" * 50_000}">]>'),
        "not readable as XML",
    ),
    "100,000 deep": (svg("<g>" * 100_000 + "</g>" * 100_000), "not readable as XML"),
    "200 deep": (svg("<g>" * 200 + "</g>" * 200), "nested more than 100 deep"),
    "many elements": (svg("<g/>" * (document.MAX_ELEMENTS + 1)), "more than 50,000 elements"),
    "many rules": (
        svg("<style>" + "*{fill:red}" * 10_000 + "</style>" + "<g/>" * 10_000),
        "style rules are too many",
    ),
    "use bomb": (svg(nested_uses(9, '<use xlink:href="#g{}"/>')), "draws more than"),
    "pattern bomb": (
        svg(
            '<pattern id="p0"><path d="M0 0"/></pattern>'
            + "".join(
                f'<pattern id="p{n}"><g fill="url(#p{n - 1})">{"<rect/>" * 10}</g></pattern>'
                for n in range(1, 9)
            )
        ),
        "draws more than",
    ),
    "pattern bomb in a style sheet": (
        svg(
            "<style>"
            + "".join(f".c{n}{{fill:url(#p{n - 1})}}" for n in range(1, 9))
            + '</style><pattern id="p0"><path d="M0 0"/></pattern>'
            + "".join(
                f'<pattern id="p{n}"><g class="c{n}">{"<rect/>" * 10}</g></pattern>'
                for n in range(1, 9)
            )
        ),
        "draws more than",
    ),
    "marker bomb": (
        svg(
            f'<marker id="m">{"<rect/>" * 1000}</marker>'
            f'<path d="{"L1 1" * 1000}" style="marker-mid:url(#m)"/>'
        ),
        "draws more than",
    ),
    "heavy outline used often": (
        svg(f'<path id="p" d="{"1 " * 50_000}"/>' + '<use href="#p"/>' * 100),
        "coordinates and letters",
    ),
    "long chain of references": (
        svg(
            '<rect id="u0"/>'
            + "".join(f'<use id="u{n}" href="#u{n - 1}"/>' for n in range(1, 5000))
        ),
        "levels of nesting",
    ),
    "endless circle": (svg('<circle r="1e400"/>'), "coordinates beyond"),
    "endless circle in a style": (svg('<circle style="r:2;cx:1E30"/>'), "coordinates beyond"),
    "circle enlarged without end": (
        svg('<g transform="translate(1) scale(1e9)">' * 5 + '<circle r="1"/>' + "</g>" * 5),
        "coordinates beyond",
    ),
    "circle enlarged by small viewBoxes": (
        svg('<svg viewBox="0 0 1e-9 1">' * 3 + '<circle r="1"/>' + "</svg>" * 3),
        "coordinates beyond",
    ),
    "skewed without end": (
        svg('<g transform="skewX(89.9999999)">' * 3 + '<circle r="1"/>' + "</g>" * 3),
        "coordinates beyond",
    ),
    "use of itself": (svg('<g id="a"><use href="#a"/></g>'), "refers to itself"),
    "use in a circle": (
        svg('<g id="a"><use href="#b"/></g><g id="b"><use href="#a"/></g>'),
        "refers to itself",
    ),
    "mask of itself": (
        svg('<mask id="m"><rect style="mask:url(#m)"/></mask>'),
        "refers to itself",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_documents_over_a_limit_are_refused_in_time(name):
    data, reason = REFUSED[name]
    start = time.monotonic()
    with pytest.raises(DocumentError, match=reason) as caught:
        document.sanitize(data, 0.05)
    assert time.monotonic() - start < PATIENCE
    assert "\n" not in str(caught.value)


# Within every limit on what stands in a file, and still more than a process should bear.
HEAVY = {
    "long dashes": svg(
        f'<path d="{"M0 0L9 9L0 9L9 0" * 5000}" fill="none" stroke="red" stroke-dasharray=".001"/>'
    ),
    "wide turbulence": svg(
        '<filter id="f"><feTurbulence baseFrequency=".5" numOctaves="2000000"/></filter>'
        '<rect width="9" height="9" filter="url(#f)"/>'
    ),
    "large morphology": svg(
        '<filter id="f"><feMorphology radius="400"/></filter>' * 1
        + '<rect width="9" height="9" filter="url(#f)"/>' * 50
    ),
    "many circles": svg('<circle cx="5" cy="5" r="4" stroke="#000"/>' * 49_000),
}


def test_a_run_over_hostile_files_completes_within_its_limits(tmp_path):
    contents = {**{name: data for name, (data, _) in REFUSED.items()}, **HEAVY}
    contents["good"] = svg('<rect width="9" height="9"/>')
    paths = [tmp_path / f"{number}.svg" for number in range(len(contents))]
    for path, data in zip(paths, contents.values(), strict=True):
        path.write_bytes(data)
    recipe = Recipe(512, 512, 0.05, "auto")
    problems = {}
    with Painters(2, seconds=4.0, memory=1_000_000_000) as painters:
        tasks = (Task(path, "svg", recipe) for path in paths)
        for name, outcome in zip(contents, painters.paint(tasks), strict=True):
            assert (outcome.picture is None) == (outcome.problem is not None)
            problems[name] = outcome.problem
    assert problems["good"] is None
    for name, (_, reason) in REFUSED.items():
        assert problems[name] is not None, name
        assert reason in problems[name] or "limit is 16" in problems[name], name
    for name in HEAVY:
        assert problems[name] is None or "took longer than 4 s" in problems[name], problems[name]
    assert any("took longer" in (problems[name] or "") for name in HEAVY)


@pytest.fixture
def listener():
    """Return an address that must not be visited, and the list of visits."""
    visits: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            visits.append(self.path)
            self.send_error(404)

        def log_message(self, *arguments):
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", visits
    server.shutdown()
    server.server_close()


REACHING_OUT = {
    "image": ('<image width="9" height="9" xlink:href="{url}"/>', ""),
    "plain href": ('<image width="9" height="9" href="{url}"/>', ""),
    "use": ('<use xlink:href="{url}#a"/>', ""),
    "gradient": ('<linearGradient id="g" xlink:href="{url}#a"/>', ""),
    "filter picture": ('<filter id="f"><feImage href="{url}"/></filter>', ""),
    "text path": ('<text><textPath xlink:href="{url}#a">x</textPath></text>', ""),
    "attribute": ('<rect width="9" height="9" fill="url({url})"/>', ""),
    "style": ('<rect width="9" height="9" style="fill:url({url});mask:url(\'{url}\')"/>', ""),
    "import": ('<style>@import "{url}";@import url({url});</style><rect/>', ""),
    "font": ("<style>@font-face{{font-family:x;src:url({url})}}</style><text>x</text>", ""),
    "escaped": ("<style>rect{{fill:u\\72l({url})}}</style><rect/>", ""),
    "style sheet": ("<rect/>", '<?xml-stylesheet type="text/css" href="{url}"?>'),
    "doctype": ("<rect/>", '<!DOCTYPE svg SYSTEM "{url}">'),
    "parameter entity": ("<rect/>", '<!DOCTYPE svg [<!ENTITY % p SYSTEM "{url}"> %p;]>'),
    "include": ('<x:include xmlns:x="http://www.w3.org/2001/XInclude" href="{url}"/><rect/>', ""),
    "base": ('<g xml:base="{url}/"><image width="9" height="9" href="a.png"/></g>', ""),
    "picture's picture": (
        '<image width="9" height="9" href="data:image/svg+xml,%3Csvg viewBox=\'0 0 1 1\'%3E'
        "%3Cimage href='{url}' width='1' height='1'/%3E%3C/svg%3E\"/>",
        "",
    ),
}


@pytest.mark.parametrize("engine", ["cairosvg", "resvg"])
@pytest.mark.parametrize("name", REACHING_OUT)
def test_nothing_is_fetched(name, engine, listener):
    url, visits = listener
    body, before = REACHING_OUT[name]
    data = svg(body.format(url=url), before.format(url=url))
    try:
        assert url.encode() not in document.sanitize(data, 0).svg
        raster.picture(data, 16, "#ffffff", 0, raster.choose(engine))
    except DocumentError:
        pass
    assert visits == []


def test_files_are_not_read(tmp_path):
    secret = tmp_path / "secret.png"
    Image.new("RGB", (16, 16), "red").save(secret)
    for href in (secret.as_uri(), str(secret), secret.name):
        data = svg(f'<image width="10" height="10" href="{href}"/>')
        found = document.sanitize(data, 0)
        assert any("reference to" in entry for entry in found.removed)
        picture = raster.picture(data, 16, "#ffffff", 0, raster.choose("resvg"))
        assert picture.getcolors() == [(256, (255, 255, 255))]


def test_what_runs_is_removed_and_told():
    found = document.sanitize(
        svg(
            '<script>1</script><rect onclick="x" ONLOAD="y"/><animate/><set/><iframe/>'
            '<foreignObject><rect/></foreignObject><a href="javascript:x"><rect/></a>'
        ),
        0,
    )
    assert found.removed == (
        *("<animate>", "<foreignObject>", "<iframe>", "<script>", "<set>"),
        *("event handler ONLOAD", "event handler onclick"),
    )
    assert b"javascript" not in found.svg


def test_of_very_much_that_was_removed_some_is_told():
    body = "".join(f'<rect on{"a" * 30}{n}="x"/>' for n in range(5000))
    found = document.sanitize(svg(body), 0)
    assert len(found.removed) == document.MAX_TOLD + 1
    assert found.removed[-1] == "and 4,900 more"


def test_a_canvas_of_100000_px_is_drawn_at_the_size_asked_for():
    data = svg('<rect width="10" height="10" fill="red"/>').replace(
        b'viewBox="0 0 10 10"', b'width="100000" height="100000" viewBox="0 0 10 10"'
    )
    for engine in ("cairosvg", "resvg"):
        assert raster.picture(data, 32, "#ffffff", 0, raster.choose(engine)).size == (32, 32)


def test_cost_counts_what_references_draw():
    from lxml import etree

    def count(body: str) -> tuple[int, int]:
        found = cost.check(etree.fromstring(svg(body)))
        return found.elements, found.numbers

    assert count('<rect id="a"/><use xlink:href="#a"/>') == (4, 0)
    assert count('<path d="M1 2.5L3-.5"/><text>abc</text>') == (3, 7)
    gradient = '<linearGradient id="a"><stop/></linearGradient><g fill="url(#a)"><rect/></g>'
    assert count(gradient) == (5, 0)
    pattern = '<pattern id="a"><rect/></pattern><g fill="url(#a)"><rect/><rect/></g>'
    assert count(pattern) == (6 + 3 * 2, 0)
    sheet = "<style>.x{clip-path:url(#a)}</style>"
    assert count(f'{sheet}<clipPath id="a"><rect/></clipPath><g class="y x"/>') == (5 + 2, 0)
    assert count('<rect fill="url(#nothing)"/>') == (2, 0)


BODIES = st.recursive(
    st.sampled_from(
        [
            *("<rect width='5' height='5'/>", "<use href='#a'/>", "<path id='a' d='M0 0h9v9z'/>"),
            *(
                "<image href='data:image/png;base64,AA'/>",
                "<text>&amp;t</text>",
                "<style>a{",
                "&x;",
            ),
            *(
                "<rect fill='url(#b)' width='-1e9' height='nan'/>",
                "<g transform='rotate('/>",
                "\x00",
            ),
            *(
                "<style>*{fill:url(#b);opacity:x}</style>",
                "<circle r='1e400'/>",
                "<![CDATA[",
                "-->",
            ),
            *("<rect width='1' height='1' stroke-dasharray='x'/>", "<svg viewBox='0 0 0 0'/>"),
        ]
    ),
    lambda inner: st.tuples(
        st.sampled_from(["g", "defs", "switch", "pattern id='b'", "mask", "text", "a", "clipPath"]),
        st.lists(inner, max_size=4),
    ).map(lambda pair: f"<{pair[0]}>{''.join(pair[1])}</{pair[0].split()[0]}>"),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(BODIES, st.sampled_from(["cairosvg", "resvg"]))
def test_whatever_is_in_a_file_it_is_drawn_or_refused(body, engine):
    try:
        picture = raster.picture(svg(body), 16, "#ffffff", 0.05, raster.choose(engine))
    except DocumentError:
        return
    assert picture.size == (16, 16)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200), st.integers(0, 100), st.integers(0, 100))
def test_damaged_bytes_are_read_or_refused(noise, start, length):
    whole = svg('<g style="fill:red"><rect width="5" height="5"/></g>', '<?xml version="1.0"?>')
    for data in (noise, whole[:start] + noise + whole[start + length :]):
        try:
            found = document.sanitize(data, 0.05)
        except DocumentError:
            continue
        assert found.width > 0
