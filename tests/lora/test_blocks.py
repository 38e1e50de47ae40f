"""Weights by block."""

import pytest

from bioicons_kit.errors import LoraError
from bioicons_kit.lora import blocks
from bioicons_kit.lora.blocks import Block, block_of


@pytest.mark.parametrize(
    ("name", "block"),
    [
        ("transformer.transformer_blocks.12.attn.to_q", Block("double", 12, "attn.to_q")),
        ("transformer.single_transformer_blocks.3.proj_out", Block("single", 3, "proj_out")),
        ("unet.down_blocks.1.resnets.0.conv1", Block("down", 1, "resnets.0.conv1")),
        ("unet.mid_block.attentions.0.proj_in", Block("mid", None, "attentions.0.proj_in")),
        ("unet.up_blocks.3.attentions.2.proj_in", Block("up", 3, "attentions.2.proj_in")),
        ("text_encoder.text_model.encoder.layers.11.mlp.fc1", Block("clip", 11, "mlp.fc1")),
        (
            "text_encoder_2.encoder.block.7.layer.0.SelfAttention.q",
            Block("t5", 7, "layer.0.SelfAttention.q"),
        ),
        ("transformer.x_embedder", Block("other", None, "transformer.x_embedder")),
    ],
)
def test_a_module_is_in_its_block(name: str, block: Block) -> None:
    assert block_of(name) == block


def test_the_first_rule_that_fits_counts_and_others_are_one() -> None:
    rules = blocks.parse("double.3:0, double.0-9:0.5,single.*:-2,mid:3,clip:0.25")
    expected = {
        "transformer.transformer_blocks.3.a": 0.0,
        "transformer.transformer_blocks.0.a": 0.5,
        "transformer.transformer_blocks.9.a": 0.5,
        "transformer.transformer_blocks.10.a": 1.0,
        "transformer.single_transformer_blocks.37.a": -2.0,
        "unet.mid_block.a": 3.0,
        "text_encoder.text_model.encoder.layers.0.a": 0.25,
        "transformer.x_embedder": 1.0,
    }
    assert {name: blocks.weight(rules, name) for name in expected} == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "double",
        "double:",
        "double.x:1",
        "triple.1:1",
        "double.1:much",
        "double.1:nan",
        "double.1:inf",
        "double.1:1e7",
        "double." + "9" * 5000 + ":1",
        "a=b",
    ],
)
def test_what_is_no_rule_is_refused(text: str) -> None:
    with pytest.raises(LoraError, match=r"^--blocks "):
        blocks.parse(text)


def test_a_rule_for_no_block_of_the_lora_is_refused() -> None:
    rules = blocks.parse("double.0:1,up.3:0")
    with pytest.raises(LoraError, match=r"up\.3:0: the LoRA has no such blocks; it has double"):
        blocks.require_use(rules, ["transformer.transformer_blocks.0.attn.to_q"])
