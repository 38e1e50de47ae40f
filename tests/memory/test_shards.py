"""Which files a model's weights are in: found by an index that is not trusted."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from bioicons_kit.errors import ModelError
from bioicons_kit.memory.shards import Shards, shards

STEM = "diffusion_pytorch_model"


def weights() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(5)
    return {name: torch.randn(7, 3, generator=generator) for name in ("a", "b.c", "d", "e.f", "g")}


def save(folder: Path, content: Mapping[str, Tensor], name: str = f"{STEM}.safetensors") -> Path:
    path = folder / name
    save_file({key: value.contiguous() for key, value in content.items()}, path)
    return path


class TestShards:
    def split(self, folder: Path, variant: str | None = None, parts: int = 3) -> list[Path]:
        """Write the model in pieces, with an index, as diffusers names them."""
        content = weights()
        stem = STEM if variant is None else f"{STEM}.{variant}"
        places, paths = {}, []
        for part in range(parts):
            own = {name: content[name] for name in sorted(content)[part::parts]}
            name = f"{stem}-{part + 1:05}-of-{parts:05}.safetensors"
            paths.append(save(folder, own, name))
            places.update(dict.fromkeys(own, name))
        self.index(folder, variant).write_text(json.dumps({"weight_map": places}), "utf-8")
        return paths

    def index(self, folder: Path, variant: str | None = None) -> Path:
        return folder / f"{STEM}.safetensors.index.{variant + '.' if variant else ''}json"

    def test_a_single_file(self, tmp_path: Path):
        path = save(tmp_path, weights())
        assert shards(tmp_path, STEM, None) == (path,)

    @pytest.mark.parametrize("variant", [None, "bf16"])
    def test_pieces_make_the_model(self, tmp_path: Path, variant: str | None):
        paths = self.split(tmp_path, variant)
        found = shards(tmp_path, STEM, variant)
        assert list(found) == paths
        pieces = Shards(found)
        assert pieces.shapes == dict.fromkeys(pieces.shapes, (7, 3))
        for name, value in weights().items():
            assert torch.equal(pieces.read(name, None), value)
            assert torch.equal(pieces.read(name, slice(2, 5)), value[2:5])
            assert pieces.nbytes(name) == value.nbytes
            assert pieces.file(name) in paths
        assert pieces.shapes.keys() == weights().keys()

    @pytest.mark.parametrize("variant", [None, "bf16"])
    @pytest.mark.parametrize("size", ["4KB", "10GB"])
    def test_what_diffusers_writes(self, tmp_path: Path, variant: str | None, size: str):
        from diffusers import AutoencoderKL

        model = AutoencoderKL(block_out_channels=(4,), norm_num_groups=2, latent_channels=2)
        model.save_pretrained(tmp_path, variant=variant, max_shard_size=size)
        found = shards(tmp_path, STEM, variant)
        assert (len(found) > 1) == (size == "4KB")
        keys = [key for path in found for key in load_file(path)]
        assert sorted(keys) == sorted(model.state_dict())

    def test_a_variant_is_not_taken_for_another(self, tmp_path: Path):
        plain = save(tmp_path, weights())
        small = save(tmp_path, weights(), f"{STEM}.bf16.safetensors")
        assert shards(tmp_path, STEM, None) == (plain,)
        assert shards(tmp_path, STEM, "bf16") == (small,)
        with pytest.raises(ModelError) as refusal:
            shards(tmp_path, STEM, "fp16")
        assert "of variant 'fp16'" in str(refusal.value)
        assert f"{STEM}.fp16.safetensors" in str(refusal.value)

    def test_none_at_all(self, tmp_path: Path):
        with pytest.raises(ModelError, match="holds no safetensors weights"):
            shards(tmp_path, STEM, None)

    def test_a_piece_that_is_not_there(self, tmp_path: Path):
        paths = self.split(tmp_path)
        paths[1].unlink()
        with pytest.raises(ModelError, match=paths[1].name):
            shards(tmp_path, STEM, None)

    def test_an_index_that_points_outside(self, tmp_path: Path):
        folder = tmp_path / "transformer"
        folder.mkdir()
        outside = save(tmp_path, weights(), "outside.safetensors")
        for name in ("../outside.safetensors", str(outside), "", ".", ".."):
            self.index(folder).write_text(json.dumps({"weight_map": {"a": name}}))
            with pytest.raises(ModelError, match="names the shard"):
                shards(folder, STEM, None)

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "{",
            "[]",
            "3",
            "{}",
            '{"weight_map": 3}',
            '{"weight_map": {"a": ["b"]}}',
            "\ud800",
            "[" * 100_000,
        ],
    )
    def test_an_index_that_is_none(self, tmp_path: Path, text: str):
        self.index(tmp_path).write_bytes(text.encode("utf-8", "surrogatepass"))
        with pytest.raises(ModelError, match=r"index\.json: not a safetensors index"):
            shards(tmp_path, STEM, None)

    @pytest.mark.parametrize("names", [{"a": 3}, {"a": 3, "b": "c"}, {"a": None}, {}])
    def test_an_index_of_odd_names(self, tmp_path: Path, names: dict[str, object]):
        self.index(tmp_path).write_text(json.dumps({"weight_map": names}))
        with pytest.raises(ModelError, match=r"index\.json: "):
            shards(tmp_path, STEM, None)
