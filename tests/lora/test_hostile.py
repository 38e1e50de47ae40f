"""Hostile and broken LoRA files: one clear line each, and nothing is run or allocated."""

import json
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor

from bioicons_kit.errors import DamagedFileError, KitError, LoraError
from bioicons_kit.lora import formats

NAME = "transformer.transformer_blocks.0.attn.to_q"
DOWN, UP = f"{NAME}.lora_A.weight", f"{NAME}.lora_B.weight"


def sound() -> dict[str, Tensor]:
    return {DOWN: torch.ones(2, 3), UP: torch.ones(4, 2)}


def write(path: Path, **changes: Tensor | None) -> Path:
    content = {**sound(), **changes}
    save_file({key: tensor for key, tensor in content.items() if tensor is not None}, path)
    return path


def refusal(path: Path, kind: type[KitError] = LoraError) -> str:
    with pytest.raises(kind) as caught:
        formats.read(path)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    return message


def test_the_file_that_the_others_are_made_from_is_sound(tmp_path: Path) -> None:
    assert formats.read(write(tmp_path / "x")).layers.keys() == {NAME}


@pytest.mark.parametrize("claimed", [40 * 10**9, 2**63, 2**64 - 1])
def test_a_header_larger_than_the_file_is_not_read(tmp_path: Path, claimed: int) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(claimed.to_bytes(8, "little") + b'{"a":1}')
    message = refusal(path, DamagedFileError)
    assert f"its header claims {claimed:,} bytes, the file has 15" in message


def test_a_truncated_file_is_damaged_wherever_it_ends(tmp_path: Path) -> None:
    path = write(tmp_path / "x")
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(DamagedFileError):
            formats.read(path)


@pytest.mark.parametrize("how", ["pickle", "torch"])
def test_a_pickle_by_any_name_is_not_opened(tmp_path: Path, how: str) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "exploded",))

    path = tmp_path / "x.safetensors"
    if how == "pickle":
        path.write_bytes(pickle.dumps({DOWN: Bomb()}))
    else:
        torch.save({DOWN: Bomb()}, path)
    assert "a pickle, not a safetensors file" in refusal(path, DamagedFileError)
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf"), 1e7])
def test_values_no_training_gives_are_refused(tmp_path: Path, value: float) -> None:
    up = torch.ones(4, 2)
    up[3, 1] = value
    said = "which no training gives" if value == 1e7 else "no finite numbers"
    assert said in refusal(write(tmp_path / "x", **{UP: up}))


@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8, torch.bool, torch.int64])
def test_factors_that_are_no_floating_point_numbers_are_refused(
    tmp_path: Path, dtype: torch.dtype
) -> None:
    path = write(tmp_path / "x", **{UP: torch.ones(4, 2).to(dtype)})
    assert "no floating-point numbers" in refusal(path)


def test_complex_numbers_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "x", **{UP: torch.ones(4, 2, dtype=torch.complex64)})
    assert "C64, and no floating-point numbers" in refusal(path)


@pytest.mark.parametrize(
    ("down", "up"),
    [
        ((2, 3), (4, 3)),
        ((0, 3), (4, 0)),
        ((2, 3, 1), (4, 2)),
        ((2,), (4, 2)),
        ((2, 3, 3, 3), (4, 2)),
        ((2, 3, 1, 1), (4, 2, 3, 3)),
        ((2, 3), ()),
    ],
)
def test_factors_that_do_not_fit_are_refused(
    tmp_path: Path, down: tuple[int, ...], up: tuple[int, ...]
) -> None:
    path = write(tmp_path / "x", **{DOWN: torch.ones(down), UP: torch.ones(up)})
    assert f"shapes {list(down)} and {list(up)}" in refusal(path)


def test_an_absurd_rank_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = write(tmp_path / "x", **{DOWN: torch.ones(8193, 1), UP: torch.ones(1, 8193)})
    assert "rank 8,193 is no rank" in refusal(path)


def test_mixed_ranks_and_dtypes_are_fine(tmp_path: Path) -> None:
    other = NAME.replace("to_q", "to_k")
    more = {
        f"{other}.lora_A.weight": torch.ones(5, 3, dtype=torch.bfloat16),
        f"{other}.lora_B.weight": torch.ones(4, 5, dtype=torch.float16),
    }
    layers = formats.read(write(tmp_path / "x", **more)).layers
    assert [layer.rank for layer in layers.values()] in ([2, 5], [5, 2])
    assert {layer.up.dtype for layer in layers.values()} == {torch.float32}


@pytest.mark.parametrize(
    ("alpha", "said"),
    [
        (torch.tensor(0.0), "alpha is 0; it has to be positive"),
        (torch.tensor(-1.0), "alpha is -1"),
        (torch.tensor(float("nan")), "alpha is nan"),
        (torch.ones(2), r"alpha is F32 \[2\], and no number"),
        (torch.tensor(True), "alpha is BOOL"),
    ],
)
def test_an_alpha_that_is_none_is_refused(tmp_path: Path, alpha: Tensor, said: str) -> None:
    path = write(tmp_path / "x", **{f"{NAME}.alpha": alpha})
    with pytest.raises(LoraError, match=said):
        formats.read(path)


def test_an_integer_alpha_is_a_number(tmp_path: Path) -> None:
    path = write(tmp_path / "x", **{f"{NAME}.alpha": torch.tensor(1)})
    assert formats.read(path).layers[NAME].alpha == 1.0


def test_a_dora_scale_that_fits_nothing_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "x", **{f"{NAME}.dora_scale": torch.ones(5, 1)})
    assert "fits neither 4 rows nor 3 columns" in refusal(path)


@pytest.mark.parametrize("gone", [DOWN, UP])
def test_a_factor_without_its_partner_is_refused(tmp_path: Path, gone: str) -> None:
    assert "only one of its two matrices" in refusal(write(tmp_path / "x", **{gone: None}))


def test_a_module_given_twice_is_refused(tmp_path: Path) -> None:
    stem = "lora_transformer_transformer_blocks_0_attn_to_q"
    again = {
        f"{stem}.lora_down.weight": torch.ones(2, 3),
        f"{stem}.lora_up.weight": torch.ones(4, 2),
    }
    assert f"'{NAME}' is in it twice" in refusal(write(tmp_path / "x", **again))


@pytest.mark.parametrize(
    "key",
    [
        "transformer.transformer_blocks.0.attn.to_x.lora_A.weight",
        "lora_te2_text_model_encoder_layers_0_mlp_fc1.lora_down.weight",
        f"{NAME}.diff_b",
        f"{NAME}.lora_B.bias",
        "lora_unet_mid_block_attentions_0_proj_in.hada_w1_a",
        "lora_unet_mid_block_attentions_0_proj_in.lokr_w1",
        "transformer.transformer_blocks.1.attn.to_q.alpha",
    ],
)
def test_keys_of_no_known_module_are_listed_and_can_be_left_out(tmp_path: Path, key: str) -> None:
    path = write(tmp_path / "x", **{key: torch.ones(1)})
    message = refusal(path)
    assert f"'{key}'" in message
    assert "--ignore-unmatched" in message
    lora = formats.read(path, ignore_unmatched=True)
    assert lora.unmatched == (key,)
    assert lora.layers.keys() == {NAME}


def test_many_unknown_keys_are_counted(tmp_path: Path) -> None:
    more = {f"odd.{n}.lora_A.weight": torch.ones(1) for n in range(40)}
    message = refusal(write(tmp_path / "x", **more))
    assert message.count("'odd.") == 12
    assert "40 key(s)" in message
    assert "and 28 more" in message


def test_a_model_is_no_lora(tmp_path: Path) -> None:
    path = tmp_path / "x"
    save_file({"transformer_blocks.0.attn.to_q.weight": torch.ones(2, 2)}, path)
    assert "not a LoRA: its first key is 'transformer_blocks.0.attn.to_q.weight'" in refusal(path)
    save_file({}, path)
    assert "not a LoRA: it is empty" in refusal(path)


def test_a_lora_of_no_known_model_is_refused_even_if_unmatched_keys_are_ignored(
    tmp_path: Path,
) -> None:
    path = tmp_path / "x"
    save_file({"a.lora_A.weight": torch.ones(2, 3), "a.lora_B.weight": torch.ones(4, 2)}, path)
    with pytest.raises(LoraError, match=r"none of its 1 modules is known"):
        formats.read(path, ignore_unmatched=True)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    assert "no such file" in refusal(tmp_path / "gone")


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_damage_is_refused_or_gives_a_sound_lora(tmp_path: Path, data: st.DataObject) -> None:
    path = write(tmp_path / "x", **{f"{NAME}.alpha": torch.tensor(1.0)})
    whole = path.read_bytes()
    start = data.draw(st.integers(0, len(whole)))
    end = data.draw(st.integers(start, min(len(whole), start + 16)))
    path.write_bytes(whole[:start] + data.draw(st.binary(max_size=16)) + whole[end:])
    try:
        lora = formats.read(path)
    except (LoraError, DamagedFileError):
        return
    for layer in lora.layers.values():
        assert bool(torch.isfinite(layer.delta()).all())


def test_a_name_that_is_in_the_header_twice_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "x")
    whole = path.read_bytes()
    length = int.from_bytes(whole[:8], "little")
    once = json.dumps(json.loads(whole[8 : 8 + length])[DOWN])
    header = f'{{"{DOWN}":{once},'.encode() + whole[9 : 8 + length]
    path.write_bytes(len(header).to_bytes(8, "little") + header + whole[8 + length :])
    assert "a name is in its header twice" in refusal(path, DamagedFileError)


def test_a_header_nested_without_end_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x"
    save_file(sound(), path, {"lora_adapter_metadata": "[" * 200_000})
    assert "lora_adapter_metadata is unreadable" in refusal(path)


@pytest.mark.parametrize("pattern", ["(.*)*x", "(a|aa)+x", "(a+)+x", ".*.*.*.*x"])
def test_a_pattern_that_would_take_forever_is_refused(tmp_path: Path, pattern: str) -> None:
    path = tmp_path / "x"
    options = {"transformer.lora_alpha": 1, "transformer.alpha_pattern": {pattern: 2}}
    save_file(sound(), path, {"lora_adapter_metadata": json.dumps(options)})
    assert "alpha_pattern repeats too much" in refusal(path)


@pytest.mark.parametrize(
    "pattern", [r"^transformer_blocks\.0\.attn\.to_q", r"\d+\.attn.*", "to_[qk]"]
)
def test_patterns_that_peft_follows_are_followed(tmp_path: Path, pattern: str) -> None:
    path = tmp_path / "x"
    options = {"transformer.lora_alpha": 1, "transformer.alpha_pattern": {pattern: 2}}
    save_file(sound(), path, {"lora_adapter_metadata": json.dumps(options)})
    assert formats.read(path).layers[NAME].alpha == 2


WORDS = st.text(max_size=5)
JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | WORDS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(WORDS, inner, max_size=2),
)


@given(JSON)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_adapter_metadata_is_refused_or_followed(tmp_path: Path, value: object) -> None:
    path = tmp_path / "x"
    options = {"transformer.lora_alpha": value, "transformer.alpha_pattern": {"to_q": value}}
    for settings_ in (value, options):
        save_file(sound(), path, {"lora_adapter_metadata": json.dumps(settings_)})
        try:
            layers = formats.read(path).layers
        except LoraError:
            continue
        assert layers[NAME].alpha > 0
