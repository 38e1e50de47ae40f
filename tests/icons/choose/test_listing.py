import pytest
from hypothesis import given
from hypothesis import strategies as st

from bioicons_kit.icons import library, select
from bioicons_kit.icons.choose import listing
from bioicons_kit.preset import Bucket, Dataset


def columns(line: str) -> int:
    return listing._width(line)


def test_counts_leave_out_what_repeats():
    icons = library.scan("shipped").icons
    lines = listing.counts_table(icons, ("license", "category"), None).splitlines()
    assert lines[0] == "license    category          icons"
    assert lines[1].startswith("CC-BY-4.0  Animals")
    assert lines[2].startswith("           Cell types")
    assert sum(int(line.split()[-1]) for line in lines[1:]) == len(icons)
    assert sum(count for _, count in listing.counts(icons, listing.FIELDS)) == len(icons)


CELL = st.text(st.sampled_from("abc é漢\u0301"), max_size=30)


@given(
    st.lists(st.tuples(CELL, CELL, st.integers(0, 99).map(str)), min_size=1), st.integers(30, 80)
)
def test_tables_fit_into_the_terminal(lines, width):
    drawn = listing.table(("one", "two", "number"), lines, width).splitlines()
    assert len(drawn) == len(lines) + 1
    assert all(columns(line) <= width for line in drawn)
    wide = listing.table(("one", "two", "number"), lines, None)
    assert all(line[0].strip() in wide for line in lines)


@pytest.mark.parametrize(("text", "width"), [("abc", 3), ("漢字", 4), ("e\u0301", 1)])
def test_width_is_that_of_the_terminal(text, width):
    assert columns(text) == width


def test_buckets_say_what_an_epoch_shows():
    chosen = Dataset(
        root="shipped",
        caption="{name}",
        buckets=(
            Bucket(category="Animals", repeats=3),
            Bucket(category="Microbiology", role="validation"),
        ),
        held_out={"share": 0.2},
    )
    rows = select.rows(library.scan("shipped"), chosen)
    first, second = listing.buckets(rows, chosen)
    assert first["held_out"] > 0
    assert first["epoch"] == 3 * (first["icons"] - first["held_out"])
    assert sum(first["licenses"].values()) == sum(first["authors"].values()) == first["icons"]
    assert (second["epoch"], second["held_out"], second["role"]) == (0, 0, "validation")
    table = listing.buckets_table(rows, chosen, None)
    assert "validation" in table
    assert f"{first['epoch']}" in table


def test_copies_are_counted():
    skipped = (library.Skipped("a", "x"), library.Skipped("b", "y", "a"))
    assert listing.skipped_summary(skipped) == "2 files, 1 of them copies"
    assert listing.skipped_summary(skipped[:1]) == "1 file"
    assert listing.skipped_lines(skipped) == "a\n    x\nb\n    y"
