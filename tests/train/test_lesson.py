"""The quick start teaches: the icons' style comes, on subjects it never showed too."""

import json
from pathlib import Path

import pytest
from accelerate import Accelerator

from bioicons_kit import preset_file, sample
from bioicons_kit.evaluate import judge
from bioicons_kit.train.__main__ import main

QUICKSTART = Path(__file__).parents[2] / "presets" / "quickstart.toml"
SEEN = ("mouse", "octopus", "butterfly", "crab", "frog", "rabbit", "amoeba", "paramecium")
NOT_SEEN = ("mushroom", "brain", "cactus", "flower", "spider", "heart", "leaf", "cat")


@pytest.mark.slow
def test_the_style_is_learned_and_subjects_stay(tmp_path: Path, fresh_cache: Path):
    main(
        [
            str(QUICKSTART),
            f"--set=cache.root={json.dumps(str(fresh_cache))}",
            f"--set=output.root={json.dumps(str(tmp_path))}",
            "--set=sample.prompts=[]",
            "--set=train.steps=200",
        ]
    )
    run = tmp_path / "quickstart"
    preset = preset_file.load(run / "preset.toml")
    prompts = [f"{preset.dataset.trigger}, a {name}" for name in (*SEEN, *NOT_SEEN)]
    wanted = preset.model_copy(
        update={"sample": preset.sample.model_copy(update={"prompts": prompts})}
    )
    drawn = sample.with_lora(wanted, run / "lora.safetensors", True, Accelerator(cpu=True))
    for at, name in ((0, "seen"), (len(SEEN), "not seen")):
        pairs = [pictures for _, pictures in drawn[at : at + len(SEEN)]]
        subjects = (*SEEN, *NOT_SEEN)[at : at + len(SEEN)]
        base = judge.score(judge.verdicts([pair[0] for pair in pairs]), subjects)
        lora = judge.score(judge.verdicts([pair[1] for pair in pairs]), subjects)
        assert base.style <= 0.25, name
        assert lora.style >= 0.6, name
        assert base.subject is not None
        assert lora.subject is not None
        assert lora.subject >= base.subject - 0.4, name
        assert lora.subject >= 0.3, name
