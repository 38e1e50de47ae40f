"""The captioning tool: what it writes, what it asks, and what it never writes over."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

PRESET = """
[model]
path = "starter"

[dataset]
root = "shipped"
trigger = "bioicon style"
captions = "captions.jsonl"

[[dataset.buckets]]
category = "Animals"
name = ["mouse", "frog", "rabbit"]

[cache]
root = "cache"
"""


@pytest.fixture
def main(tool: Any) -> Any:
    return tool("caption")


@pytest.fixture
def preset(tmp_path: Path) -> Path:
    path = tmp_path / "small.toml"
    path.write_text(PRESET, "utf-8")
    return path


class Service:
    """An OpenAI-compatible server that names what it was asked about, unless told otherwise."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.fails_from = 10**6
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                prompt = body["messages"][0]["content"][0]["text"]
                outer.asked.append(prompt)
                status = 400 if len(outer.asked) >= outer.fails_from else 200
                noun = prompt.split()[0]
                text = f"A small {noun}." if noun != "rabbit" else "An icon of a rabbit."
                answer = {"choices": [{"message": {"content": text}}], "model": "served-1"}
                content = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._server.server_port}/v1"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch, preset: Path) -> Iterator[Service]:
    """A server, which the preset names as its captioner."""
    for name in ("http_proxy", "all_proxy", "HTTP_PROXY", "ALL_PROXY", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    made = Service()
    table = (
        f'[dataset.captioner]\nkind = "openai"\nmodel = "m"\nbase_url = "{made.address}"\n'
        'prompt = "{name} is shown. Describe it."\nsize = 64\nrequests_per_minute = 6000.0\n'
    )
    preset.write_text(PRESET + table, "utf-8")
    yield made
    made.close()


def lines(preset: Path, name: str = "captions.jsonl") -> dict[str, Any]:
    text = preset.with_name(name).read_text("utf-8")
    records = [json.loads(line) for line in text.splitlines()]
    return {Path(record["file"]).stem: record for record in records}


def test_without_a_captioner_the_template_is_written_for_editing(command, main, preset):
    done = command(main, preset)
    assert done.status == 0, done.err
    assert "3 from the template" in done.out
    written = lines(preset)
    assert written["mouse"]["captions"] == ["{trigger}, a mouse"]
    assert {record["by"] for record in written.values()} == {"template"}

    path = preset.with_name("captions.jsonl")
    path.write_text(path.read_text("utf-8").replace("a mouse", "a gray mouse"), "utf-8")
    again = command(main, preset, "--set", "dataset.caption={name} {trigger}", "--redo")
    assert "1 by people" in again.out
    assert lines(preset)["mouse"]["captions"] == ["{trigger}, a gray mouse"]
    assert lines(preset)["frog"]["captions"] == ["frog {trigger}"]


def test_a_model_writes_captions_and_what_it_could_not_is_listed(command, main, preset, service):
    done = command(main, preset, "--workers=1", "--yes")
    assert done.status == 0, done.err
    assert f"3 pictures and their names are sent to {service.address}" in done.out
    assert "2 written, 4 requests" in done.out
    written = lines(preset)
    assert written.keys() == {"mouse", "frog"}
    assert written["mouse"]["captions"] == ["a small mouse"]
    assert written["mouse"]["by"]["version"] == "served-1"
    (refused,) = lines(preset, "captions.rejected.jsonl").values()
    assert refused["reason"] == "it speaks of style (icon)"
    assert "1 refused" in done.err

    again = command(main, preset)  # nothing is sent, so nothing has to be agreed to
    assert again.status == 0
    assert "0 requests" in again.out
    assert len(service.asked) == 4


def test_redo_asks_anew_but_over_no_edit(command, main, preset, service):
    command(main, preset, "--workers=1", "--yes")
    path = preset.with_name("captions.jsonl")
    path.write_text(path.read_text("utf-8").replace("a small frog", "a tree frog"), "utf-8")
    service.asked.clear()
    done = command(main, preset, "--workers=1", "--yes", "--redo")
    assert done.status == 0, done.err
    assert [asked.split()[0] for asked in service.asked] == ["rabbit", "rabbit", "mouse"]
    assert lines(preset)["frog"]["captions"] == ["a tree frog"]


def test_a_run_that_breaks_off_keeps_what_it_has(command, main, preset, service):
    service.fails_from = 4  # the rabbit is asked about twice and refused, the frog once
    broken = command(main, preset, "--workers=1", "--yes")
    assert "HTTP 400" in broken.error
    assert lines(preset).keys() == {"frog"}
    service.fails_from = 10**6
    service.asked.clear()
    done = command(main, preset, "--workers=1", "--yes")
    assert done.status == 0, done.err
    assert lines(preset).keys() == {"mouse", "frog"}
    assert [asked.split()[0] for asked in service.asked] == ["mouse"]


@pytest.mark.parametrize("answer", ["n", "", "maybe", None])
def test_nothing_is_sent_without_consent(command, main, preset, service, monkeypatch, answer):
    def reply(question: str) -> str:
        assert question == "Send them? [y/N] "
        if answer is None:
            raise EOFError
        return answer

    monkeypatch.setattr("builtins.input", reply)
    assert "nothing was sent" in command(main, preset).error
    assert service.asked == []


def test_consent_can_be_typed(command, main, preset, service, monkeypatch):
    monkeypatch.setattr("builtins.input", lambda _: "Yes")
    assert command(main, preset, "--limit", 1).status == 0
    assert len({asked.split()[0] for asked in service.asked}) == 1


def test_a_dry_run_asks_nobody_and_writes_nothing(command, main, preset, service):
    done = command(main, preset, "--dry-run", "--set", "dataset.captioner.captions=2")
    assert "3 to write" in done.out
    assert "6 to 12" in done.out
    assert service.asked == []
    assert not preset.with_name("captions.jsonl").exists()


def test_what_the_tool_needs_is_said(command, main, preset, monkeypatch):
    monkeypatch.delenv("GEMINI_API_KEY", raising=False)
    without = preset.with_name("without.toml")
    without.write_text(PRESET.replace('captions = "captions.jsonl"\n', ""), "utf-8")
    assert "names no captions file to write" in command(main, without).error
    gemini = [f"--set=dataset.captioner.{key}" for key in ("kind=gemini", "model=gem")]
    assert "set the environment variable GEMINI_API_KEY" in command(main, preset, *gemini).error
    preset.with_name("captions.jsonl").write_text("oops\n", "utf-8")
    assert "captions.jsonl, line 1: is no JSON" in command(main, preset).error


def test_ctrl_c_keeps_what_is_done(command, main, preset, service, monkeypatch):
    from bioicons_kit.icons.words.captioner_http import HttpCaptioner

    describe = HttpCaptioner.describe

    def stopped(self: HttpCaptioner, image: Any, prompt: str) -> tuple[str, str]:
        if prompt.startswith("mouse"):
            raise KeyboardInterrupt
        return describe(self, image, prompt)

    monkeypatch.setattr(HttpCaptioner, "describe", stopped)
    assert command(main, preset, "--workers=1", "--yes").status == 130
    assert lines(preset).keys() == {"frog"}
