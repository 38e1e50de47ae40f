"""The noun of a name: which word it is, whether it is one thing, and which article it takes.

English by sound and ending: a word that ends as plurals do is one ("cells", "mitochondria",
"nuclei"), unless it ends as Greek and Latin singulars do ("virus", "mitosis", "Pseudomonas").
What cannot be heard is listed: irregular plurals, and the substances and processes that one
meets among icons and that are not counted ("bread", "collagen", "chromatography").

A name's noun is the last word before a preposition that is no color, size, state or number:
`tube` of "tube empty blue", `view` of "lateral view of bones". Limit: a name that is a whole
clause ("fly eats") has none, and its last word is taken.
"""

import re
import unicodedata
from itertools import zip_longest

from bioicons_kit.icons.words.wording import COLORS, LETTERED


def _words(text: str) -> tuple[str, ...]:
    """Return the words of a list that is written as text."""
    return tuple(text.split())


# Letters whose names begin with a vowel sound: "an MRI", but "a DNA".
_VOWEL_SOUND_LETTERS = set("AEFHILMNORSX")
# Capitals that are read as a word, not letter by letter.
_READ_AS_WORDS = {"FACS", "FISH", "HEPA", "LASER", "MALDI", "MERS", "NASA", "RAM", "ROM", "SARS"}
_SILENT_H = re.compile(r"hour|honest|honor|heir")
_YOU_SOUND = re.compile(  # unicorn, but unimpaired; use, but usher; ureter, but urban
    r"uni(?![nm]|d(?!ir))|unim(?=od)|us[aeu]|ut[ei]|ur(?:[ae]|i[nc])|ubiq|uv|eu|ewe|on(?:e|ce)\b"
)

_PREPOSITIONS = _words(
    "after and at before by during for from in inside into of on or through to under via with "
    "without"
)
_NUMBERS = {"two", "three", "four", "five", "six"}  # "arrow right three ends" is an arrow
# What a mass noun may fill: "glass water" is a glass.
_CONTAINERS = _words("bag beaker bottle bowl box can cup flask glass jar pot tube vial")
# What follows a noun in file names and says which one, not what it is.
_STATES = _words(
    "2d 3d absent active adult assembled back big bleached body bright broken clean closed "
    "closeup clothed cold colored complete cooked cross curved dark dead digital dirty dotted "
    "down early embedded empty exploded faint fat fed female filled flat flowering folded front "
    "full half healthy high horizontal hot inactive inflamed inside interior inverted isolated "
    "juvenile labeled labelled large late left lid light live long low male medium minimal mono "
    "monochrome multi naked normal old open opposite outline outlined outside oval pale plain "
    "portrait quarter relaxed right rotated rough round rounded schematic sectioned short side "
    "sideview simple single small solid spotted square stacked stained tall text thick thin "
    "tilted top translucent transparent unlabeled unlabelled up vertical visible wet wide wild "
    "young"
)

# Plurals that have no s, by their endings: cyanobacteria, conidia, nuclei, larvae; and whole.
_PLURAL_ENDINGS = _words(
    "ae alveoli bacilli bacteria basidia bronchi calculi chondria cocci conidia emboli epithelia "
    "feet flagella fungi ganglia gyri mycelia nuclei nucleoli papillae people phyla sporangia "
    "stimuli stomata sulci teeth thrombi tubuli villi zoa"
)
_PLURALS = _words("children cilia data geese lice media men mice ova sheep women")
# Words in s that are no plurals, by their endings: glass, virus, mitosis, Pseudomonas, biceps.
_SINGULAR_ENDINGS = _words(
    "ceps clops coides creas eroides gas ics is monas myces sapiens scens ss us"
)
_SINGULARS = _words(
    "aedes albicans always ananas anopheles ascites atlas bias canvas caries celegans chaos "
    "cosmos cyclops diabetes durans elegans feces glas herpes ixodes keras langerhans lens "
    "measles mumps news oxydans patens rabies radiodurans repens rhinoceros rickets scabies "
    "series species sports subspecies thermos thrips triops"
)
# What is not counted, by its endings: processes, diseases, methods, sciences.
_UNCOUNTED_ENDINGS = _words(
    "cytosis edema emia genesis graphy ics itis metry ology phoresis physema ptosis scopy stalsis "
    "taxis therapy"
)
_GERUND = re.compile(r"(?=.*[aeiouy].*ing)\w+(?<![bdgkmw]l)(?<!w)ing")  # but seedling, wing
_COUNTED_IN_ING = _words(
    "bearing building casing ceiling coating covering dwelling earring fitting hamstring herring "
    "lightning offspring opening painting recording sapling setting shoestring swelling"
)
_MASS = _words(
    "actin autumn blood bread butter cancer caries cartilage cereal cheese chromatin circulation "
    "coffee collagen corn cotton diabetes disease dna equipment feces fibrin flour flow food gas "
    "hair heat herpes honey hydrogen juice keratin marrow measles meat milk moss mucus mumps "
    "music myosin news nitrogen oil oxygen pasta plasma pus quark rabies rice rickets rna ros "
    "salt sand scabies serum skin sleep smoke soda software spring starch steam sugar summer "
    "tissue toast tobacco waste water weather wheat wine winter wool work yoghurt yogurt"
)
# Adjectives that stand alone, as the words on safety signs do: toxic, flammable, harmful.
_ADJECTIVE = re.compile(r"(?:[ct]?oxic|[ht]?ronic|tonic|mmable|mful|oxidi[sz]ing)$")


def article(name: str) -> str:
    """Return "a" or "an" by the sound that `name` begins with, or "" if it takes neither.

    Plurals and what is not counted take none: "cells", "bread", "honey bee eggs".
    """
    match = re.match(r"[^\W_]+", _plain(name))
    if match is None:
        return "a"
    if _takes_no_article(name):
        return ""
    return "an" if _begins_with_vowel_sound(match[0]) else "a"


def head(name: str) -> str:
    """Return the noun of a cleaned name, as it is written there."""
    phrase = _phrase(name) or name.split()
    told = [word for word in phrase if not _is_modifier(word)]
    return (told or phrase or [name])[-1]


def _phrase(name: str) -> list[str]:
    """Return the words of a name before its first preposition or its species ("E coli")."""
    words: list[str] = []
    every = name.split()
    for word, following in zip_longest(every, every[1:], fillvalue=""):
        is_letter = re.fullmatch(r"[A-HJ-Z]", word) is not None and following not in LETTERED
        ends = bool(words) and (word in _NUMBERS or is_letter)
        if ends or word.lower() in _PREPOSITIONS:
            break
        words.append(word)
    return words


def _is_modifier(word: str) -> bool:
    """Tell whether a word says which one it is, not what it is."""
    lower = word.lower()
    return lower in COLORS or lower in _STATES or any(char.isdigit() for char in lower[:1])


def _takes_no_article(name: str) -> bool:
    """Tell whether a name is a plural, is not counted, or is no noun at all."""
    words = _phrase(name)
    if not words:
        return True  # "before dissection"
    noun = _plain(head(name)).lower()
    if _is_plural(head(name)) or (_is_plural(words[0]) and not words[0].endswith("a")):
        return True  # "cells side view", but "a bacteria culture loop"
    if noun in _MASS or noun.endswith(_UNCOUNTED_ENDINGS):
        return words[0].lower() not in _CONTAINERS
    if len(words) == 1 and _ADJECTIVE.search(noun):
        return True
    return _GERUND.fullmatch(noun) is not None and noun not in _COUNTED_IN_ING


def _is_plural(noun: str) -> bool:
    """Tell whether a word ends as plurals do; capitals do so with a small s (PCRs)."""
    lower = _plain(noun).lower()
    if lower in _PLURALS or lower.endswith(_PLURAL_ENDINGS):
        return True
    is_long = len(lower) > 3 or noun[:-1].isupper()
    is_singular = lower in _SINGULARS or lower.endswith(_SINGULAR_ENDINGS)
    return noun.endswith("s") and is_long and not is_singular


def _plain(text: str) -> str:
    """Return `text` without accents."""
    decomposed = unicodedata.normalize("NFKD", text)
    return "".join(char for char in decomposed if not unicodedata.combining(char))


def _begins_with_vowel_sound(word: str) -> bool:
    """Tell whether a word without accents is spoken with a vowel first."""
    if word[0].isdigit():
        return _digits_begin_with_vowel(word)
    if _is_spelled_out(word):
        return word[0].upper() in _VOWEL_SOUND_LETTERS
    lower = word.lower()
    if _SILENT_H.match(lower):
        return True
    return lower[0] in "aeiou" and not _YOU_SOUND.match(lower)


def _is_spelled_out(word: str) -> bool:
    """Tell whether `word` is read letter by letter: MRI, mRNA, H2O, a lone letter."""
    if len(word) == 1:
        return True
    if word.upper() in _READ_AS_WORDS or not any(letter.isupper() for letter in word):
        return False
    tail = re.sub(r"^(?:[a-z]{1,2})(?=[A-Z])", "", word)  # the m of mRNA, the si of siRNA
    return not any(letter.islower() for letter in tail)


def _digits_begin_with_vowel(word: str) -> bool:
    """Tell whether a number is read with a vowel first: 8, 11, 18, 80, 800, 11000."""
    digits = re.match(r"\d+", word)
    assert digits is not None
    number = digits[0]
    return number.startswith("8") or (number[:2] in {"11", "18"} and len(number) % 3 == 2)
