"""The licenses of pictures: SPDX ids, folder names, and what each asks for.

The table holds every license found in bioicons, and others that pictures commonly have.
Conditions are those of the license texts at the `url` of each entry, for someone who
passes the pictures on:

    attribution      name the author, the title, the source and the license, with links
    notice           pass on the copyright notice and the license text (`license_texts`)
    changes          say what was changed
    non_commercial   use them for no commercial purpose
    share_alike      pass adaptations on under the same license
    no_derivatives   pass no adaptations on

What they ask of someone who publishes a LoRA (`asks_of_a_lora`) is our reading, and no
legal advice: courts have not settled whether weights adapt the pictures they were trained
on. It takes them for an adaptation, which is the careful way.

Any spelling that has the same letters and digits is accepted: `cc-by-4.0`, `CC BY 4.0`,
`CC-BY-4.0`. `LicenseRef-` and a name of one's own stand for terms that the kit does not
know (SPDX specification, annex on license expressions).
"""

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass

from bioicons_kit.errors import LibraryError

OWN_TERMS = "LicenseRef-"


@dataclass(frozen=True)
class License:
    """One license: its SPDX id, the names its folders have, and its conditions."""

    spdx: str
    folder_names: tuple[str, ...]
    name: str
    url: str
    attribution: bool = False
    notice: bool = False
    share_alike: bool = False
    changes: bool = False
    non_commercial: bool = False
    no_derivatives: bool = False

    @property
    def asks(self) -> str:
        """What the license asks of someone who passes the pictures on, as one sentence."""
        if self.spdx.startswith(OWN_TERMS):
            return "The terms are their owner's, and not known here; keep to them."
        conditions = {
            "name the author, the title and the source, and link this license": self.attribution,
            "pass on the copyright notice and the license text": self.notice,
            "say what was changed": self.changes,
            "use them for no commercial purpose": self.non_commercial,
            "share adaptations under the same license": self.share_alike,
            "pass no adaptations on": self.no_derivatives,
        }
        return _sentence(conditions)

    @property
    def asks_of_a_lora(self) -> str:
        """What, as we read it, it asks of someone who publishes a LoRA trained on them."""
        if self.spdx.startswith(OWN_TERMS):
            return self.asks
        conditions = {
            "name these authors and link this license beside it": self.attribution,
            "pass on the copyright notice and the license text with it": self.notice,
            "say that it was trained on changed pictures": self.changes,
            "use it for no commercial purpose": self.non_commercial,
            "share it under the same license": self.share_alike,
            "not publish it": self.no_derivatives,
        }
        return _sentence(conditions)

    @property
    def strictness(self) -> int:
        """A number that is larger for a license that asks more."""
        weights = (
            *(self.no_derivatives, self.share_alike, self.non_commercial),
            *(self.spdx.startswith(OWN_TERMS), self.attribution, self.changes, self.notice),
        )
        return sum(asked << place for place, asked in enumerate(reversed(weights)))


def _sentence(conditions: dict[str, bool]) -> str:
    """Return those of the conditions that are asked for, as one sentence."""
    asked = [condition for condition, is_asked in conditions.items() if is_asked]
    if not asked:
        return "Asks for nothing; naming the authors is a courtesy."
    return f"Asks you to {'; '.join(asked)}."


_CC_KINDS = {  # as in the addresses; the words of their names
    "by": "Attribution",
    "by-sa": "Attribution-ShareAlike",
    "by-nd": "Attribution-NoDerivatives",
    "by-nc": "Attribution-NonCommercial",
    "by-nc-sa": "Attribution-NonCommercial-ShareAlike",
    "by-nc-nd": "Attribution-NonCommercial-NoDerivatives",
}
_CC_VERSIONS = ("1.0", "2.0", "2.5", "3.0", "4.0")
_CC_SUFFIX = {"3.0": "Unported", "4.0": "International"}


def _creative_commons() -> Iterator[License]:
    """Yield the Creative Commons licenses, the plainest kinds first."""
    for kind, words in _CC_KINDS.items():
        for version in _CC_VERSIONS:
            # The oldest of them is the only one at an address in another order.
            place = "by-nd-nc" if (kind, version) == ("by-nc-nd", "1.0") else kind
            yield License(
                spdx=f"CC-{kind.upper()}-{version}",
                folder_names=(),
                name=f"Creative Commons {words} {version} {_CC_SUFFIX.get(version, 'Generic')}",
                url=f"https://creativecommons.org/licenses/{place}/{version}/",
                attribution=True,
                changes=True,
                share_alike=kind.endswith("-sa"),
                non_commercial="-nc" in kind,
                no_derivatives=kind.endswith("-nd"),
            )


def _software(spdx: str, name: str, *folder_names: str, copyleft: bool = False) -> License:
    """Return the entry of a license made for programs, all of which ask for their notice."""
    return License(
        spdx=spdx,
        folder_names=folder_names,
        name=name,
        url=f"https://spdx.org/licenses/{spdx}.html",
        notice=True,
        changes=copyleft or spdx == "Apache-2.0",
        share_alike=copyleft,
    )


LICENSES = (
    License(
        spdx="CC0-1.0",
        folder_names=("cc-0", "cc0", "cc-zero"),
        name="Creative Commons Zero v1.0 Universal",
        url="https://creativecommons.org/publicdomain/zero/1.0/",
    ),
    License(
        spdx="CC-PDM-1.0",
        folder_names=("pd", "public-domain", "pdm", "cc-pdm"),
        name="Creative Commons Public Domain Mark 1.0 Universal",
        url="https://creativecommons.org/publicdomain/mark/1.0/",
    ),
    License(
        spdx="Unlicense",
        folder_names=("unlicense", "the-unlicense"),
        name="The Unlicense",
        url="https://spdx.org/licenses/Unlicense.html",
    ),
    _software("MIT", "MIT License", "mit", "expat"),
    _software("BSD-2-Clause", 'BSD 2-Clause "Simplified" License'),
    _software("BSD-3-Clause", 'BSD 3-Clause "New" or "Revised" License', "bsd", "bsd-3", "new-bsd"),
    _software("ISC", "ISC License"),
    _software("Apache-2.0", "Apache License 2.0", "apache", "apache-2"),
    *_creative_commons(),
    _software("GPL-2.0-only", "GNU General Public License v2.0 only", "gpl-2.0", copyleft=True),
    _software(
        "GPL-2.0-or-later", "GNU General Public License v2.0 or later", "gpl-2.0+", copyleft=True
    ),
    _software("GPL-3.0-only", "GNU General Public License v3.0 only", "gpl-3.0", copyleft=True),
    _software(
        "GPL-3.0-or-later", "GNU General Public License v3.0 or later", "gpl-3.0+", copyleft=True
    ),
)


def _key(text: str) -> str:
    """Return `text` with nothing left in which two spellings of one id may differ."""
    return re.sub(r"[^\w+]|_", "", text.casefold())


_BY_KEY = {
    _key(spelling): license_
    for license_ in LICENSES
    for spelling in (license_.spdx, *license_.folder_names)
}
_BY_SPDX = {license_.spdx: license_ for license_ in LICENSES}
_OWN_TERMS = re.compile(r"(?i)licenseref-([a-z0-9][a-z0-9.-]{0,99})")


def normalize(text: str) -> str:
    """Return the SPDX id of a license given as an SPDX id or as a folder name.

    Raises:
        LibraryError: the license is not in the table; the message lists those that are.
    """
    own = _OWN_TERMS.fullmatch(text.strip())
    if own:
        return OWN_TERMS + own[1]
    found = _BY_KEY.get(_key(text))
    if found is None:
        near = difflib.get_close_matches(_key(text), _BY_KEY, n=1, cutoff=0.6)
        hint = f"did you mean {_BY_KEY[near[0]].spdx}? " if near else ""
        raise LibraryError(f"unknown license {text[:100]!r}; {hint}known licenses: {_known()}")
    return found.spdx


def is_known(text: str) -> bool:
    """Tell whether `normalize` has an SPDX id for `text`."""
    return _key(text) in _BY_KEY or _OWN_TERMS.fullmatch(text.strip()) is not None


def get(spdx: str) -> License:
    """Return the entry for an SPDX id that `normalize` returned."""
    if spdx.startswith(OWN_TERMS):
        return License(spdx, (), "Terms of their owner's own", "", attribution=True)
    return _BY_SPDX[spdx]


def _known() -> str:
    """List the ids of the table, the Creative Commons licenses' versions together."""
    versions = " or ".join(_CC_VERSIONS)
    plain = [spdx for spdx in _BY_SPDX if not spdx.startswith("CC-BY")]
    kinds = [f"CC-{kind.upper()}" for kind in _CC_KINDS]
    return f"{', '.join(plain)}; and {', '.join(kinds)}, each followed by -{versions}"
