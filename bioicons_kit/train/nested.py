"""Nested values with tensors in them <-> flat tensors and JSON: how optimizers' states are kept.

An optimizer's `state_dict()` mixes tensors with numbers, lists, tuples and dicts with integer
keys, differently in each optimizer. Here every tensor goes to a safetensors file under a
name of its own, and the rest to JSON, in which what JSON has no word for is a dict with one
key: `{"tensor": name}`, `{"tuple": [...]}`, `{"dict": [[key, value], ...]}`.
Floats come back bit for bit: JSON spells them with all their digits.
"""

from collections.abc import Mapping
from typing import Any

from torch import Tensor


def flatten(value: Any) -> tuple[Any, dict[str, Tensor]]:
    """Return a value as JSON, and the tensors that were in it, on the CPU.

    Raises:
        TypeError: something in it is neither a tensor nor a plain value.
    """
    found: dict[str, Tensor] = {}
    return _plain(value, "", found), found


def restore(plain: Any, tensors: Mapping[str, Tensor]) -> Any:
    """Return the value that `flatten` took apart.

    Raises:
        KeyError: a tensor is missing.
    """
    if isinstance(plain, list):
        return [restore(each, tensors) for each in plain]
    if not isinstance(plain, dict):
        return plain
    ((kind, content),) = plain.items()
    if kind == "tensor":
        return tensors[content]
    if kind == "tuple":
        return tuple(restore(each, tensors) for each in content)
    return {key: restore(each, tensors) for key, each in content}


def _plain(value: Any, name: str, found: dict[str, Tensor]) -> Any:
    """Return a value as JSON; its tensors are put in `found`, named by the way to them."""
    if isinstance(value, Tensor):
        found[name] = value.detach().to("cpu", copy=True)  # saved while training may go on
        return {"tensor": name}
    if isinstance(value, list | tuple):
        items = [_plain(each, _below(name, index), found) for index, each in enumerate(value)]
        return items if isinstance(value, list) else {"tuple": items}
    if isinstance(value, dict):
        pairs = value.items()
        return {"dict": [[key, _plain(each, _below(name, key), found)] for key, each in pairs]}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"{name} is a {type(value).__name__}, which a checkpoint cannot hold")


def _below(name: str, key: object) -> str:
    """Return the name of what is under `key`."""
    return f"{name}.{key}" if name else str(key)
