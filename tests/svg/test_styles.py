import pytest
from hypothesis import given
from hypothesis import strategies as st

from bioicons_kit.svg import styles


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("fill:red;stroke:url(#g)", "fill:red;stroke:url(#g)"),
        ("FILL : Red ; ", "fill:Red"),
        ("fill:url('#a b');stroke:url(\"#g\")", "fill:url('#a b');stroke:url(\"#g\")"),
        ("fill:url(http://x/y)", ""),
        ("fill:URL( //x )", ""),
        ("fill:u\\72l(http://x)", ""),
        ("fill:u/**/rl(http://x)", "fill:u rl(http://x)"),
        ("fill:red;/*;fill:blue*/stroke:red", "fill:red;stroke:red"),
        ("background:image-set('http://x' 1x)", ""),
        ("width:expression(alert(1))", ""),
        ("font-family:'a;b:c';fill:red", "font-family:'a;b:c';fill:red"),
        ("mask:url(#a) url(http://x)", ""),
        ("fill:light-dark(#fff, rgb(1,2,3))", "fill:#fff"),
        ("fill:light-dark(rgb(1, 2, 3), black)", "fill:rgb(1, 2, 3)"),
        ("font-size:1e30px;stroke-width:9999999999;fill:#1e3333", "fill:#1e3333"),
        ("clip-path:url(#SVGID_00000145033840)", "clip-path:url(#SVGID_00000145033840)"),
        ("fill", ""),
        ("", ""),
    ],
)
def test_declarations_that_load_are_dropped(text, kept):
    assert styles.clean_declarations(text).text == kept


def test_what_was_dropped_is_named():
    assert styles.clean_declarations("fill:url(http://x)").removed == ("CSS fill: url(http://x)",)


@pytest.mark.parametrize(
    ("sheet", "kept"),
    [
        (".a{fill:red}.b , g > c{stroke:blue;}", ".a{fill:red}\n.b , g > c{stroke:blue}"),
        ('@import "http://x";.a{fill:red}', ".a{fill:red}"),
        ("@import url(http://x);.a{fill:red}", ".a{fill:red}"),
        ("@font-face{src:url(http://x)} .a{fill:red}", ".a{fill:red}"),
        ("@media print{.a{fill:blue}.b{fill:red}}.a{fill:red}", ".a{fill:red}"),
        ("<!-- .a{fill:red} -->", ".a{fill:red}"),
        (".a{fill:url(http://x);stroke:red}.b{fill:url(x)}", ".a{stroke:red}"),
        (".a{fill:red", ".a{fill:red}"),
        (".a{content:'}';fill:red}.b{fill:blue}", ".a{content:'}';fill:red}\n.b{fill:blue}"),
        (".a{transform:scale(1e300);r:1e300;fill:red}", ".a{fill:red}"),
        ("}}{", ""),
    ],
)
def test_style_sheets_keep_their_plain_rules(sheet, kept):
    assert styles.clean_sheet(sheet).text == kept


def test_geometry_in_a_style_sheet_is_left_out_and_told():
    cleaned = styles.clean_sheet(".a{r:2;fill:red}.b{transform:scale(2)}")
    assert cleaned.text == ".a{fill:red}"
    assert cleaned.removed == ("CSS r in a style sheet", "CSS transform in a style sheet")


@given(st.text(alphabet="ab:;{}()'\"@/*\\ url#,<!->.", max_size=60))
def test_cleaned_css_is_clean(text):
    cleaned = styles.clean_sheet(text).text
    assert styles.clean_sheet(cleaned).text == cleaned
    for rule in styles.rules(cleaned):
        assert all(styles.is_local(value) for _, value in styles.declarations(rule.declarations))


def test_references_are_found_and_renamed():
    assert styles.references("url(#a) url( '#b' ) url(http://c#d)") == ["a", "b"]
    assert styles.references("url('#a b') url(\"#c\")") == ["a b", "c"]
    assert styles.renamed("url(#a) url('#b c')", "p-{}".format) == "url(#p-a) url('#p-b c')"
