"""The kinds of values that presets are made of, and the class of every table.

A value is checked once, where it is built: type (strict: `"20"` and `true` are no
integers), range, and whether it can apply at all.
"""

import re
from typing import Annotated

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
)
from pydantic_core import PydanticCustomError

SHIPPED = "shipped"
STARTER = "starter"
RANDOM = "random"

# A repository of the Hugging Face hub, as `owner/name`.
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]*\w", re.ASCII)
_HEX_COLOR = re.compile(r"#[0-9a-f]{6}", re.ASCII)
_NAMED_COLORS = {"white": "#ffffff", "black": "#000000"}
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_PLACEHOLDERS = ("trigger", "article", "name", "category")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def refuse(message: str, *keys: str) -> PydanticCustomError:
    """Return the error that says `message` about a value, or about several `keys` of a table."""
    return PydanticCustomError("refused", "{message}", {"message": message, "keys": keys})


def is_hub_id(text: str) -> bool:
    """Tell whether `text` looks like a hub id, `owner/name`, and not like a folder or file."""
    return _HUB_ID.fullmatch(text) is not None and not is_weight_file(text)


def is_weight_file(text: str) -> bool:
    """Tell whether `text` names one file of weights, by its ending."""
    return text.endswith(".safetensors")


def is_plain(text: str) -> bool:
    """Tell whether `text` could be a path or an id: not empty, no control characters."""
    return bool(text) and not _CONTROL.search(text)


def words(value: object) -> object:
    """Accept one string for a list of one, and TOML's lists for tuples."""
    if isinstance(value, str):
        return (value,)
    return tuple(value) if isinstance(value, list) else value


def one_or_more(value: object) -> object:
    """Accept one number for a list of one, and TOML's lists for tuples."""
    if isinstance(value, int | float):
        return (value,)
    return tuple(value) if isinstance(value, list) else value


def tables(value: object) -> object:
    """Accept TOML's lists of tables for tuples."""
    if isinstance(value, dict):
        raise refuse("must be a list of tables, each under double brackets, as [[dataset.buckets]]")
    return tuple(value) if isinstance(value, list) else value


def _one_line(text: str) -> str:
    """Refuse control characters, which no path, id or name has."""
    if not is_plain(text):
        raise refuse("must not hold control characters")
    return text


def _pattern(text: str) -> str:
    """Refuse a regular expression that does not compile."""
    try:
        re.compile(text)
    except (re.error, OverflowError, RecursionError) as error:
        raise refuse(f"is no regular expression: {error}") from None
    return text


def _color(text: str) -> str:
    """Return a color as `#rrggbb`; `random` stays as it is."""
    color = _NAMED_COLORS.get(text.lower(), text.lower())
    if color != RANDOM and not _HEX_COLOR.fullmatch(color):
        raise refuse(
            "must be a color: '#rrggbb' (six hexadecimal digits), 'white', 'black', or 'random'"
        )
    return color


def _template(text: str) -> str:
    """Refuse a caption template that says nothing, or has placeholders that are none."""
    if not text.strip():
        raise refuse("must not be blank")
    placeholders(text)
    return text


Text = Annotated[str, Field(min_length=1)]
Plain = Annotated[Text, AfterValidator(_one_line)]
Pattern = Annotated[Text, AfterValidator(_pattern)]
Words = Annotated[
    tuple[Text, ...], BeforeValidator(words, json_schema_input_type=Text | list[Text])
]
Color = Annotated[str, AfterValidator(_color)]
Colors = Annotated[
    tuple[Color, ...], BeforeValidator(words, json_schema_input_type=Color | list[Color])
]
Template = Annotated[Text, AfterValidator(_template)]
Share = Annotated[float, Field(ge=0.0001, le=1)]
Seed = Annotated[int, Field(ge=0, le=2**32 - 1)]
Side = Annotated[int, Field(ge=64, le=2048, multiple_of=16)]


def placeholders(template: str, allowed: tuple[str, ...] = _PLACEHOLDERS) -> set[str]:
    """Return the placeholders of a template, after checking that all are `allowed`."""
    known = ", ".join(f"{{{name}}}" for name in allowed)
    found = _PLACEHOLDER.findall(template)
    for name in found:
        if name not in allowed:
            raise refuse(f"has an unknown placeholder {{{name}}}; placeholders are {known}")
    if set("{}") & set(_PLACEHOLDER.sub("", template)):
        raise refuse(f"has a brace without its partner; placeholders are {known}")
    return set(found)


class Table(BaseModel):
    """What every table has in common: frozen, strict, no unknown keys, no nan or infinity."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)
