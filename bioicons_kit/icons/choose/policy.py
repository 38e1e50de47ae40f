"""Which licenses may enter a training set: asked of all that the buckets select, first.

By default two kinds are refused. Share-alike: taken for an adaptation of its pictures, a
LoRA has to carry their license, but FLUX.1-dev's terms make it carry theirs, which allow
no commercial use. No-derivatives: taken for one, it may not be published at all, nor may
resized pictures. `dataset.licenses.allow` lets a license in all the same (who never
publishes may), `deny` keeps others out.

Asked before any drawing of limits and quotas, so that no seed decides whether a preset
is refused.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from bioicons_kit import console
from bioicons_kit.errors import LibraryError
from bioicons_kit.icons import licenses
from bioicons_kit.icons.library import Icon
from bioicons_kit.preset import Policy

_WHY_SHARE_ALIKE = (
    "share-alike: a LoRA trained on them may have to carry the same license, which "
    "FLUX.1-dev's non-commercial terms do not allow"
)
_WHY_NO_DERIVATIVES = (
    "no derivatives: resized pictures, and a LoRA trained on them, may not be passed on"
)


def check(selected: Sequence[Sequence[Icon]], policy: Policy) -> None:
    """Refuse buckets that select what the policy keeps out; tell of conditions to keep.

    Args:
        selected: the icons that each bucket's filters select.
        policy: the preset's `dataset.licenses`.

    Raises:
        LibraryError: a bucket selects an icon under a refused license, or the policy itself
            cannot apply.
    """
    gate = _Gate(_ids(policy.allow, "allow"), _ids(policy.deny, "deny"))
    gate.check_itself()
    for index, icons in enumerate(selected):
        gate.check(index, icons)
    _tell_non_commercial(selected)


def refusal(spdx: str, policy: Policy) -> str | None:
    """Say why a policy keeps a license out, before any icon is there; None if it does not.

    Raises:
        LibraryError: the policy names a license that is not known.
    """
    return _Gate(_ids(policy.allow, "allow"), _ids(policy.deny, "deny")).refusal(spdx)


@dataclass(frozen=True)
class _Gate:
    """A policy as SPDX ids: those that the preset lets in, and those that it keeps out."""

    allowed: frozenset[str]
    denied: frozenset[str]

    def check_itself(self) -> None:
        """Refuse a policy that contradicts itself, or allows what nothing refuses."""
        for spdx in sorted(self.allowed & self.denied):
            raise LibraryError(f"dataset.licenses: {spdx} is under both allow and deny; keep one")
        for spdx in sorted(self.allowed):
            if not _default_refusal(spdx):
                raise LibraryError(
                    f"dataset.licenses.allow: {spdx} is allowed already: allow lifts a default "
                    "refusal, and keeps no other license out; remove it, and choose licenses "
                    "with license = [...] in the buckets"
                )

    def check(self, index: int, icons: Sequence[Icon]) -> None:
        """Refuse a bucket, by number, that selects what is kept out."""
        of_license: dict[str, list[Icon]] = defaultdict(list)
        for icon in icons:
            of_license[icon.license].append(icon)
        refused = [spdx for spdx in sorted(of_license) if self.refusal(spdx)]
        if not refused:
            return
        worst = max(refused, key=lambda spdx: licenses.get(spdx).strictness)
        reason = self.refusal(worst)
        alike = [spdx for spdx in refused if self.refusal(spdx) == reason]
        examples = [icon for spdx in alike for icon in of_license[spdx]]
        kept = [spdx for spdx in sorted(of_license) if spdx not in refused]
        out = f"license = {_listed(kept)} in the bucket" if kept else "another choice of icons"
        raise LibraryError(
            f"bucket {index} selects {_counted(len(examples))} under {' and '.join(alike)}, for "
            f"example {examples[0].relative}; {reason}; leave them out with {out}, or "
            f"{self._way_in(refused)}"
        )

    def refusal(self, spdx: str) -> str | None:
        """Say why a license is kept out; None if it is not."""
        if spdx in self.denied:
            return "dataset.licenses.deny refuses it"
        return None if spdx in self.allowed else _default_refusal(spdx)

    def _way_in(self, refused: Sequence[str]) -> str:
        """Say how to let all in that a bucket selects."""
        by_default = [spdx for spdx in refused if spdx not in self.denied]
        if not by_default:
            return f"take {' and '.join(refused)} out of dataset.licenses.deny"
        return f"let them in with dataset.licenses.allow = {_listed(by_default)}"


def _ids(written: Sequence[str], key: str) -> frozenset[str]:
    """Return the SPDX ids of a list of the policy."""
    try:
        return frozenset(licenses.normalize(text) for text in written)
    except LibraryError as error:
        raise LibraryError(f"dataset.licenses.{key}: {error}") from error


def _default_refusal(spdx: str) -> str | None:
    """Say why a license is kept out unless the preset allows it; None if it is not."""
    license_ = licenses.get(spdx)
    if license_.no_derivatives:
        return _WHY_NO_DERIVATIVES
    return _WHY_SHARE_ALIKE if license_.share_alike else None


def _tell_non_commercial(selected: Sequence[Sequence[Icon]]) -> None:
    """Say that a license of the set allows no commercial use."""
    bound = {
        icon.path: icon.license
        for icons in selected
        for icon in icons
        if licenses.get(icon.license).non_commercial
    }
    if bound:
        console.warn(
            f"{_counted(len(bound))} under {', '.join(sorted(set(bound.values())))}: neither the "
            "pictures nor, as we read it, a LoRA trained on them may be used commercially"
        )


def _counted(number: int) -> str:
    """Return "1 icon", "2 icons"."""
    return f"{number:,} icon{'' if number == 1 else 's'}"


def _listed(ids: Sequence[str]) -> str:
    """Return ids as TOML writes them."""
    return "[" + ", ".join(f'"{spdx}"' for spdx in ids) + "]"
