"""Pushing: asked for, told what is pushed, refused in one line; the hub's client at its border."""

import inspect
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub import HfApi, constants

from bioicons_kit.errors import KitError, StorageError
from bioicons_kit.icons.folder import prepare, push
from bioicons_kit.icons.folder.contents import Contents

UPLOAD = inspect.signature(HfApi.upload_folder)
CREATE = inspect.signature(HfApi.create_repo)


@pytest.fixture
def contents(preset: Any, out: Path) -> Contents:
    return prepare.prepare(preset(), out, workers=1).contents


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Calls that reached the hub's client, checked against its real signatures."""
    calls: list[dict[str, Any]] = []

    def create_repo(self: HfApi, *args: Any, **kwargs: Any) -> None:
        calls.append(CREATE.bind(self, *args, **kwargs).arguments | {"call": "create"})

    def upload_folder(self: HfApi, *args: Any, **kwargs: Any) -> Any:
        calls.append(UPLOAD.bind(self, *args, **kwargs).arguments | {"call": "upload"})
        return type("Commit", (), {"repo_url": "https://hub.example/datasets/me/icons"})

    monkeypatch.setattr(HfApi, "repo_exists", lambda self, name, repo_type: False)
    monkeypatch.setattr(HfApi, "create_repo", create_repo)
    monkeypatch.setattr(HfApi, "upload_folder", upload_folder)
    return calls


def test_it_is_pushed_with_what_the_licenses_ask_told(
    contents: Contents, hub: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
):
    capsys.readouterr()
    push.push(contents, "me/icons", private=True, yes=True)
    told = capsys.readouterr().out
    assert "to the dataset me/icons (new, private)" in told
    for spdx in ("CC0-1.0", "CC-BY-4.0", "MIT"):
        assert f"({spdx})" in told
    assert "name the author" in told
    assert "https://hub.example/datasets/me/icons" in told
    create, upload = hub
    assert create["repo_id"] == upload["repo_id"] == "me/icons"
    assert create["repo_type"] == upload["repo_type"] == "dataset"
    assert create["private"] is True
    assert upload["folder_path"] == contents.folder
    kept = [path for path in contents.folder.rglob("*") if path.is_file()]
    pushed = huggingface_hub.utils.filter_repo_objects(
        [path.relative_to(contents.folder).as_posix() for path in kept],
        ignore_patterns=upload["ignore_patterns"],
    )
    assert len([*pushed]) == len(kept) - 1, "all but the journal"


def test_nobody_to_ask(contents: Contents, hub: list[dict[str, Any]]):
    with pytest.raises(KitError, match="give --yes"):
        push.push(contents, "me/icons")
    assert hub == []


@pytest.mark.parametrize(("answer", "calls"), [("y", 2), ("", 0), ("n", 0), ("maybe", 0)])
def test_the_answer_counts(
    contents: Contents,
    hub: list[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    answer: str,
    calls: int,
):
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda _: answer)
    if calls:
        push.push(contents, "me/icons")
    else:
        with pytest.raises(KitError, match="nothing was pushed"):
            push.push(contents, "me/icons")
    assert len(hub) == calls


def test_files_of_others_are_not_pushed(contents: Contents, hub: list[dict[str, Any]]):
    (contents.folder / "train" / "private.txt").write_text("secret")
    with pytest.raises(StorageError, match=r"private\.txt: was not written by this kit"):
        push.push(contents, "me/icons", yes=True)
    assert hub == []


@pytest.mark.parametrize("name", ["icons", "a/b/c", "me/icons--x", "me/.x", "", "me/a b"])
def test_names_are_checked_before_any_work(name: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: "hf_x")
    with pytest.raises(KitError, match="is no name of a hub dataset; give owner/name"):
        push.check(name)
    push.check("me/icons")


def test_without_a_token(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: None)
    with pytest.raises(KitError, match="no token for the Hugging Face hub; log in"):
        push.check("me/icons")


@pytest.fixture
def refusing(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A server on this machine in the hub's place: it does not know us."""

    class Refuse(BaseHTTPRequestHandler):
        status = 401

        def do_GET(self) -> None:
            self.send_response(404 if self.command == "GET" else self.status)
            self.send_header("X-Error-Code", "RepoNotFound" if self.command == "GET" else "")
            self.end_headers()

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.do_GET()

        def log_message(self, *_: object) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Refuse)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    try:
        yield Refuse
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (401, "does not accept the token; log in"),
        (403, "may not write there; log in"),
        (500, "the hub refuses"),
    ],
)
def test_the_real_client_is_refused_in_one_line(
    contents: Contents, refusing: Any, status: int, said: str
):
    refusing.status = status
    with pytest.raises(KitError, match=f"^me/icons: .*{said}"):
        push.push(contents, "me/icons", yes=True)


def test_a_hub_that_is_not_there(contents: Contents, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    with pytest.raises(KitError, match="the push broke off"):
        push.push(contents, "me/icons", yes=True)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(KitError, match="cannot be pushed while HF_HUB_OFFLINE is set"):
        push.push(contents, "me/icons", yes=True)
