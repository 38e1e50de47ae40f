"""FLUX in one file of the original layout: loaded to the bit, or refused by name."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import FluxTransformer2DModel
from diffusers.loaders.single_file_utils import convert_flux_transformer_checkpoint_to_diffusers
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from safetensors.torch import save_file
from torch import Tensor

from bioicons_kit import names_flux, preset_file
from bioicons_kit.errors import DamagedFileError, ModelError
from bioicons_kit.families import hub, load
from bioicons_kit.families.flux import Flux
from bioicons_kit.families.flux_single_file import SingleFile, _cut
from bioicons_kit.preset import Memory, Model

CPU = torch.device("cpu")
PREFIX = "model.diffusion_model."
CONFIG: dict[str, Any] = {
    "in_channels": 64,
    "out_channels": 64,
    "num_layers": 2,
    "num_single_layers": 3,
    "attention_head_dim": 128,  # FLUX.1's, which the layout takes for granted
    "num_attention_heads": 1,
    "joint_attention_dim": 128,  # the starter's encoders
    "pooled_projection_dim": 128,
    "guidance_embeds": True,
    "axes_dims_rope": (16, 56, 56),
}
NORMS = {
    "attn.norm_q": {
        "double_blocks": "img_attn.norm.query_norm",
        "single_blocks": "norm.query_norm",
    },
    "attn.norm_k": {"double_blocks": "img_attn.norm.key_norm", "single_blocks": "norm.key_norm"},
    "attn.norm_added_q": {"double_blocks": "txt_attn.norm.query_norm"},
    "attn.norm_added_k": {"double_blocks": "txt_attn.norm.key_norm"},
}


@pytest.fixture(scope="module")
def model() -> dict[str, Tensor]:
    """The tensors of a small FLUX under diffusers' names, bfloat16."""
    torch.manual_seed(0)
    return dict(FluxTransformer2DModel(**CONFIG).to(torch.bfloat16).state_dict())


def original(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same tensors as Black Forest Labs lay them out."""
    made = {}
    for name, modules in names_flux.MODULES.items():
        for leaf in ("weight", "bias"):
            parts = [state[f"{m}.{leaf}"] for m in modules if f"{m}.{leaf}" in state]
            if parts and name == names_flux.SWAPPED:
                scale, shift = parts[0].chunk(2)
                parts = [shift, scale]
            if parts:
                made[f"{name}.{leaf}"] = torch.cat(parts)
    blocks = {"double_blocks": "transformer_blocks", "single_blocks": "single_transformer_blocks"}
    for ours, theirs in NORMS.items():
        for kind, name in theirs.items():
            for number in range(3):
                key = f"{blocks[kind]}.{number}.{ours}.weight"
                if key in state:
                    made[f"{kind}.{number}.{name}.scale"] = state[key]
    assert sum(t.numel() for t in made.values()) == sum(t.numel() for t in state.values())
    return made


def save(folder: Path, content: Mapping[str, Tensor]) -> Path:
    path = folder / "flux.safetensors"
    save_file({name: value.contiguous() for name, value in content.items()}, path)
    return path


def family(path: Path, components: Path) -> Flux:
    return Flux(Model(path=str(path), components=str(components)), path.parent)


def loaded(path: Path, components: Path, dtype: str = "fp32") -> dict[str, Tensor]:
    memory = Memory(quantization="none", checkpointing=False, dtype=dtype)
    denoiser, coverage = family(path, components).load_denoiser(memory, CPU)
    assert coverage.parameters == sum(p.numel() for p in denoiser.parameters())
    return dict(denoiser.state_dict())


def check(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert torch.equal(found[name], value.to(found[name].dtype)), name


class TestLayout:
    def test_names_and_rows_are_those_that_diffusers_converts(self, tmp_path: Path):
        # diffusers knows FLUX.1's rows alone; of columns, one will do
        generator = torch.Generator().manual_seed(0)
        content = {}
        for name, modules in names_flux.MODULES.items():
            if name.startswith(("double_blocks.1", "single_blocks.1", "single_blocks.0")) or not (
                "blocks." in name and not name.startswith("double_blocks.0.")
            ):
                wide = {"linear1": 21504, names_flux.SWAPPED: 6144}
                rows = wide.get(name.removeprefix("single_blocks.0."), 3072 * len(modules))
                content[f"{name}.weight"] = torch.randn(rows, 1, generator=generator)
                content[f"{name}.bias"] = torch.randn(rows, generator=generator)
        content = {
            name: value
            for name, value in content.items()
            if not name.startswith(("double_blocks.1", "single_blocks.1"))
        }
        for theirs in NORMS.values():
            for kind, name in theirs.items():
                content[f"{kind}.0.{name}.scale"] = torch.randn(128, generator=generator)
        expected = convert_flux_transformer_checkpoint_to_diffusers(dict(content))
        file = SingleFile(save(tmp_path, content))
        assert file.shapes == {name: tuple(value.shape) for name, value in expected.items()}
        for name, value in expected.items():
            assert torch.equal(file.read(name, None), value), name
            assert torch.equal(file.read(name, slice(5, 100)), value[5:100]), name

    def test_the_config_is_told_by_the_shapes(self, model: dict[str, Tensor], tmp_path: Path):
        assert SingleFile(save(tmp_path, original(model))).config == CONFIG

    @settings(max_examples=60)
    @given(
        sizes=st.lists(st.integers(1, 6), min_size=1, max_size=4),
        ends=st.tuples(st.integers(0, 24), st.integers(0, 24)),
    )
    def test_rows_of_rows_are_cut_where_they_are(self, sizes: list[int], ends: tuple[int, int]):
        """Pieces of a tensor that lie apart and in reverse order in another."""
        starts = [10 * (len(sizes) - number) for number in range(len(sizes))]
        pieces = tuple(slice(a, a + n) for a, n in zip(starts, sizes, strict=True))
        every = [row for piece in pieces for row in range(piece.start, piece.stop)]
        wanted = range(len(every))[slice(*ends)]
        found = [row for part in _cut(pieces, wanted) for row in range(part.start, part.stop)]
        assert found == every[slice(*ends)]


class TestLoads:
    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
    @pytest.mark.parametrize("prefix", ["", PREFIX])
    def test_as_the_model_it_was_made_of(
        self,
        model: dict[str, Tensor],
        tmp_path: Path,
        starter_folder: Path,
        dtype: torch.dtype,
        prefix: str,
    ):
        content = {f"{prefix}{n}": value.to(dtype) for n, value in original(model).items()}
        found = loaded(save(tmp_path, content), starter_folder)
        check(found, {name: value.to(dtype) for name, value in model.items()})

    def test_out_of_a_checkpoint_with_other_parts(
        self, model: dict[str, Tensor], tmp_path: Path, starter_folder: Path
    ):
        content = {f"{PREFIX}{name}": value for name, value in original(model).items()}
        content["vae.decoder.conv_in.weight"] = torch.zeros(2, 2)
        content["text_encoders.t5xxl.logit_scale"] = torch.zeros(())
        check(loaded(save(tmp_path, content), starter_folder), model)

    def test_fp8_without_scales(
        self, model: dict[str, Tensor], tmp_path: Path, starter_folder: Path
    ):
        small = {name: value.to(torch.float8_e4m3fn) for name, value in model.items()}
        check(loaded(save(tmp_path, original(small)), starter_folder), small)

    @pytest.mark.parametrize("spelling", ["scale_weight", "weight_scale"])
    @pytest.mark.parametrize("prefix", ["", PREFIX])
    def test_fp8_with_one_scale_a_tensor(
        self,
        model: dict[str, Tensor],
        tmp_path: Path,
        starter_folder: Path,
        spelling: str,
        prefix: str,
    ):
        content: dict[str, Tensor] = {f"{prefix}scaled_fp8": torch.zeros(2).to(torch.float8_e4m3fn)}
        exact: dict[str, Tensor] = {}  # what the file holds, in the original layout
        for number, (name, value) in enumerate(original(model).items()):
            exact[name] = value.float()
            content[f"{prefix}{name}"] = value
            if name.endswith(".weight") and "blocks." in name:
                stem, scale = name.removesuffix(".weight"), torch.tensor(1e-3 * (1 + number))
                stored = (value.float() / scale).to(torch.float8_e4m3fn)
                exact[name] = stored.float() * scale
                content[f"{prefix}{name}"] = stored
                content[f"{prefix}{stem}.{spelling}"] = scale if number % 2 else scale[None]
                content[f"{prefix}{stem}.scale_input"] = torch.tensor(1.0)
                content[f"{prefix}{stem}.comfy_quant"] = torch.zeros(9, dtype=torch.uint8)
        found = loaded(save(tmp_path, content), starter_folder)
        again = original(found)
        assert again.keys() == exact.keys()
        assert all(torch.equal(again[name], value) for name, value in exact.items())

    def test_quantized_as_a_folder_is(
        self, model: dict[str, Tensor], tmp_path: Path, starter_folder: Path
    ):
        path = save(tmp_path, original(model))
        flux = family(path, starter_folder)
        denoiser, coverage = flux.load_denoiser(Memory(quantization="qint4"), CPU)
        assert len(coverage.quantized) == 2 * 14 + 3 * 6
        assert flux.denoiser_files() == (path,)
        assert flux.denoiser_bytes() == sum(v.nbytes for v in model.values())
        layer = denoiser.get_submodule("single_transformer_blocks.2.proj_mlp")
        exact = model["single_transformer_blocks.2.proj_mlp.weight"].float()
        assert (layer.dequantized() - exact).norm() < 0.15 * exact.norm()

    def test_kept_quantized_it_is_not_read_again(
        self, model: dict[str, Tensor], tmp_path: Path, starter_folder: Path
    ):
        path = save(tmp_path, original(model))
        states = []
        for _ in range(2):
            chosen = Model(path=str(path), components=str(starter_folder))
            flux = load(chosen, tmp_path / "cache", lambda files: f"{len(files)} files")
            denoiser, _ = flux.load_denoiser(Memory(), CPU, lambda _: None)
            states.append(denoiser.state_dict())
            (kept,) = (tmp_path / "cache" / "quantized").iterdir()
            # whoever reads a weight now would read zeros
            size, content = path.stat().st_size, path.read_bytes()
            header = 8 + int.from_bytes(content[:8], "little")
            path.write_bytes(content[:header] + bytes(size - header))
        assert kept.stat().st_size > 0
        check(*states)

    def test_unless_the_preset_says_not_to_keep_it(
        self, model: dict[str, Tensor], tmp_path: Path, starter_folder: Path
    ):
        chosen = Model(path=str(save(tmp_path, original(model))), components=str(starter_folder))
        flux = load(chosen, tmp_path / "cache", lambda _: pytest.fail("hashed"))
        flux.load_denoiser(Memory(keep_quantized=False), CPU, lambda _: None)
        flux.load_denoiser(Memory(quantization="none"), CPU, lambda _: None)
        assert not (tmp_path / "cache").exists()


class TestRefused:
    @pytest.fixture
    def content(self, model: dict[str, Tensor]) -> dict[str, Tensor]:
        return original(model)

    @pytest.mark.parametrize(
        ("name", "what"),
        [
            ("model.diffusion_model.input_blocks.0.0.weight", "a Stable Diffusion checkpoint"),
            ("model.diffusion_model.joint_blocks.0.x.weight", "a Stable Diffusion 3"),
            ("transformer_blocks.0.attn.to_q.weight", "in diffusers' layout; give the folder"),
            ("lora_unet_double_blocks_0_img_mlp_0.lora_up.weight", "a LoRA"),
            ("something.else", "is no FLUX in Black Forest Labs' layout"),
        ],
    )
    def test_a_file_of_another_kind(
        self, tmp_path: Path, starter_folder: Path, name: str, what: str
    ):
        path = save(tmp_path, {name: torch.zeros(2, 2)})
        with pytest.raises(ModelError, match=what) as refusal:
            family(path, starter_folder)
        assert str(refusal.value).startswith(f"{path}: ")

    @pytest.mark.parametrize(
        ("name", "spelling"),
        [
            ("double_blocks.1.img_mod.lin.weight", "transformer_blocks.1.norm1.linear.weight"),
            ("single_blocks.1.linear1.bias", "single_transformer_blocks.1.attn.to_k.bias"),
            ("single_blocks.0.norm.key_norm.scale", "single_transformer_blocks.0.attn.norm_k"),
            ("final_layer.adaLN_modulation.1.bias", "norm_out.linear.bias"),
            ("img_in.weight", "img_in.weight"),
            ("final_layer.linear.weight", "final_layer.linear.weight"),
        ],
    )
    def test_a_missing_weight(
        self,
        content: dict[str, Tensor],
        tmp_path: Path,
        starter_folder: Path,
        name: str,
        spelling: str,
    ):
        del content[name]
        with pytest.raises(ModelError, match="missing") as refusal:
            loaded(save(tmp_path, content), starter_folder)
        assert spelling in str(refusal.value)

    @pytest.mark.parametrize(
        "name",
        [
            "double_blocks.0.img_attn.qkv.weight_scale_2",
            "distilled_guidance_layer.in_proj.weight",
            "double_blocks.64.img_mod.lin.weight",
            "double_blocks.0.img_attn.norm.third_norm.scale",
        ],
    )
    @pytest.mark.parametrize("prefix", ["", PREFIX])
    def test_an_unknown_weight(
        self,
        content: dict[str, Tensor],
        tmp_path: Path,
        starter_folder: Path,
        name: str,
        prefix: str,
    ):
        content = {f"{prefix}{n}": value for n, value in content.items()}
        content[f"{prefix}{name}"] = torch.zeros(3, 3)
        with pytest.raises(ModelError, match=f"unknown weight '{prefix}{name}'"):
            loaded(save(tmp_path, content), starter_folder)

    def test_strangers_beside_a_prefixed_one(
        self, content: dict[str, Tensor], tmp_path: Path, starter_folder: Path
    ):
        content = {f"{PREFIX}{name}": value for name, value in content.items()}
        content["stranger"] = torch.zeros(3)
        with pytest.raises(ModelError, match="unknown weight 'stranger' beside"):
            family(save(tmp_path, content), starter_folder)

    @pytest.mark.parametrize(
        ("name", "shape"),
        [
            ("double_blocks.0.txt_attn.qkv.weight", (3 * 128 + 1, 128)),
            ("double_blocks.0.txt_attn.qkv.bias", (100,)),
            ("single_blocks.1.linear1.weight", (7 * 128 - 2, 128)),
            ("final_layer.adaLN_modulation.1.weight", (255, 128)),
            ("img_in.weight", (64,)),
            ("single_blocks.1.linear2.bias", ()),
            ("vector_in.in_layer.weight", (0, 128)),
        ],
    )
    def test_a_misshapen_weight(
        self,
        content: dict[str, Tensor],
        tmp_path: Path,
        starter_folder: Path,
        name: str,
        shape: tuple[int, ...],
    ):
        content[name] = torch.zeros(shape)
        with pytest.raises(ModelError, match="shape"):
            loaded(save(tmp_path, content), starter_folder)

    def test_heads_of_another_width(
        self, content: dict[str, Tensor], tmp_path: Path, starter_folder: Path
    ):
        content["double_blocks.0.img_attn.norm.query_norm.scale"] = torch.zeros(64)
        with pytest.raises(ModelError, match=r"heads 64 wide in 128.*folder in diffusers' layout"):
            family(save(tmp_path, content), starter_folder)

    def test_one_without_guidance(
        self, content: dict[str, Tensor], tmp_path: Path, starter_folder: Path
    ):
        path = save(tmp_path, {n: v for n, v in content.items() if "guidance" not in n})
        with pytest.raises(ModelError, match="has no guidance embedding"):
            family(path, starter_folder)

    @pytest.mark.parametrize("bad", [[1.0, 2.0], [float("nan")], [0.0], [-1.0], [float("inf")]])
    def test_a_scale_that_is_none(
        self,
        content: dict[str, Tensor],
        tmp_path: Path,
        starter_folder: Path,
        bad: list[float],
    ):
        content["single_blocks.0.linear1.scale_weight"] = torch.tensor(bad)
        with pytest.raises(ModelError, match=r"linear1\.scale_weight' is not the scale of one"):
            family(save(tmp_path, content), starter_folder)

    def test_weights_packed_by_other_tools(
        self, content: dict[str, Tensor], tmp_path: Path, starter_folder: Path
    ):
        content["single_blocks.0.linear1.weight"] = torch.zeros(10, dtype=torch.uint8)
        with pytest.raises(ModelError, match=r"linear1\.weight' is stored as U8"):
            family(save(tmp_path, content), starter_folder)

    @pytest.mark.parametrize("size", [0, 7, 5000, -1])
    def test_a_damaged_file(
        self, content: dict[str, Tensor], tmp_path: Path, starter_folder: Path, size: int
    ):
        path = save(tmp_path, content)
        path.write_bytes(path.read_bytes()[:size])
        with pytest.raises(DamagedFileError, match=r"flux\.safetensors: not a readable"):
            family(path, starter_folder)

    def test_a_pickle_by_that_name(
        self, content: dict[str, Tensor], tmp_path: Path, starter_folder: Path
    ):
        path = tmp_path / "flux.safetensors"
        torch.save(content, path)
        with pytest.raises(DamagedFileError, match="a pickle"):
            family(path, starter_folder)

    def test_a_file_that_is_not_there(self, tmp_path: Path, starter_folder: Path):
        with pytest.raises(ModelError, match="no such file"):
            family(tmp_path / "flux.safetensors", starter_folder)

    def test_components_that_are_none(self, content: dict[str, Tensor], tmp_path: Path):
        path = save(tmp_path, content)
        with pytest.raises(ModelError, match=r"model\.components must be the folder"):
            family(path, tmp_path)
        with pytest.raises(ModelError, match=r"model\.components is a diffusers folder"):
            family(path, tmp_path / "nowhere")

    def test_components_of_another_size(
        self, model: dict[str, Tensor], tmp_path: Path, starter_folder: Path
    ):
        wide = FluxTransformer2DModel(**{**CONFIG, "joint_attention_dim": 96})
        path = save(tmp_path, original(wide.state_dict()))
        with pytest.raises(ModelError, match=r"joint_attention_dim is 96, and .*/config\.json"):
            family(path, starter_folder)


class TestPreset:
    def test_a_file_needs_components(self):
        with pytest.raises(ValidationError, match="set components to the folder or hub id"):
            Model(path="/x/flux1-dev.safetensors")

    def test_components_need_a_file(self, tmp_path: Path):
        for path in ("starter", str(tmp_path), "owner/name"):
            with pytest.raises(ValidationError, match="components cannot apply"):
                Model(path=path, components="owner/name")

    def test_a_revision_may_be_of_the_components(self):
        chosen = Model(path="/x/a.safetensors", components="owner/name", revision="v1")
        assert chosen.is_file
        with pytest.raises(ValidationError, match="revision cannot apply"):
            Model(path="/x/a.safetensors", components="/x/folder", revision="v1")

    def test_only_the_components_are_fetched(
        self, model: dict[str, Tensor], tmp_path: Path, starter_folder: Path
    ):
        asked: list[tuple[str, str | None, tuple[str, ...], str]] = []

        def fetch(name: str, revision: str | None, patterns: tuple[str, ...], setting: str) -> Path:
            asked.append((name, revision, patterns, setting))
            return starter_folder

        path = save(tmp_path, original(model))
        chosen = Model(path=str(path), components="owner/name", revision="v1")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(hub, "fetch", fetch)
            Flux(chosen, tmp_path)
        ((name, revision, patterns, setting),) = asked
        assert (name, revision, setting) == ("owner/name", "v1", "model.components")
        assert {"model_index.json", "vae/*", "text_encoder_2/*", "tokenizer/*"} <= set(patterns)
        assert not any(pattern.startswith(("transformer", "*")) for pattern in patterns)

    def test_what_is_kept_needs_what_is_quantized(self):
        with pytest.raises(ValidationError, match="keep cannot apply"):
            Memory(quantization="none", keep=("x_embedder",))

    def test_paths_start_at_the_preset(self, small_preset: Path):
        lines = 'path = "models/flux.safetensors"\ncomponents = "FLUX.1-dev"'
        text = small_preset.read_text().replace('path = "starter"', lines)
        small_preset.write_text(text)
        chosen = preset_file.load(small_preset).model
        assert chosen.path == str(small_preset.parent / "models" / "flux.safetensors")
        assert chosen.components == str(small_preset.parent / "FLUX.1-dev")
        small_preset.write_text(text.replace('"FLUX.1-dev"', '"black-forest-labs/FLUX.1-dev"'))
        assert preset_file.load(small_preset).model.components == "black-forest-labs/FLUX.1-dev"
