"""Preset files: reading, `--set`, writing, and the JSON Schema of what they may hold.

Read with `tomllib`, which knows TOML 1.0 and positions; written with `toml`, whose output
is parsed back and compared before anyone gets it.

A path in a file starts at the preset's folder, a path given with `--set` and the default
of `cache.root` and `output.root` at the working directory; all are absolute after `load`,
so that a written preset means the same wherever it lies.
"""

import json
import os
import re
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import toml
from pydantic import ValidationError
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from bioicons_kit.errors import PresetError
from bioicons_kit.preset import SHIPPED, STARTER, Preset, Tables, is_hub_id, is_plain
from bioicons_kit.preset_errors import Problem, nearest, problems, quote, show

# Keys whose value is a path; "*" stands for every entry of a list.
_PATHS = (
    ("model", "path"),
    ("model", "components"),
    ("dataset", "root"),
    ("dataset", "captions"),
    ("dataset", "mask", "folder"),
    ("dataset", "buckets", "*", "root"),
    ("cache", "root"),
    ("lora", "start"),
    ("output", "root"),
)
# Values of those keys that are names, not paths.
_KEYWORDS = {("model", STARTER), ("dataset", SHIPPED)}
_POSITION = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")
_NO_PRESETS = {"pyproject.toml"}  # TOML of other kinds that lies about in working directories
_LISTED = 8  # presets an error message lists


class Override(NamedTuple):
    """One `--set key=value`: `text` as given, the key's parts, and the value in TOML's terms."""

    text: str
    keys: tuple[str, ...]
    value: Any

    def error(self, message: str) -> PresetError:
        """Return the error that says `message` about this override."""
        return PresetError(f"{self}: {message}")

    def __str__(self) -> str:
        return f"--set {quote(self.text)}"


def load(path: Path, overrides: Sequence[str] = ()) -> Preset:
    """Read and check a preset's file, with `key=value` overrides applied on top.

    Raises:
        PresetError: the file or an override cannot be used; one line says why.
    """
    tables = _parse(path, _read(path))
    _resolve(tables, path.parent)
    changes = [_override(text) for text in overrides]
    for change in changes:
        _apply(change, tables)
    _fill_in(tables, path)
    try:
        checked = Tables.model_validate(tables)
    except ValidationError as error:
        raise PresetError(_explain(path, changes, problems(error))) from None
    assert checked.output.name is not None
    return Preset(name=checked.output.name, **dict(checked))


def dumps(preset: Preset) -> str:
    """Return the TOML text out of which `load` makes an equal preset."""
    tables = preset.model_dump(mode="json", exclude={"name"}, exclude_none=True)
    encoder = toml.TomlEncoder()
    encoder.dump_funcs[str] = _quoted
    text = str(toml.dumps(tables, encoder=encoder))
    assert tomllib.loads(text) == tables, "the TOML text does not say what the preset says"
    return text


def json_schema() -> str:
    """Return the JSON Schema of a preset's file, as the text that is shipped."""
    schema = Tables.model_json_schema(schema_generator=_TomlSchema)
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
    schema |= {"title": "Preset", "description": "A preset of bioicons_kit."}
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def _read(path: Path) -> str:
    """Return the text of a preset's file."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise PresetError(f"{path}: no such preset; {_neighbors(path.parent, path)}") from None
    except IsADirectoryError:
        raise PresetError(f"{path}: is a folder, not a preset; {_neighbors(path, path)}") from None
    except (OSError, ValueError) as error:  # ValueError: a null character in the path
        reason = getattr(error, "strerror", None) or error
        raise PresetError(f"{path}: cannot be read ({reason})") from None
    try:
        return data.decode("utf-8-sig")  # some editors start UTF-8 files with a mark
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise PresetError(f"{path}: line {line}: not UTF-8 text; save the file as UTF-8") from None


def _neighbors(folder: Path, path: Path) -> str:
    """Return the clause that names the presets of a folder, those like `path` first."""
    if not folder.is_dir():
        return f"there is no folder {folder}"
    for where, place in (
        ("here", folder),
        (f"in the folder {folder / 'presets'}", folder / "presets"),
    ):
        stems = sorted(
            entry.stem for entry in place.glob("*.toml") if entry.name not in _NO_PRESETS
        )
        if stems:
            near = nearest(path.stem, stems)
            stems.sort(key=lambda stem: stem != near)
            more = f" and {len(stems) - _LISTED} more" if len(stems) > _LISTED else ""
            return f"presets {where}: {', '.join(f'{stem}.toml' for stem in stems[:_LISTED])}{more}"
    return f"there are no presets in {folder.resolve()}"


def _parse(path: Path, text: str) -> dict[str, Any]:
    """Parse TOML text; complain with the line and the column."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise PresetError(f"{path}: {_positioned(str(error), text)}") from None
    except RecursionError:
        raise PresetError(f"{path}: lists or tables are nested too deep") from None
    except ValueError as error:  # an integer of more than 4300 digits
        raise PresetError(f"{path}: not TOML: {error}") from None


def _positioned(message: str, text: str) -> str:
    """Move the position from the end of tomllib's message to the start."""
    found = _POSITION.search(message)
    if not found:
        return f"not TOML: {message}"
    line, column = found.groups()
    if line is None:
        lines = text.split("\n")
        line, column = str(len(lines)), str(len(lines[-1]) + 1)
    what = message[: found.start()]
    hint = " (text needs double quotes)" if what == "Invalid value" else ""
    return f"line {line}, column {column}: {what[:1].lower()}{what[1:]}{hint}"


def _override(text: str) -> Override:
    """Parse one `key=value`; a value that is not TOML is taken as a bare string."""
    name, equals, value = text.partition("=")
    keys = tuple(part.strip() for part in name.split("."))
    override = Override(text, keys, _value(value))
    if not equals:
        raise override.error(f"needs a value: --set {quote(name)}=VALUE")
    if not all(keys):
        raise override.error("needs a key such as train.steps before the '='")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise override.error("is not valid Unicode text") from None
    if len(keys) == 1 and keys[0] in Tables.model_fields and not isinstance(override.value, dict):
        raise override.error(f"{name} is a table; set one of its keys: --set {name}.KEY=VALUE")
    return override


def _value(text: str) -> object:
    """Return a value written as TOML, or else the text itself."""
    try:
        parsed = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):
        return text
    return parsed["value"] if len(parsed) == 1 else text


def _apply(override: Override, tables: dict[str, Any]) -> None:
    """Set the override's key in `tables`, making the tables on the way."""
    node: Any = tables
    for depth, key in enumerate(override.keys[:-1]):
        slot = _slot(override, node, depth)
        node = node.setdefault(key, {}) if isinstance(node, dict) else node[slot]
    node[_slot(override, node, len(override.keys) - 1)] = _from_here(override)


def _slot(override: Override, node: object, depth: int) -> str | int:
    """Return what to index `node` with for the override's key at `depth`."""
    key, parent = override.keys[depth], quote(".".join(override.keys[:depth]))
    if isinstance(node, dict):
        return key
    if not isinstance(node, list):
        raise override.error(f"{parent} is no table, so it has no key {show(key)}")
    if not re.fullmatch(r"[0-9]{1,6}", key) or int(key) >= len(node):
        entries = f"0 to {len(node) - 1}" if node else "none, it is empty"
        raise override.error(f"{parent} is a list; its entries are {entries}, not {show(key)}")
    return int(key)


def _from_here(override: Override) -> object:
    """Return the override's value, its paths resolved against the working directory."""
    nested: Any = override.value
    for key in reversed(override.keys):
        nested = {key: nested}
    _resolve(nested, Path())
    for key in override.keys:
        nested = nested[key]
    return nested


def _resolve(tables: dict[str, Any], base: Path) -> None:
    """Make the paths in `tables` absolute, in place; what is no usable path is left alone."""
    source = next((each.get("source") for each in _tables_at(tables, ("dataset",))), None)
    for keys in _PATHS:
        for table in _tables_at(tables, keys[:-1]):
            value = table.get(keys[-1])
            if not isinstance(value, str) or not is_plain(value):
                continue  # the check of the values will explain
            may_be_id = keys[0] == "model" or (
                keys[-1] == "root" and table.get("source", source) == "hub"
            )
            if (keys[0], value) not in _KEYWORDS and not (may_be_id and _is_hub(value, base)):
                table[keys[-1]] = str(_absolute(value, base))


def _tables_at(node: object, keys: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yield the tables at the place that `keys` name."""
    if not keys:
        if isinstance(node, dict):
            yield node
    elif keys[0] == "*":
        entries = node.values() if isinstance(node, dict) else node  # --set counts them by keys
        for entry in entries if isinstance(entries, Iterable) else ():
            yield from _tables_at(entry, keys[1:])
    elif isinstance(node, dict):
        yield from _tables_at(node.get(keys[0]), keys[1:])


def _is_hub(value: str, base: Path) -> bool:
    """Tell whether a value that may be a path or a hub id is the latter."""
    return is_hub_id(value) and not _absolute(value, base).is_dir()


def _absolute(value: str, base: Path) -> Path:
    """Return a path as it is seen from `base`."""
    # Unlike Path.expanduser, this leaves an unknown user's ~name as it is.
    return Path(os.path.realpath(base / os.path.expanduser(value)))  # noqa: PTH111


def _fill_in(tables: dict[str, Any], path: Path) -> None:
    """Add the defaults that depend on the working directory and on the file's name."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", path.stem).strip(".-")[:100] or "preset"
    for table, key, value in (
        ("cache", "root", os.path.realpath("cache")),
        ("output", "root", os.path.realpath("runs")),
        ("output", "name", name),
    ):
        keys = tables.setdefault(table, {})
        if isinstance(keys, dict):
            keys.setdefault(key, value)


def _explain(path: Path, changes: Sequence[Override], found: Sequence[Problem]) -> str:
    """Return the line for the first of several problems, with the source it came from."""
    first, others = found[0], len(found) - 1
    more = f" (and {others} more)" if others else ""
    blamed = [change for change in changes if _concerns(change, first)]
    return f"{blamed[-1] if blamed else path}: {first.text}{more}"


def _concerns(change: Override, problem: Problem) -> bool:
    """Tell whether an override set what a problem is about, or something in or around it."""
    for place in problem.places:
        parts = tuple(str(part) for part in place)
        shared = min(len(parts), len(change.keys))
        if parts[:shared] == change.keys[:shared]:
            return True
    return False


def _quoted(text: str) -> str:
    """Write a TOML basic string: JSON's escapes are a subset of TOML's; DEL is not allowed raw.

    `toml`'s own quoting goes through `repr` and changes some strings with backslashes.
    """
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


class _TomlSchema(GenerateJsonSchema):
    """JSON Schema for TOML, which has no null: an absent key stands for None."""

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        described = super().default_schema(schema)
        if "default" in described and described["default"] is None:
            del described["default"]
        return described
