"""Captioning servers, spoken to over a real connection to this machine, and their bad manners."""

import base64
import email.utils
import io
import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from PIL import Image

from bioicons_kit.errors import ModelError
from bioicons_kit.icons.words import captioner_http
from bioicons_kit.preset import Captioner

KEY = "sk-secret-0123456789"
PICTURE = Image.new("RGB", (64, 64), "#3366cc")
Answer = tuple[int, dict[str, str], bytes]


def gemini(text: str, **more: object) -> bytes:
    parts = [{"text": "I wonder", "thought": True}, {"text": text}]
    content = {"role": "model", "parts": parts}
    return json.dumps({"candidates": [{"content": content}], **more}).encode()


def openai(text: object, **more: object) -> bytes:
    return json.dumps({"choices": [{"message": {"content": text}}], **more}).encode()


class Server:
    """A server that gives the answers it was told to, and keeps the requests."""

    def __init__(self) -> None:
        self.answers: list[Answer | Callable[[BaseHTTPRequestHandler], None]] = []
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                headers = {key.lower(): value for key, value in self.headers.items()}
                outer.requests.append((self.path, headers, body))
                answer = outer.answers.pop(0)
                if callable(answer):
                    answer(self)
                    return
                status, headers, content = answer
                self.send_response(status)
                for name, value in {"Content-Length": str(len(content)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            def do_GET(self) -> None:
                self.do_POST()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.address = f"http://127.0.0.1:{self._server.server_port}/v1"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    for name in ("GEMINI_API_KEY", "OPENAI_API_KEY"):
        monkeypatch.setenv(name, KEY)
    for name in (
        "http_proxy",
        "https_proxy",
        "all_proxy",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "ALL_PROXY",
    ):
        monkeypatch.delenv(name, raising=False)
    made = Server()
    yield made
    made.close()


def connect(
    server: Server, kind: str = "openai", pauses: list[float] | None = None, **settings: object
) -> captioner_http.HttpCaptioner:
    given = {"requests_per_minute": 6000.0, "base_url": server.address, **settings}
    made = captioner_http.connect(Captioner(kind=kind, model="some-model", **given))
    made._sleep = (pauses if pauses is not None else []).append
    return made


class TestAsking:
    def test_gemini(self, server):
        server.answers = [(200, {}, gemini("A blue square.", modelVersion="gem-001"))]
        said = connect(server, "gemini").describe(PICTURE, "What is it?")
        assert said == ("A blue square.", "gem-001")
        path, headers, body = server.requests[0]
        assert path == "/v1/models/some-model:generateContent"
        assert headers["x-goog-api-key"] == KEY
        image, text = json.loads(body)["contents"][0]["parts"]
        assert text == {"text": "What is it?"}
        assert image["inline_data"]["mime_type"] == "image/png"
        sent = Image.open(io.BytesIO(base64.b64decode(image["inline_data"]["data"])))
        assert sent.tobytes() == PICTURE.tobytes()

    def test_openai(self, server):
        server.answers = [(200, {}, openai("A blue square.", model="gpt-x-2025"))]
        assert connect(server).describe(PICTURE, "What?") == ("A blue square.", "gpt-x-2025")
        path, headers, body = server.requests[0]
        assert path == "/v1/chat/completions"
        assert headers["authorization"] == f"Bearer {KEY}"
        request = json.loads(body)
        assert request["model"] == "some-model"
        text, image = request["messages"][0]["content"]
        assert text == {"type": "text", "text": "What?"}
        url = image["image_url"]["url"]
        sent = Image.open(io.BytesIO(base64.b64decode(url.removeprefix("data:image/png;base64,"))))
        assert sent.size == (64, 64)

    def test_the_key_is_in_no_address(self, server):
        server.answers = [(200, {}, gemini("x")), (200, {}, openai("x"))]
        for kind in ("gemini", "openai"):
            made = connect(server, kind)
            made.describe(PICTURE, "?")
            assert KEY not in str(made.settings)
        assert not any(KEY in path for path, _, _ in server.requests)

    @pytest.mark.parametrize(
        "content", [b'{"choices": [{}]}', openai(None), openai(["a", "list"]), b'{"choices": 3}']
    )
    def test_an_answer_of_openai_without_text_is_an_empty_one(self, server, content):
        server.answers = [(200, {}, content)]
        assert connect(server).describe(PICTURE, "?")[0] == ""

    @pytest.mark.parametrize(
        "content",
        [
            *(b'{"candidates": []}', b'{"promptFeedback": {"blockReason": "SAFETY"}}'),
            b'{"candidates": [{"content": {"parts": [1, {"text": 2}]}}], "modelVersion": {"a": 1}}',
        ],
    )
    def test_an_answer_of_gemini_without_text_is_an_empty_one(self, server, content):
        server.answers = [(200, {}, content)]
        assert connect(server, "gemini").describe(PICTURE, "?") == ("", "")

    @pytest.mark.parametrize("content", [b"{}", b"[]", b"null", b'"a mouse"', b'{"error": "x"}'])
    def test_what_is_no_answer_is_not_kept_as_an_empty_one(self, server, content):
        for kind in ("openai", "gemini"):
            server.answers = [(200, {}, content)]
            with pytest.raises(ModelError, match=r"something that is no answer .*is base_url rig"):
                connect(server, kind).describe(PICTURE, "?")

    def test_a_model_named_like_a_path_stays_one_part_of_it(self, server):
        server.answers = [(200, {}, gemini("x"))]
        settings = Captioner(kind="gemini", model="../x?key=1", base_url=server.address)
        captioner_http.connect(settings).describe(PICTURE, "?")
        assert server.requests[0][0] == "/v1/models/..%2Fx%3Fkey%3D1:generateContent"


class TestBusy:
    def test_servers_are_asked_again_after_longer_and_longer_pauses(self, server):
        busy = [(status, {}, b"later") for status in (429, 500, 503, 529)]
        server.answers = [*busy, (200, {}, openai("x"))]
        pauses: list[float] = []
        made = connect(server, pauses=pauses)
        assert made.describe(PICTURE, "?")[0] == "x"
        assert [pause for pause in pauses if pause >= 1] == [2, 4, 8, 16]

    def test_retry_after_is_heeded_as_seconds_or_as_a_date(self, server):
        date = email.utils.formatdate(time.time() + 50, usegmt=True)
        server.answers = [
            (429, {"Retry-After": "7"}, b""),
            (503, {"Retry-After": date}, b""),
            (503, {"Retry-After": "Thu, 01 Jan 1970 00:00:00 GMT"}, b""),
            (503, {"Retry-After": "soon"}, b""),
            (200, {}, openai("x")),
        ]
        pauses: list[float] = []
        made = connect(server, pauses=pauses)
        made.describe(PICTURE, "?")
        longer = [pause for pause in pauses if pause >= 1]
        assert longer[0] == 7
        assert 40 < longer[1] <= 50
        assert longer[2:] == [16]  # the past is no time to wait for; "soon" is no time at all

    def test_gives_up_after_five_times_or_when_told_to_wait_for_long(self, server):
        server.answers = [(500, {}, b"")] * 5
        with pytest.raises(ModelError, match=r"HTTP 500 \(5 attempts\); what is done is kept"):
            connect(server).describe(PICTURE, "?")
        assert len(server.requests) == 5
        server.answers = [(429, {"Retry-After": "9" * 30}, b"")]
        with pytest.raises(ModelError, match="asks to wait"):
            connect(server).describe(PICTURE, "?")

    def test_nobody_there(self, server):
        server.close()
        with pytest.raises(ModelError, match=r"cannot be reached .*5 attempts"):
            connect(server).describe(PICTURE, "?")

    def test_a_connection_that_breaks_off_is_tried_again(self, server):
        def break_off(handler: BaseHTTPRequestHandler) -> None:
            handler.send_response(200)
            handler.send_header("Content-Length", "1000")
            handler.end_headers()
            handler.wfile.write(b'{"choices"')

        server.answers = [break_off, lambda handler: None, (200, {}, openai("x"))]
        assert connect(server).describe(PICTURE, "?")[0] == "x"

    def test_a_server_that_falls_silent_or_drips(self, server, monkeypatch):
        monkeypatch.setattr(captioner_http, "_SILENCE", 0.3)
        monkeypatch.setattr(captioner_http, "_LONGEST_ANSWER", 0.5)

        def silent(handler: BaseHTTPRequestHandler) -> None:
            time.sleep(1)

        def drip(handler: BaseHTTPRequestHandler) -> None:
            handler.send_response(200)
            handler.end_headers()
            for _ in range(12):
                time.sleep(0.1)
                try:
                    handler.wfile.write(b" ")
                    handler.wfile.flush()
                except OSError:
                    return

        server.answers = [silent, drip, (200, {}, openai("x"))]
        pauses: list[float] = []
        assert connect(server, pauses=pauses).describe(PICTURE, "?")[0] == "x"
        assert [pause for pause in pauses if pause >= 1] == [2, 4]

    def test_requests_keep_their_distance(self, server):
        server.answers = [(200, {}, openai("x"))] * 3
        pauses: list[float] = []
        made = connect(server, pauses=pauses, requests_per_minute=2.0)
        for _ in range(3):
            made.describe(PICTURE, "?")
        assert len(pauses) == 2
        assert 0 < pauses[0] <= 30
        assert pauses[0] < pauses[1] <= 60  # nobody has waited: the test does not sleep


class TestRefused:
    def fails(self, server: Server, answer: Answer, kind: str = "openai") -> str:
        server.answers = [answer]
        with pytest.raises(ModelError) as refusal:
            connect(server, kind).describe(PICTURE, "?")
        text = str(refusal.value)
        assert text.startswith(server.address)
        assert "\n" not in text
        assert len(text) < 500
        assert KEY not in text
        assert len(server.requests) == 1  # it is not asked again
        return text

    def test_a_key_that_is_not_accepted_is_named_not_shown(self, server):
        said = json.dumps({"error": f"no such key: {KEY}\x1b[31m\nbye"}).encode()
        for status, kind, name in ((401, "openai", "OPENAI"), (403, "gemini", "GEMINI")):
            server.requests.clear()
            text = self.fails(server, (status, {}, said), kind)
            assert f"does not accept the key in {name}_API_KEY" in text
            assert "no such key: ..." in text
            assert "\x1b" not in text

    def test_a_request_that_is_refused(self, server):
        text = self.fails(server, (404, {}, b'{"error": "no model some-model"}'))
        assert "HTTP 404: it refuses the request to 'some-model'" in text
        assert "no model" in text

    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    def test_redirects_are_not_followed(self, server, status):
        other = Server()
        try:
            target = other.address.replace("127.0.0.1", "localhost")
            text = self.fails(server, (status, {"Location": f"{target}/x?key={KEY}"}, b""))
            assert "redirect to 'localhost:" in text
            assert other.requests == []
        finally:
            other.close()

    def test_a_redirect_on_the_same_server_is_not_followed_either(self, server):
        assert "redirect to '/elsewhere'" in self.fails(
            server, (307, {"Location": "/elsewhere"}, b"")
        )

    def test_a_redirect_to_what_is_no_address(self, server):
        text = self.fails(server, (302, {"Location": "http://[::1"}, b""))
        assert "redirect to 'nowhere', which is not followed" in text

    def test_what_is_no_json(self, server):
        text = self.fails(server, (200, {}, b"<html>Log in,\nplease</html>"))
        assert "is no JSON ('<html>Log in, please</html>'); is base_url right?" in text

    def test_json_that_is_too_deep(self, server):
        assert "is no JSON" in self.fails(server, (200, {}, b"[" * 200_000))

    def test_what_is_too_large(self, server):
        huge = openai("x" * (captioner_http._LARGEST_ANSWER + 1))
        assert "an answer of more than 1 MiB" in self.fails(server, (200, {}, huge))


class TestConnecting:
    def refused(self, **settings: object) -> str:
        with pytest.raises(ModelError) as refusal:
            captioner_http.connect(Captioner(**{"kind": "openai", "model": "m", **settings}))
        return str(refusal.value)

    @pytest.mark.parametrize(("kind", "name"), [("gemini", "GEMINI"), ("openai", "OPENAI")])
    def test_a_missing_key_is_named(self, monkeypatch, kind, name):
        monkeypatch.delenv(f"{name}_API_KEY", raising=False)
        assert f"set the environment variable {name}_API_KEY" in self.refused(kind=kind)
        monkeypatch.setenv(f"{name}_API_KEY", " ")
        assert f"set the environment variable {name}_API_KEY" in self.refused(kind=kind)

    def test_a_server_of_ones_own_may_need_none(self, monkeypatch, server):
        monkeypatch.delenv("OPENAI_API_KEY")
        server.answers = [(200, {}, openai("x"))]
        connect(server).describe(PICTURE, "?")
        assert "authorization" not in server.requests[0][1]

    @pytest.mark.parametrize(
        ("address", "said"),
        [
            ("http://captions.example.org/v1", "must be https://"),
            ("file:///etc/passwd", "must begin with https://"),
            ("captions.example.org", "must begin with https://"),
            ("https://", "must begin with https://"),
            ("https://captions example.org/v1", "must begin with https://"),
            ("https://captions.example.org:0/v1", "must begin with https://"),
            ("https://captions.example.org:99999/v1", "Port out of range"),
            ("https://captions.example.org:v1", "Port could not be cast"),
            ("https://[::1/v1", "Invalid IPv6"),
            ("https://captions..example.org/v1", "label empty or too long"),
            ("https://me:pass@captions.example.org", "must hold neither"),
            ("https://captions.example.org/v1?key=1", "must hold neither"),
        ],
    )
    def test_addresses_that_are_none(self, monkeypatch, address, said):
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        text = self.refused(base_url=address)
        assert said in text
        assert "pass@" not in text

    def test_a_key_of_two_lines(self, monkeypatch):
        monkeypatch.setenv("OPENAI_API_KEY", "key\r\nX-Evil: 1")
        text = self.refused()
        assert "holds characters that no key has" in text
        assert "Evil" not in text
