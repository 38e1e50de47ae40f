"""LoRA files: what is written is what diffusers reads, and hostile files are refused."""

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from bioicons_kit import tensors
from bioicons_kit.errors import DamagedFileError, LoraError
from bioicons_kit.lora.formats import Layer, read_diffusers, write_diffusers

same_folder = settings(
    deadline=None,
    max_examples=50,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def layer(inside: int, outside: int, rank: int, alpha: float, seed: int = 0) -> Layer:
    generator = torch.Generator().manual_seed(seed)
    return Layer(
        down=torch.randn(rank, inside, generator=generator),
        up=torch.randn(outside, rank, generator=generator),
        alpha=alpha,
    )


def delta(update: Layer) -> Tensor:
    """The weight change in float64."""
    return update.scale * update.up.double() @ update.down.double()


NAMES = st.from_regex(r"[a-z]{1,5}(\.[0-9]{1,2})?(\.[a-z_]{1,5})?", fullmatch=True)


@same_folder
@given(
    names=st.lists(NAMES, min_size=1, max_size=4, unique=True),
    rank=st.integers(1, 5),
    alpha=st.floats(0.01, 64),
    seed=st.integers(0, 99),
)
def test_what_was_written_is_read_with_alpha_folded_in(
    tmp_path: Path, names: list[str], rank: int, alpha: float, seed: int
) -> None:
    written = {name: layer(3, 4, rank, alpha, seed + n) for n, name in enumerate(names)}
    path = write_diffusers(tmp_path / "x.safetensors", written, "transformer", {"a": "b"})
    found, metadata = read_diffusers(path, "transformer")
    assert metadata == {"format": "pt", "a": "b"}
    assert found.keys() == written.keys()
    for name, update in found.items():
        assert update.rank == rank
        assert update.alpha == rank  # a reader that knows no alpha takes the rank for it
        before = written[name]
        size = before.scale * before.up.double().abs() @ before.down.double().abs()
        # folding rounds each number of `up` once to float32
        error = (delta(update) - delta(before)).abs()
        assert (error <= torch.finfo(torch.float32).eps * size).all()


def test_an_alpha_equal_to_the_rank_changes_no_bit(tmp_path: Path) -> None:
    written = layer(8, 6, 4, 4.0)
    path = write_diffusers(tmp_path / "x.safetensors", {"a": written}, "transformer", {})
    found, _ = read_diffusers(path, "transformer")
    assert torch.equal(found["a"].down, written.down)
    assert torch.equal(found["a"].up, written.up)


def test_bfloat16_files_are_read_as_float32(tmp_path: Path) -> None:
    update = layer(8, 6, 4, 4.0)
    half = Layer(update.down.bfloat16(), update.up.bfloat16(), 4.0)
    path = write_diffusers(tmp_path / "x.safetensors", {"a": half}, "transformer", {})
    found, _ = read_diffusers(path, "transformer")
    assert found["a"].down.dtype == found["a"].up.dtype == torch.float32
    assert torch.equal(found["a"].down, half.down.float())


# Widths of the starter's modules: attention 192, feed-forward 4 x 192.
MODULES = {
    "transformer_blocks.0.attn.to_q": layer(192, 192, 4, 2.0, 1),
    "transformer_blocks.2.attn.to_out.0": layer(192, 192, 2, 6.0, 2),
    "transformer_blocks.1.ff.net.2": layer(768, 192, 3, 3.0, 3),
    "single_transformer_blocks.0.attn.to_q": layer(192, 192, 1, 0.5, 4),
    "single_transformer_blocks.5.proj_mlp": layer(192, 768, 5, 8.0, 5),
}


def test_diffusers_loads_the_file_and_makes_the_same_change(
    tmp_path: Path, starter_folder: Path
) -> None:
    from diffusers import FluxPipeline
    from peft.tuners.lora import LoraLayer

    path = write_diffusers(tmp_path / "x.safetensors", MODULES, "transformer", {"note": "hello"})
    pipeline: Any = FluxPipeline.from_pretrained(starter_folder, dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    weights = {
        name: module.weight.detach().clone()
        for name, module in pipeline.transformer.named_modules()
        if name in MODULES
    }

    def draw() -> Tensor:
        latents: Tensor = pipeline(
            "a mouse",
            width=64,
            height=64,
            num_inference_steps=1,
            max_sequence_length=16,
            generator=torch.Generator().manual_seed(0),
            output_type="latent",
        ).images
        return latents

    before = draw()
    pipeline.load_lora_weights(path, adapter_name="icons")
    loaded = {
        name: module
        for name, module in pipeline.transformer.named_modules()
        if isinstance(module, LoraLayer)
    }
    assert loaded.keys() == MODULES.keys()
    for name, module in loaded.items():
        up, down = module.lora_B["icons"].weight, module.lora_A["icons"].weight
        change = module.scaling["icons"] * up.double() @ down.double()
        assert torch.allclose(change, delta(MODULES[name]), rtol=1e-5, atol=1e-5), name
    after = draw()
    assert not torch.allclose(after, before, atol=0.1)

    # the same change made by hand on the bare weights gives the same picture
    pipeline.unload_lora_weights()
    assert torch.equal(draw(), before)
    for name, weight in weights.items():
        module = pipeline.transformer.get_submodule(name)
        module.weight.data = weight + delta(MODULES[name]).float()
    assert torch.allclose(draw(), after, atol=1e-3)


def refusal(path: Path, prefix: str = "transformer") -> str:
    with pytest.raises(LoraError) as caught:
        read_diffusers(path, prefix)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    return message


Write = Callable[..., Path]
DOWN, UP = "transformer.a.lora_A.weight", "transformer.a.lora_B.weight"


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """A function that writes a LoRA of one sound module with some tensors replaced (or gone)."""

    def write(**changes: Tensor | None) -> Path:
        content: dict[str, Tensor | None] = {DOWN: torch.ones(2, 3), UP: torch.ones(4, 2)}
        content |= changes
        path = tmp_path / "x.safetensors"
        kept = {name: tensor for name, tensor in content.items() if tensor is not None}
        safetensors.torch.save_file(kept, path)
        return path

    return write


def test_the_file_that_the_others_are_made_from_is_sound(write: Write) -> None:
    assert read_diffusers(write(), "transformer")[0].keys() == {"a"}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("key", [DOWN, UP])
def test_values_that_are_no_numbers_are_refused(write: Write, key: str, value: float) -> None:
    tensor = torch.ones(2, 3) if key == DOWN else torch.ones(4, 2)
    tensor[1, 1] = value
    assert "'a' holds values that are no finite numbers" in refusal(write(**{key: tensor}))


@pytest.mark.parametrize(
    ("down", "up"),
    [
        (torch.ones(2, 3), torch.ones(4, 3)),  # ranks differ
        (torch.ones(0, 3), torch.ones(4, 0)),  # no rank
        (torch.ones(2, 3, 1), torch.ones(4, 2)),
        (torch.ones(2), torch.ones(4, 2)),
        (torch.ones(2, 3), torch.tensor(1.0)),
    ],
)
def test_matrices_that_do_not_fit_are_refused(write: Write, down: Tensor, up: Tensor) -> None:
    message = refusal(write(**{DOWN: down, UP: up}))
    assert f"module 'a': shapes {list(down.shape)} and {list(up.shape)}" in message


@pytest.mark.parametrize("gone", [DOWN, UP])
def test_a_matrix_without_its_partner_is_refused(write: Write, gone: str) -> None:
    assert "'a' has only one of its two matrices" in refusal(write(**{gone: None}))


@pytest.mark.parametrize(
    "key",
    [
        "lora_unet_double_blocks_0_img_attn_qkv.lora_down.weight",
        "text_encoder.a.lora_A.weight",
        "transformer.a.weight",
        "transformers.a.lora_A.weight",
    ],
)
def test_a_key_of_another_layout_is_named(write: Write, key: str) -> None:
    assert f"'{key}' is not of it" in refusal(write(**{key: torch.ones(1)}))


def test_a_file_without_tensors_is_no_lora(write: Write) -> None:
    assert "it holds no tensors" in refusal(write(**{DOWN: None, UP: None}))


def test_a_lora_for_another_component_is_no_lora_for_this(write: Write) -> None:
    assert "layout for 'unet'" in refusal(write(), "unet")


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    assert "no such LoRA file" in refusal(tmp_path / "gone.safetensors")


def test_a_pickle_is_not_opened(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "exploded",))

    path = tmp_path / "x.safetensors"
    path.write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(DamagedFileError):
        read_diffusers(path, "transformer")
    torch.save({DOWN: Bomb()}, path)
    with pytest.raises(DamagedFileError):
        read_diffusers(path, "transformer")
    assert not (tmp_path / "exploded").exists()


def test_a_truncated_file_is_damaged_wherever_it_ends(write: Write) -> None:
    path = write()
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(DamagedFileError):
            read_diffusers(path, "transformer")


@same_folder
@given(data=st.data())
def test_any_damage_is_refused_or_gives_a_sound_lora(write: Write, data: st.DataObject) -> None:
    path = write()
    whole = path.read_bytes()
    start = data.draw(st.integers(0, len(whole)))
    end = data.draw(st.integers(start, min(len(whole), start + 16)))
    path.write_bytes(whole[:start] + data.draw(st.binary(max_size=16)) + whole[end:])
    try:
        layers, _ = read_diffusers(path, "transformer")
    except (LoraError, DamagedFileError):
        return
    for update in layers.values():
        assert update.up.shape[1] == update.down.shape[0] == update.rank
        assert torch.isfinite(delta(update)).all()


def test_equal_layers_give_equal_bytes_in_any_order_of_metadata(tmp_path: Path) -> None:
    one = write_diffusers(tmp_path / "1", MODULES, "transformer", {"a": "1", "b": "2"})
    other = write_diffusers(tmp_path / "2", MODULES, "transformer", {"b": "2", "a": "1"})
    assert one.read_bytes() == other.read_bytes()
    content, _ = tensors.read(one)
    assert len(content) == 2 * len(MODULES)


def with_header(path: Path, **entries: object) -> Path:
    """Write one layer as diffusers does, with its own entry in the header."""
    update = layer(3, 4, rank=2, alpha=2)
    own = {f"transformer.{key}": value for key, value in entries.items()}
    return write_diffusers(
        path, {"m": update}, "transformer", {"lora_adapter_metadata": json.dumps(own)}
    )


def test_an_alpha_in_diffusers_header_counts(tmp_path: Path) -> None:
    found, _ = read_diffusers(with_header(tmp_path / "x", r=2, lora_alpha=8), "transformer")
    assert found["m"].alpha == 8
    assert found["m"].scale == 4


@pytest.mark.parametrize(
    "entries",
    [{"lora_alpha": "many"}, {"lora_alpha": -1}, {"lora_alpha": 2, "alpha_pattern": {"m": 0}}],
)
def test_a_header_that_cannot_be_followed_is_refused(
    tmp_path: Path, entries: dict[str, object]
) -> None:
    with pytest.raises(LoraError, match=r"lora_adapter_metadata"):
        read_diffusers(with_header(tmp_path / "x", **entries), "transformer")


def test_values_that_are_no_numbers_are_not_written(tmp_path: Path) -> None:
    bad = layer(3, 4, rank=2, alpha=2)
    bad.up[1, 1] = float("nan")
    with pytest.raises(LoraError, match=r"transformer\.m\.lora_B"):
        write_diffusers(tmp_path / "x.safetensors", {"m": bad}, "transformer", {})
    assert list(tmp_path.iterdir()) == []
