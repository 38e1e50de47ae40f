"""ATTRIBUTION.md: who drew the pictures of a training set, and what their licenses ask.

Written from the manifest's records, grouped by license: every picture's title, author with
link, source with link, license with link, and what was changed (what Creative Commons
recommends as "TASL", and its licenses' sections on attribution ask for). Where a license
wants its notice passed on, the text is there too.

Everything that strangers wrote is escaped, so that Markdown shows it as it is.
"""

import re
from collections.abc import Sequence

from bioicons_kit.icons import licenses
from bioicons_kit.icons.credits import license_texts
from bioicons_kit.icons.licenses import License
from bioicons_kit.icons.manifest import Record

_INTRODUCTION = """\
# Attribution

This training set holds {count}. Keep this file with the pictures, and with a LoRA that was trained
on them. What a license asks of a LoRA is the reading of those who wrote this kit, who take the LoRA
for an adaptation of the pictures; it is no legal advice.
"""


def markdown(records: Sequence[Record]) -> str:
    """Return the credits of a training set as Markdown, grouped by license.

    A picture that is in several records (in several buckets or versions) is named once.
    """
    once = {(record["license"], _credit(record)): record for record in records}
    of_license: dict[str, list[Record]] = {}
    for (spdx, _), record in once.items():
        of_license.setdefault(spdx, []).append(record)
    place = {license_.spdx: number for number, license_ in enumerate(licenses.LICENSES)}
    order = sorted(of_license, key=lambda spdx: (place.get(spdx, len(place)), spdx))
    sections = [_section(licenses.get(spdx), of_license[spdx]) for spdx in order]
    return "\n".join([_INTRODUCTION.format(count=_counted(len(once), "picture")), *sections])


def _section(license_: License, records: Sequence[Record]) -> str:
    """Return the credits of the pictures under one license."""
    lines = [
        f"## {escaped(license_.name)} ({license_.spdx})\n",
        _counted(len(records), "picture") + (f" under <{license_.url}>." * bool(license_.url)),
        f"\n- The pictures: {_uncapitalized(license_.asks)}",
        f"- A LoRA: {_uncapitalized(license_.asks_of_a_lora)}\n",
        *(_credit(record) for record in records),
    ]
    if license_.notice:
        lines.append(_notice(license_, records))
    return "\n".join(lines) + "\n"


def _credit(record: Record) -> str:
    """Return the line that names one picture's title, author, source, license and changes."""
    license_ = licenses.get(record["license"])
    return (
        f'- "{escaped(record["title"])}" by {_linked(record["author"], record["author_url"])}, '
        f"source {_linked(record['source'], record['source_url'])}, "
        f"{_linked(license_.spdx, license_.url or None)}; {record['changes']}"
    )


def _notice(license_: License, records: Sequence[Record]) -> str:
    """Return the notice that a license wants passed on, its text indented to stay as it is."""
    holders = dict.fromkeys(record["author"] for record in records)
    text = license_texts.notice(license_.spdx, holders)
    if text is None:
        return (
            f"\nPass on the license text as well: download it from <{license_.url}> and put it "
            "beside this file."
        )
    indented = "\n".join(f"    {line}".rstrip() for line in text.strip().splitlines())
    return f"\nThe notice to pass on with them:\n\n{indented}"


def _linked(text: str, url: str | None) -> str:
    """Return `text` as a link to `url`, which is a web address, or alone."""
    return f"[{escaped(text)}](<{url}>)" if url else escaped(text)


def escaped(text: str) -> str:
    """Return `text` so that Markdown shows it as it is."""
    return re.sub(r"([\\`*_\[\]<>#|~$&!])", r"\\\1", text)


def _uncapitalized(sentence: str) -> str:
    """Return a sentence as it goes on after a colon."""
    return sentence[:1].lower() + sentence[1:]


def _counted(number: int, noun: str) -> str:
    """Return "1 icon", "2 icons"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
