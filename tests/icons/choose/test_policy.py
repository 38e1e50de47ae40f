from pathlib import Path

import pytest

from bioicons_kit.errors import LibraryError
from bioicons_kit.icons import select
from bioicons_kit.icons.choose import policy
from bioicons_kit.icons.library import Icon, Library
from bioicons_kit.preset import Bucket, Dataset, Policy


def icon(number: int, spdx: str) -> Icon:
    path = Path(f"{spdx}/A/Jo/{number}.svg")
    return Icon(path, path.as_posix(), "A", spdx, "Jo", str(number))


FREE = [icon(1, "CC0-1.0"), icon(2, "MIT"), icon(3, "CC-BY-4.0")]
SHARE_ALIKE = [icon(4, "CC-BY-SA-3.0"), icon(5, "CC-BY-SA-4.0"), icon(6, "CC-BY-SA-4.0")]


def test_what_asks_for_credit_only_is_allowed(capsys):
    policy.check([FREE, [icon(7, "LicenseRef-own-work")]], Policy())
    assert capsys.readouterr().err == ""


def test_share_alike_is_refused_with_the_reason_and_both_ways_out():
    with pytest.raises(LibraryError) as caught:
        policy.check([FREE, [*FREE, *SHARE_ALIKE]], Policy())
    assert str(caught.value) == (
        "bucket 1 selects 3 icons under CC-BY-SA-3.0 and CC-BY-SA-4.0, for example "
        "CC-BY-SA-3.0/A/Jo/4.svg; share-alike: a LoRA trained on them may have to carry the same "
        "license, which FLUX.1-dev's non-commercial terms do not allow; leave them out with "
        'license = ["CC-BY-4.0", "CC0-1.0", "MIT"] in the bucket, or let them in with '
        'dataset.licenses.allow = ["CC-BY-SA-3.0", "CC-BY-SA-4.0"]'
    )


def test_the_ways_out_lead_out():
    policy.check([[*FREE, *SHARE_ALIKE]], Policy(allow=("cc-by-sa-3.0", "CC-BY-SA-4.0")))
    with pytest.raises(LibraryError, match=r"selects 1 icon under CC-BY-SA-3.0, .*another choice"):
        policy.check([SHARE_ALIKE[:1]], Policy(allow="cc-by-sa-4.0"))


@pytest.mark.parametrize("spdx", ["CC-BY-ND-4.0", "CC-BY-NC-ND-3.0", "GPL-3.0-only"])
def test_other_licenses_that_bind_adaptations_are_refused(spdx):
    with pytest.raises(LibraryError, match=rf"under {spdx}"):
        policy.check([[icon(1, spdx)]], Policy())
    policy.check([[icon(1, spdx)]], Policy(allow=spdx))


def test_denied_licenses_are_refused():
    with pytest.raises(LibraryError, match=r"1 icon under MIT.*deny refuses it.*take MIT out of"):
        policy.check([FREE], Policy(deny="mit"))


def test_terms_without_commerce_are_told(capsys):
    policy.check([[icon(1, "CC-BY-NC-4.0"), *FREE]], Policy())
    assert "1 icon under CC-BY-NC-4.0: neither the pictures nor" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ({"allow": "gplx"}, "dataset.licenses.allow: unknown license 'gplx'"),
        ({"deny": "gplx"}, "dataset.licenses.deny: unknown license 'gplx'"),
        ({"allow": "CC-BY-SA-4.0", "deny": "cc-by-sa-4.0"}, "under both allow and deny"),
        # whoever takes allow for a list of all that is allowed is told that it is none
        ({"allow": "CC0-1.0"}, "CC0-1.0 is allowed already"),
    ],
)
def test_policy_that_cannot_apply_is_refused(written, message):
    with pytest.raises(LibraryError, match=message):
        policy.check([FREE], Policy(**written))


def test_policy_answers_before_any_icon_is_there():
    assert policy.refusal("CC0-1.0", Policy()) is None
    assert "share-alike" in (policy.refusal("CC-BY-SA-4.0", Policy()) or "")
    assert "deny" in (policy.refusal("MIT", Policy(deny="mit")) or "")


@pytest.mark.parametrize("seed", range(4))
def test_no_seed_decides_whether_a_bucket_is_refused(seed):
    there = Library(Path(), (*FREE, *SHARE_ALIKE), ())
    with pytest.raises(LibraryError, match="share-alike"):
        select.rows(
            there, Dataset(root="x", caption="{name}", buckets=(Bucket(limit=1),), seed=seed)
        )
