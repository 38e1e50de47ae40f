"""The tool for class pictures: it draws what is missing, and says where."""

import re
from pathlib import Path
from typing import Any

BUCKETS = (
    "--set=dataset.buckets=[{{category='Animals', limit=2}}, {{role='prior', source='images', "
    "root='{root}', caption='a drawing', generate=2}}]"
)


def test_it_draws_what_is_missing(
    command: Any, tool: Any, small_preset: Path, fresh_cache: Path, tmp_path: Path
) -> None:
    arguments = [
        small_preset,
        f"--set=cache.root={fresh_cache}",
        BUCKETS.format(root=tmp_path / "class"),
    ]
    main = tool("make_prior")
    planned = command(main, *arguments, "--dry-run")
    assert planned.status == 0
    assert re.search(r"^bucket 1 +2 class pictures, 2 missing, in ", planned.out, re.MULTILINE)
    assert not (tmp_path / "class").exists()
    drawn = command(main, *arguments)
    assert drawn.status == 0
    assert "done        2 class pictures drawn" in drawn.out
    assert len(list((tmp_path / "class").rglob("*.png"))) == 2
    assert "done        0 class pictures drawn" in command(main, *arguments).out


def test_a_preset_that_asks_for_none_is_refused(
    command: Any, tool: Any, small_preset: Path
) -> None:
    line = command(tool("make_prior"), small_preset).error
    assert line.startswith(f"{small_preset}: no bucket asks for class pictures")
