"""Exit statuses and one-line errors, as a shell sees them."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from bioicons_kit import cli, errors

REPOSITORY = Path(__file__).parent.parent

KIT_ERRORS = sorted(
    (kind for kind in vars(errors).values() if isinstance(kind, type)), key=lambda k: k.__name__
)


def raising(error: BaseException) -> Callable[[object], None]:
    def main(_arguments: object) -> None:
        raise error

    return main


class TestRun:
    def test_done_is_0_and_main_gets_the_arguments(self, command):
        given = []
        outcome = command(given.extend, "preset.toml", "--set", "train.steps=2")
        assert (outcome.status, outcome.out, outcome.err) == (0, "", "")
        assert given == ["preset.toml", "--set", "train.steps=2"]

    @pytest.mark.parametrize("kind", KIT_ERRORS, ids=lambda kind: kind.__name__)
    def test_every_error_for_people_is_one_line_and_2(self, command, kind):
        outcome = command(raising(kind("a.toml: first line\n  second\tline\r\n")))
        assert outcome.status == 2
        assert outcome.err == "error: a.toml: first line second line\n"
        assert outcome.out == ""

    def test_control_c_is_130(self, command):
        outcome = command(raising(KeyboardInterrupt()))
        assert outcome.status == 130
        assert outcome.err == "stopped\n"

    @pytest.mark.parametrize("error", [AssertionError("ours"), ValueError("ours"), OSError("ours")])
    def test_a_programmers_error_keeps_its_traceback(self, error: Exception):
        with pytest.raises(type(error), match="ours"):
            cli.run(raising(error))

    def test_a_reader_that_leaves_ends_it_without_a_word(self):
        script = (
            "from bioicons_kit import cli\n"
            "def main(arguments):\n"
            "    for number in range(100_000): print(number, flush=True)\n"
            "cli.run(main)\n"
        )
        with subprocess.Popen(
            [sys.executable, "-c", script],
            cwd=REPOSITORY,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            assert process.stdout.readline() == b"0\n"
            process.stdout.close()
            assert process.stderr.read() == b""
            assert process.wait() == 141


def test_the_docstring_draws_the_whole_family_of_errors():
    drawn = [line.split()[0] for line in (errors.__doc__ or "").splitlines() if "Error  " in line]
    assert sorted(drawn) == [kind.__name__ for kind in KIT_ERRORS]
    assert all(issubclass(kind, errors.KitError) for kind in KIT_ERRORS)


class TestParser:
    def main(self, arguments: list[str]) -> None:
        parser = cli.Parser(prog="tool", description="A tool.")
        parser.add_argument("preset")
        parser.add_argument("--seed", type=int)
        print(parser.parse_args(arguments).preset)

    def test_takes_good_arguments(self, command):
        assert command(self.main, "a.toml", "--seed", 3).out == "a.toml\n"

    @pytest.mark.parametrize(
        ("arguments", "part"),
        [
            ((), "preset"),
            (("a.toml", "--seed", "three"), "invalid int value: 'three'"),
            (("a.toml", "--sed", "3"), "--sed"),
        ],
    )
    def test_complains_in_one_line(self, command, arguments: tuple[str, ...], part: str):
        outcome = command(self.main, *arguments)
        assert part in outcome.error
        assert outcome.error.endswith("; see tool --help")
        assert outcome.err.count("\n") == 1

    def test_help_is_no_error(self, command):
        outcome = command(self.main, "--help")
        assert outcome.status == 0
        assert "A tool." in outcome.out


def test_a_shell_sees_the_status_and_the_line():
    script = (
        "from bioicons_kit import cli, errors\n"
        "def main(arguments): raise errors.PresetError(arguments[0])\n"
        "cli.run(main)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, "no such thing"],
        cwd=REPOSITORY,
        env=os.environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (2, "", "error: no such thing\n")
