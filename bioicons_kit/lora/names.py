"""What a stored module's name means: which component it is of, and which modules it holds.

The kit speaks diffusers' names. A file in another layout may hold several of them in one
matrix, rows below rows (`img_attn.qkv`), or with the halves of its rows exchanged. Names
whose dots were made underscores are looked up in tables derived from the known modules,
never split by guess: `to_out_0` and `proj_out` cannot be told apart by rule.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from bioicons_kit import names_flux
from bioicons_kit.lora import names_sd1, names_text

TRANSFORMER, UNET, CLIP, T5 = "transformer", "unet", "text_encoder", "text_encoder_2"


@dataclass(frozen=True)
class Place:
    """What one stored module is.

    Attributes:
        layout: whose way of naming it is: "diffusers", "kohya", "bfl", "ldm" or "xlabs".
        component: "transformer", "unet", "text_encoder" (CLIP) or "text_encoder_2" (T5).
        modules: diffusers' names of what it holds, in the order of its rows.
        swapped: whether the halves of its rows are exchanged.
    """

    layout: str
    component: str
    modules: tuple[str, ...]
    swapped: bool = False


# Prefixes before dotted names, and the components whose modules may follow them.
_DOTTED = (
    ("base_model.model.", ""),  # peft's own; diffusers' or the original names follow
    ("text_encoders.clip_l.transformer.", CLIP),
    ("text_encoders.t5xxl.transformer.", T5),
    ("cond_stage_model.transformer.", CLIP),
    ("model.diffusion_model.", ""),
    ("diffusion_model.", ""),
    ("transformer.", TRANSFORMER),
    ("unet.", UNET),
    ("text_encoder_2.", T5),
    ("text_encoder.", CLIP),
)

# kohya's prefixes before underscored names.
_UNDERSCORED = (
    ("lora_unet_", ""),
    ("lora_transformer_", TRANSFORMER),  # OneTrainer's
    ("lycoris_", ""),  # SimpleTuner's
    ("lora_te1_", CLIP),
    ("lora_te_", CLIP),
    ("lora_te2_", T5),  # OneTrainer's; of SDXL it is a second CLIP, whose modules T5 has not
    ("lora_te3_", T5),
)

_XLABS = {
    r"double_blocks\.(\d+)\.processor\.qkv_lora1": "attn.to_q attn.to_k attn.to_v",
    r"double_blocks\.(\d+)\.processor\.qkv_lora2": (
        "attn.add_q_proj attn.add_k_proj attn.add_v_proj"
    ),
    r"double_blocks\.(\d+)\.processor\.proj_lora1": "attn.to_out.0",
    r"double_blocks\.(\d+)\.processor\.proj_lora2": "attn.to_add_out",
    r"single_blocks\.(\d+)\.processor\.qkv_lora": "attn.to_q attn.to_k attn.to_v",
    r"single_blocks\.(\d+)\.processor\.proj_lora": "proj_out",
}

# Earlier diffusers hung adapters on attention processors: attn1.processor.to_q_lora.
_PROCESSOR = re.compile(r"(.*?)(?:\.processor)?\.to_(q|k|v|out)_lora")
_OF_UNET = {"q": "to_q", "k": "to_k", "v": "to_v", "out": "to_out.0"}
_OF_CLIP = {"q": "q_proj", "k": "k_proj", "v": "v_proj", "out": "out_proj"}


def resolve(name: str, component: str = "") -> Place | None:
    """Return what the module called `name` is; None for a name nobody is known to use.

    Args:
        name: as a file has it, without the ending that tells down from up.
        component: of the model part that the file is, where that is known.
    """
    for prefix, known in _UNDERSCORED:
        if name.startswith(prefix):
            found = _kohya_table().get((known, name.removeprefix(prefix)))
            if found is not None:
                return found
    for prefix, known in _DOTTED:
        if name.startswith(prefix) and not component:
            return resolve(name.removeprefix(prefix), known)
    return _dotted_table().get((component, name)) or _xlabs(name) or _processor(name, component)


def flux_slot(module: str) -> tuple[str, Place]:
    """Return the original (BFL) name under which a known FLUX module is stored, and its place."""
    return _flux_slots()[module]


@cache
def _dotted_table() -> Mapping[tuple[str, str], Place]:
    """Return (component or "", dotted name) -> place, for every known module."""
    table: dict[tuple[str, str], Place] = {}

    def add(component: str, name: str, place: Place) -> None:
        table[component, name] = place
        table.setdefault(("", name), place)

    for original, modules in names_flux.MODULES.items():
        swapped = original == names_flux.SWAPPED
        for module in modules:
            add(TRANSFORMER, module, Place("diffusers", TRANSFORMER, (module,)))
        table["", original] = Place("bfl", TRANSFORMER, modules, swapped)
        table[TRANSFORMER, original] = table["", original]
    for original, module in names_sd1.MODULES.items():
        add(UNET, module, Place("diffusers", UNET, (module,)))
        table["", original] = Place("ldm", UNET, (module,))
    for module in names_text.CLIP:
        place = Place("diffusers", CLIP, (module,))
        add(CLIP, module, place)
        add(CLIP, module.removeprefix("text_model."), place)  # transformers 5 leaves it out
    for module in names_text.T5:
        add(T5, module, Place("diffusers", T5, (module,)))
    return table


@cache
def _kohya_table() -> Mapping[tuple[str, str], Place]:
    """Return (component or "", underscored name) -> place, for every known module."""
    table: dict[tuple[str, str], Place] = {}
    for (component, name), place in _dotted_table().items():
        key = (component, name.replace(".", "_"))
        found = Place("kohya", place.component, place.modules, place.swapped)
        # a table that gave one name two meanings would be wrong, not merely ambiguous
        assert table.setdefault(key, found) == found or component == "", key
    return table


@cache
def _flux_slots() -> Mapping[str, tuple[str, Place]]:
    """Return a FLUX module's name -> original name and place."""
    return {
        module: (original, _dotted_table()["", original])
        for original, modules in names_flux.MODULES.items()
        for module in modules
    }


def _xlabs(name: str) -> Place | None:
    """Return what a module in XLabs' layout is."""
    for pattern, modules in _XLABS.items():
        match = re.fullmatch(pattern, name)
        if match:
            kind = "" if name.startswith("double") else "single_"
            start = f"{kind}transformer_blocks.{match[1]}."
            return Place("xlabs", TRANSFORMER, tuple(start + part for part in modules.split()))
    return None


def _processor(name: str, component: str) -> Place | None:
    """Return what a module named after its attention processor is."""
    match = _PROCESSOR.fullmatch(name)
    if match is None:
        return None
    names = _OF_CLIP if match[1].endswith("self_attn") else _OF_UNET
    return _dotted_table().get((component, f"{match[1]}.{names[match[2]]}"))
