"""What the tests share: the starter model, a small preset, and the command line in process."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

# Before anything imports a hub client: no test may reach the network.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from hypothesis import HealthCheck, settings

from bioicons_kit import cli

REPOSITORY = Path(__file__).parent.parent

# A shared machine is now and then slow for a while; that is no failure of what is tested.
settings.register_profile(
    "kit", settings.default, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("kit")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put files with slow tests first: last, one of two processes would wait for the other."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@dataclass(frozen=True)
class Outcome:
    """What a command left behind: its exit status and what it printed."""

    status: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The one line of a refusal; fails if there is more to it, or less."""
        lines = [line for line in self.err.splitlines() if line.startswith("error: ")]
        assert self.status == 2, (self.status, self.err)
        assert len(lines) == 1, self.err
        assert "Traceback" not in self.err, self.err
        return lines[0].removeprefix("error: ")


Run = Callable[..., Outcome]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Return a function that runs a command's `main` as its command line would."""

    def run(main: Callable[[Sequence[str]], None], *arguments: object) -> Outcome:
        monkeypatch.setattr("sys.argv", ["command", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            cli.run(main)
        printed = capsys.readouterr()
        status = stop.value.code
        assert isinstance(status, int)
        return Outcome(status, printed.out, printed.err)

    return run


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a cache root that holds the starter model, built once for all tests."""
    from bioicons_kit.families import starter

    root = tmp_path_factory.mktemp("cache")
    starter.ensure(root / "models")
    return root


@pytest.fixture(scope="session")
def starter_folder(models: Path) -> Path:
    """Return the starter model's folder."""
    from bioicons_kit.families import starter

    return starter.ensure(models / "models")


SMALL_PRESET = """
[model]
path = "starter"
max_sequence_length = 16

[dataset]
root = "shipped"
resolution = 64
trigger = "bioicon style"

[[dataset.buckets]]
category = "Animals"
license = "CC0-1.0"
limit = 5

[lora]
rank = 4

[memory]
dtype = "fp32"

[train]
steps = 3
batch_size = 2
learning_rate = 1e-3

[sample]
prompts = ["bioicon style, a mouse", "bioicon style, a jellyfish"]
steps = 2
"""


def write_small_preset(folder: Path, cache: Path) -> Path:
    """Write `folder/small.toml`, a preset that trains in seconds, with its runs beside it."""
    path = folder / "small.toml"
    roots = f'\n[cache]\nroot = "{cache}"\n\n[output]\nroot = "{folder / "runs"}"\n'
    path.write_text(SMALL_PRESET + roots, "utf-8")
    return path


@pytest.fixture
def small_preset(tmp_path: Path, models: Path) -> Path:
    """Return a preset file that trains in seconds; runs go to `tmp_path`, the cache is shared."""
    return write_small_preset(tmp_path, models)


@pytest.fixture
def fresh_cache(tmp_path: Path, models: Path) -> Path:
    """Return a cache root without entries, in which the starter model is a link to the shared."""
    root = tmp_path / "cache"
    root.mkdir()
    (root / "models").symlink_to(models / "models", target_is_directory=True)
    return root


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory: pytest.TempPathFactory, models: Path) -> Path:
    """Return the folder of one finished run of the small preset; tests only read it."""
    from bioicons_kit.train.__main__ import main

    folder = tmp_path_factory.mktemp("finished")
    main([str(write_small_preset(folder, models))])
    return folder / "runs" / "small"
