"""The licenses of the library: SPDX ids, folder names, and what each asks for.

The table holds every license found in bioicons. Conditions are those of the license
texts at the `url` of each entry, for someone who passes the pictures on:

    attribution   name the author, the title, the source and the license, with links
    notice        pass on the copyright notice and the license text
    share_alike   pass adaptations on under the same license
    changes       say what was changed

Any spelling that has the same letters and digits is accepted: `cc-by-4.0`, `CC BY 4.0`,
`CC-BY-4.0`.
"""

import difflib
import re
from dataclasses import dataclass

from bioicons_kit.errors import LibraryError


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

    @property
    def asks(self) -> str:
        """What the license asks of someone who passes the pictures on, as one sentence."""
        conditions = []
        if self.attribution:
            conditions.append("name the author, the title and the source, and link this license")
        if self.notice:
            conditions.append("pass on the copyright notice and the license text")
        if self.changes:
            conditions.append("say what was changed")
        if self.share_alike:
            conditions.append("share adaptations under the same license")
        if not conditions:
            return "Asks for nothing; naming the authors is a courtesy."
        return f"Asks you to {'; '.join(conditions)}."


def _creative_commons(kind: str, version: str, suffix: str) -> License:
    """Return the entry of a Creative Commons license, `kind` being "by" or "by-sa"."""
    words = "Attribution-ShareAlike" if kind == "by-sa" else "Attribution"
    return License(
        spdx=f"CC-{kind.upper()}-{version}",
        folder_names=(f"cc-{kind}-{version}",),
        name=f"Creative Commons {words} {version} {suffix}",
        url=f"https://creativecommons.org/licenses/{kind}/{version}/",
        attribution=True,
        changes=True,
        share_alike=kind == "by-sa",
    )


LICENSES = (
    License(
        spdx="CC0-1.0",
        folder_names=("cc-0", "cc0"),
        name="Creative Commons Zero v1.0 Universal",
        url="https://creativecommons.org/publicdomain/zero/1.0/",
    ),
    License(
        spdx="MIT",
        folder_names=("mit",),
        name="MIT License",
        url="https://spdx.org/licenses/MIT.html",
        notice=True,
    ),
    License(
        spdx="BSD-3-Clause",
        folder_names=("bsd",),
        name='BSD 3-Clause "New" or "Revised" License',
        url="https://spdx.org/licenses/BSD-3-Clause.html",
        notice=True,
    ),
    _creative_commons("by", "3.0", "Unported"),
    _creative_commons("by", "4.0", "International"),
    _creative_commons("by-sa", "3.0", "Unported"),
    _creative_commons("by-sa", "4.0", "International"),
)


def _key(text: str) -> str:
    """Return `text` with nothing left in which two spellings of one id may differ."""
    return re.sub(r"[^a-z0-9]", "", text.casefold())


_BY_KEY = {
    _key(spelling): license_
    for license_ in LICENSES
    for spelling in (license_.spdx, *license_.folder_names)
}
_BY_SPDX = {license_.spdx: license_ for license_ in LICENSES}


def normalize(text: str) -> str:
    """Return the SPDX id of a license given as an SPDX id or as a folder name.

    Raises:
        LibraryError: the license is not in the table; the message lists those that are.
    """
    found = _BY_KEY.get(_key(text))
    if found is None:
        near = difflib.get_close_matches(_key(text), _BY_KEY, n=1, cutoff=0.6)
        hint = f"did you mean {_BY_KEY[near[0]].spdx}? " if near else ""
        raise LibraryError(f"unknown license {text!r}; {hint}known licenses: {', '.join(_BY_SPDX)}")
    return found.spdx


def get(spdx: str) -> License:
    """Return the table's entry for an SPDX id that `normalize` returned."""
    return _BY_SPDX[spdx]
