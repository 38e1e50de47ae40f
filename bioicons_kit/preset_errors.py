"""What is wrong with a preset, said for the person who wrote it.

Takes pydantic's list of errors to one-line texts that name the table and the key as TOML
writes them and the nearest valid spelling. Entries of `[[dataset.buckets]]` are counted
from 0, as `--set dataset.buckets.0.limit=5` does.
"""

import datetime
import difflib
import re
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from bioicons_kit.preset import Table, Tables

Place = tuple[str | int, ...]

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_QUOTED = 80  # characters of the command line that a message repeats as they are
_SHOWN = 60  # characters of a value that a message quotes


class Problem(NamedTuple):
    """One thing to put right: the places it concerns, and what to say about them."""

    places: tuple[Place, ...]
    text: str


# Options that other trainers have for models that predict noise along a schedule of variances.
_STABLE_DIFFUSION = {
    *("snr_gamma", "min_snr_gamma", "debiased_estimation_loss", "scale_v_pred_loss"),
    *("noise_offset", "adaptive_noise_scale", "ip_noise_gamma", "zero_terminal_snr"),
    *("multires_noise_iterations", "multires_noise_discount", "pyramid_noise"),
    *("v_prediction", "v_parameterization", "prediction_type"),
}


def problems(error: ValidationError) -> list[Problem]:
    """Return what `error` holds, misspelt keys first: they explain the keys that are missing."""
    details = [detail for detail in error.errors() if not _is_echo(detail)]
    details.sort(key=lambda detail: detail["type"] != "extra_forbidden")
    return [Problem(_places(detail), _text(detail)) for detail in details]


def show(value: object) -> str:
    """Return a TOML value as a message quotes it: short, on one line."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    try:
        text = repr(value)
    except ValueError:  # Python refuses to print integers of more than 4300 digits
        return "a huge number"
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 4]}...{text[-1]}"


def quote(text: str) -> str:
    """Return words from the command line as they are, or as `show` does if they are odd."""
    return text if text.isprintable() and len(text) <= _QUOTED else show(text)


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the known word that `word` most likely stands for, if one is near."""
    close = difflib.get_close_matches(word.lower(), list(known), n=1)
    return close[0] if close else None


def _is_echo(detail: ErrorDetails) -> bool:
    """Tell whether pydantic calls a list too short only because its entries have errors."""
    return detail["type"] == "too_short" and bool(detail["input"])


def _places(detail: ErrorDetails) -> tuple[Place, ...]:
    keys = detail.get("ctx", {}).get("keys", ())
    return tuple((*detail["loc"], *key.split(".")) for key in keys) or (detail["loc"],)


def _text(detail: ErrorDetails) -> str:
    loc, value = detail["loc"], detail["input"]
    if detail["type"] == "extra_forbidden":
        return _unknown(loc, value)
    if detail["type"] == "missing":
        return _missing(loc)
    table, rest = _split(loc)
    must = _requirement(detail)
    if not loc:  # of several tables: the text names them
        return must
    if not rest:
        return f"{_brackets(table)}: {must}"
    key = str(rest[0]) + "".join(f"[{index}]" for index in rest[1:])
    is_shown = detail["type"] == "refused" and not isinstance(value, dict)
    if isinstance(value, dict | list | tuple) and not is_shown:
        kind = "a table" if isinstance(value, dict) else "a list" if value else "an empty list"
        return f"{_brackets(table)}: {key} {must}, not {kind}"
    return f"{_brackets(table)}: {key} = {show(value)} {must}"


def _unknown(loc: Place, value: object) -> str:
    """Return the text for a key or a table that no preset has."""
    known = list(_class_at(loc[:-1]).model_fields)
    key = str(loc[-1])
    near = nearest(key, known)
    if len(loc) == 1:
        listed = ", ".join(f"[{name}]" for name in known)
        if isinstance(value, dict | list):
            return f"unknown table {_unknown_table(key, near)}"
        home = " or ".join(_homes(key)) or f"one of {listed}"
        return f"key {show(key)} stands outside the tables; it belongs in {home}"
    what = f"{_brackets(loc[:-1])}: unknown key {show(key)}"
    if key in _STABLE_DIFFUSION:
        return (
            f"{what}: it is for Stable Diffusion's noise schedule, which flux does not have; "
            "remove it (train.weighting and train.timestep_sampling are flux's)"
        )
    if near:
        return f"{what}, did you mean {near!r}?"
    homes = _homes(key)
    if homes:
        return f"{what}; it belongs in {' or '.join(homes)}"
    return f"{what}; keys: {', '.join(known)}"


def _unknown_table(key: str, near: str | None) -> str:
    """Return a table's name as it was written, and what was probably meant."""
    named = f"[{key}]" if _BARE_KEY.fullmatch(key) else show(key)
    if near:
        return f"{named}, did you mean [{near}]?"
    if nearest(key, ["buckets"]):
        return f"{named}, did you mean [[dataset.buckets]]?"
    return f"{named}; tables: {', '.join(f'[{name}]' for name in Tables.model_fields)}"


def _missing(loc: Place) -> str:
    """Return the text for a key or a table that every preset needs."""
    table, key = loc[:-1], str(loc[-1])
    described = str(_class_at(table).model_fields[key].description).rstrip(".")
    if _split(loc)[0] == loc:
        brackets = "[[dataset.buckets]]" if key == "buckets" else f"[{key}]"
        return f"table {brackets} is missing ({described})"
    return f"{_brackets(table)}: key {key!r} is missing ({described})"


def _requirement(detail: ErrorDetails) -> str:
    """Return what the value must be, from pydantic's error type and its context."""
    context: Mapping[str, Any] = detail.get("ctx", {})
    say = _REQUIREMENTS.get(detail["type"])
    return say(context) if say else f"cannot be used: {detail['msg']}"


def _number(value: float) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


_REQUIREMENTS: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "refused": lambda ctx: str(ctx["message"]),
    "int_type": lambda _: "must be an integer",
    "float_type": lambda _: "must be a number",
    "finite_number": lambda _: "must be a finite number",
    "bool_type": lambda _: "must be true or false",
    "string_type": lambda _: "must be a string (in double quotes)",
    "string_unicode": lambda _: "must be valid Unicode text",
    "string_too_short": lambda _: "must not be empty",
    "string_too_long": lambda ctx: f"must have at most {ctx['max_length']} characters",
    "tuple_type": lambda _: "must be a list",
    "too_short": lambda _: "must have at least one entry",
    "model_type": lambda _: "must be a table",
    "literal_error": lambda ctx: f"must be {ctx['expected']}",
    "multiple_of": lambda ctx: f"must be a multiple of {_number(ctx['multiple_of'])}",
    "greater_than_equal": lambda ctx: f"must be at least {_number(ctx['ge'])}",
    "less_than_equal": lambda ctx: f"must be at most {_number(ctx['le'])}",
    "greater_than": lambda ctx: f"must be above {_number(ctx['gt'])}",
    "less_than": lambda ctx: f"must be below {_number(ctx['lt'])}",
}


def _brackets(table: Place) -> str:
    """Return a table's name as TOML writes it, and its index where it is one of a list."""
    names = ".".join(str(part) for part in table if isinstance(part, str))
    return f"[{names}]" + "".join(f"[{part}]" for part in table if isinstance(part, int))


def _split(loc: Place) -> tuple[Place, Place]:
    """Part the place of a value into its table and the rest."""
    cls: type[Table] = Tables
    depth = 0
    while depth < len(loc) and (inner := table_class(cls, str(loc[depth]))):
        cls = inner
        depth += 1
        if depth < len(loc) and isinstance(loc[depth], int):
            depth += 1
    return loc[:depth], loc[depth:]


def _class_at(table: Place) -> type[Table]:
    """Return the class of the table at a place."""
    cls: type[Table] = Tables
    for part in table:
        if isinstance(part, str):
            inner = table_class(cls, part)
            assert inner is not None, table
            cls = inner
    return cls


def table_class(cls: type[Table], key: str) -> type[Table] | None:
    """Return the class of the table, or of the list of tables, under a key of `cls`."""
    field = cls.model_fields.get(key)
    if field is None:
        return None
    for kind in (field.annotation, *typing.get_args(field.annotation)):
        if isinstance(kind, type) and issubclass(kind, Table):
            return kind
    return None


def _homes(key: str) -> list[str]:
    """Return the names of the tables that have `key`."""
    return [_brackets(place) for place, cls in _all_tables(Tables, ()) if key in cls.model_fields]


def _all_tables(cls: type[Table], place: Place) -> Iterator[tuple[Place, type[Table]]]:
    """Yield the place and class of every table below `cls`, outer ones first."""
    inner = [((*place, key), table_class(cls, key)) for key in cls.model_fields]
    found = [(where, below) for where, below in inner if below is not None]
    yield from found
    for where, below in found:
        yield from _all_tables(below, where)
