"""Captioning models behind HTTP: Google's Gemini API, and OpenAI's chat API, which many speak.

How each is spoken to is in `captioner_apis`; here is how anything is sent to a stranger.
Pictures leave the machine here, so nothing happens by itself: a preset names the model, the
tool asks, and the key comes from the environment and goes into a header, never into an
address, a file or a message. A redirect is refused, wherever it leads: it would take key
and picture to someone who was not named.

A server is a stranger: its answers are capped in size and time, and are text until checked.
Where it is busy or broken (429, 5xx, no connection) the question is repeated, each time
after twice the wait or what it says in Retry-After; then the run stops, for what is done is
kept. Limit: a server that sends its headers byte by byte is waited for as long as it does.
"""

import base64
import email.utils
import http.client
import io
import ipaddress
import json
import os
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any

from PIL.Image import Image

from bioicons_kit import console, preset
from bioicons_kit.errors import ModelError
from bioicons_kit.icons.scan import names
from bioicons_kit.icons.words.captioner_apis import APIS, Api

_ATTEMPTS = 5
_FIRST_WAIT = 2.0  # seconds; doubled with each attempt
_LONGEST_WAIT = 300.0
_SILENCE = 60.0  # seconds without a byte
_LONGEST_ANSWER = 180.0  # seconds in all
_LARGEST_ANSWER = 2**20
_BUSY = {408, 409, 425, 429, 500, 502, 503, 504, 529}
_SHOWN = 200  # characters of a server's own words in an error
# HTTP and nothing else; no handler of redirects, so that they are the errors that they are here.
_HANDLERS = (
    *(urllib.request.ProxyHandler, urllib.request.HTTPHandler, urllib.request.HTTPSHandler),
    *(urllib.request.HTTPDefaultErrorHandler, urllib.request.HTTPErrorProcessor),
)


class _BusyError(Exception):
    """The server could not answer now; `wait` is how long it asks to be left alone, if it does."""

    def __init__(self, reason: str, wait: float | None = None) -> None:
        super().__init__(reason)
        self.wait = wait


class HttpCaptioner:
    """A captioning model behind HTTP; see `connect`.

    Args:
        api: how the server is spoken to.
        settings: the preset's `[dataset.captioner]`.
        key: the key, or "" for a server on this machine or network that asks for none.
        sleep: waits; in seconds.
    """

    def __init__(
        self,
        api: Api,
        settings: preset.Captioner,
        key: str,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self.model = settings.model
        self.server = (settings.base_url or api.base).rstrip("/")
        self.settings: Mapping[str, str] = {"api": settings.kind, "server": self.server}
        self._api, self._key, self._sleep = api, key, sleep
        self._interval = 60 / settings.requests_per_minute
        self._next = 0.0  # when the next request may go, by the monotonic clock
        self._opener = urllib.request.OpenerDirector()
        for handler in _HANDLERS:
            self._opener.add_handler(handler())

    def describe(self, image: Image, prompt: str) -> tuple[str, str]:
        """Return the server's answer to `prompt` about one RGB picture, and the model's version.

        Raises:
            ModelError: it refuses, fails again and again, or answers in no known way.
        """
        png = io.BytesIO()
        image.save(png, "PNG")
        path, body = self._api.question(
            self.model, prompt, base64.b64encode(png.getvalue()).decode("ascii")
        )
        request = urllib.request.Request(
            f"{self.server}/{path}",
            json.dumps(body).encode("utf-8"),
            {"Content-Type": "application/json", **self._api.headers(self._key)},
        )
        answer = self._repeated(request)
        response = self._json(answer)
        if not isinstance(response, dict) or response.keys().isdisjoint(self._api.marks):
            raise self._odd(answer, "something that is no answer")
        text, version = self._api.answer(response)
        told = version if isinstance(version, str) else ""
        return (text if isinstance(text, str) else ""), names.plain(told)[:_SHOWN]

    def _repeated(self, request: urllib.request.Request) -> bytes:
        """Return the answer to a request, repeated while the server is busy or broken."""
        wait = _FIRST_WAIT
        for attempt in range(1, _ATTEMPTS + 1):
            self._keep_pace()
            try:
                return self._sent(request)
            except _BusyError as busy:
                pause = wait if busy.wait is None else max(busy.wait, 0.0)
                if attempt == _ATTEMPTS or pause > _LONGEST_WAIT:
                    asks = f", and asks to wait {pause:,.0f} s" if pause > _LONGEST_WAIT else ""
                    raise ModelError(
                        f"{self.server}: {busy}{asks} ({attempt} attempts); what is done is kept: "
                        "run again later"
                    ) from None
                console.warn(f"{self.server}: {busy}; again in {pause:,.0f} s")
                self._sleep(pause)
                wait *= 2
        raise AssertionError("the last attempt returns or raises")

    def _keep_pace(self) -> None:
        """Wait until requests_per_minute allows the next request."""
        early = self._next - time.monotonic()
        if early > 0:
            self._sleep(early)
        self._next = max(self._next, time.monotonic()) + self._interval

    def _sent(self, request: urllib.request.Request) -> bytes:
        """Send a request once and return the answer's body.

        Raises:
            _BusyError: it may be worth repeating.
            ModelError: it is not.
        """
        try:
            with self._opener.open(request, timeout=_SILENCE) as response:
                return self._body(response)
        except urllib.error.HTTPError as error:
            with error:
                raise self._refusal(error) from None
        except (urllib.error.URLError, http.client.HTTPException, OSError) as error:
            reason = getattr(error, "reason", None) or error
            raise _BusyError(f"cannot be reached ({self._shown(str(reason))})") from None

    def _body(self, response: Any) -> bytes:
        """Return the body of a response that is neither too large nor too slow."""
        end = time.monotonic() + _LONGEST_ANSWER
        body = bytearray()
        while piece := response.read1(2**16):
            body += piece
            if len(body) > _LARGEST_ANSWER:
                raise ModelError(
                    f"{self.server}: an answer of more than {_LARGEST_ANSWER >> 20} MiB, which is "
                    "no caption; is base_url right?"
                )
            if time.monotonic() > end:
                raise _BusyError(f"took longer than {_LONGEST_ANSWER:.0f} s to answer")
        if getattr(response, "length", None):  # read1 does not say that it ended early
            raise _BusyError("broke off its answer")
        return bytes(body)

    def _refusal(self, error: urllib.error.HTTPError) -> Exception:
        """Return what an HTTP status other than success means."""
        where = f"{self.server}: HTTP {error.code}"
        if error.code in _BUSY:
            return _BusyError(f"HTTP {error.code}", _retry_after(error.headers.get("Retry-After")))
        if 300 <= error.code < 400:
            target = _target(error.headers.get("Location", ""))
            return ModelError(
                f"{where}, a redirect to {self._shown(target)!r}, which is "
                "not followed: it would be given the picture and the key; if that is the "
                "right server, name it as base_url"
            )
        try:
            said = self._shown(self._body(error).decode("utf-8", "replace"))
        except (ModelError, _BusyError, OSError, http.client.HTTPException):
            said = ""
        if error.code in {401, 403}:
            return ModelError(f"{where}: it does not accept the key in {self._api.variable} {said}")
        return ModelError(f"{where}: it refuses the request to {self.model!r} {said}")

    def _json(self, body: bytes) -> Any:
        """Return what the JSON of an answer says."""
        try:
            return json.loads(body)
        except (ValueError, RecursionError):
            raise self._odd(body, "something that is no JSON") from None

    def _odd(self, body: bytes, what: str) -> ModelError:
        """Return the error of an answer from which no caption can be read."""
        said = self._shown(body.decode("utf-8", "replace"))
        return ModelError(f"{self.server}: answers with {what} ({said!r}); is base_url right?")

    def _shown(self, text: str) -> str:
        """Return a server's words fit for one line of an error: short, and without the key."""
        if self._key:
            text = text.replace(self._key, "...")
        return names.plain(text)[:_SHOWN]


def connect(settings: preset.Captioner) -> HttpCaptioner:
    """Return the captioner that a preset names; nothing is sent yet.

    Raises:
        ModelError: the address is none, or the key is missing in the environment.
    """
    api = APIS[settings.kind]
    address = settings.base_url or api.base
    is_near = _is_near(_host(address))
    if address.lower().startswith("http:") and not is_near:
        raise ModelError(f"captioner.base_url {address!r}: must be https://, or anyone could read")
    key = os.environ.get(api.variable, "").strip()
    if not key and not is_near:
        raise ModelError(
            f"{api.title} needs a key: set the environment variable {api.variable}, for example "
            f"with `export {api.variable}=...`"
        )
    if not key.isascii() or not key.isprintable():
        raise ModelError(f"{api.variable}: holds characters that no key has")
    return HttpCaptioner(api, settings, key)


def _host(address: str) -> str:
    """Return the host of a server's address.

    Raises:
        ModelError: it is no address of a server, or holds what does not belong there.
    """
    try:
        parts = urllib.parse.urlsplit(address)
        host, port = parts.hostname or "", parts.port
        host.encode("idna")  # labels that are empty or too long
    except ValueError as error:
        raise ModelError(f"captioner.base_url {address[:_SHOWN]!r}: {error}") from None
    if parts.scheme not in {"http", "https"} or not host or port == 0 or " " in address:
        raise ModelError(
            f"captioner.base_url {address[:_SHOWN]!r}: must begin with https:// and a server's name"
        )
    if parts.username or parts.query or parts.fragment:
        raise ModelError("captioner.base_url: must hold neither a name, a ? nor a #")
    return host


def _is_near(host: str) -> bool:
    """Tell whether a host is this machine or one of its own network, by its name alone."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_private
    except ValueError:
        return False


def _target(location: str) -> str:
    """Return where a redirect leads, without what an address may carry besides."""
    try:
        parts = urllib.parse.urlsplit(location)
    except ValueError:
        return "nowhere"
    return parts.netloc or parts.path


def _retry_after(value: str | None) -> float | None:
    """Return the seconds that a Retry-After header asks for (RFC 9110, section 10.2.3)."""
    if value is None:
        return None
    if value.strip().isascii() and value.strip().isdigit():
        return float(value.strip()[:12])
    try:
        return email.utils.parsedate_to_datetime(value).timestamp() - time.time()
    except (ValueError, OverflowError):
        return None
