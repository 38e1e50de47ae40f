"""The encoders give what FLUX's pipeline computes, and leave nothing in memory."""

import gc
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, FluxPipeline
from diffusers.image_processor import VaeImageProcessor
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import CLIPTextModel, T5EncoderModel

from bioicons_kit.errors import DamagedFileError, ModelError
from bioicons_kit.families import load
from bioicons_kit.families.base import Encoder, Family
from bioicons_kit.families.flux_encoders import picture_tensor
from bioicons_kit.families.pretrained import versions
from bioicons_kit.memory.linear import QuantizedLinear
from bioicons_kit.memory.shards import Shards
from bioicons_kit.preset import Memory, Model
from tests.memory import small

CPU = torch.device("cpu")
TOKENS = 24
FULL = Memory(dtype="fp32")
PROMPTS = [
    "bioicon style, a mouse",
    "",
    "bioicon style, a jellyfish cross section with Ünïcode und 12 µm, " * 12,
]
ROUNDING = {"rtol": 1e-4, "atol": 1e-5}


@pytest.fixture(scope="module")
def family(models: Path) -> Family:
    return load(Model(path="starter", max_sequence_length=TOKENS), models)


@pytest.fixture(scope="module")
def pipeline(starter_folder: Path) -> FluxPipeline:
    return FluxPipeline.from_pretrained(starter_folder, dtype=torch.float32)


def pictures(*sizes: tuple[int, int]) -> list[Image.Image]:
    generator = np.random.default_rng(0)
    return [
        Image.fromarray(generator.integers(0, 256, (height, width, 3), dtype=np.uint8))
        for width, height in sizes
    ]


def encode(encoder: Encoder, inputs: list) -> list[dict[str, Tensor]]:
    with encoder.loaded(CPU) as function:
        return function(inputs)


def test_texts_are_encoded_as_in_the_pipeline(family: Family, pipeline: FluxPipeline):
    clip, t5 = family.text_encoders(FULL)
    assert (clip.name, t5.name) == ("clip", "t5")
    with torch.no_grad():
        states, pooled, _ = pipeline.encode_prompt(PROMPTS, None, max_sequence_length=TOKENS)
    ours = encode(clip, PROMPTS), encode(t5, PROMPTS)
    assert all(each.keys() == {"pooled"} for each in ours[0])
    assert all(each.keys() == {"states", "mask"} for each in ours[1])
    torch.testing.assert_close(torch.stack([e["pooled"] for e in ours[0]]), pooled, **ROUNDING)
    torch.testing.assert_close(torch.stack([e["states"] for e in ours[1]]), states, **ROUNDING)
    assert states.shape == (len(PROMPTS), TOKENS, 128)
    assert len({tuple(row.tolist()) for row in pooled}) == len(PROMPTS), "all are different"


@pytest.mark.parametrize("place", [0, 1])
def test_a_text_is_encoded_the_same_in_any_company(family: Family, place: int):
    encoder = family.text_encoders(FULL)[place]
    together, alone = encode(encoder, PROMPTS), encode(encoder, PROMPTS[:1])
    torch.testing.assert_close(together[0], alone[0], **ROUNDING)


def test_texts_are_encoded_in_the_format_asked_for(family: Family):
    for encoder in family.text_encoders(Memory(dtype="bf16")):
        (found,) = encode(encoder, PROMPTS[:1])
        assert {value.dtype for value in found.values()} == {torch.bfloat16}
        assert encoder.settings["compute"] == "bf16"


def test_settings_tell_apart_what_comes_out_differently(models: Path):
    def settings(tokens: int, dtype: str) -> list[dict[str, str]]:
        family = load(Model(path="starter", max_sequence_length=tokens), models)
        return [dict(encoder.settings) for encoder in family.text_encoders(Memory(dtype=dtype))]

    clip, t5 = settings(16, "fp32")
    clip_longer, t5_longer = settings(32, "fp32")
    clip_bf16, t5_bf16 = settings(16, "bf16")
    assert clip == clip_longer != clip_bf16
    assert t5 != t5_longer
    assert t5 != t5_bf16


def test_the_mask_of_a_text_is_where_its_tokens_are(family: Family):
    _, t5 = family.text_encoders(FULL)
    masks = [each["mask"] for each in encode(t5, PROMPTS)]
    lengths = [int(mask.sum()) for mask in masks]
    assert lengths[1] == 1  # the empty text is its end alone
    assert 1 < lengths[0] < lengths[2] == TOKENS
    assert torch.equal(masks[0], (torch.arange(TOKENS) < lengths[0]).float())


def test_shapes_are_those_of_what_is_made(family: Family):
    (made,) = encode(family.image_encoder(), pictures((64, 96)))
    assert family.image_encoder().shapes((64, 96)) == {k: tuple(t.shape) for k, t in made.items()}
    for encoder in family.text_encoders(FULL):
        (made,) = encode(encoder, PROMPTS[:1])
        assert encoder.shapes((0, 0)) == {name: tuple(t.shape) for name, t in made.items()}


@pytest.mark.parametrize("storage", ["qfloat8", "qint8", "qint4", small.NF4])
def test_t5_in_fewer_bits_is_nearly_the_same_and_says_so(family: Family, storage: str):
    _, full = family.text_encoders(FULL)
    _, small = family.text_encoders(Memory(dtype="fp32", text_encoder=storage))
    assert full.settings != small.settings
    assert small.settings["storage"] == storage
    (exact,), (found,) = encode(full, PROMPTS[:1]), encode(small, PROMPTS[:1])
    error = (found["states"] - exact["states"]).norm() / exact["states"].norm()
    assert 0 < error < (0.45 if storage in {"qint4", "nf4"} else 0.1)
    with small.loaded(CPU):
        stored = [m for m in gc.get_objects() if type(m) is QuantizedLinear]
        assert len(stored) == 2 * 7  # q, k, v, o and three of the feed-forward, in two layers


def test_t5_is_kept_quantized_and_not_read_again(
    starter_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def states() -> Tensor:
        family = load(
            Model(path=str(starter_folder), max_sequence_length=TOKENS), tmp_path, lambda _: "base"
        )
        _, t5 = family.text_encoders(Memory(dtype="fp32", text_encoder="qint8"))
        return encode(t5, PROMPTS[:1])[0]["states"]

    first = states()
    assert len(list((tmp_path / "quantized").iterdir())) == 1
    monkeypatch.setattr(Shards, "read", lambda *_: pytest.fail("read again"))
    assert torch.equal(states(), first)


def test_the_versions_of_what_computes_are_settings(family: Family):
    assert versions("torch")["torch"] == ".".join(torch.__version__.split(".")[:2])
    clip, t5 = family.text_encoders(FULL)
    assert family.image_encoder().settings.keys() >= {"torch", "diffusers"}
    assert clip.settings.keys() >= {"torch", "transformers"}
    assert t5.settings.keys() >= {"torch", "transformers"}
    assert "optimum-quanto" not in t5.settings


def test_pictures_are_encoded_as_by_the_vae(family: Family, pipeline: FluxPipeline):
    given = pictures((64, 96), (64, 96))
    pixels = VaeImageProcessor(vae_scale_factor=16).preprocess(given)
    with torch.no_grad():
        posterior = pipeline.vae.encode(pixels).latent_dist
    ours = encode(family.image_encoder(), given)
    assert all(each.keys() == {"mean", "logvar"} for each in ours)
    mean, logvar = (torch.stack([each[name] for each in ours]) for name in ("mean", "logvar"))
    assert mean.shape == (2, 16, 12, 8)
    torch.testing.assert_close(mean, posterior.mean, **ROUNDING)
    torch.testing.assert_close(logvar, posterior.logvar, **ROUNDING)


def test_pixels_are_channels_first_in_minus_one_to_one():
    picture = Image.new("RGB", (3, 2), (255, 0, 51))
    pixels = picture_tensor(picture)
    assert pixels.shape == (3, 2, 3)
    assert pixels.dtype == torch.float32
    torch.testing.assert_close(pixels[:, 0, 0], torch.tensor([1.0, -1.0, -0.6]))


def held(kind: type[nn.Module]) -> int:
    """Weights of such models that are in memory."""
    gc.collect()
    models = [each for each in gc.get_objects() if type(each) is kind]
    return sum(p.numel() for model in models for p in model.parameters() if not p.is_meta)


@pytest.mark.parametrize("kind", [AutoencoderKL, CLIPTextModel, T5EncoderModel])
def test_weights_are_freed_at_the_end_of_the_block(family: Family, kind: type[nn.Module]):
    before = held(kind)
    encoders = {
        AutoencoderKL: family.image_encoder(),
        **dict(zip((CLIPTextModel, T5EncoderModel), family.text_encoders(FULL), strict=True)),
    }
    with encoders[kind].loaded(CPU) as function:
        assert held(kind) > before
    assert held(kind) == before
    assert callable(function), "held all the while, as by a caller whose frame lives on"


def test_weights_are_freed_after_an_error_too(family: Family):
    before = held(AutoencoderKL)
    encoder = family.image_encoder()
    with pytest.raises(ZeroDivisionError), encoder.loaded(CPU):
        raise ZeroDivisionError
    assert held(AutoencoderKL) == before


def everything(folder: Path) -> None:
    """Load and use all three encoders of the model in `folder`."""
    family = load(Model(path=str(folder), max_sequence_length=TOKENS), folder)
    encode(family.image_encoder(), pictures((64, 64)))
    for encoder in family.text_encoders(FULL):
        encode(encoder, PROMPTS[:1])


class TestIncomplete:
    @pytest.fixture
    def folder(self, starter_folder: Path, tmp_path: Path) -> Path:
        return Path(shutil.copytree(starter_folder, tmp_path / "model"))

    @pytest.mark.parametrize(
        "name",
        ["text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2", "vae"],
    )
    def test_a_missing_component_is_named(self, folder: Path, name: str):
        shutil.rmtree(folder / name)
        with pytest.raises(ModelError, match=rf"model/{name}(: |/config\.json: )"):
            everything(folder)

    @pytest.mark.parametrize("name", ["text_encoder", "text_encoder_2", "vae"])
    @pytest.mark.parametrize("pattern", ["*.safetensors", "config.json"])
    def test_a_missing_file_is_named(self, folder: Path, name: str, pattern: str):
        for path in (folder / name).glob(pattern):
            path.unlink()
        with pytest.raises(ModelError, match=rf"model/{name}(: |/config\.json: )"):
            everything(folder)

    @pytest.mark.parametrize("name", ["text_encoder", "text_encoder_2", "vae"])
    @pytest.mark.parametrize("keep", [0, 100, 50_000])
    def test_truncated_weights_are_named(self, folder: Path, name: str, keep: int):
        (path,) = (folder / name).glob("*.safetensors")
        path.write_bytes(path.read_bytes()[:keep])
        with pytest.raises((DamagedFileError, ModelError), match=rf"model/{name}[:/]"):
            everything(folder)

    @pytest.mark.parametrize("name", ["tokenizer", "tokenizer_2"])
    @pytest.mark.parametrize("text", ["", "{}", "not json"])
    def test_a_damaged_vocabulary_is_named(self, folder: Path, name: str, text: str):
        (folder / name / "tokenizer.json").write_text(text)
        with pytest.raises(ModelError, match=rf"model/{name}: "):
            everything(folder)

    def test_a_variant_that_is_not_there_is_named(self, folder: Path):
        family = load(Model(path=str(folder), variant="fp16"), folder)
        with pytest.raises(ModelError, match=r"\*\.fp16\.safetensors"):
            family.image_encoder()
        with pytest.raises(ModelError, match=r"\*\.fp16\.safetensors"):
            family.text_encoders(FULL)

    def test_a_variant_is_read_from_its_own_files(self, folder: Path, models: Path):
        for path in [*folder.glob("*/model.safetensors"), *folder.glob("*/diffusion*.safetensors")]:
            path.rename(path.with_suffix(".bf16.safetensors"))
        plain = load(Model(path="starter", max_sequence_length=TOKENS), models)
        varied = load(Model(path=str(folder), variant="bf16", max_sequence_length=TOKENS), models)
        for one, other in zip(plain.text_encoders(FULL), varied.text_encoders(FULL), strict=True):
            assert any(".bf16." in path.name for path in other.files)
            torch.testing.assert_close(encode(one, PROMPTS), encode(other, PROMPTS))
        given = pictures((64, 64))
        torch.testing.assert_close(
            encode(plain.image_encoder(), given), encode(varied.image_encoder(), given)
        )

    @pytest.mark.parametrize("name", ["text_encoder", "text_encoder_2", "vae"])
    def test_a_missing_weight_is_named_and_not_made_up(self, folder: Path, name: str):
        (path,) = (folder / name).glob("*.safetensors")
        tensors = load_file(path)
        lost = sorted(key for key in tensors if key.endswith(".weight"))[-1]
        save_file({k: v for k, v in tensors.items() if k != lost}, path, {"format": "pt"})
        with pytest.raises(ModelError, match=rf"model/{name}: .*weights .*missing"):
            everything(folder)

    @pytest.mark.parametrize("name", ["tokenizer", "tokenizer_2"])
    def test_a_tokenizer_without_its_vocabulary(self, folder: Path, name: str):
        (folder / name / "tokenizer.json").unlink()
        with pytest.raises(ModelError, match=rf"model/{name}: the tokenizer needs tokenizer.json"):
            everything(folder)


def test_files_are_all_that_shapes_the_output(family: Family, starter_folder: Path):
    names = {
        encoder.name: {path.relative_to(starter_folder).as_posix() for path in encoder.files}
        for encoder in (family.image_encoder(), *family.text_encoders(FULL))
    }
    assert names["latents"] == {"vae/config.json", "vae/diffusion_pytorch_model.safetensors"}
    assert {"text_encoder/model.safetensors", "tokenizer/tokenizer.json"} <= names["clip"]
    assert {"text_encoder_2/model.safetensors", "tokenizer_2/tokenizer.json"} <= names["t5"]


def test_a_text_that_is_cut_is_told(family: Family, capsys: pytest.CaptureFixture[str]):
    _, t5 = family.text_encoders(FULL)
    encode(t5, ["a fish"])
    assert capsys.readouterr().err == ""
    encode(t5, ["a fish " * 20])
    assert f"cut from 41 to {TOKENS} tokens for T5Tokenizer: a fish a" in capsys.readouterr().err
