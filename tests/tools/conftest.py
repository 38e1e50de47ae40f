"""Tools are scripts: they are imported from their path."""

import importlib.util
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

TOOLS = Path(__file__).parents[2] / "tools"
Main = Callable[[Sequence[str]], None]


@pytest.fixture(scope="session")
def tool() -> Callable[[str], Main]:
    """Return a function that gives the `main` of `tools/NAME.py`."""

    def load(name: str) -> Main:
        spec = importlib.util.spec_from_file_location(f"tools_{name}", TOOLS / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        main: Main = module.main
        return main

    return load
