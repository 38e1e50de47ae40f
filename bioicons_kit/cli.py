"""What every command has in common: one line for a user's error, and honest exit statuses.

0    done
2    the user's input cannot be used: one line says what, where and what to do
130  stopped with Ctrl-C
141  what read the output has closed it, as `| head` does
143  stopped with SIGTERM, where the command makes an end of its own (training)
"""

import argparse
import io
import logging
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from bioicons_kit.errors import KitError, plain

# As soon as it is imported, bitsandbytes tells owners of some CPUs to install what nothing here
# uses; libraries import it where it is installed.
logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)


class Parser(argparse.ArgumentParser):
    """An `ArgumentParser` whose complaints are one line, like every other error here."""

    def error(self, message: str) -> NoReturn:
        """Print `message` as one line and exit with status 2."""
        print(f"error: {message}; see {self.prog} --help", file=sys.stderr)
        raise SystemExit(2)

    def add_preset(self) -> None:
        """Add the argument every command about a preset has: its file."""
        self.add_argument(
            "preset", type=Path, help="TOML file, for example presets/quickstart.toml"
        )

    def add_overrides(self) -> None:
        """Add `--set KEY=VALUE`, collected as `overrides`."""
        self.add_argument(
            "--set",
            action="append",
            default=[],
            metavar="KEY=VALUE",
            dest="overrides",
            help="change one setting, for example --set train.steps=20 (may be repeated)",
        )


def positive(text: str) -> int:
    """Return a command line's whole number above zero."""
    if not text.isascii() or not text.isdigit() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number above 0")
    return int(text)


def share(text: str) -> float:
    """Return a command line's share, above 0 and at most 1."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no share above 0 and at most 1")
    return value


def run(main: Callable[[Sequence[str]], None]) -> NoReturn:
    """Run `main` on the command line's arguments and exit with the status it earned."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # names that this console cannot show: \u0414
            stream.reconfigure(errors="backslashreplace")
    try:
        main(sys.argv[1:])
    except KitError as error:
        print(f"error: {plain(' '.join(str(error).split()))}", file=sys.stderr)
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        raise SystemExit(130) from None
    except BrokenPipeError:  # `... | head` closed its end: nothing more to say to anyone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(141) from None
    raise SystemExit(0)
