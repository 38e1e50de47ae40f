"""The house's floor plan: which room may know which, and how large a room may get."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parent.parent
PACKAGE = "bioicons_kit"

# Each room -> the rooms it may import; within a room, modules may import each other.
# A room that is not listed has no place yet: give it one here and in ARCHITECTURE.md.
ROOT = {"__init__"}  # the version
PRESET = {"preset", "preset_errors", "preset_file"}
PLAIN = {"errors", "files", "console", "cli", "names_flux", *PRESET} | ROOT  # without torch
FOUNDATION = PLAIN | {"tensors", "tensor_stream"}
MAY_IMPORT: dict[str, set[str]] = {
    "__init__": set(),
    "errors": set(),
    "files": {"errors"},
    "console": {"errors"},
    "cli": {"errors"},
    "preset": {"errors"},
    "preset_errors": {"errors", "preset"},
    "preset_file": {"errors", "files", "preset", "preset_errors"},
    "names_flux": set(),
    "tensors": {"errors", "files"},
    "tensor_stream": {"errors", "files", "tensors"},
    "svg": PLAIN,
    "icons": PLAIN | {"svg"},
    "drawings": PLAIN | {"icons"},
    "evaluate": FOUNDATION | {"icons", "drawings"},
    "memory": FOUNDATION,
    "families": FOUNDATION | {"memory"},
    "data": FOUNDATION | {"memory", "families", "icons"},
    "lora": FOUNDATION,
    "sheet": FOUNDATION,
    "vectorize": PLAIN | {"svg", "icons", "sheet"},
    "sample": FOUNDATION
    | {"memory", "families", "svg", "icons", "data", "lora", "sheet", "vectorize"},
}
MAY_IMPORT["card"] = PLAIN | {"icons"}
MAY_IMPORT["train"] = MAY_IMPORT["sample"] | {"sample", "card", "drawings", "evaluate"}
MAY_IMPORT["tools"] = MAY_IMPORT["train"] | {"train"}

LONGEST = 350  # lines: what a reader takes in at one sitting
LONGER: dict[str, int] = {}

TORCH = {"torch", "safetensors", "accelerate", "peft", "optimum", "diffusers", "transformers"}
WITHOUT_TORCH = PLAIN | {"icons", "svg", "drawings", "card"}
FAMILIES_ONLY = {"diffusers", "transformers"}


@dataclass(frozen=True)
class Module:
    """One source file, and what it imports anywhere in it, late imports included."""

    name: str
    path: Path
    tree: ast.Module

    @property
    def room(self) -> str:
        first, *rest = self.name.split(".")
        return first if first == "tools" else (rest or ["__init__"])[0]

    def imports(self) -> Iterator[str]:
        """Yield full dotted names; of `from a import b` both `a` and `a.b`."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{self.name}:{node.lineno}: imports are absolute here"
                assert node.module is not None
                yield node.module
                yield from (f"{node.module}.{alias.name}" for alias in node.names)

    def knows(self) -> set[str]:
        """The modules of the package this one imports, itself left out."""
        return {name for name in self.imports() if name in modules()} - {self.name}

    def libraries(self) -> set[str]:
        """The first names of everything imported."""
        return {name.split(".")[0] for name in self.imports()}


@cache
def modules() -> dict[str, Module]:
    found = {}
    for path in sorted([*REPOSITORY.glob(f"{PACKAGE}/**/*.py"), *REPOSITORY.glob("tools/*.py")]):
        parts = path.relative_to(REPOSITORY).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[name] = Module(name, path, ast.parse(path.read_text("utf-8"), str(path)))
    return found


def packages() -> list[Module]:
    return [module for name, module in modules().items() if not name.startswith("tools")]


def test_the_plan_itself_has_no_way_back():
    assert set(TopologicalSorter(MAY_IMPORT).static_order()) == MAY_IMPORT.keys()


def test_every_module_is_in_a_room_of_the_plan():
    assert {module.room for module in modules().values()} <= MAY_IMPORT.keys()
    assert {"icons", "memory", "families", "data", "lora", "train", "tools"} <= {
        module.room for module in modules().values()
    }


def test_imports_run_downward_only():
    wrong = [
        f"{module.name} imports {known}"
        for module in modules().values()
        for known in sorted(module.knows())
        # `import bioicons_kit.x` names the package too; only its version is to be had there
        if modules()[known].room not in MAY_IMPORT[module.room] | {module.room, "__init__"}
    ]
    assert wrong == []


def test_no_module_imports_itself_by_a_detour():
    graph = {
        name: {known for known in module.knows() if known != PACKAGE}
        for name, module in modules().items()
    }
    # a package's front door names its own modules, and they may not come in through it
    TopologicalSorter(graph).prepare()


def test_torch_stays_out_of_the_rooms_that_work_without_it():
    wrong = {
        module.name: sorted(module.libraries() & TORCH)
        for module in packages()
        if module.room in WITHOUT_TORCH and module.libraries() & TORCH
    }
    assert wrong == {}


def test_only_families_know_the_model_libraries():
    wrong = {
        module.name: sorted(module.libraries() & FAMILIES_ONLY)
        for module in modules().values()
        if module.room != "families" and module.libraries() & FAMILIES_ONLY
    }
    assert wrong == {}


def asks_for_a_family(node: ast.AST) -> bool:
    """Whether a piece of code decides by a family's name: `x.family == ...` and the like."""
    if isinstance(node, ast.Compare):
        asked = [node.left, *node.comparators]
    elif isinstance(node, ast.Match):
        asked = [node.subject]
    else:
        return False
    return any(
        (isinstance(part, ast.Attribute) and part.attr == "family")
        or (isinstance(part, ast.Attribute) and ast.unparse(part).endswith("family.name"))
        or (isinstance(part, ast.Name) and part.id == "family")
        for part in asked
    )


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("if family == 'flux': pass", True),
        ("x = preset.model.family != 'flux'", True),
        ("ok = 'flux' == job.family.name", True),
        ("if model.family in ('flux', 'sd1'): pass", True),
        ("match model.family:\n    case 'flux': pass", True),
        ("family = load(model.family)", False),
        ("if family_tree == other: pass", False),
    ],
)
def test_the_search_for_family_questions_finds_them(code: str, found: bool):
    assert any(asks_for_a_family(node) for node in ast.walk(ast.parse(code))) == found


def test_nothing_outside_families_asks_which_family_it_is():
    wrong = [
        f"{module.name}:{node.lineno}: {ast.unparse(node)}"
        for module in modules().values()
        if module.room != "families"
        for node in ast.walk(module.tree)
        if asks_for_a_family(node)
    ]
    assert wrong == []


def test_no_drawer_for_everything():
    parts = {part for name in modules() for part in name.split(".")}
    assert not parts & {"util", "utils", "common", "helpers", "misc"}


@pytest.mark.parametrize("module", packages(), ids=lambda module: module.name)
def test_a_module_is_read_at_one_sitting(module: Module):
    lines = len(module.path.read_text("utf-8").splitlines())
    assert lines <= LONGER.get(module.name, LONGEST)


def test_icons_and_presets_work_where_torch_is_not_installed():
    names = [m.name for m in packages() if m.room in WITHOUT_TORCH]
    assert any(name.startswith(f"{PACKAGE}.icons.") for name in names)
    script = (
        "import importlib, sys\n"
        f"for name in {sorted(TORCH)}: sys.modules[name] = None\n"
        f"for name in {names}: importlib.import_module(name)\n"
    )
    subprocess.run([sys.executable, "-c", script], cwd=REPOSITORY, check=True, timeout=60)


def test_importing_the_package_imports_nothing_but_itself():
    script = (
        "import sys\n"
        "before = set(sys.modules)\n"
        f"import {PACKAGE}\n"
        "print(*sorted(set(sys.modules) - before))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout.split() == [PACKAGE]
