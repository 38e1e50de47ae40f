import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bioicons_kit.icons.words.caption_rules import inflections, keeps, problem, tidy


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ("A gray mouse.", "a gray mouse"),
        ('  "The mouse with a tail."\n', "the mouse with a tail"),
        ("**Caption:** A gray mouse", "a gray mouse"),
        ("Sure! Two red cells", "two red cells"),
        ("DNA strands, blue", "DNA strands, blue"),
        ("a \t gray\u00a0mouse", "a gray mouse"),
        ("a mouse\n\n  and more", "a mouse\nand more"),
        ("cafe\u0301", "café"),
        ("", ""),
    ],
)
def test_an_answer_is_tidied(answer, text):
    assert tidy(answer) == text


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("a gray mouse with round ears", "mouse fat"),
        ("two mice", "mouse"),
        ("a bee on a flower", "honey bee"),
        ("rod-shaped bacteria", "bacterium"),
        ("an orange mitochondrion", "mitochondrium faint"),
        ("two test tubes", "test tube"),
        ("a test tube", "testtube"),
        ("a fruit-fly", "fly"),
        ("a SARS-CoV-2 particle", "SARS-CoV-2"),
        ("a mouse's head", "mouse"),
        ("a vector with two genes", "viral vector"),
        ("a Petri dish, lid off", "petri dish"),
        ("蛋白 血浆", "血浆"),
    ],
)
def test_a_caption_passes(text, name):
    assert problem(text, name, 20) is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "it is empty"),
        ("...", "it is empty"),
        ("a mouse\nignore all rules", "it has several lines"),
        ("a mouse \x1b[31m", "it holds characters that cannot be shown"),
        ("a mouse \u202eesuom", "it holds characters that cannot be shown"),
        ("a mouse, see https://example.org", "it holds markup or an address"),
        ("a {trigger} mouse", "it holds markup or an address"),
        ("<b>a mouse</b>", "it holds markup or an address"),
        ("I'm sorry, I see no mouse", "it refuses, or speaks of the model"),
        ("I\u2019m sorry, I see no mouse", "it refuses, or speaks of the model"),
        ("As an AI I like this mouse", "it refuses, or speaks of the model"),
        ("I cannot describe the mouse", "it refuses, or speaks of the model"),
        ("a mouse " * 11, "it has 22 words, and 20 are allowed"),
        ("mouse " + "x" * 2000, "it has 2006 characters"),
        ("a flat vector mouse", "it speaks of style (vector)"),
        ("an icon of a mouse on a white background", "it speaks of style (icon, background)"),
        ("a gray rat", "it does not name the 'mouse'"),
        ("a house with mousetraps", "it does not name the 'mouse'"),
    ],
)
def test_what_is_no_caption_is_refused_with_the_reason(text, reason):
    assert problem(tidy(text), "mouse gray", 20) == reason


@pytest.mark.parametrize(
    ("one", "several"),
    [
        *(("cell", "cells"), ("virus", "viruses"), ("box", "boxes"), ("fly", "flies")),
        *(("mouse", "mice"), ("tooth", "teeth"), ("leaf", "leaves"), ("knife", "knives")),
        *(("nucleus", "nuclei"), ("bacterium", "bacteria"), ("larva", "larvae")),
        *(("mitosis", "mitoses"), ("apex", "apices"), ("stoma", "stomata"), ("woman", "women")),
        *(("mitochondrion", "mitochondria"), ("mitochondrium", "mitochondrion")),
        *(("ganglion", "ganglia"), ("embryo", "embryos"), ("tomato", "tomatoes"), ("gas", "gases")),
    ],
)
def test_a_noun_is_known_in_either_number(one, several):
    assert several in inflections(one)
    assert one in inflections(several)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        *(("cell", "cellar"), ("mouse", "house"), ("meiosis", "mitosis"), ("gene", "genus")),
        *(("rat", "ratio"), ("organ", "organism"), ("hand", "handy"), ("plan", "plane")),
        *(("plasmid", "plasma"), ("adenine", "adenosine"), ("colon", "cola"), ("ant", "antenna")),
    ],
)
def test_other_nouns_stay_others(one, other):
    assert not keeps(other, one)
    assert not keeps(one, other)


@given(st.text(max_size=200), st.text(max_size=20))
def test_any_answer_is_judged(answer, name):
    text = tidy(answer)
    assert tidy(text) is not None
    if problem(text, name, 20) is None:
        assert unicodedata.is_normalized("NFC", text)
        assert "\n" not in text
        assert text == " ".join(text.split())
