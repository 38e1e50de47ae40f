"""Learning is real: on one icon, the loss falls at least five-fold."""

import json
import shutil
import statistics
from pathlib import Path

import pytest
import torch

from bioicons_kit.train.__main__ import main

STEPS = 400
LEAST_FALL = 5.0


@pytest.fixture(scope="module")
def untrained(tmp_path_factory: pytest.TempPathFactory, starter_folder: Path) -> Path:
    """A copy of the starter whose denoiser has random weights: it has everything to learn."""
    from diffusers import FluxTransformer2DModel

    folder = tmp_path_factory.mktemp("untrained") / "model"
    shutil.copytree(starter_folder, folder)
    config = FluxTransformer2DModel.load_config(folder / "transformer")
    shutil.rmtree(folder / "transformer")
    torch.manual_seed(0)
    FluxTransformer2DModel.from_config(config).save_pretrained(folder / "transformer")
    return folder


@pytest.mark.slow
def test_one_icon_is_learned(small_preset: Path, untrained: Path, tmp_path: Path) -> None:
    changes = {
        "model.path": json.dumps(str(untrained)),
        "dataset.buckets.0.limit": "1",
        "lora.targets": '["all", "x_embedder", "context_embedder", "proj_out"]',
        "lora.rank": "32",
        "memory.quantization": '"none"',
        "memory.checkpointing": '"none"',
        "train.batch_size": "4",
        "train.steps": str(STEPS),
        "train.learning_rate": "3e-3",
        "train.schedule": '"cosine"',
        "train.latents": '"mode"',
        "sample.prompts": "[]",
    }
    main([str(small_preset), *(f"--set={key}={value}" for key, value in changes.items())])
    lines = (tmp_path / "runs" / "small" / "metrics.jsonl").read_text("utf-8").splitlines()
    losses = [json.loads(line)["loss"] for line in lines]
    assert len(losses) == STEPS
    first, last = statistics.mean(losses[:4]), statistics.mean(losses[-STEPS // 10 :])
    assert first / last >= LEAST_FALL, (first, last)
