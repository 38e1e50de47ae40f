"""A model's name: found, or refused in one line that says what to do."""

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from bioicons_kit import families
from bioicons_kit.errors import ModelError
from bioicons_kit.families import hub
from bioicons_kit.files import sha256_bytes
from bioicons_kit.preset import Model

REPOSITORY = Path(__file__).parents[2]
PIPELINE = "FluxPipeline"
NOWHERE = "kit-tests/no-such-model"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


class TestFolder:
    def index(self, folder: Path, text: str) -> Model:
        (folder / "model_index.json").write_text(text, "utf-8")
        return Model(path=str(folder))

    def test_a_whole_one_is_found(self, starter_folder: Path):
        assert hub.find(Model(path=str(starter_folder)), PIPELINE) == starter_folder

    def test_that_does_not_exist(self, tmp_path: Path):
        path = str(tmp_path / "FLUX.1-dev")
        with pytest.raises(ModelError) as refusal:
            hub.find(Model(path=path), PIPELINE)
        assert str(refusal.value).startswith(f"{path}: no such model folder")
        assert '"black-forest-labs/FLUX.1-dev"' in str(refusal.value)
        assert '"starter"' in str(refusal.value)

    def test_that_is_a_file(self, tmp_path: Path):
        path = tmp_path / "model.ckpt"
        path.touch()
        with pytest.raises(ModelError, match="no such model folder"):
            hub.find(Model(path=str(path)), PIPELINE)

    def test_that_is_no_model(self, tmp_path: Path):
        with pytest.raises(ModelError, match=r"has no model_index\.json.*holds transformer/"):
            hub.find(Model(path=str(tmp_path)), PIPELINE)

    def test_that_is_one_component_of_a_model(self, starter_folder: Path):
        with pytest.raises(ModelError, match="must be the folder that holds transformer/"):
            hub.find(Model(path=str(starter_folder / "transformer")), PIPELINE)

    def test_of_another_family(self, tmp_path: Path):
        model = self.index(tmp_path, '{"_class_name": "StableDiffusionPipeline"}')
        with pytest.raises(ModelError) as refusal:
            hub.find(model, PIPELINE)
        assert "holds a StableDiffusionPipeline" in str(refusal.value)
        assert "needs a FluxPipeline" in str(refusal.value)

    @pytest.mark.parametrize("text", ["", "{", "[]", "null", '"FluxPipeline"', "\x00"])
    def test_with_an_index_that_is_none(self, tmp_path: Path, text: str):
        with pytest.raises(ModelError, match=r"model_index\.json: not a (readable )?model config"):
            hub.find(self.index(tmp_path, text), PIPELINE)

    def test_is_refused_by_the_family_too(self, tmp_path: Path):
        with pytest.raises(ModelError, match=r"model_index\.json"):
            families.load(Model(path=str(tmp_path)), tmp_path)


class TestOffline:
    def test_says_how_to_get_the_model(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
        with pytest.raises(ModelError) as refusal:
            hub.find(Model(path=NOWHERE), PIPELINE)
        message = str(refusal.value)
        assert message.startswith(f"{NOWHERE}: ")
        assert "not in the local hub cache" in message
        assert f"`hf download {NOWHERE}`" in message
        assert "model.path" in message

    @pytest.mark.parametrize("path", ["a--b/model", "owner/" + "n" * 100, "owner/model.git"])
    def test_a_name_the_hub_does_not_allow(self, path: str):
        with pytest.raises(ModelError) as refusal:
            hub.find(Model(path=path), PIPELINE)
        assert str(refusal.value).startswith(f"{path}: no such model folder")

    def test_names_the_revision(self, tmp_path: Path):
        with pytest.raises(ModelError, match=rf"^{NOWHERE} at revision v1\.5: "):
            hub.find(Model(path=NOWHERE, revision="v1.5"), PIPELINE)

    def test_a_folder_of_that_name_comes_first(
        self, starter_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        shutil.copytree(starter_folder, tmp_path / NOWHERE)
        monkeypatch.chdir(tmp_path)
        assert hub.find(Model(path=NOWHERE), PIPELINE) == Path(NOWHERE)


FILES = {
    "README.md": b"of no use here",
    "flux1-dev.safetensors": b"the same weights once more",
    "model_index.json": json.dumps({"_class_name": PIPELINE}).encode(),
    "transformer/config.json": b"{}",
}


class Hub(BaseHTTPRequestHandler):
    """As much of the Hugging Face hub's interface as `snapshot_download` asks of it."""

    asked: list[str]  # set for each server

    def do_GET(self) -> None:
        self.asked.append(self.path)
        if "/gated/" in self.path:
            self.refuse(403, "GatedRepo")
        elif "/unknown/" in self.path:
            self.refuse(404, "RepoNotFound")
        elif "/private/" in self.path:
            self.refuse(401, "RepoNotFound")
        elif "/broken/" in self.path:
            self.refuse(500, None)
        elif "/v9" in self.path:
            self.refuse(404, "RevisionNotFound")
        elif "/portal/" in self.path:
            self.answer(b"<html>Please log in to this network</html>")
        elif self.path.startswith("/api/") and "/tree/" in self.path:
            tree = [
                {"type": "file", "path": name, "size": len(body), "oid": sha256_bytes(body)}
                for name, body in FILES.items()
            ]
            self.answer(json.dumps(tree).encode())
        elif self.path.startswith("/api/"):
            names = [{"rfilename": name} for name in FILES]
            self.answer(json.dumps({"id": "kit/good", "sha": COMMIT, "siblings": names}).encode())
        else:
            self.answer(FILES[self.path.partition(f"/resolve/{COMMIT}/")[2]])

    def do_HEAD(self) -> None:
        self.do_GET()

    def refuse(self, status: int, code: str | None) -> None:
        self.send_response(status)
        if code is not None:
            self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("ETag", f'"{len(body)}{body[:1].hex()}"')
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, format: str, *values: object) -> None:  # noqa: A002
        """Say nothing."""


@contextmanager
def served() -> Iterator[tuple[str, list[str]]]:
    """Yield a hub's address on the loopback, and the list of what it was asked."""
    asked: list[str] = []
    handler = type("Handler", (Hub,), {"asked": asked})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", asked
        finally:
            server.shutdown()
            thread.join()


def found(address: str, home: Path, *models: dict[str, str]) -> list[str]:
    """Look models up in another process, whose hub is `address`; return what it said."""
    script = (
        "import json, sys\n"
        "from bioicons_kit.errors import KitError\n"
        "from bioicons_kit.families import hub\n"
        "from bioicons_kit.preset import Model\n"
        "for model in json.loads(sys.argv[1]):\n"
        "    try: print(hub.find(Model(**model), 'FluxPipeline'))\n"
        "    except KitError as error: print(type(error).__name__, error)\n"
    )
    clean = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
    environment = {
        **clean,
        "HF_ENDPOINT": address,
        "HF_HUB_OFFLINE": "0",
        "HF_HOME": str(home),
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    }
    done = subprocess.run(
        [sys.executable, "-c", script, json.dumps(models)],
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stdout.splitlines()


class TestOnline:
    @pytest.fixture(scope="class")
    @classmethod
    def answers(cls, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
        models = [
            {"path": "gated/model"},
            {"path": "unknown/model"},
            {"path": "private/model"},
            {"path": "kit/model", "revision": "v9"},
            {"path": "broken/model"},
            {"path": "portal/model"},
        ]
        with served() as (address, _):
            said = found(address, tmp_path_factory.mktemp("home"), *models)
        assert len(said) == len(models), "one line each"
        return {model["path"]: line for model, line in zip(models, said, strict=True)}

    def test_a_gated_model(self, answers: dict[str, str]):
        assert answers["gated/model"] == (
            "ModelError gated/model: the model is gated; accept its license at "
            "https://huggingface.co/gated/model and log in with `hf auth login`"
        )

    @pytest.mark.parametrize("name", ["unknown/model", "private/model"])
    def test_an_unknown_or_private_model(self, answers: dict[str, str], name: str):
        assert answers[name].startswith(f"ModelError {name}: the hub knows no such model")
        assert "`hf auth login`" in answers[name]

    def test_an_unknown_revision(self, answers: dict[str, str]):
        assert answers["kit/model"] == (
            "ModelError kit/model at revision v9: the hub has no such revision of the model"
        )

    @pytest.mark.parametrize("name", ["broken/model", "portal/model"])
    def test_a_hub_in_trouble(self, answers: dict[str, str], name: str):
        assert answers[name].startswith(f"ModelError {name}: ")
        assert "cannot be reached" in answers[name]

    def test_no_hub_at_all(self, tmp_path: Path):
        with served() as (address, _):
            pass  # and gone again: nobody listens there
        (said,) = found(address, tmp_path, {"path": "kit/good"})
        assert said.startswith("ModelError kit/good: ")
        assert "cannot be reached" in said

    def test_a_cache_that_cannot_be_written(self, tmp_path: Path):
        (tmp_path / "file").touch()
        with served() as (address, _):
            (said,) = found(address, tmp_path / "file" / "home", {"path": "kit/good"})
        assert said.startswith("StorageError kit/good: cannot be stored (")
        assert str(tmp_path / "file") in said

    def test_a_model_is_fetched_once_without_what_is_not_needed(self, tmp_path: Path):
        model = {"path": "kit/good"}
        with served() as (address, asked):
            first, second = found(address, tmp_path, model, model)
            wanted = [path for path in asked if "/resolve/" in path]
        (offline,) = found(address, tmp_path, model)
        assert first == second == offline
        names = {p.relative_to(first).as_posix() for p in Path(first).rglob("*") if p.is_file()}
        assert names == {"model_index.json", "transformer/config.json"}
        assert {path.partition(f"{COMMIT}/")[2] for path in wanted} == names
