"""Compiling the repeated blocks, once a kind, with word of it while it lasts.

Regional compilation: blocks of one kind share their code, so a model of 57 blocks compiles
two. The adapter is compiled with them; a new picture size compiles again once, and then for
all sizes. Numbers may differ in their last bits, for kernels are fused in another order.
"""

import shutil
import time
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.utils._triton import has_triton

from bioicons_kit import console
from bioicons_kit.errors import PresetError


def apply(
    model: nn.Module, names: Sequence[str], device: torch.device, backend: str = "inductor"
) -> None:
    """Compile blocks as they first run.

    Args:
        model: changed in place.
        names: of its blocks.
        device: where they compute.
        backend: torch.compile's.

    Raises:
        PresetError: there is nothing here to compile with.
    """
    if backend == "inductor":
        _require_compiler(device)
    told: set[type] = set()
    for name in names:
        block: Any = model.get_submodule(name)
        if type(block) not in told:
            told.add(type(block))
            _tell(block)
        # the forward, not the module: its hooks stay as they are
        block.forward = torch.compile(block.forward, backend=backend)


def _require_compiler(device: torch.device) -> None:
    """Refuse to compile where the compiler's own tools are missing."""
    lacking = ""
    if device.type == "cuda" and not has_triton():
        lacking = "triton"
    elif device.type == "cpu" and not any(map(shutil.which, ("c++", "g++", "clang++"))):
        lacking = "a C++ compiler"
    if lacking:
        raise PresetError(f"memory.compile = true needs {lacking}, which is not installed here")


def _tell(block: nn.Module) -> None:
    """Say when a block first runs, which compiles it, and how long that took."""
    kind = type(block).__name__
    started: list[float] = []

    def begins(_block: nn.Module, _args: Any) -> None:
        started.append(time.monotonic())
        before.remove()
        console.say("compiling", f"{kind}: once, which may take minutes")

    def ends(_block: nn.Module, _args: Any, _output: Any) -> None:
        after.remove()
        console.say("compiled", f"{kind} in {time.monotonic() - started[0]:.0f} s")

    before = block.register_forward_pre_hook(begins)
    after = block.register_forward_hook(ends)
