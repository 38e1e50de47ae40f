"""A FLUX whose configs are damaged, or of several models, is refused before it is loaded."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from bioicons_kit.errors import KitError, ModelError
from bioicons_kit.families import load
from bioicons_kit.families.base import Family
from bioicons_kit.preset import Memory, Model

CPU = torch.device("cpu")

# What each part's config is called.
FILES = {
    "transformer": "config.json",
    "vae": "config.json",
    "text_encoder": "config.json",
    "text_encoder_2": "config.json",
    "tokenizer": "tokenizer_config.json",
    "tokenizer_2": "tokenizer_config.json",
    "scheduler": "scheduler_config.json",
}


def copy(source: str, target: str) -> None:
    """Copy what a test may edit, and link to the weights."""
    if source.endswith(".safetensors"):
        Path(target).symlink_to(source)
    else:
        shutil.copy2(source, target)


@pytest.fixture
def folder(starter_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(starter_folder, tmp_path / "model", copy_function=copy))


def found(folder: Path) -> Family:
    return load(Model(path=str(folder), max_sequence_length=16), folder)


def edit(folder: Path, part: str, **values: Any) -> None:
    path = folder / part / FILES[part]
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def swap(folder: Path, one: str, other: str) -> None:
    (folder / one).rename(folder / "swapped")
    (folder / other).rename(folder / one)
    (folder / "swapped").rename(folder / other)


def test_the_starter_is_found(folder: Path):
    assert found(folder).name == "flux"


@pytest.mark.parametrize("part", [part for part in FILES if not part.startswith("tokenizer")])
@pytest.mark.parametrize(
    "text", ["", "[]", "null", "{", "\x00", "[" * 100_000, '{"a":' * 100_000, " " * 2**21 + "{}"]
)
def test_a_config_that_is_no_json_object(folder: Path, part: str, text: str):
    (folder / part / FILES[part]).write_text(text)
    with pytest.raises(ModelError, match=rf"model/{part}/{FILES[part]}: not a") as refusal:
        found(folder)
    assert "\n" not in str(refusal.value)


ODD = [None, "a", "64", -1, 0, 1.5, True, [], {}, 10**12]


@pytest.mark.parametrize("value", ODD)
@pytest.mark.parametrize(
    ("part", "key"),
    [
        ("transformer", "in_channels"),
        ("transformer", "num_layers"),
        ("transformer", "num_single_layers"),
        ("transformer", "attention_head_dim"),
        ("transformer", "num_attention_heads"),
        ("transformer", "joint_attention_dim"),
        ("transformer", "pooled_projection_dim"),
        ("transformer", "axes_dims_rope"),
        ("vae", "latent_channels"),
        ("vae", "block_out_channels"),
        ("vae", "down_block_types"),
        ("text_encoder", "hidden_size"),
        ("text_encoder_2", "d_model"),
    ],
)
def test_a_number_that_is_none(folder: Path, part: str, key: str, value: object):
    edit(folder, part, **{key: value})
    with pytest.raises(ModelError, match=rf"model/{part}(/config\.json)?: {key} is "):
        found(folder)


@pytest.mark.parametrize("value", ["a", [], float("nan"), float("inf"), True, -1.0, 0])
@pytest.mark.parametrize(
    ("part", "key"),
    [("vae", "scaling_factor"), ("scheduler", "shift"), ("scheduler", "max_image_seq_len")],
)
def test_a_factor_that_is_none(folder: Path, part: str, key: str, value: object):
    edit(folder, part, **{key: value})
    with pytest.raises(ModelError, match=rf"model/{part}/{FILES[part]}: {key} is "):
        found(folder)


@pytest.mark.parametrize(
    ("part", "values", "what"),
    [
        ("transformer", {"guidance_embeds": False}, "has no guidance embedding"),
        ("transformer", {"axes_dims_rope": [8, 12, 14]}, "add up to 32"),
        ("transformer", {"axes_dims_rope": [9, 11, 12]}, "even numbers"),
        ("transformer", {"in_channels": 384}, r"in_channels is 384, and .*vae gives 64"),
        ("transformer", {"joint_attention_dim": 4096}, r"4096, and .*encoder_2/config.json .* 128"),
        ("transformer", {"pooled_projection_dim": 768}, r"768, and .*encoder/config.json .* 128"),
        ("vae", {"latent_channels": 4}, r"in_channels is 64, and .*vae gives 16"),
        ("vae", {"block_out_channels": [16, 32, 64]}, "4 long, for latents of 8 x 8 pixels"),
        ("vae", {"in_channels": 1}, "red, green and blue"),
        ("text_encoder", {"hidden_size": 96}, r"pooled_projection_dim is 128, and .* gives 96"),
        ("text_encoder_2", {"d_model": 96}, r"joint_attention_dim is 128, and .* gives 96"),
        ("tokenizer", {"tokenizer_class": "T5Tokenizer"}, "has a CLIPTokenizer there"),
        ("scheduler", {"_class_name": "DDIMScheduler"}, "a FLUX's is FlowMatchEuler"),
        ("scheduler", {"base_image_seq_len": 5000}, "max_image_seq_len is 4096"),
    ],
)
def test_parts_that_do_not_fit(folder: Path, part: str, values: dict[str, Any], what: str):
    edit(folder, part, **values)
    with pytest.raises(ModelError, match=what) as refusal:
        found(folder)
    assert str(folder / "") in str(refusal.value)


@pytest.mark.parametrize(
    ("one", "other", "what"),
    [
        ("text_encoder", "text_encoder_2", r"text_encoder/ holds a 't5', and a FLUX has a clip_"),
        ("tokenizer", "tokenizer_2", r"tokenizer/ holds a 'T5Tokenizer', and a FLUX has a CLIP"),
    ],
)
def test_parts_that_are_exchanged(folder: Path, one: str, other: str, what: str):
    swap(folder, one, other)
    with pytest.raises(ModelError, match=what):
        found(folder)


@pytest.mark.parametrize("place", [0, 1])
def test_a_tokenizer_of_another_vocabulary(folder: Path, place: int):
    name = ("text_encoder", "text_encoder_2")[place]
    edit(folder, name, vocab_size=100)
    encoder = found(folder).text_encoders(Memory())[place]
    with (
        pytest.raises(ModelError, match=r"tokens, and .*config\.json knows 100"),
        encoder.loaded(CPU),
    ):
        pass


def _vae(family: Family) -> None:
    with family.image_encoder().loaded(CPU):
        pass


def _texts(family: Family) -> None:
    for encoder in family.text_encoders(Memory(dtype="fp32")):
        with encoder.loaded(CPU):
            pass


def _denoiser(family: Family) -> None:
    family.load_denoiser(Memory(), CPU, lambda _: None)


def refusal(folder: Path, use: Callable[[Family], None]) -> str | None:
    """What a model is refused with in one line; None if it is not."""
    try:
        use(found(folder))
    except KitError as error:
        return str(error)
    return None


# Values the kit does not look at, of types that break the libraries somewhere inside.
@pytest.mark.parametrize(
    ("part", "key", "use"),
    [
        ("vae", "norm_num_groups", _vae),
        ("vae", "layers_per_block", _vae),
        ("vae", "act_fn", _vae),
        ("text_encoder", "num_attention_heads", _texts),
        ("text_encoder", "intermediate_size", _texts),
        ("text_encoder", "hidden_act", _texts),
        ("text_encoder_2", "num_heads", _texts),
        ("text_encoder_2", "d_ff", _texts),
        ("text_encoder_2", "feed_forward_proj", _texts),
        ("transformer", "patch_size", _denoiser),
        ("transformer", "out_channels", _denoiser),
    ],
)
@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
@pytest.mark.parametrize("value", ["a", -3, 0, [1], {"a": 1}])
def test_other_values_of_odd_types(
    folder: Path, part: str, key: str, use: Callable[[Family], None], value: object
):
    edit(folder, part, **{key: value})
    message = refusal(folder, use)  # a value may do no harm; any other error is one of ours
    assert message is None or str(folder / part) in message
    assert message is None or "\n" not in message
