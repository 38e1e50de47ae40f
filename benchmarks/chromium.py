"""Headless Chromium as the reference of how an SVG file looks.

Speaks the DevTools protocol over a pair of pipes (`--remote-debugging-pipe`: messages are
JSON that ends with a zero byte), so that no port is opened and nothing has to be installed
but the browser. Each file is shown as a picture in a page, which is how Chromium draws an
SVG without scripts and without loading anything.
"""

import base64
import io
import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any, Self

from PIL import Image

_FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--disable-default-apps", "--disable-extensions", "--hide-scrollbars", "--mute-audio"),
    *("--force-color-profile=srgb", "--force-device-scale-factor=1", "--proxy-server=127.0.0.1:9"),
    "--remote-debugging-pipe",
)
_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
# Chromium puts a picture on whole pixels; one that is shown _ZOOM times too large in a box
# that shrinks it again is off by that much less.
_ZOOM = 32
_SHOW = """
(async () => {
  const image = new Image();
  image.style.cssText = "position:absolute;left:%(free)spx;top:%(free)spx;object-fit:contain;" +
    "width:%(inner)spx;height:%(inner)spx;transform-origin:0 0;transform:scale(%(scale)s)";
  image.src = %(url)s;
  try { await image.decode(); } catch (error) { return "cannot be decoded"; }
  document.body.replaceChildren(image);
  await new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)));
  return "shown";
})()
"""


class Chromium:
    """One browser with one page; use it as a context manager."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._profile = tempfile.TemporaryDirectory(prefix="chromium-")
        theirs_in, self._out = os.pipe()
        self._in, theirs_out = os.pipe()
        command = [
            *(program(), *_FLAGS, f"--window-size={size},{size}"),
            f"--user-data-dir={self._profile.name}",
        ]
        # The browser reads from descriptor 3 and writes to 4, whatever ours are called.
        script = f'exec 3<&{theirs_in} 4>&{theirs_out}; exec "$@"'
        self._process = subprocess.Popen(
            ["bash", "-c", script, "chromium", *command],
            pass_fds=(theirs_in, theirs_out),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(theirs_in)
        os.close(theirs_out)
        self._received = b""
        self._number = 0
        self._session: str | None = None

    def __enter__(self) -> Self:
        page = Path(self._profile.name) / "page.html"
        page.write_text("<!doctype html><body style='margin:0;background:#fff'>", "utf-8")
        target = self._call("Target.createTarget", url=page.as_uri())
        attached = self._call("Target.attachToTarget", flatten=True, **target)
        self._session = attached["sessionId"]
        self._evaluate(
            "new Promise(done => document.readyState == 'complete' ? done() : onload = done)"
        )
        metrics = {"width": self.size, "height": self.size, "deviceScaleFactor": 1}
        self._call("Emulation.setDeviceMetricsOverride", mobile=False, **metrics)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait()
        os.close(self._out)
        os.close(self._in)
        shutil.rmtree(self._profile.name, ignore_errors=True)

    def draw(self, path: Path, margin: float = 0.0) -> Image.Image | None:
        """Return a file as it looks on white, contained in the square less its margin, RGB.

        Returns None where Chromium cannot read the file.
        """
        free = margin * self.size
        inner = (self.size - 2 * free) * _ZOOM
        values = {"free": free, "inner": inner, "scale": 1 / _ZOOM}
        script = _SHOW % {**values, "url": json.dumps(path.resolve().as_uri())}
        if self._evaluate(script) != "shown":
            return None
        shot = self._call("Page.captureScreenshot", format="png")
        return Image.open(io.BytesIO(base64.b64decode(shot["data"]))).convert("RGB")

    def _evaluate(self, script: str) -> Any:
        """Return what a script in the page comes to."""
        found = self._call("Runtime.evaluate", expression=script, awaitPromise=True)
        if "exceptionDetails" in found:
            raise RuntimeError(f"the page failed: {found['exceptionDetails']}")
        return found["result"].get("value")

    def _call(self, method: str, **params: object) -> dict[str, Any]:
        """Send a command and return its result."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while True:
            answer = json.loads(self._message())
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return dict(answer["result"])

    def _message(self) -> bytes:
        """Return the next message, which ends with a zero byte."""
        while b"\0" not in self._received:
            found = os.read(self._in, 2**20)
            if not found:
                raise SystemExit("Chromium ended; see whether it starts: chromium --headless")
            self._received += found
        message, _, self._received = self._received.partition(b"\0")
        return message


def program() -> str:
    """Return the path of an installed Chromium."""
    for name in _NAMES:
        if found := shutil.which(name):
            return found
    raise SystemExit("no Chromium found; install it, on Debian: apt install chromium")
