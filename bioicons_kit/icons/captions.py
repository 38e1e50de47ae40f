"""Icon -> caption: a file name made readable, put into the preset's template.

File names in the library are of every sort: `honey_bee_adult_worker`, `DicotSeedling`,
`adipocyte-7`, `gut_bacteria.drawio`, `eosinophil_ok`, `CRISPR_Cas9`. `clean_name` keeps
what the drawing shows and drops what numbers or grades the file. It is a set of rules
about spelling, not a dictionary: a number at the end is taken for a variant's number
unless the word before it is one that numbers name ("chromosome 9"). Authors and
licenses never enter a caption.
"""

import re
import unicodedata

from bioicons_kit.icons.library import Icon

# Spellings that the general rules would tear apart or misread.
_TERMS = re.compile(
    r"(?i)(?<![a-z])(sars[-_ ]?cov[-_ ]?2|covid[-_ ]?19|mers[-_ ]?cov|(?-i:IL|HIV|HSV|PD)-\d+"
    r"|pd-l1|[a-z]-(?:cells?|ray|dna|rna|tube)|nf-core)(?![a-z])"
)
_TERM_SPELLING = {"sarscov2": "SARS-CoV-2", "covid19": "COVID-19", "merscov": "MERS-CoV"}

# Acronyms that file names write in lower case.
_ACRONYM_LIST = """
    AI ATP cAMP cDNA cGMP CNN CPU CRISPR CT DNA dsDNA ECG EEG ELISA FACS GFP GPU HDD HDL HIV
    HPLC IDL IgA IgE IgG IgM LDL LED MHC miRNA MRI mRNA NADH NGS NK NMR PCR PET pH qPCR RNA ROS
    rRNA sgRNA siRNA ssDNA tRNA USB UV VLDL
"""
_ACRONYMS = {word.lower(): word for word in _ACRONYM_LIST.split()}
_ABBREVIATIONS = {"noH": "without hydrogens"}

# Endings of other programs' files that stayed in the name.
_FORMATS = re.compile(r"(?i)(\.(drawio|inkscape|ai|eps|pdf|png|svg))+$")
# Words that grade or number a file when they stand at its end, or before everything else.
_GRADES_LAST = {"ok", "new", "final", "copy", "edited", "style", "version", "icon", "drawio"}
_GRADES_FIRST = {"img", "icon", "new", "final"}
_NEW_PLACES = {"caledonia", "caledonian", "guinea", "world", "york", "zealand"}
# Words whose number is part of what they name.
_NUMBERED = {"chromosome", "day", "generation", "phase", "stage", "step", "type", "vitamin", "week"}

_SPLITS = re.compile(
    r"(?<=[A-Za-z][a-z]{2})(?=[A-Z][a-z]{2})"  # DicotSeedling -> Dicot Seedling, but PyTorch
    r"|(?<=[a-z]{3})(?=[A-Z]{2})"  # simpleDNA -> simple DNA, but mRNA
    r"|(?<=[A-Z]{2})(?=[A-Z][a-z]{2})"  # DNAStrand -> DNA Strand, but RNAi
    r"|(?<=[A-Za-z][a-z]{3})(?=\d+$)"  # style2 -> style 2, but Cas9
)

# Letters whose names begin with a vowel sound: "an MRI", but "a DNA".
_VOWEL_SOUND_LETTERS = set("AEFHILMNORSX")
# Capitals that are read as a word, not letter by letter.
_READ_AS_WORDS = {"FACS", "FISH", "HEPA", "LASER", "MALDI", "MERS", "NASA", "RAM", "ROM", "SARS"}
_SILENT_H = re.compile(r"hour|honest|honor|heir")
_YOU_SOUND = re.compile(  # unicorn, but unimpaired; use, but usher; ureter, but urban
    r"uni(?![nm]|d(?!ir))|unim(?=od)|us[aeu]|ut[ei]|ur(?:[ae]|i[nc])|ubiq|uv|eu|ewe|on(?:e|ce)\b"
)


def caption(icon: Icon, template: str, trigger: str) -> str:
    """Return the template with {trigger}, {article}, {name} and {category} filled in."""
    name = clean_name(icon.path.stem)
    values = {
        "trigger": trigger,
        "article": article(name),
        "name": name,
        "category": icon.category.lower(),
    }
    filled = re.sub(r"\{(\w+)\}", lambda match: values.get(match[1], match[0]), template)
    return " ".join(filled.split())


def clean_name(stem: str) -> str:
    """Return what a file's name says the drawing shows, in lower case but for acronyms."""
    text = _FORMATS.sub("", unicodedata.normalize("NFC", stem))
    text = re.sub(r"\(\s*\d+\s*\)", " ", text).replace("(", " ").replace(")", " ")
    words: list[str] = []
    for position, part in enumerate(_TERMS.split(text)):
        if position % 2:  # split() puts what the pattern captured at odd positions
            words.append(_TERM_SPELLING.get(re.sub(r"[^a-z0-9]", "", part.lower()), part))
        else:
            words.extend(_split_words(part))
    kept = _without_grades(words) or words
    return " ".join(_spell(kept)) or "icon"


def article(name: str) -> str:
    """Return "a" or "an", by the sound that the first word of `name` begins with."""
    decomposed = unicodedata.normalize("NFKD", name)
    plain = "".join(char for char in decomposed if not unicodedata.combining(char))
    match = re.match(r"[^\W_]+", plain)
    if match is None:
        return "a"
    word = match[0]
    if word[0].isdigit():
        return "an" if _digits_begin_with_vowel(word) else "a"
    if _is_spelled_out(word):
        return "an" if word[0].upper() in _VOWEL_SOUND_LETTERS else "a"
    lower = word.lower()
    if _SILENT_H.match(lower):
        return "an"
    if _YOU_SOUND.match(lower):
        return "a"
    return "an" if lower[0] in "aeiou" else "a"


def _split_words(text: str) -> list[str]:
    """Split at spaces, underscores and hyphens, and where capitals or numbers begin."""
    words: list[str] = []
    for token in re.split(r"[\s_\-]+", text):
        words.extend(_SPLITS.sub(" ", token).split() if token not in _ABBREVIATIONS else [token])
    return [word for word in (word.strip(".,;") for word in words) if word]


def _without_grades(words: list[str]) -> list[str]:
    """Drop what numbers or grades the file from both ends."""
    kept = list(words)
    while kept and _is_grade(kept):
        kept.pop()
    while len(kept) > 1 and kept[0].lower() in _GRADES_FIRST and kept[1].lower() not in _NEW_PLACES:
        kept.pop(0)
    return kept


def _is_grade(words: list[str]) -> bool:
    """Tell whether the last of `words` says nothing about the drawing."""
    last = words[-1].lower()
    if last in _GRADES_LAST or re.fullmatch(r"v\d+", last):
        return True
    before = words[-2].lower() if len(words) > 1 else ""
    return last.isdigit() and before not in _NUMBERED


def _spell(words: list[str]) -> list[str]:
    """Lower the words that are no acronyms; write known acronyms as they are written."""
    spelled = []
    for position, word in enumerate(words):
        following = words[position + 1] if position + 1 < len(words) else ""
        if word in _ABBREVIATIONS:
            spelled.append(_ABBREVIATIONS[word])
        elif word.lower() in _ACRONYMS:
            spelled.append(_ACRONYMS[word.lower()])
        elif _is_acronym(word) and not _is_genus_initial(word, position, following):
            spelled.append(word)
        else:
            spelled.append(word.lower())
    return spelled


def _is_acronym(word: str) -> bool:
    """Tell whether the capitals of `word` mean something: DNA, mRNA, Cas9, SARS-CoV-2, B."""
    capitals = sum(letter.isupper() for letter in word)
    if len(word) == 1 or "-" in word:
        return capitals > 0
    return capitals > 1 or (capitals == 1 and any(letter.isdigit() for letter in word))


def _is_genus_initial(word: str, position: int, following: str) -> bool:
    """Tell the C of "C elegans" from the T of "T cell"."""
    return (
        position == 0
        and len(word) == 1
        and re.fullmatch(r"[a-z]{4,}", following) is not None
        and following not in {"cell", "cells", "lymphocyte", "lymphocytes", "tube", "wave"}
    )


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
