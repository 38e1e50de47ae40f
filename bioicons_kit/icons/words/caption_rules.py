"""What a model's answer must be to become a caption, and what of it is cut away.

A caption keeps the icon's own noun, in whatever inflection and however it is joined ("mice"
for `mouse`, "test tubes" for `testtube`, "bacteria" for `bacterium`): the model sees a small
drawing, the author knew what it was. It is one line, short, no refusal, and says nothing of
style: the style is what the trigger stands for.

Limits: the noun is the head of the name ("bee" of `honey_bee`), and a word misspelt in the
name is asked for as it is.
"""

import re
import unicodedata

from bioicons_kit.icons.scan import names
from bioicons_kit.icons.words.curated import LONGEST
from bioicons_kit.icons.words.noun import head

_LONGEST_ANSWER = 10_000
_LABEL = re.compile(
    r"(?i)^(?:(?:image |icon )?caption|answer|description|sure|certainly)\s*[:!.,-]\s*"
)
_QUOTES = "\"'`*_\u201c\u201d\u2018\u2019 \t"
_REFUSALS = re.compile(
    r"(?i)\bi(?:'| a)m (?:sorry|unable|not able|an ai)\b|\bi (?:can ?not|can't|do not|don't)\b"
    r"|\bas an? (?:ai|language model)\b|\bunable to (?:see|view|describe|assist|help)\b"
    r"|\bapologi[sz]e"
)
_STYLE_WORDS = """
    background cartoon cartoonish clipart depicted depiction depicts drawing drawn graphic icon
    iconic icons illustrated illustration illustrations image images infographic logo minimalist
    minimalistic photo photograph picture pictured rendering silhouette sketch style styled
    stylised stylized vector
"""
_STYLE = frozenset(_STYLE_WORDS.split())
_MARKUP = re.compile(r"https?://|www\.|[{}<>|\\]|```|##|\[/?[A-Z]+\]")

# Singular and plural: whole words, and endings in English, Latin and Greek.
_IRREGULAR = (
    *(
        ("mouse", "mice"),
        ("louse", "lice"),
        ("die", "dice"),
        ("goose", "geese"),
        ("tooth", "teeth"),
    ),
    *(("foot", "feet"), ("child", "children"), ("person", "people"), ("ox", "oxen")),
)
_ENDINGS = (
    *(("", "s"), ("s", "ses"), ("x", "xes"), ("z", "zes"), ("ch", "ches"), ("sh", "shes")),
    *(("o", "oes"), ("y", "ies"), ("f", "ves"), ("fe", "ves"), ("man", "men"), ("a", "ae")),
    *(("us", "i"), ("um", "a"), ("ion", "ia"), ("is", "es"), ("ix", "ices"), ("ex", "ices")),
    ("ma", "mata"),
)
_SHORTEST_STEM = 2
_MOST_PARTS = 4  # "SARS-CoV-2 spike" for sarscov2spike


def tidy(answer: str) -> str:
    """Return a model's answer without quotes, labels, emphasis and a period at its end.

    A capital that only begins the sentence is lowered, for the trigger may come before it.
    """
    text = unicodedata.normalize("NFC", answer[:_LONGEST_ANSWER].strip())
    text = _LABEL.sub("", text.strip(_QUOTES)).strip(_QUOTES)
    text = "\n".join(" ".join(line.split()) for line in text.splitlines() if line.strip())
    text = text.removesuffix(".").strip(_QUOTES)
    return re.sub(r"^(?:An?|The|Two|Three|Several)\b", lambda match: match[0].lower(), text)


def problem(text: str, name: str, max_words: int, must_name: bool = True) -> str | None:
    """Say why a tidied answer is no caption of the icon of that cleaned name; None if it is.

    Args:
        text: the answer.
        name: what `clean_name` made of the icon's file name.
        max_words: the most words a caption may have.
        must_name: whether it must hold the noun of `name`: photographs are called anything.
    """
    words = re.findall(r"[^\W_]+", text.lower())
    own = set(re.findall(r"[^\W_]+", name.lower()))
    of_style = [word for word in words if word in _STYLE and word not in own]
    count, noun = len(text.split()), head(name)
    faults = {
        "it is empty": not words,
        "it has several lines": "\n" in text,
        "it holds characters that cannot be shown": not names.is_writable(text.replace("\n", "")),
        "it holds markup or an address": _MARKUP.search(text),
        "it refuses, or speaks of the model": _REFUSALS.search(text.replace("\u2019", "'")),
        f"it has {count} words, and {max_words} are allowed": count > max_words,
        f"it has {len(text)} characters": len(text) > LONGEST,
        f"it speaks of style ({', '.join(of_style)})": of_style,
        f"it does not name the {noun!r}": must_name and not keeps(text, noun),
    }
    return next((fault for fault, holds in faults.items() if holds), None)


def keeps(text: str, noun: str) -> bool:
    """Tell whether a text has a noun, in any number, as one word or as several."""
    parts = re.findall(r"[^\W_]+", text.lower())
    spoken = {
        "".join(parts[start : start + length])
        for length in range(1, _MOST_PARTS + 1)
        for start in range(len(parts) - length + 1)
    }
    return not spoken.isdisjoint(inflections("".join(re.findall(r"[^\W_]+", noun.lower()))))


def inflections(noun: str) -> frozenset[str]:
    """Return a noun with what may be its singulars and plurals, and theirs.

    Twice, so that `mitochondrium` leads to "mitochondrion" by way of "mitochondria".
    """
    once = {noun} | _other_number(noun)
    return frozenset(once.union(*map(_other_number, once)))


def _other_number(noun: str) -> set[str]:
    """Return what the singular or the plural of a noun may be."""
    found = {pair[1 - side] for pair in _IRREGULAR for side in (0, 1) if pair[side] == noun}
    for singular, plural in _ENDINGS:
        for old, new in ((singular, plural), (plural, singular)):
            if noun.endswith(old) and len(noun) - len(old) >= _SHORTEST_STEM:
                found.add(noun.removesuffix(old) + new)
    return found
