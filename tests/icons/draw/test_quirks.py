import pytest

from bioicons_kit.icons.draw import quirks


def of(body: str) -> str | None:
    return quirks.of(f'<svg xmlns="http://www.w3.org/2000/svg">{body}</svg>'.encode())


@pytest.mark.parametrize(
    "body",
    [
        "<text>x</text>",
        "<pattern/>",
        "<mask/>",
        '<path filter="url(#f)"/>',
        '<path style="mask:url(#m)"/>',
        '<path marker-end="url(#m)"/>',
        '<path style="paint-order:stroke"/>',
        '<path style="paint-order:stroke fill markers"/>',
        '<path style="paint-order:markers fill"/>',
        '<use href="#a"/>',
        '<clipPath clip-path="url(#a)"/>',
        '<path d="M0 0L9 9X5 5"/>',
        '<path d="9 9"/>',
        "<style>.a{mix-blend-mode:multiply}</style>",
        "<style>.a{opacity:.5}</style>",
        '<path opacity=".5"/>',
        '<path clip-rule="evenodd"/>',
        '<clipPath clipPathUnits="objectBoundingBox"/>',
        '<path fill="hsl(120, 50%, 50%)"/>',
        '<path fill="#11223344"/>',
        '<path style="stroke:rgb(1 2 3 / 50%)"/>',
        '<path vector-effect="non-scaling-stroke"/>',
        '<radialGradient fr=".2"/>',
        '<path style="transform-origin:5px 5px"/>',
    ],
)
def test_what_cairosvg_draws_wrong_is_noticed(body):
    assert of(body)


@pytest.mark.parametrize(
    "body",
    [
        '<path d="m0-.5e-3L1,2 3 4zA1 1 0 011 1" clip-path="url(#a)"/>',
        '<path d="M0 0" fill="#123" stroke="#112233" opacity="1" clip-rule="nonzero"/>',
        '<g opacity=".5"><path fill="url(#a)" clip-path="url(#b)"/></g>',
        '<path style="paint-order:normal;mix-blend-mode:normal;filter:none;mask:none"/>',
        '<path style="paint-order:fill markers stroke"/>',
        '<path fill="rgb(1, 2, 3)" stroke="rgba(1, 2, 3, .5)" color="currentColor"/>',
        '<linearGradient id="a"><stop stop-color="red" stop-opacity=".5"/></linearGradient>',
        "<style>.a{fill:red;opacity:1}</style>",
    ],
)
def test_what_it_draws_well_is_left_to_it(body):
    assert of(body) is None
