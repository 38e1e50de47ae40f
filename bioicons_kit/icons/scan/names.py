"""Names that strangers gave: which are one, which can be written down, how people read them.

Folder names, file names and sidecars are untrusted text. What would make a line of a
report say something else than it holds is refused in ids (`is_writable`) and left out of
what is only shown (`plain`): control characters, line separators, marks that change the
direction of the text around them, invisible tags, and halves of characters, which stand
for bytes that are no UTF-8. Joiners stay: Persian and Indic names need them.
"""

import re
import unicodedata

_UNWRITABLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u2028\u2029\u061c\u200e\u200f\u202a-\u202e\u2066-\u206f"
    "\ufeff\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)
# What a caption may take; names and addresses are far shorter.
_LONGEST = 10_000


def name_key(text: str) -> str:
    """Return the form in which two spellings of a folder or person's name are equal.

    Case, Unicode composition, and the choice of space, underscore or hyphen are dropped:
    "Simon_Dürr" and "simon dürr" have one key.
    """
    return re.sub(r"[\s_-]+", " ", unicodedata.normalize("NFC", text)).strip().casefold()


def person_key(text: str) -> str:
    """Return the form in which two spellings of a person's name are equal.

    As `name_key`, but words that are written together are equal too: the library has
    "Ewa-Oz" and "EwaOz", "fang-fang-yang" and "fang-fangyang", "B--Gideon" and "B. Gideon".
    """
    return re.sub(r"[\s_.-]+", "", unicodedata.normalize("NFC", text)).casefold()


def spaced(name: str) -> str:
    """Return a folder's or file's name as people write it."""
    return re.sub(r"[\s_]+", " ", name).strip()


def is_writable(text: str) -> bool:
    """Tell whether `text` reads as what it is, on one line, and has a UTF-8 form."""
    return not _UNWRITABLE.search(text)


def plain(text: str) -> str:
    """Return `text` on one line, composed (NFC), without what cannot be written down."""
    one_line = " ".join(text[:_LONGEST].split())
    return unicodedata.normalize("NFC", _UNWRITABLE.sub("", one_line)).strip()


def printable(text: str) -> str:
    """Return `text` with escapes for what cannot be written down."""
    return _UNWRITABLE.sub(lambda match: match[0].encode("unicode_escape").decode("ascii"), text)


def web_address(text: object) -> str | None:
    """Return `text` as an http(s) URL, or None if it is empty or no web address.

    The library's authors.json has "twitter.com/name" and "name@server" besides proper URLs.
    """
    if not isinstance(text, str) or not is_writable(text.strip()):
        return None
    match = re.fullmatch(
        r"(https?://)?([\w-]+(?:\.[\w-]+)+(?::\d{1,5})?(?:[/?#][^\s<>\"\\`]*)?)", text.strip(), re.I
    )
    if match is None:
        return None
    return f"{(match[1] or 'https://').lower()}{match[2]}"
