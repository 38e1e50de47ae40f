"""A dataset folder -> a dataset repository of the Hugging Face hub.

Nothing leaves the machine before a person has seen what will, and what the licenses ask of
whoever passes it on. The repository becomes what the folder is: pictures of an earlier push
that are no longer in it are removed.
"""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bioicons_kit import console
from bioicons_kit.errors import KitError, StorageError
from bioicons_kit.icons.folder import journal, texts
from bioicons_kit.icons.folder.contents import SPLITS, Contents
from bioicons_kit.preset import is_hub_id

_LOG_IN = "log in with `hf auth login` (a token that may write), or set HF_TOKEN"
# Of the repository, all in these folders is the kit's.
_MIRRORED = [f"{name}/*" for name in (*SPLITS, "contact", "LICENSES")]
# The hub's own rules for names, beyond the form "owner/name".
_LONGEST_NAME = 96
_REFUSED = re.compile(r"--|\.\.|/[-.]|\.git$")
_MEGABYTE = 10**6


def check(name: str) -> None:
    """Refuse, before any work, a push that cannot succeed.

    Raises:
        KitError: the name is none, or nobody is logged in.
    """
    from huggingface_hub import get_token

    if not is_hub_id(name) or len(name) > _LONGEST_NAME or _REFUSED.search(name):
        raise KitError(f"--push-to-hub: {name!r} is no name of a hub dataset; give owner/name")
    if get_token() is None:
        raise KitError(f"--push-to-hub: no token for the Hugging Face hub; {_LOG_IN}")


def push(contents: Contents, name: str, private: bool = False, yes: bool = False) -> None:
    """Send a folder to the hub, after asking.

    Args:
        contents: the folder as it was just prepared.
        name: of the repository, "owner/name".
        private: whether a repository made now is private.
        yes: go on without asking.

    Raises:
        KitError: the hub refuses or cannot be reached, or there is nobody to ask.
        StorageError: the folder holds files that are not the kit's.
    """
    from huggingface_hub import HfApi

    api = HfApi(library_name="bioicons_kit")
    _refuse_strangers(contents.folder)
    with _told(name):
        is_new = not api.repo_exists(name, repo_type="dataset")
    _describe(contents, name, is_new, private)
    if not yes and not _agreed():
        raise KitError("nothing was pushed")
    with _told(name):
        api.create_repo(name, repo_type="dataset", private=private or None, exist_ok=True)
        commit = api.upload_folder(
            repo_id=name,
            repo_type="dataset",
            folder_path=contents.folder,
            commit_message="Dataset prepared with bioicons_kit",
            ignore_patterns=[journal.NAME],
            delete_patterns=_MIRRORED,
        )
    console.say("pushed", str(commit.repo_url))


def _describe(contents: Contents, name: str, is_new: bool, private: bool) -> None:
    """Say what would be pushed where, and what that asks of the person."""
    kind = f"new, {'private' if private else 'public'}" if is_new else "there already, replaced"
    files = [each for each in contents.folder.rglob("*") if each.is_file()]
    size = sum(each.stat().st_size for each in files) / _MEGABYTE
    console.say("push", f"{len(files):,} files, {size:,.1f} MB, to the dataset {name} ({kind})")
    for line in texts.duties(contents.records):
        console.say("license", line)
    console.say("", "ATTRIBUTION.md and the dataset card, which go with them, give the credits")


def _agreed() -> bool:
    """Ask whether to push."""
    if not sys.stdin.isatty():
        raise KitError("--push-to-hub asks before it pushes, and nobody is here; give --yes")
    return input("push? [y/N] ").strip().lower() in {"y", "yes"}


def _refuse_strangers(folder: Path) -> None:
    """Refuse to push files that somebody else put into the folder."""
    others = journal.strangers(folder, journal.read(folder))
    if others:
        raise StorageError(
            f"{folder / others[0]}: was not written by this kit, and would be pushed with the "
            f"rest ({len(others)} such file(s)); move it away"
        )


@contextmanager
def _told(name: str) -> Iterator[None]:
    """Turn what the hub's client raises into one line."""
    from huggingface_hub import errors

    try:
        yield
    except errors.OfflineModeIsEnabled as error:
        raise KitError(f"{name}: cannot be pushed while HF_HUB_OFFLINE is set") from error
    except errors.HfHubHTTPError as error:
        status = error.response.status_code if error.response is not None else 0
        if status == 401:
            raise KitError(f"{name}: the hub does not accept the token; {_LOG_IN}") from error
        if status in {403, 404}:
            raise KitError(f"{name}: this token may not write there; {_LOG_IN}") from error
        raise KitError(f"{name}: the hub refuses ({error})") from error
    except KitError:
        raise
    except Exception as error:  # each transport below the hub's client has errors of its own
        raise KitError(
            f"{name}: the push broke off ({type(error).__name__}: {error}); run again, and it "
            "goes on from there"
        ) from error
