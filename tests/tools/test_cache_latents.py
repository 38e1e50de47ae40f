"""The caching tool: it fills the cache, and training then has nothing left to encode."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from bioicons_kit.train.__main__ import main as train

TOOLS = Path(__file__).parents[2] / "tools"


def to_encode(told: str) -> dict[str, int]:
    found = re.findall(r"^(\w+) +\d+ in the cache, (\d+) to encode$", told, re.MULTILINE)
    return {name: int(count) for name, count in found}


def test_training_finds_everything_in_the_cache(
    command: Any, tool: Any, small_preset: Path, fresh_cache: Path, tmp_path: Path
) -> None:
    own = f"--set=cache.root={fresh_cache}"
    filled = command(tool("cache_latents"), small_preset, own)
    assert filled.status == 0
    assert to_encode(filled.out) == {"latents": 5, "clip": 7, "t5": 7}
    assert "54 in " in filled.out
    assert "5 selected" in filled.out
    assert re.search(r"done +5 pictures, 7 texts in ", filled.out)
    assert not (tmp_path / "runs").exists()  # it trains nothing

    trained = command(train, small_preset, own, "--set=train.steps=1", "--set=sample.steps=1")
    assert trained.status == 0
    assert to_encode(trained.out) == {"latents": 0, "clip": 0, "t5": 0}
    again = command(tool("cache_latents"), small_preset, own)
    assert to_encode(again.out) == {"latents": 0, "clip": 0, "t5": 0}


def test_its_errors_are_one_line(
    command: Any, tool: Any, small_preset: Path, tmp_path: Path
) -> None:
    main = tool("cache_latents")
    assert "no such preset" in command(main, tmp_path / "gone.toml").error
    line = command(main, small_preset, f"--set=dataset.root={tmp_path / 'gone'}").error
    assert "no such icon library" in line
    assert "did you mean 'caption'" in command(main, small_preset, "--set=dataset.captoin=x").error
    assert "required: preset" in command(main).error


def test_as_a_script_it_refuses_with_status_2_and_says_how_it_is_used(tmp_path: Path) -> None:
    def script(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, str(TOOLS / "cache_latents.py"), *arguments],
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
        )

    refused = script("gone.toml")
    assert refused.returncode == 2
    assert refused.stderr.startswith("error: gone.toml: no such preset")
    assert len(refused.stderr.splitlines()) == 1
    assert "usage: cache_latents.py" in script("--help").stdout
