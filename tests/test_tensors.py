"""safetensors files: the same bytes each time, and no trust in what is read."""

import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open

from bioicons_kit import tensors
from bioicons_kit.errors import DamagedFileError

REPOSITORY = Path(__file__).parent.parent

DTYPES = (
    *(torch.float64, torch.float32, torch.bfloat16, torch.float16, torch.float8_e4m3fn),
    *(torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool),
)
_WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
_NAMES = _WORDS.filter(lambda name: name != "__metadata__")


@st.composite
def tensor(draw: st.DrawFn) -> torch.Tensor:
    """Any bytes as a tensor of any dtype: NaNs and denormals are among them."""
    dtype = draw(st.sampled_from(DTYPES))
    shape = draw(st.lists(st.integers(0, 4), max_size=3))
    count = torch.Size(shape).numel()
    if dtype == torch.bool:
        return (
            torch.tensor(draw(st.lists(st.booleans(), min_size=count, max_size=count)))
            .reshape(shape)
            .to(torch.bool)
        )
    size = count * dtype.itemsize
    data = draw(st.binary(min_size=size, max_size=size))
    if not data:
        return torch.empty(shape, dtype=dtype)
    return torch.frombuffer(bytearray(data), dtype=dtype).reshape(shape)


def raw(value: torch.Tensor) -> bytes:
    return value.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tensors")


CONTENT = {
    "weight": torch.arange(12, dtype=torch.float32).reshape(3, 4),
    "bias": torch.arange(3, dtype=torch.bfloat16),
}
METADATA = {"note": "a header", "unit": "µm"}
PACKED = tensors.pack(CONTENT, METADATA)
HEADER = 8 + int.from_bytes(PACKED[:8], "little")


class TestRoundTrip:
    @settings(max_examples=60, deadline=None)
    @given(st.dictionaries(_NAMES, tensor(), max_size=4), st.dictionaries(_WORDS, _WORDS))
    def test_gives_back_what_went_in(
        self, folder: Path, content: dict[str, torch.Tensor], metadata: dict[str, str]
    ):
        path = tensors.write(folder / "file.safetensors", content, metadata)
        back, told = tensors.read(path)
        assert told == metadata
        assert back.keys() == content.keys()
        for name, value in content.items():
            assert back[name].dtype == value.dtype
            assert back[name].shape == value.shape
            assert raw(back[name]) == raw(value)

    def test_is_read_by_the_safetensors_library(self, folder: Path):
        path = tensors.write(folder / "plain.safetensors", CONTENT, METADATA)
        back = safetensors.torch.load_file(path)
        assert back.keys() == CONTENT.keys()
        assert all(torch.equal(back[name], value) for name, value in CONTENT.items())
        with safe_open(path, framework="pt") as file:
            assert file.metadata() == METADATA

    def test_data_is_aligned(self):
        for length in range(12):
            packed = tensors.pack(CONTENT, {"k": "x" * length})
            assert int.from_bytes(packed[:8], "little") % 8 == 0

    def test_views_are_stored_without_what_they_view(self):
        whole = torch.arange(40.0).reshape(4, 10)
        rows = tensors.pack({"a": whole[1], "b": whole[2]}, {})
        alone = tensors.pack({"a": whole[1].clone(), "b": whole[2].clone()}, {})
        assert rows == alone
        assert tensors.pack({"t": whole.T}, {}) == tensors.pack({"t": whole.T.clone()}, {})

    def test_what_was_read_no_longer_needs_the_file(self, tmp_path: Path):
        path = tensors.write(tmp_path / "a.safetensors", CONTENT, {})
        back, _ = tensors.read(path)
        path.write_bytes(bytes(path.stat().st_size))
        path.unlink()
        assert torch.equal(back["weight"], CONTENT["weight"])

    def test_gradients_stay_behind(self, tmp_path: Path):
        path = tmp_path / "a.safetensors"
        tensors.write(path, {"w": torch.nn.Parameter(torch.ones(2))}, {})
        back, _ = tensors.read(path)
        assert not back["w"].requires_grad


class TestSameBytes:
    def test_in_every_process(self):
        # safetensors' own writer orders metadata by a hash that is salted per process
        script = (
            "import hashlib, torch\n"
            "from bioicons_kit import tensors\n"
            "content = {f'block.{i}': torch.full((3,), float(i)) for i in range(20)}\n"
            "metadata = {f'key {i}': str(i) for i in range(40)}\n"
            "print(hashlib.sha256(tensors.pack(content, metadata)).hexdigest())\n"
        )
        hashes = {
            subprocess.run(
                [sys.executable, "-c", script],
                cwd=REPOSITORY,
                env={**os.environ, "PYTHONHASHSEED": str(seed)},
                capture_output=True,
                text=True,
                check=True,
            ).stdout
            for seed in (1, 2)
        }
        assert len(hashes) == 1

    def test_whatever_the_order_of_the_keys(self):
        turned = {name: CONTENT[name] for name in reversed(CONTENT)}
        told = {name: METADATA[name] for name in reversed(METADATA)}
        assert tensors.pack(turned, told) == PACKED


class TestDamage:
    def refused(self, path: Path, data: bytes) -> None:
        path.write_bytes(data)
        with pytest.raises(DamagedFileError) as refusal:
            tensors.read(path)
        assert str(refusal.value).startswith(f"{path}: not a readable safetensors file (")

    def test_truncated_anywhere(self, folder: Path):
        for length in range(len(PACKED)):
            self.refused(folder / "cut.safetensors", PACKED[:length])

    def test_with_something_after_the_end(self, folder: Path):
        self.refused(folder / "long.safetensors", PACKED + b"\0")

    def test_a_flipped_header_gives_an_error_or_a_readable_file(self, folder: Path):
        """No byte of the header makes reading fail in any other way, or hang."""
        path, refused = folder / "flip.safetensors", 0
        for place in range(HEADER):
            for mask in (0x01, 0x20, 0x80):
                data = bytearray(PACKED)
                data[place] ^= mask
                path.write_bytes(data)
                try:
                    tensors.read(path)
                except DamagedFileError:
                    refused += 1
        assert refused > HEADER  # of three times as many

    @pytest.mark.parametrize("length", [2**63, 2**64 - 1, 10**9, len(PACKED) + 1])
    def test_a_header_longer_than_the_file(self, folder: Path, length: int):
        data = length.to_bytes(8, "little") + PACKED[8:]
        self.refused(folder / "huge.safetensors", data)

    @pytest.mark.parametrize(
        "header",
        [
            b'{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,99999999]}}',
            b'{"a":{"dtype":"F32","shape":[1000000000,1000000000],"data_offsets":[0,16]}}',
            b'{"a":{"dtype":"F32","shape":[-4],"data_offsets":[0,16]}}',
            b'{"a":{"dtype":"OBJECT","shape":[4],"data_offsets":[0,16]}}',
            b'{"a":{"dtype":"F32","shape":[4],"data_offsets":[8,16]}}',
            b'{"__metadata__":{"a":1}}',
            b"[" * 100_000,
            b"{}",
            b"",
        ],
        ids=["past", "overflow", "negative", "dtype", "short", "metadata", "deep", "gap", "empty"],
    )
    def test_a_header_that_lies(self, folder: Path, header: bytes):
        data = len(header).to_bytes(8, "little") + header + bytes(16)
        self.refused(folder / "lie.safetensors", data)

    def test_a_pickle_is_not_opened(self, folder: Path):
        mark = folder / "executed"

        class Trap:
            def __reduce__(self) -> tuple[object, ...]:
                return os.mkdir, (str(mark),)

        self.refused(folder / "trap.safetensors", pickle.dumps(Trap()))
        torch.save(CONTENT, folder / "torch.safetensors")
        self.refused(folder / "torch.safetensors", (folder / "torch.safetensors").read_bytes())
        assert not mark.exists()

    def test_no_file_a_folder_an_empty_file(self, tmp_path: Path):
        self.refused(tmp_path / "empty.safetensors", b"")
        for path in (tmp_path, tmp_path / "missing.safetensors"):
            with pytest.raises(DamagedFileError, match="not a readable safetensors file"):
                tensors.read(path)

    @settings(max_examples=80, deadline=None)
    @given(st.binary(max_size=200))
    def test_any_bytes_give_an_error_or_a_readable_file(self, folder: Path, data: bytes):
        path = folder / "any.safetensors"
        path.write_bytes(data)
        try:
            tensors.read(path)
        except DamagedFileError:
            return
        assert data[:8] != b""
