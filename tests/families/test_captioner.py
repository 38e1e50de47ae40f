"""A local vision-language model: a tiny LLaVA with random weights, built here and loaded."""

import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from bioicons_kit.errors import ModelError
from bioicons_kit.families import captioner
from bioicons_kit.preset import Captioner

CPU = torch.device("cpu")
WORDS = "<unk> <pad> <s> </s> <image> a gray mouse with long tail USER: ASSISTANT: describe"
CHAT = (
    "{% for message in messages %}USER: {% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<image> {% else %}{{ part['text'] }} {% endif %}"
    "{% endfor %}{% endfor %}ASSISTANT:"
)


def build(folder: Path, chat: str | None = CHAT) -> Path:
    """Write a LLaVA of some 40,000 weights, whose tokenizer knows fourteen words."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import (
        CLIPVisionConfig,
        LlamaConfig,
        LlavaConfig,
        LlavaForConditionalGeneration,
        LlavaProcessor,
        PreTrainedTokenizerFast,
    )
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    vocabulary = {word: number for number, word in enumerate(WORDS.split())}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    special = {f"{name}_token": f"<{name}>" for name in ("unk", "pad")}
    LlavaProcessor(
        image_processor=CLIPImageProcessorPil(
            size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}
        ),
        tokenizer=PreTrainedTokenizerFast(
            tokenizer_object=tokenizer,
            bos_token="<s>",
            eos_token="</s>",
            extra_special_tokens={"image_token": "<image>"},
            **special,
        ),
        patch_size=8,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=chat,
    ).save_pretrained(folder)
    small = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
    }
    torch.manual_seed(0)
    LlavaForConditionalGeneration(
        LlavaConfig(
            vision_config=CLIPVisionConfig(image_size=32, patch_size=8, **small),
            text_config=LlamaConfig(
                vocab_size=len(vocabulary), pad_token_id=1, bos_token_id=2, eos_token_id=3, **small
            ),
            image_token_index=vocabulary["<image>"],
        )
    ).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("llava"))


def load(folder: Path, max_words: int = 4) -> captioner.LocalCaptioner:
    settings = Captioner(kind="local", model="tiny", max_words=max_words)
    return captioner.load(folder, settings, "the-hash", CPU)


def noise(seed: int) -> Image.Image:
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (64, 64, 3), generator=generator, dtype=torch.uint8)
    return Image.fromarray(pixels.numpy(), "RGB")


def test_it_answers_in_words_of_its_own_and_always_the_same(folder):
    model = load(folder)
    text, version = model.describe(noise(0), "describe a gray mouse")
    assert version == "the-hash"
    assert text
    assert set(text.split()) <= set(WORDS.split())
    assert len(text.split()) <= 3 * 4  # tokens are words here: three for each that is allowed
    assert load(folder).describe(noise(0), "describe a gray mouse") == (text, version)
    assert model.settings["weights"] == "the-hash"
    assert {"compute", "torch", "transformers"} <= model.settings.keys()


def test_the_answer_comes_from_the_picture_and_the_prompt(folder):
    model = load(folder, 20)
    with torch.inference_mode():
        inputs = [model._inputs(noise(seed), "describe") for seed in (0, 1)]
        first, second = (model._network(**each).logits for each in inputs)
    assert not torch.equal(first, second)
    words = [model._processor.batch_decode(each["input_ids"])[0] for each in inputs]
    assert words[0].count("<image>") == 16  # (32 / 8)^2 patches
    assert words[0].endswith("describe ASSISTANT:")


def test_a_model_without_a_chat_template_gets_the_prompt_as_it_is(tmp_path):
    model = load(build(tmp_path, chat=None))
    text, _ = model.describe(noise(0), "<image> describe")
    assert set(text.split()) <= set(WORDS.split())


def test_its_files_are_config_weights_and_words(folder):
    found = {path.name for path in captioner.files(folder)}
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= found
    assert captioner.find(str(folder)) == folder


class TestThatCannotBeUsed:
    def test_no_config(self, tmp_path):
        with pytest.raises(ModelError, match=r"it has no config\.json"):
            captioner.find(str(tmp_path))

    def test_weights_of_another_format(self, tmp_path):
        (tmp_path / "config.json").write_text("{}", "utf-8")
        (tmp_path / "pytorch_model.bin").write_bytes(b"pickle")
        with pytest.raises(ModelError, match=r"has no \*\.safetensors"):
            captioner.find(str(tmp_path))

    def test_not_there_and_the_hub_out_of_reach(self):
        with pytest.raises(ModelError, match=r"the folder as dataset\.captioner\.model"):
            captioner.find("kit-tests/no-such-model")

    def test_a_model_that_sees_no_pictures(self, folder, tmp_path):
        for path in folder.iterdir():
            (tmp_path / path.name).write_bytes(path.read_bytes())
        text_only = {"model_type": "llama", "architectures": ["LlamaForCausalLM"]}
        (tmp_path / "config.json").write_text(json.dumps(text_only), "utf-8")
        with pytest.raises(ModelError, match="cannot be loaded as a"):
            load(tmp_path)

    def test_weights_that_are_missing(self, folder, tmp_path):
        from safetensors.torch import load_file, save_file

        for path in folder.iterdir():
            (tmp_path / path.name).write_bytes(path.read_bytes())
        weights = load_file(folder / "model.safetensors")
        name = next(name for name in weights if name.endswith("q_proj.weight"))
        weights.pop(name)
        save_file(weights, tmp_path / "model.safetensors", {"format": "pt"})
        with pytest.raises(ModelError, match="1 of the weights"):
            load(tmp_path)
