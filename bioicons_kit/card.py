"""README.md of a run: the model card that goes with a LoRA to the hub, or to anyone.

YAML for the Hugging Face hub on top (its model card metadata: base_model, instance_prompt,
license, widget), then text for people: how it is used, whose drawings it rests on and what
their licenses ask, what it was made from and how. No dates and no paths of this machine.

What strangers wrote (titles, captions, authors) is quoted in the YAML and escaped in the
Markdown.
"""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bioicons_kit import __version__
from bioicons_kit.icons import licenses
from bioicons_kit.icons.credits.attribution import escaped
from bioicons_kit.icons.manifest import Record
from bioicons_kit.preset import STARTER, Preset

FLUX_DEV = "black-forest-labs/FLUX.1-dev"
_FLUX_LICENSE = "https://huggingface.co/black-forest-labs/FLUX.1-dev/blob/main/LICENSE.md"
_FLUX_HEAD = {
    "license": "other",
    "license_name": "flux-1-dev-non-commercial-license",
    "license_link": _FLUX_LICENSE,
}
# The notice that section 3 of the license (v1.1.1) asks for with each copy of a derivative.
_FLUX_TERMS = f"""\
FLUX.1 [dev] is licensed by Black Forest Labs, Inc. under the FLUX.1 [dev] Non-Commercial License.
Copyright Black Forest Labs, Inc. IN NO EVENT SHALL BLACK FOREST LABS, INC. BE LIABLE FOR ANY CLAIM,
DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT
OF OR IN CONNECTION WITH USE OF THIS MODEL.

This LoRA modifies FLUX.1 [dev]: it is a derivative of it, and its use is non-commercial, under \
[the same license]({_FLUX_LICENSE})."""
_STARTER_TERMS = """\
The starter, the small model that comes with bioicons_kit, is under Apache-2.0. This LoRA modifies \
it."""
_OTHER_TERMS = """\
This LoRA modifies the base model and is a derivative of it: the base model's license decides who \
may use it, and how. Name that license above, and pass its terms on."""
_SHARE_ALIKE = """\
Some of the pictures are under share-alike licenses: whoever takes a LoRA for an adaptation of its \
pictures has to pass it on under the same license, which conflicts with a base model whose license \
allows less."""
_WIDGETS = 8

_CARD = """\
# {title}

A LoRA for {base}, fine-tuned with bioicons_kit \
{version} on {count} by {authors}.

{pictures}
## Use

```python
import torch
from diffusers import FluxPipeline

pipeline = FluxPipeline.from_pretrained({base_code}, torch_dtype=torch.bfloat16)
pipeline.load_lora_weights("lora.safetensors")
image = pipeline({prompt_code}).images[0]
```

{trigger}The file is in diffusers' layout with alpha folded into its weights: at weight 1.0 it \
has the strength it was trained with.

## Whose pictures

{licenses}

{share_alike}Keep [dataset/ATTRIBUTION.md](dataset/ATTRIBUTION.md) with the LoRA: it names every \
picture's author, source and license. `dataset/metadata.jsonl` lists them for machines.

## License

{terms}

## How it was trained

| | |
|---|---|
{settings}

`preset.toml` has every setting and trains it again.
"""


def markdown(preset: Preset, records: Sequence[Record], pictures: Sequence[tuple[str, str]]) -> str:
    """Return the card.

    Args:
        preset: the run's settings.
        records: the dataset manifest's.
        pictures: prompts, and the pictures drawn with the LoRA, by their paths beside the card.
    """
    base = base_model(preset)
    authors = len({record["author"] for record in records})
    trigger = preset.dataset.trigger
    # JSON is YAML, and quotes whatever strangers wrote.
    yaml = "".join(f"{key}: {json.dumps(value)}\n" for key, value in head(preset, pictures).items())
    share_alike = any(licenses.get(record["license"]).share_alike for record in records)
    return f"---\n{yaml}---\n" + _CARD.format(
        title=escaped(preset.name),
        base=f"[{base}](https://huggingface.co/{base})" if preset.model.is_hub else escaped(base),
        base_code=json.dumps(base),
        version=__version__,
        count=_counted(len(records), "picture"),
        authors=_counted(authors, "author"),
        pictures="".join(f"![{escaped(prompt)}]({path})\n" for prompt, path in pictures),
        prompt_code=json.dumps(pictures[0][0] if pictures else trigger or "a robin"),
        trigger=f"Say **{escaped(trigger)}** in the prompt. " if trigger.strip() else "",
        licenses="\n".join(f"- {line}" for line in _licenses(records)),
        share_alike=f"{_SHARE_ALIKE}\n\n" if share_alike else "",
        terms=_terms(preset),
        settings="\n".join(f"| {key} | {value} |" for key, value in _settings(preset)),
    )


def head(preset: Preset, pictures: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """Return the card's metadata for the hub."""
    base = base_model(preset)
    license_: dict[str, str] = {"license": "other", "license_name": "that-of-the-base-model"}
    if preset.model.path == STARTER:
        license_ = {"license": "apache-2.0"}
    elif is_flux_dev(preset):
        license_ = dict(_FLUX_HEAD)
    found: dict[str, Any] = {
        **license_,
        "library_name": "diffusers",
        "pipeline_tag": "text-to-image",
        "tags": [preset.model.family, "lora", "diffusers", "template:sd-lora", "bioicons_kit"],
    }
    if preset.model.is_hub:
        found |= {"base_model": base, "base_model_relation": "adapter"}
    if preset.dataset.trigger.strip():
        found["instance_prompt"] = preset.dataset.trigger
    if pictures:
        found["widget"] = [
            {"text": prompt, "output": {"url": path}} for prompt, path in pictures[:_WIDGETS]
        ]
    return found


def base_model(preset: Preset) -> str:
    """Return the base model's hub id; of a folder or file its name, no path."""
    model = preset.model
    return model.path if model.is_hub else Path(model.path).name


def is_flux_dev(preset: Preset) -> bool:
    """Tell whether the base is FLUX.1-dev, as far as its name, or its components', says."""
    named = f"{preset.model.path} {preset.model.components or ''}".lower()
    return "flux" in named and "dev" in named


def pictures(samples: Path, prompts: Sequence[str], root: Path) -> list[tuple[str, str]]:
    """Return the preset's prompts that were drawn with the LoRA, and the pictures' places.

    Args:
        samples: the folder of the pictures, `NN-prompt.lora.png`.
        prompts: the preset's.
        root: the card's folder.
    """
    return [
        (prompt, path.relative_to(root).as_posix())
        for number, prompt in enumerate(prompts)
        for path in sorted(samples.glob(f"{number:02d}-*.lora.png"))
    ]


def _terms(preset: Preset) -> str:
    """Return what the base model's license asks of the LoRA."""
    if preset.model.path == STARTER:
        return _STARTER_TERMS
    return _FLUX_TERMS if is_flux_dev(preset) else _OTHER_TERMS


def _licenses(records: Sequence[Record]) -> list[str]:
    """Return a line on each license of the pictures."""
    lines = []
    for spdx, count in Counter(record["license"] for record in records).most_common():
        license_ = licenses.get(spdx)
        name = escaped(f"{license_.name} ({spdx})")
        named = f"[{name}]({license_.url})" if license_.url else name
        lines.append(f"{named}: {_counted(count, 'picture')}. {license_.asks_of_a_lora}")
    return lines


def _settings(preset: Preset) -> list[tuple[str, str]]:
    """Return the settings that people ask for first."""
    lora, train = preset.lora, preset.train
    samples = train.batch_size * train.accumulation
    return [
        ("rank", f"{lora.rank}, on {escaped(', '.join(lora.targets))}"),
        ("steps", f"{train.steps:,} of {_counted(samples, 'picture')} on each process"),
        ("learning rate", f"{train.learning_rate:g}, {train.schedule}"),
        ("optimizer", train.optimizer),
        ("pictures", f"{preset.dataset.resolution} px"),
        ("base weights", f"{preset.memory.quantization}, computed in {preset.memory.dtype}"),
        ("seed", str(train.seed)),
    ]


def _counted(count: int, noun: str) -> str:
    """Return "1 picture", "2 pictures"."""
    return f"{count:,} {noun}{'s' * (count != 1)}"
