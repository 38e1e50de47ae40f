"""Through the command line: LoRAs to go on from, DoRA, preservation, and what is refused."""

from pathlib import Path
from typing import Any

import torch

from bioicons_kit.lora.formats import read
from bioicons_kit.train.__main__ import main

NO_PICTURES = "--set=sample.prompts=[]"


def test_a_run_goes_on_from_another_runs_lora(
    command: Any, small_preset: Path, finished_run: Path, tmp_path: Path
) -> None:
    """With a learning rate of next to nothing, what comes out is what went in."""
    start = finished_run / "lora.safetensors"
    changes = ("lora.rank=6", "lora.start_ranks=resize", "train.learning_rate=1e-12")
    done = command(
        main,
        small_preset,
        NO_PICTURES,
        f"--set=lora.start={start}",
        *(f"--set={c}" for c in changes),
    )
    assert done.status == 0, done.err
    before = read(start).of("transformer")
    after = read(tmp_path / "runs" / "small" / "lora.safetensors").of("transformer")
    assert after.keys() == before.keys()
    for name, layer in after.items():
        assert layer.rank == 6
        # weight decay takes some 1e-14 of it
        torch.testing.assert_close(layer.delta(), before[name].delta(), rtol=1e-4, atol=1e-8)


def test_a_lora_of_another_rank_is_refused_before_any_work(
    command: Any, small_preset: Path, finished_run: Path, tmp_path: Path
) -> None:
    start = finished_run / "lora.safetensors"
    line = command(main, small_preset, f"--set=lora.start={start}", "--set=lora.rank=8").error
    assert "is of rank 4, the preset's is of rank 8; set lora.rank = 4, or lora.start_ranks" in line
    assert not (tmp_path / "runs" / "small").exists()


def test_a_dora_is_trained_and_written_with_its_magnitudes(
    command: Any, small_preset: Path, tmp_path: Path
) -> None:
    changes = ("--set=lora.dora=true", "--set=memory.quantization=none")
    done = command(main, small_preset, NO_PICTURES, *changes)
    assert done.status == 0, done.err
    layers = read(tmp_path / "runs" / "small" / "lora.safetensors").of("transformer")
    assert all(layer.rows_are_normed for layer in layers.values())
    line = command(main, small_preset, "--set=lora.dora=true").error
    assert 'set memory.quantization = "none", or dora = false' in line


def test_preservation_runs_without_a_prior_picture(
    command: Any, small_preset: Path, finished_run: Path, tmp_path: Path
) -> None:
    changes = ("--set=train.preservation=output", "--set=train.preservation_class=a mouse")
    done = command(main, small_preset, NO_PICTURES, *changes)
    assert done.status == 0, done.err
    own = (tmp_path / "runs" / "small" / "lora.safetensors").read_bytes()
    assert own != (finished_run / "lora.safetensors").read_bytes()  # it had a say


def test_schedule_free_writes_its_average(command: Any, small_preset: Path, tmp_path: Path) -> None:
    """The file holds what evaluation mode shows, not the point gradients are taken at."""
    from safetensors.torch import load_file

    done = command(main, small_preset, NO_PICTURES, "--set=train.optimizer=schedule_free")
    assert done.status == 0, done.err
    folder = tmp_path / "runs" / "small"
    (last,) = sorted((folder / "checkpoints").glob("step-*"))[-1:]
    trained = load_file(last / "adapter.safetensors")
    layers = read(folder / "lora.safetensors").of("transformer")
    ups = {name: trained[f"{name}.up"] for name in layers}
    assert all(not torch.equal(layer.up, ups[name]) for name, layer in layers.items())


def test_what_is_not_for_flux_is_refused_by_name(command: Any, small_preset: Path) -> None:
    for key in ("min_snr_gamma=5.0", "noise_offset=0.1", "v_prediction=true"):
        line = command(main, small_preset, f"--set=train.{key}").error
        name = key.partition("=")[0]
        assert f"unknown key '{name}': it is for Stable Diffusion" in line
        assert "flux does not have" in line


def test_8_bit_adam_is_refused_before_any_work(command: Any, small_preset: Path) -> None:
    line = command(main, small_preset, "--set=train.optimizer=adamw8bit").error
    expected = (
        "train.optimizer = 'adamw8bit' needs an NVIDIA GPU, and this runs on cpu; "
        "set train.optimizer = 'adamw'"
    )
    assert line == expected or torch.cuda.is_available()
