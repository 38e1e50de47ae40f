"""A state on disk: whole or none, back to the bit, and never anything else than was written."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bioicons_kit.errors import DamagedFileError
from bioicons_kit.train import checkpoint, nested

CONTENT = {
    "adapter": {"a.down": torch.arange(6.0).reshape(2, 3)},
    "optimizer": {},
    "progress": {"losses": torch.tensor([0.1, math.nan], dtype=torch.float64)},
}
RNG = [{"cpu": torch.arange(5, dtype=torch.uint8)}, {"cpu": torch.ones(5, dtype=torch.uint8)}]


def write(root: Path, step: int = 2) -> Path:
    plain = {"step": step, "optimizer": {}, "best": None}
    return checkpoint.write(root, "[model]\n", plain, CONTENT, RNG)


def test_what_was_written_comes_back(tmp_path: Path) -> None:
    kept = checkpoint.read(write(tmp_path))
    assert kept.step == 2
    assert kept.preset.read_text() == "[model]\n"
    assert torch.equal(kept.tensors["adapter"]["a.down"], CONTENT["adapter"]["a.down"])
    assert torch.equal(
        kept.tensors["progress"]["losses"], CONTENT["progress"]["losses"]
    ) or math.isnan(kept.tensors["progress"]["losses"][1])
    assert [torch.equal(a["cpu"], b["cpu"]) for a, b in zip(kept.rng, RNG, strict=True)] == [
        True,
        True,
    ]


@pytest.mark.parametrize(
    "name",
    [
        *("state.json", "preset.toml", "adapter.safetensors", "optimizer.safetensors"),
        "progress.safetensors",
    ],
)
@pytest.mark.parametrize("how", ["cut", "gone", "changed"])
def test_what_is_not_whole_is_refused(tmp_path: Path, name: str, how: str) -> None:
    file = write(tmp_path) / name
    data = file.read_bytes()
    if how == "gone":
        file.unlink()
    elif how == "cut":
        file.write_bytes(data[: len(data) // 2])
    else:
        middle = len(data) // 2
        file.write_bytes(data[:middle] + b"\x00" + data[middle + 1 :])
        if name == "state.json":  # its text can only be held against itself
            file.write_bytes(data.replace(b'"files"', b'"flies"'))
    with pytest.raises(DamagedFileError):
        checkpoint.read(file.parent)


def test_another_format_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path)
    state = json.loads((path / "state.json").read_text())
    (path / "state.json").write_text(json.dumps(state | {"format": 9, "kit": "7.0"}))
    with pytest.raises(DamagedFileError, match=r"written by another version, 7\.0, of the kit"):
        checkpoint.read(path)


def test_a_failed_write_leaves_the_others_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, 1)

    def fail(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint.files, "write_bytes", fail)
    with pytest.raises(OSError, match="No space left"):
        write(tmp_path, 2)
    assert [path.name for path in tmp_path.iterdir()] == ["step-000001"]
    assert checkpoint.read(tmp_path / "step-000001").step == 1


def test_old_ones_go_and_the_best_stays(tmp_path: Path) -> None:
    for step in range(1, 6):
        write(tmp_path, step)
    (tmp_path / "notes").mkdir()
    checkpoint.prune(tmp_path, 2, [2])
    assert checkpoint.steps(tmp_path) == [2, 4, 5]
    assert (tmp_path / "notes").is_dir()


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.integers() | st.text(), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(PLAIN)
def test_nested_values_come_back_through_json(value: Any) -> None:
    plain, tensors = nested.flatten(value)
    assert repr(nested.restore(json.loads(json.dumps(plain)), tensors)) == repr(value)


@pytest.mark.parametrize(
    "optimizer",
    [torch.optim.AdamW, torch.optim.Adafactor, torch.optim.SGD, torch.optim.Rprop],
)
def test_an_optimizers_state_goes_on_to_the_bit(optimizer: Any) -> None:
    def steps(parameter: torch.nn.Parameter, made: Any, count: int) -> None:
        for _ in range(count):
            parameter.grad = torch.sin(parameter.detach())
            made.step()

    whole = torch.nn.Parameter(torch.linspace(-1, 1, 12).reshape(3, 4))
    steps(whole, optimizer([whole], lr=0.1), 5)
    first = torch.nn.Parameter(torch.linspace(-1, 1, 12).reshape(3, 4))
    made = optimizer([first], lr=0.1)
    steps(first, made, 2)
    plain, tensors = nested.flatten(made.state_dict())
    again = torch.nn.Parameter(first.detach().clone())
    other = optimizer([again], lr=0.1)
    other.load_state_dict(nested.restore(json.loads(json.dumps(plain)), tensors))
    steps(again, other, 3)
    assert torch.equal(again, whole)


def test_what_no_checkpoint_can_hold_is_an_error() -> None:
    with pytest.raises(TypeError, match=r"state\.0 is a object"):
        nested.flatten({"state": [object()]})
