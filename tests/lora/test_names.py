"""Names: the tables against the models themselves and against diffusers' own conversions."""

from typing import Any

import pytest
import torch
from diffusers.loaders.single_file_utils import (
    convert_flux_transformer_checkpoint_to_diffusers,
    convert_ldm_unet_checkpoint,
)
from torch import nn

from bioicons_kit import names_flux
from bioicons_kit.families.starter import TRANSFORMER
from bioicons_kit.lora import names, names_sd1, names_text


def linears(model: nn.Module) -> set[str]:
    return {n for n, m in model.named_modules() if isinstance(m, nn.Linear | nn.Conv2d)}


@pytest.fixture(scope="module")
def unet() -> Any:
    """SD1's UNet without weights: diffusers' defaults, with SD1's text width and heads."""
    from diffusers import UNet2DConditionModel

    with torch.device("meta"):
        return UNet2DConditionModel(cross_attention_dim=768)


def test_sd1s_table_has_every_module_of_the_unet_and_no_other(unet: Any) -> None:
    assert set(names_sd1.MODULES.values()) == linears(unet)
    assert len(names_sd1.MODULES) == len(linears(unet))


def test_sd1s_original_names_are_those_that_diffusers_converts(unet: Any) -> None:
    stored = {
        f"model.diffusion_model.{original}.{part}": f"{module}.{part}"
        for original, module in names_sd1.MODULES.items()
        for part in ("weight", "bias")
    }
    converted = convert_ldm_unet_checkpoint(dict(stored), unet.config)
    assert converted == {key: key for key in stored.values()}


def test_fluxs_table_has_every_linear_of_the_transformer() -> None:
    from diffusers import FluxTransformer2DModel

    with torch.device("meta"):
        model = FluxTransformer2DModel(**TRANSFORMER)
    known = {module for modules in names_flux.MODULES.values() for module in modules}
    assert linears(model) <= known
    inside = {
        n for n in known if "blocks." not in n or int(n.split(".")[1]) < TRANSFORMER["num_layers"]
    }
    assert {n for n in inside if not n.startswith("single")} == {
        n for n in linears(model) if not n.startswith("single")
    }


def test_fluxs_original_names_and_rows_are_those_that_diffusers_converts() -> None:
    """Each row of a fused matrix is numbered; after the conversion it is in its module."""
    rows = {"linear1": 3 * 3072 + 12288, "qkv": 3 * 3072}
    content = {}
    for original in names_flux.MODULES:
        if "blocks." in original and original.split(".")[1] != "0":
            continue
        count = rows.get(original.rpartition(".")[2], 6)
        content[f"{original}.weight"] = torch.arange(count)[:, None]
        content[f"{original}.bias"] = torch.zeros(count)
    for kind in ("img", "txt"):
        for part in ("query", "key"):
            content[f"double_blocks.0.{kind}_attn.norm.{part}_norm.scale"] = torch.zeros(1)
            content[f"single_blocks.0.norm.{part}_norm.scale"] = torch.zeros(1)
    converted = convert_flux_transformer_checkpoint_to_diffusers(dict(content))
    for original, numbered in content.items():
        stem = original.removesuffix(".weight")
        if stem not in names_flux.MODULES:
            continue
        modules = names_flux.MODULES[stem]
        found = torch.cat([converted[f"{module}.weight"] for module in modules])
        if stem == names_flux.SWAPPED:
            found = torch.cat(found.chunk(2)[::-1])
        assert torch.equal(found, numbered), stem


def test_the_text_encoders_tables_have_their_linears() -> None:
    from transformers import CLIPTextConfig, CLIPTextModel, T5Config, T5EncoderModel

    with torch.device("meta"):
        clip = CLIPTextModel(CLIPTextConfig(num_hidden_layers=2))
        t5 = T5EncoderModel(T5Config(num_layers=2, d_ff=8, feed_forward_proj="gated-gelu"))
    known = {name.removeprefix("text_model.") for name in names_text.CLIP}
    assert {name.removeprefix("text_model.") for name in linears(clip)} <= known
    assert linears(t5) <= set(names_text.T5)


def test_no_two_modules_share_an_underscored_name() -> None:
    for modules in (names_sd1.MODULES.values(), names_text.CLIP, names_text.T5):
        underscored = [name.replace(".", "_") for name in modules]
        assert len(set(underscored)) == len(underscored)


@pytest.mark.parametrize(
    ("name", "layout", "component", "modules"),
    [
        (
            "lora_unet_double_blocks_12_img_attn_qkv",
            "kohya",
            "transformer",
            [f"transformer_blocks.12.attn.to_{x}" for x in "qkv"],
        ),
        (
            "lora_unet_single_blocks_3_linear2",
            "kohya",
            "transformer",
            ["single_transformer_blocks.3.proj_out"],
        ),
        (
            "lora_unet_mid_block_attentions_0_proj_out",
            "kohya",
            "unet",
            ["mid_block.attentions.0.proj_out"],
        ),
        (
            "lora_unet_down_blocks_0_attentions_1_transformer_blocks_0_attn2_to_out_0",
            "kohya",
            "unet",
            ["down_blocks.0.attentions.1.transformer_blocks.0.attn2.to_out.0"],
        ),
        (
            "lora_unet_input_blocks_1_1_transformer_blocks_0_ff_net_0_proj",
            "kohya",
            "unet",
            ["down_blocks.0.attentions.0.transformer_blocks.0.ff.net.0.proj"],
        ),
        (
            "lora_te_text_model_encoder_layers_11_self_attn_q_proj",
            "kohya",
            "text_encoder",
            ["text_model.encoder.layers.11.self_attn.q_proj"],
        ),
        (
            "lora_te3_encoder_block_23_layer_1_DenseReluDense_wi_0",
            "kohya",
            "text_encoder_2",
            ["encoder.block.23.layer.1.DenseReluDense.wi_0"],
        ),
        (
            "lora_te2_encoder_block_0_layer_0_SelfAttention_o",
            "kohya",
            "text_encoder_2",
            ["encoder.block.0.layer.0.SelfAttention.o"],
        ),
        (
            "lycoris_single_transformer_blocks_37_proj_mlp",
            "kohya",
            "transformer",
            ["single_transformer_blocks.37.proj_mlp"],
        ),
        (
            "transformer.double_blocks.0.txt_attn.proj",
            "bfl",
            "transformer",
            ["transformer_blocks.0.attn.to_add_out"],
        ),
        (
            "lora_transformer_single_transformer_blocks_0_attn_to_q",
            "kohya",
            "transformer",
            ["single_transformer_blocks.0.attn.to_q"],
        ),
        (
            "diffusion_model.double_blocks.0.img_mod.lin",
            "bfl",
            "transformer",
            ["transformer_blocks.0.norm1.linear"],
        ),
        (
            "double_blocks.0.txt_mlp.2",
            "bfl",
            "transformer",
            ["transformer_blocks.0.ff_context.net.2"],
        ),
        (
            "base_model.model.transformer_blocks.0.attn.to_q",
            "diffusers",
            "transformer",
            ["transformer_blocks.0.attn.to_q"],
        ),
        (
            "unet.up_blocks.1.attentions.2.transformer_blocks.0.attn1.processor.to_out_lora",
            "diffusers",
            "unet",
            ["up_blocks.1.attentions.2.transformer_blocks.0.attn1.to_out.0"],
        ),
        (
            "text_encoder.text_model.encoder.layers.3.self_attn.to_k_lora",
            "diffusers",
            "text_encoder",
            ["text_model.encoder.layers.3.self_attn.k_proj"],
        ),
        (
            "text_encoder.encoder.layers.3.mlp.fc1",
            "diffusers",
            "text_encoder",
            ["text_model.encoder.layers.3.mlp.fc1"],
        ),
    ],
)
def test_a_name_is_what_its_tool_means(
    name: str, layout: str, component: str, modules: list[str]
) -> None:
    place = names.resolve(name)
    assert place is not None
    assert (place.layout, place.component, list(place.modules)) == (layout, component, modules)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "lora_unet_",
        "lora_te2_text_model_encoder_layers_0_mlp_fc1",  # SDXL's second encoder
        "lora_unet_double_blocks_0_img_attn",
        "lora_unet_double_blocks_99_img_attn_qkv",
        "transformer.transformer_blocks.0.attn.to_x",
        "unet.down_blocks.0.attentions.0.transformer_blocks.1.attn1.to_q",
        "vae.decoder.conv_in",
    ],
)
def test_a_name_that_nobody_uses_is_not_guessed_at(name: str) -> None:
    assert names.resolve(name) is None


def test_only_the_last_modulation_has_its_halves_exchanged() -> None:
    swapped = names.resolve("lora_unet_final_layer_adaLN_modulation_1")
    assert swapped is not None
    assert swapped.swapped
    assert swapped.modules == ("norm_out.linear",)
    plain = names.resolve("transformer.norm_out.linear")
    assert plain is not None
    assert not plain.swapped
