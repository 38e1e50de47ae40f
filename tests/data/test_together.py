"""All of it at once: sizes, versions, masks, dropped captions and prior pictures, in one run."""

import json
import math
from pathlib import Path
from typing import Any

from bioicons_kit.train.__main__ import main


def test_a_run_with_everything_on(
    command: Any, small_preset: Path, fresh_cache: Path, tmp_path: Path
) -> None:
    done = command(
        main,
        small_preset,
        f"--set=cache.root={fresh_cache}",
        "--set=dataset.buckets=[{category='Animals', limit=3, repeats=2, augment={rotation=5.0}}, "
        "{category='Microbiology', limit=2, role='prior', caption='a drawing'}]",
        "--set=dataset.sizes.extra=96",
        "--set=dataset.mask={source='alpha', background=0.2}",
        "--set=train.caption_dropout=0.3",
        "--set=train.trigger_only=0.2",
        "--set=train.prior_share=0.25",
        "--set=train.prior_weight=0.5",
        "--set=train.latents=mode",
        "--set=train.steps=6",
        "--set=sample.prompts=[]",
    )
    assert done.status == 0, done.err
    # three icons of two versions and two prior icons of one, at two sizes each
    assert "latents     0 in the cache, 16 to encode" in done.out
    assert "mask        0 in the cache, 16 to encode" in done.out
    assert sum(line.startswith("sizes") for line in done.out.splitlines()) == 3
    lines = (tmp_path / "runs/small/metrics.jsonl").read_text().splitlines()
    losses = [json.loads(line)["loss"] for line in lines]
    assert len(losses) == 6
    assert all(math.isfinite(loss) and loss > 0 for loss in losses)
