"""A file's name -> what the drawing shows, in words that a caption can hold.

File names in the library are of every sort: `honey_bee_adult_worker`, `DicotSeedling`,
`adipocyte-7`, `gut_bacteria.drawio`, `eosinophil_ok`, `CRISPR_Cas9`, `membrane-2d-bluered`.
`clean_name` keeps what the drawing shows and drops what numbers or grades the file.

It is a set of rules about spelling, not a dictionary: a number at the end is taken for a
variant's number unless the word before it is one that numbers name ("chromosome 9"); a word
made of a color and something else is taken apart. The order of words stays as the author
chose it, and so do errors of spelling: those are for a captions file to mend.
"""

import re
import unicodedata

# Spellings that the general rules would tear apart or misread.
_TERMS = re.compile(
    r"(?i)(?<![a-z])(sars[-_ ]?cov[-_ ]?2|covid[-_ ]?19|mers[-_ ]?cov"
    r"|(?-i:CD|GLP|HER|HIV|HPV|HSV|IL|PD|TLR)-\d+|omega-\d"
    r"|(?-i:[ACGTU]TPase|[DR]NA?se)s?|pd-l1|[a-z]-(?:cells?|ray|dna|rna|tube)|nf-core)(?![a-z])"
)
_TERM_SPELLING = {"sarscov2": "SARS-CoV-2", "covid19": "COVID-19", "merscov": "MERS-CoV"}

# Acronyms that file names write in lower case; a number may follow ("mhc1").
_ACRONYM_LIST = """
    ADP AI AMP ATP cAMP CD cDNA cGMP CNN CPU CRISPR CSLM CT DNA dsDNA ECG EEG ELISA FACS GDP GFP
    GMP GPU GTP HCC HDD HDL HIV HPLC IDL IgA IgD IgE IgG IgM LDL LED LN MHC miRNA MRI mRNA NADH
    NGS NK NMR PCR PET pH qPCR RNA RNAi ROS rRNA SEM sgRNA siRNA SNP ssDNA TCR TEM tRNA USB UV
    VLDL
"""
_ACRONYMS = {word.lower(): word for word in _ACRONYM_LIST.split()}
# Acronyms that a word in lower case follows without a gap: mRNAvaccine, ATACseq.
_CAPITALS = "|".join(word for word in _ACRONYM_LIST.split() if re.fullmatch(r"[A-Z]{3,}", word))
_RUN_ON = re.compile(rf"(?<![A-Z])({_CAPITALS})(?=[a-z]{{3}})|(?<=[A-Z])(?=seq(?![a-z]))")
# Abbreviations of file names; those of the second line only at the end of a name.
_ABBREVIATIONS = {"noH": "without hydrogens", "notext": "without text", "nolid": "without lid"}
_ABBREVIATIONS_LAST = {"text": "with text", "chem": "structural formula", "ul": "unlabeled"}

# Endings of other programs' files that stayed in the name.
_FORMATS = re.compile(r"(?i)(\.(drawio|inkscape|ai|eps|pdf|png|svg))+$")
# Words that grade or number a file when they stand at its end, or before everything else.
_GRADES_LAST = {"ok", "new", "final", "copy", "draft", "orig", "original", "edited", "style"}
_GRADES_LAST |= {"version", "icon", "illustration", "cartoon", "drawio", "inkscape", "svg", "png"}
_GRADES_FIRST = {"img", "icon", "new", "final"}
_NEW_PLACES = {"caledonia", "caledonian", "guinea", "world", "york", "zealand"}
# Words before which a lone letter is a name: T cell, C terminal.
LETTERED = {"cell", "cells", "lymphocyte", "lymphocytes", "terminal", "terminus", "tube", "wave"}
LETTERED |= {"chromosome", "chromosomes", "helper", "killer", "maze", "memory", "regulatory"}
# Words whose number is part of what they name.
_NUMBERED = {"chromosome", "day", "generation", "phase", "stage", "step", "type", "vitamin", "week"}

_SPLITS = re.compile(
    r"(?<=[A-Za-z][a-z]{2})(?=[A-Z][a-z]{2})"  # DicotSeedling -> Dicot Seedling, but PyTorch
    r"|(?<=[a-z]{3})(?=[A-Z]{2})"  # simpleDNA -> simple DNA, but mRNA
    r"|(?<=[A-Z]{2})(?=[A-Z][a-z]{2})"  # DNAStrand -> DNA Strand, but RNAi
    r"|(?<=[a-z]{4})(?=[A-Z]$)"  # vitaminC -> vitamin C, but TetO
    r"|(?<=[A-Za-z][a-z]{3})(?=\d+[dD]?$)"  # style2 -> style 2, arrow3d -> arrow 3d, but Cas9
    r"|(?<=[A-Za-z][a-z]{3})(?=\d+(?:\.\d+)?[mnuµμ]?[lLgm]$)"  # falcon50ml -> falcon 50ml
    r"|(?<=[23][dD])(?=[b-df-hj-np-qstv-z][a-z]{3})"  # 3dprinter -> 3d printer
    r"|(?<=\d)(?![dD][b-df-hj-np-qstv-z])(?=[a-z]{4})"  # 21hours -> 21 hours, but 50ml
)
_COLOR_LIST = """
    black blue brown cyan gray green grey magenta orange pink purple red teal turquoise violet
    white yellow
"""
COLORS = frozenset(_COLOR_LIST.split())
_SHADES = {"bright", "dark", "deep", "light", "pale"}
_TINT = "|".join(sorted(COLORS | _SHADES))
_TINTS = re.compile(rf"(?:{_TINT}){{2,}}")  # lightpink, yellowblue, purplelightblue
_TINTED = re.compile(rf"({'|'.join(sorted(COLORS))})(bodys?|caps?|eyed?|eyes|lids?)")
# Two words written as one. The first halves are such that no other word begins with them and
# ends with one of the second: "testtube", but not "microtube", which is a word.
_GLUED = re.compile(
    r"(blood|boxy|buechner|calcium|clean|cross|dye|em(?:pty|tpy)|embryo|gas|genome|glass|guinea"
    r"|half|ion|lab|lower|marked|measuring|nuclear|protective|quarter|round|screw|server|single"
    r"|side|spray|square|stacked|stirring|test|two|upper|water|zinc)"
    r"(bars?|bench|body|bottles?|bubbles?|caps?|cells?|channels?|circle|coats?|concentration"
    r"|cylinders?|division|early|fingers?|funnels?|gowns?|late|oval|pigs?|plates?|room|rounded"
    r"|section|sensing|sequencers?|sides|silkworms?|slides?|squished|trays?|tubes?|view)(flat)?"
)
_CELLS = re.compile(r"(b|nk|t)(cells?)")  # Tcell, NKcells
_QUANTITY = re.compile(r"\d+(?:\.\d+)?[a-zA-Zµμ]{1,2}")  # 100ml, 3d


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
    kept = _without_numbers(_without_grades(words) or words)
    return " ".join(_spell(kept)) or "icon"


def _split_words(text: str) -> list[str]:
    """Split at spaces and marks, and where capitals or numbers begin."""
    words: list[str] = []
    for token in re.split(r"[\s_\-,;#@=~]+", text.replace("&", " and ")):
        if token in _ABBREVIATIONS:
            words.append(token)
        else:
            for word in _SPLITS.sub(" ", _RUN_ON.sub(r"\g<0> ", token)).split():
                words.extend(_unglued(word))
    return [word for word in (word.strip(".,;") for word in words) if word]


def _unglued(word: str) -> list[str]:
    """Take apart a word that is two or three in one, if it is of a kind that is known."""
    lower = word.lower()
    if _TINTS.fullmatch(lower):
        return re.findall(_TINT, lower)
    for pattern in (_TINTED, _GLUED, _CELLS):
        match = pattern.fullmatch(lower)
        if match:
            return [part for part in match.groups() if part]
    return [word]


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


def _without_numbers(words: list[str]) -> list[str]:
    """Drop a variant's number before a quantity or a color: "flask 1 100ml" is one of 100 ml."""
    return [
        word
        for position, word in enumerate(words)
        if not (
            0 < position < len(words) - 1
            and re.fullmatch(r"\d{1,2}", word)
            and words[position - 1].lower() not in _NUMBERED
            and _is_no_count(words[position + 1])
        )
    ]


def _is_no_count(following: str) -> bool:
    """Tell whether nothing can be counted by a number that stands before this word."""
    lower = following.lower()
    states = {"empty", "filled", "interior", "opposite", "closed", "open"}
    return bool(_QUANTITY.fullmatch(following)) or lower in COLORS or lower in states


def _spell(words: list[str]) -> list[str]:
    """Lower the words that are no acronyms; write known acronyms as they are written."""
    spelled = []
    for position, word in enumerate(words):
        following = words[position + 1] if position + 1 < len(words) else ""
        is_last = position > 0 and not following
        numbered = re.fullmatch(r"([A-Za-z]+)(\d+)", word)
        if word in _ABBREVIATIONS:
            spelled.append(_ABBREVIATIONS[word])
        elif is_last and word.lower() in _ABBREVIATIONS_LAST and not words[position - 1].isdigit():
            spelled.append(_ABBREVIATIONS_LAST[word.lower()])
        elif word.lower() in _ACRONYMS:
            spelled.append(_ACRONYMS[word.lower()])
        elif numbered and numbered[1].lower() in _ACRONYMS:
            spelled.append(_ACRONYMS[numbered[1].lower()] + numbered[2])
        elif re.fullmatch(r"[a-z]", word) and (is_last or following in LETTERED):
            spelled.append(word.upper())  # nucleotide A, T lymphocyte
        elif _is_written_in_capitals(word) and not _is_genus_initial(word, position, following):
            spelled.append(word)
        else:
            spelled.append(word.lower())
    return spelled


def _is_written_in_capitals(word: str) -> bool:
    """Tell whether a word's capitals are part of it: DNA, mRNA, X-ray, Cas9, but not WITH."""
    if re.fullmatch(r"[A-Z]{6,}|AND|FROM|OF|THE|WITH|WITHOUT", word):
        return False  # shouted: acronyms as long are in the list
    capitals = sum(letter.isupper() for letter in word)
    if len(word) == 1 or "-" in word or re.fullmatch(r"(?:Ca|Cl|Cu|Fe|Mg|Mn|Na|Zn)\d?\+?", word):
        return capitals > 0
    return capitals > 1 or (capitals == 1 and any(letter.isdigit() for letter in word))


def _is_genus_initial(word: str, position: int, following: str) -> bool:
    """Tell the C of "C elegans" from the T of "T cell"."""
    return (
        position == 0
        and len(word) == 1
        and re.fullmatch(r"[a-z]{4,}", following) is not None
        and following not in LETTERED
    )
