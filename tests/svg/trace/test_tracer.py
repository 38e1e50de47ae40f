import io

import cairosvg
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree
from PIL import Image
from scipy import ndimage

from bioicons_kit.icons import library, raster
from bioicons_kit.svg import path as path_module
from bioicons_kit.svg import tree
from bioicons_kit.svg.trace import color, drawing, tracer
from bioicons_kit.svg.trace.paints import Flat, Linear
from bioicons_kit.svg.trace.recognize import Ellipse, Rectangle
from bioicons_kit.svg.trace.settings import Settings

SIDE = 256


def rendered(traced, background="#ffffff", side=SIDE):
    svg = drawing.document(traced, "x")
    png = cairosvg.svg2png(
        bytestring=svg, output_width=side, output_height=side, background_color=background
    )
    return np.array(Image.open(io.BytesIO(png)).convert("RGB"))


def colors_of(traced):
    return {color.hex_color(e.paint.color) for e in traced.layers if isinstance(e.paint, Flat)}


def shapes_of(traced):
    return [shape for layer in traced.layers for shape in layer.shapes]


def test_a_circle_is_a_circle_where_it_was(drawn):
    traced = tracer.trace(drawn(lambda pen, at: pen.ellipse(at(60, 80, 160, 180), fill="#2060d0")))
    (circle,) = shapes_of(traced)
    assert isinstance(circle, Ellipse)
    assert circle.is_circle
    np.testing.assert_allclose([circle.x, circle.y, circle.rx], [110, 130, 50], atol=0.15)
    assert b"<circle" in drawing.document(traced, "x")


def test_an_ellipse_and_a_rectangle_are_recognized(drawn):
    def paint(pen, at):
        pen.ellipse(at(20, 30, 140, 90), fill="#2060d0")
        pen.rectangle(at(150, 140, 230, 190), fill="#c02020")

    found = {type(shape): shape for shape in shapes_of(tracer.trace(drawn(paint)))}
    oval, box = found[Ellipse], found[Rectangle]
    np.testing.assert_allclose([oval.x, oval.y, oval.rx, oval.ry], [80, 60, 60, 30], atol=0.2)
    np.testing.assert_allclose(box, [150, 140, 80, 50], atol=0.3)


def test_the_background_goes_and_the_same_color_inside_stays(drawn):
    def paint(pen, at):
        pen.rectangle(at(40, 40, 216, 216), fill="#2e9e3e")
        pen.ellipse(at(90, 90, 170, 170), fill="#ffffff")

    traced = tracer.trace(drawn(paint))
    on_black = rendered(traced, background="#000000")
    assert on_black[5, 5].tolist() == [0, 0, 0]
    assert on_black[128, 128].tolist() == [255, 255, 255]
    kept = rendered(tracer.trace(drawn(paint), Settings(background="keep")), "#000000")
    assert kept[5, 5].tolist() == [255, 255, 255]


def test_neighbors_leave_no_seam(drawn):
    def paint(pen, at):
        pen.polygon([(x * 8, y * 8) for x, y in ((30, 30), (226, 60), (120, 226))], fill="#dc2828")
        pen.polygon([(x * 8, y * 8) for x, y in ((60, 50), (226, 60), (120, 226))], fill="#dc28dc")
        pen.ellipse(at(110, 80, 160, 130), fill="#dcdc28")

    pixels = drawn(paint)
    on_black = rendered(tracer.trace(pixels), background="#000000").astype(int)
    inside = ndimage.binary_erosion((pixels < 250).any(axis=2), iterations=4)
    # all have as much red; black showing through between two of them would have less
    assert on_black[inside][:, 0].min() > 210


def test_layers_reach_under_those_above_so_that_holes_need_no_outline(drawn):
    def paint(pen, at):
        pen.ellipse(at(30, 30, 226, 226), fill="#343434")
        pen.ellipse(at(36, 36, 220, 220), fill="#f8d0b8")

    traced = tracer.trace(drawn(paint))
    assert len(shapes_of(traced)) == 2  # two full disks, no ring
    assert not any(len(layer.path.kinds) for layer in traced.layers)


def test_a_ring_around_nothing_keeps_its_hole(drawn):
    pixels = drawn(lambda pen, at: pen.ellipse(at(30, 30, 226, 226), outline="#343434", width=160))
    traced = tracer.trace(pixels, Settings(background="auto"))
    on_red = rendered(traced, background="#ff0000")
    assert on_red[128, 128].tolist() == [255, 255, 255]  # white inside is part of the drawing
    ring = drawn(
        lambda pen, at: (
            pen.ellipse(at(30, 30, 226, 226), outline="#343434", width=160),
            pen.rectangle(at(120, 0, 136, 128), fill="#ffffff"),
        )
    )
    opened = rendered(tracer.trace(ring), background="#ff0000")
    assert opened[128, 128].tolist() == [255, 0, 0]  # now the flood reaches it


def test_gradients_are_gradients():
    x = np.arange(SIDE)[None, :].repeat(SIDE, axis=0)
    pixels = np.full((SIDE, SIDE, 3), 255, dtype=np.uint8)
    box = (slice(40, 216), slice(30, 226))
    t = (x[box] - 30) / 196
    shade = np.stack([250 - 200 * t, 40 + 100 * t, 60 + 150 * t], axis=2)
    pixels[box] = np.rint(shade).astype(np.uint8)
    traced = tracer.trace(pixels)
    assert any(isinstance(layer.paint, Linear) for layer in traced.layers)
    assert b"<linearGradient" in drawing.document(traced, "x")
    assert np.abs(rendered(traced).astype(int) - pixels)[45:210, 35:220].mean() < 3


def test_specks_are_dropped_and_thin_lines_are_not(drawn):
    def paint(pen, at):
        pen.rectangle(at(20, 20, 236, 236), fill="#a8d0f0")
        pen.rectangle(at(60, 60, 61, 61), fill="#c02020")  # one pixel
        pen.line(at(40, 200, 220, 180), fill="#343434", width=12)  # a pixel and a half

    traced = tracer.trace(drawn(paint))
    back = rendered(traced).astype(int)
    assert np.abs(back[60, 60] - [0xA8, 0xD0, 0xF0]).max() < 12
    assert back[185:196, 130].min() < 140


def test_the_number_of_colors_is_found_or_limited(drawn):
    hues = ("#e02020", "#f5dc2a", "#2e9e3e", "#2060d0", "#8030a0")

    def paint(pen, at):
        for index, hue in enumerate(hues):
            pen.rectangle(at(20 + 44 * index, 60, 56 + 44 * index, 200), fill=hue)

    assert colors_of(tracer.trace(drawn(paint))) == set(hues)
    few = tracer.trace(drawn(paint), Settings(colors=3, background="keep"))
    assert len(few.layers) <= 3


def test_noise_soft_edges_and_drift_change_little(drawn):
    def paint(pen, at):
        pen.ellipse(at(30, 30, 226, 226), fill="#cda6be")
        pen.polygon([(x * 8, y * 8) for x, y in ((70, 80), (190, 90), (120, 190))], fill="#4060a0")

    clean = drawn(paint)
    random = np.random.default_rng(1)
    soft = ndimage.gaussian_filter(clean.astype(float), (1, 1, 0))
    drift = np.linspace(-2, 2, SIDE)[None, :, None]
    noisy = np.clip(soft + drift + random.normal(0, 1.5, soft.shape), 0, 255).astype(np.uint8)
    one, other = tracer.trace(clean), tracer.trace(noisy)
    assert len(other.layers) == len(one.layers)
    assert other.nodes <= 3 * one.nodes
    assert np.abs(rendered(other).astype(int) - clean).mean() < 3


def test_more_detail_takes_more_nodes_and_is_nearer():
    icon = library.scan("shipped").icons[20]
    drawing_ = raster.picture(
        icon.path.read_bytes(), 512, "#ffffff", 0.05, raster.choose("cairosvg")
    )
    pixels = np.array(drawing_)
    coarse, fine = (tracer.trace(pixels, Settings(detail=detail)) for detail in (0.0, 1.0))
    assert coarse.nodes < fine.nodes
    off = [np.abs(rendered(t, side=512).astype(int) - pixels).mean() for t in (coarse, fine)]
    assert off[1] < off[0]


@pytest.mark.parametrize("number", range(0, 54, 9))
def test_our_own_icons_come_back_as_they_were(number):
    icon = library.scan("shipped").icons[number]
    pixels = np.array(
        raster.picture(icon.path.read_bytes(), 512, "#ffffff", 0.05, raster.choose("cairosvg"))
    )
    traced = tracer.trace(pixels)
    assert len(traced.layers) <= 14
    assert traced.nodes < 1000
    assert np.abs(rendered(traced, side=512).astype(int) - pixels).mean() < 1.0


def test_the_file_is_plain_svg_with_colors_as_classes(drawn):
    pixels = drawn(lambda pen, at: pen.ellipse(at(60, 80, 160, 180), fill="#2060d0"))
    svg = drawing.document(tracer.trace(pixels), "a\x07 <b>", "said & done")
    root = tree.parse(svg)
    assert root.get("viewBox") == f"0 0 {SIDE} {SIDE}"
    assert [element.text for element in root[:2]] == ["a <b>", "said & done"]
    assert b".blue{fill:#2060d0}" in svg
    assert root[-1].get("class") == "blue"
    assert root[-1].get("fill") == "#2060d0"  # for programs without style sheets
    assert etree.QName(root[-1]).localname == "circle"


@given(st.data())
@settings(deadline=None, max_examples=25)
def test_whatever_the_picture_the_outcome_is_a_readable_svg_of_its_size(data):
    height, width = data.draw(st.integers(16, 40)), data.draw(st.integers(16, 40))
    levels = data.draw(st.sampled_from([2, 4, 256]))
    cell = data.draw(st.sampled_from([1, 4, 8]))
    random = np.random.default_rng(data.draw(st.integers(0, 10**6)))
    coarse = random.integers(0, levels, (height // cell + 1, width // cell + 1, 3))
    pixels = (coarse * (255 // (levels - 1))).repeat(cell, 0).repeat(cell, 1)[:height, :width]
    traced = tracer.trace(pixels.astype(np.uint8))
    root = tree.parse(drawing.document(traced, "x"))
    assert root.get("viewBox") == f"0 0 {width} {height}"
    for element in root.iter("{*}path"):
        parsed = path_module.parse(element.get("d"))
        assert parsed.error is None
        assert np.isfinite(parsed.points).all()
        assert -2 <= parsed.points[:, [0, 3]].min() <= parsed.points[:, [0, 3]].max() <= 42
