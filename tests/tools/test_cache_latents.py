"""The caching tool: it fills the cache, and training then has nothing left to encode."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

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
    assert to_encode(filled.out) == {"latents": 5, "clip": 9, "t5": 9}
    assert "54 in " in filled.out
    assert "5 selected" in filled.out
    assert re.search(r"done +5 pictures, 9 texts in ", filled.out)
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


def entries(cache: Path) -> dict[str, bytes]:
    """The entries of a cache, by their names."""
    found = cache.glob("*/*/*.safetensors")
    return {str(path.relative_to(cache)): path.read_bytes() for path in found}


def test_one_part_of_it_can_be_filled_alone(
    command: Any, tool: Any, small_preset: Path, fresh_cache: Path
) -> None:
    main, own = tool("cache_latents"), f"--set=cache.root={fresh_cache}"
    text = command(main, small_preset, own, "--only=text")
    assert to_encode(text.out) == {"clip": 9, "t5": 9}
    assert re.search(r"done +9 texts in ", text.out)
    latents = command(main, small_preset, own, "--only=latents")
    assert to_encode(latents.out) == {"latents": 5}
    assert re.search(r"done +5 pictures in ", latents.out)
    assert set(to_encode(command(main, small_preset, own).out).values()) == {0}


def test_a_dry_run_tells_what_is_missing_and_why_and_changes_nothing(
    command: Any, tool: Any, small_preset: Path, fresh_cache: Path
) -> None:
    main, own = tool("cache_latents"), f"--set=cache.root={fresh_cache}"
    new = command(main, small_preset, own, "--dry-run")
    assert new.status == 0
    assert re.search(r"^latents +0 hits, 5 misses, 0\.1 MB needed$", new.out, re.MULTILINE)
    assert re.search(r"^ +new: cc-0/.*\.svg and 4 more$", new.out, re.MULTILINE)
    assert entries(fresh_cache) == {}
    command(main, small_preset, own)
    kept = entries(fresh_cache)
    black = command(
        main, small_preset, own, "--dry-run", "--only=latents", "--set=dataset.background=black"
    )
    assert re.search(r"^ +other background: cc-0/.*\.svg and 4 more$", black.out, re.MULTILINE)
    assert "clip" not in black.out
    assert entries(fresh_cache) == kept


def test_verify_reads_every_entry(
    command: Any, tool: Any, small_preset: Path, fresh_cache: Path
) -> None:
    main, own = tool("cache_latents"), f"--set=cache.root={fresh_cache}"
    command(main, small_preset, own)
    sound = command(main, small_preset, own, "--verify")
    assert sound.status == 0
    assert "done        all 23 entries are whole" in sound.out
    path = min(fresh_cache.glob("t5/*/*.safetensors"))
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    damaged = command(main, small_preset, own, "--verify")
    assert "1 damaged entries; fill the cache again" in damaged.error
    assert f"{path}: " in damaged.err
    again = command(main, small_preset, own)
    assert to_encode(again.out) == {"latents": 0, "clip": 0, "t5": 1}
    assert path.read_bytes() == whole
    assert command(main, small_preset, own, "--verify").status == 0


def test_prune_deletes_what_no_preset_given_needs(
    command: Any,
    tool: Any,
    small_preset: Path,
    fresh_cache: Path,
    tmp_path: Path,
    monkeypatch: Any,
) -> None:
    main, own = tool("cache_latents"), f"--set=cache.root={fresh_cache}"
    other = tmp_path / "other.toml"
    other.write_text(small_preset.read_text().replace("resolution = 64", "resolution = 80"))
    command(main, small_preset, own)
    small = entries(fresh_cache)
    command(main, other, own)
    both = entries(fresh_cache)
    assert len(both) == len(small) + 5

    needed = command(main, small_preset, other, own, "--prune", "--yes")
    assert "nothing to delete: every entry is needed" in needed.out
    unasked = command(main, small_preset, own, "--prune")
    assert "nobody is there to ask; add --yes" in unasked.error
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    asked: list[str] = []

    def answer(question: str) -> str:
        asked.append(question)
        return "n"

    monkeypatch.setattr("builtins.input", answer)
    assert "deleted nothing" in command(main, small_preset, own, "--prune").out
    assert asked[0].startswith("delete 5 entries, ")
    assert entries(fresh_cache) == both
    deleted = command(main, small_preset, own, "--prune", "--yes")
    assert "deleted 5 entries, " in deleted.out
    assert entries(fresh_cache) == small
    assert (fresh_cache / "models").exists()


def test_options_that_cannot_apply_are_refused(
    command: Any, tool: Any, small_preset: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    main = tool("cache_latents")
    assert "several presets are for --prune" in command(main, small_preset, small_preset).error
    assert "--yes answers what --prune asks" in command(main, small_preset, "--yes").error
    assert "--only is for filling" in command(main, small_preset, "--verify", "--only=text").error
    assert "not allowed with" in command(main, small_preset, "--verify", "--prune").error
    other = tmp_path / "elsewhere.toml"
    other.write_text(small_preset.read_text().replace("[cache]\nroot", "[cache]\nroot='x'\n#"))
    line = command(main, small_preset, other, "--prune", "--yes").error
    assert "these presets have different caches" in line
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert "run it with python" in command(main, small_preset, "--verify").error


@pytest.mark.slow
def test_processes_of_a_launch_share_the_work(
    command: Any, tool: Any, small_preset: Path, fresh_cache: Path, tmp_path: Path
) -> None:
    command(tool("cache_latents"), small_preset, f"--set=cache.root={fresh_cache}")
    root = tmp_path / "launched"
    root.mkdir()
    (root / "models").symlink_to(fresh_cache / "models")
    launched = subprocess.run(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2"),
            *("--standalone", str(TOOLS / "cache_latents.py"), str(small_preset)),
            f"--set=cache.root={root}",
        ],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert launched.returncode == 0, launched.stderr
    assert to_encode(launched.stdout) == {"latents": 5, "clip": 9, "t5": 9}  # told once
    assert entries(root) == entries(fresh_cache)
    again = command(tool("cache_latents"), small_preset, f"--set=cache.root={root}")
    assert set(to_encode(again.out).values()) == {0}


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
