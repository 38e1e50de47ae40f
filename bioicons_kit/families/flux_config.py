"""Whether the parts of a FLUX fit each other, asked of their configs before any weight is read.

A model folder is a dozen files that anyone may have edited or mixed. What libraries make of
a wrong one ranges from a traceback to pictures of noise, so each number the kit relies on is
checked once here: its type, its range, and that the parts which meet agree on their widths.
"""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn

from bioicons_kit import names_flux
from bioicons_kit.errors import ModelError
from bioicons_kit.families import hub

VAE_FACTOR = 8  # pixels to a latent; `pack` and the sizes of pictures build on it
_PATCH = 4  # latents to a token: 2 x 2
_WIDEST = 2**17  # of anything: ten times FLUX.1's, and far below what exhausts a machine

# What diffusers assumes where a transformer's config is silent.
_ASSUMED: Mapping[str, Any] = {
    "attention_head_dim": 128,
    "axes_dims_rope": (16, 56, 56),
    "in_channels": 64,
    "joint_attention_dim": 4096,
    "num_attention_heads": 24,
    "num_layers": 19,
    "num_single_layers": 38,
    "pooled_projection_dim": 768,
}

# Folders, what their configs call themselves, and what that is to people.
_ENCODERS = {"text_encoder": "clip_text_model", "text_encoder_2": "t5"}
_TOKENIZERS = {"tokenizer": "CLIPTokenizer", "tokenizer_2": "T5Tokenizer"}

_SCHEDULER = "FlowMatchEulerDiscreteScheduler"
_SHIFTS = ("shift", "base_shift", "max_shift", "base_image_seq_len", "max_image_seq_len")


def check(folder: Path, where: Path, transformer: Mapping[str, Any]) -> None:
    """Refuse a FLUX whose parts do not fit each other.

    Args:
        folder: of the VAE, the text encoders, their tokenizers and the scheduler.
        where: what the transformer's config is of, for messages.
        transformer: the config.

    Raises:
        ModelError: names the file and the number.
    """
    config = _transformer(where, transformer)
    channels = _vae(folder / "vae" / "config.json")
    _meet(where, "in_channels", config["in_channels"], folder / "vae", channels * _PATCH)
    clip = _encoder(folder / "text_encoder", "hidden_size")
    _meet(where, "pooled_projection_dim", config["pooled_projection_dim"], *clip)
    t5 = _encoder(folder / "text_encoder_2", "d_model")
    _meet(where, "joint_attention_dim", config["joint_attention_dim"], *t5)
    for name, kind in _TOKENIZERS.items():
        _tokenizer(folder / name, kind)
    _scheduler(folder / "scheduler" / "scheduler_config.json")


def _transformer(where: Path, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return a transformer's config with its defaults, all numbers checked."""
    config = {**_ASSUMED, **given}
    if not config.get("guidance_embeds"):
        raise ModelError(
            f"{where}: has no guidance embedding (FLUX.1-schnell?); this family is FLUX.1-dev"
        )
    for key in _ASSUMED.keys() - {"axes_dims_rope"}:
        _count(where, config, key)
    for key in ("num_layers", "num_single_layers"):
        if config[key] > names_flux.BLOCKS:
            _refuse(where, key, config[key], f"at most {names_flux.BLOCKS}")
    if config["attention_head_dim"] * config["num_attention_heads"] > _WIDEST:
        _refuse(where, "num_attention_heads", config["num_attention_heads"], "far fewer")
    axes, head = config["axes_dims_rope"], config["attention_head_dim"]
    if not isinstance(axes, list | tuple) or not all(_is_count(axis) for axis in axes):
        _refuse(where, "axes_dims_rope", axes, "three whole numbers")
    if len(axes) != 3 or sum(axes) != head or any(axis % 2 for axis in axes):
        _refuse(where, "axes_dims_rope", axes, f"three even numbers that add up to {head}")
    return config


def _vae(path: Path) -> int:
    """Return the latent channels of a VAE whose config can be FLUX's."""
    config = hub.read_json(path)
    _number(path, config, "shift_factor", lambda _: True, "a number, as FLUX's VAE has")
    _number(path, config, "scaling_factor", lambda value: value > 0, "a number above 0")
    blocks = config.get("block_out_channels")
    if not isinstance(blocks, list) or not all(_is_count(block) for block in blocks):
        _refuse(path, "block_out_channels", blocks, "a list of whole numbers")
    if 2 ** (len(blocks) - 1) != VAE_FACTOR:
        _refuse(path, "block_out_channels", blocks, "4 long, for latents of 8 x 8 pixels")
    for key in ("down_block_types", "up_block_types"):
        names = config.get(key)
        if not isinstance(names, list) or len(names) != len(blocks):
            _refuse(path, key, names, "a list as long as block_out_channels")
    if config.get("in_channels", 3) != 3 or config.get("out_channels", 3) != 3:
        _refuse(path, "in_channels", config.get("in_channels"), "3, for red, green and blue")
    return _count(path, config, "latent_channels")


def _encoder(folder: Path, key: str) -> tuple[Path, int]:
    """Return the config's path and the width of a text encoder that is what it should be."""
    path = folder / "config.json"
    config = hub.read_json(path)
    wanted, found = _ENCODERS[folder.name], config.get("model_type")
    if found != wanted:
        raise ModelError(
            f"{path}: {folder.name}/ holds a {_shown(found)}, and a FLUX has a {wanted} there"
        )
    return path, _count(path, config, key)


def _tokenizer(folder: Path, wanted: str) -> None:
    """Refuse a tokenizer of another class; one without a config tells none."""
    path = folder / "tokenizer_config.json"
    if not path.is_file():
        return
    found = hub.read_json(path).get("tokenizer_class")
    if found is not None and str(found).removesuffix("Fast") != wanted:
        raise ModelError(
            f"{path}: {folder.name}/ holds a {_shown(found)}, and a FLUX has a {wanted} there"
        )


def _scheduler(path: Path) -> None:
    """Refuse a scheduler of another class, or with numbers that are none."""
    config = hub.read_json(path)
    if config.get("_class_name") != _SCHEDULER:
        _refuse(path, "_class_name", config.get("_class_name"), _SCHEDULER)
    for key in _SHIFTS:
        if key in config:
            _number(path, config, key, lambda value: value > 0, "a number above 0")
    for key in ("base", "max"):
        if f"{key}_shift" not in config and f"{key}_image_seq_len" in config:
            _refuse(path, f"{key}_shift", None, f"a number, as {key}_image_seq_len is given")
    least, most = config.get("base_image_seq_len", 256), config.get("max_image_seq_len", 4096)
    if isinstance(least, int | float) and isinstance(most, int | float) and not least < most:
        _refuse(path, "max_image_seq_len", most, f"above base_image_seq_len, {least}")


def _meet(where: Path, key: str, value: int, other: Path, wanted: int) -> None:
    """Refuse two parts that do not agree on the width at which they meet."""
    if value != wanted:
        raise ModelError(
            f"{where}: {key} is {value}, and {other} gives {wanted}; these parts are not of one "
            "model"
        )


def _count(where: Path, config: Mapping[str, Any], key: str) -> int:
    """Return a whole number above 0 out of a config."""
    value = config.get(key)
    if not _is_count(value):
        _refuse(where, key, value, f"a whole number from 1 to {_WIDEST}")
    assert isinstance(value, int)
    return value


def _is_count(value: object) -> bool:
    """Tell whether a value is a whole number of sensible size."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value <= _WIDEST


def _number(
    where: Path,
    config: Mapping[str, Any],
    key: str,
    fits: Callable[[float], bool],
    wanted: str,
) -> None:
    """Refuse a value that is no finite number, or not one that fits."""
    value = config.get(key)
    if not isinstance(value, int | float) or isinstance(value, bool):
        _refuse(where, key, value, wanted)
    if not math.isfinite(value) or not fits(value):
        _refuse(where, key, value, wanted)


def _refuse(where: Path, key: str, value: object, wanted: str) -> NoReturn:
    """Raise the error that says what a config has and what it needs."""
    raise ModelError(f"{where}: {key} is {_shown(value)}; a FLUX's is {wanted}")


def _shown(value: object) -> str:
    """Return a value as an error names it, cut short."""
    text = "missing" if value is None else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
