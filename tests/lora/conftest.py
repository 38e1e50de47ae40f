"""What the LoRA tests share: files as other tools write them, and small models on disk."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="session")
def foreign() -> ModuleType:
    """The module beside this file that writes other tools' files."""
    path = Path(__file__).with_name("foreign.py")
    spec = importlib.util.spec_from_file_location("foreign", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
