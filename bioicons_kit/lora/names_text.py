"""The linears of the text encoders, CLIP and T5, by their names in transformers."""

_LAYERS = 48  # CLIP-L has 12, T5-XXL 24

CLIP = tuple(
    f"text_model.encoder.layers.{number}.{part}"
    for number in range(_LAYERS)
    for part in (
        "self_attn.q_proj",
        "self_attn.k_proj",
        "self_attn.v_proj",
        "self_attn.out_proj",
        "mlp.fc1",
        "mlp.fc2",
    )
)

T5 = tuple(
    f"encoder.block.{number}.layer.{part}"
    for number in range(_LAYERS)
    for part in (
        "0.SelfAttention.q",
        "0.SelfAttention.k",
        "0.SelfAttention.v",
        "0.SelfAttention.o",
        "1.DenseReluDense.wi",
        "1.DenseReluDense.wi_0",
        "1.DenseReluDense.wi_1",
        "1.DenseReluDense.wo",
    )
)
