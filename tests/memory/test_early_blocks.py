"""Blocks before the first that is trained: no graph, no second run, the same numbers."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from bioicons_kit import families
from bioicons_kit.families import flux_memory
from bioicons_kit.families.base import Batch, Family
from bioicons_kit.lora import adapter
from bioicons_kit.memory import checkpointing
from bioicons_kit.preset import Memory, Model, Train

LATE = {f"single_transformer_blocks.{number}" for number in range(3, 6)}


@pytest.fixture(scope="module")
def family(models: Path) -> Family:
    return families.load(Model(path="starter", max_sequence_length=16), models)


def adapted(family: Family, *targets: str, **memory: Any) -> Any:
    settings = Memory.model_validate({"dtype": "fp32", **memory})
    denoiser: Any = family.load_denoiser(settings, torch.device("cpu"), lambda _: None)[0]
    names = adapter.target_modules(denoiser, targets, family.target_sets)
    torch.manual_seed(0)
    adapter.attach(denoiser, names, 4, None, 0.0)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for name, parameter in adapter.named(denoiser).items():
            if name.endswith(".up"):
                parameter.copy_(0.1 * torch.randn(parameter.shape, generator=generator))
    return denoiser.train()


def batch() -> Batch:
    generator = torch.Generator().manual_seed(1)
    shapes = {"clip.pooled": (128,), "t5.states": (16, 128), "latents.mean": (16, 8, 8)}
    tensors = {name: torch.randn(1, *size, generator=generator) for name, size in shapes.items()}
    tensors["latents.logvar"] = torch.full((1, 16, 8, 8), -4.0)
    return Batch(tensors, (1,), torch.ones(1))


def watched(family: Family, denoiser: nn.Module) -> tuple[Tensor, Counter[str], dict[str, bool]]:
    """Take a step; return its loss, how often each block ran, and which had a graph."""
    runs: Counter[str] = Counter()
    graphs: dict[str, bool] = {}
    handles = []
    for name in flux_memory.blocks(denoiser):

        def begins(_block: nn.Module, _args: Any, name: str = name) -> None:
            runs[name] += 1  # at the start: the second run stops where all is there again

        def ends(_block: nn.Module, _args: Any, made: Any, name: str = name) -> None:
            graphs[name] = any(each.requires_grad for each in made)

        handles.append(denoiser.get_submodule(name).register_forward_pre_hook(begins))
        handles.append(denoiser.get_submodule(name).register_forward_hook(ends))
    loss = family.loss(denoiser, batch(), Train()).sum()
    loss.backward()  # type: ignore[no-untyped-call]
    for handle in handles:
        handle.remove()
    return loss.detach(), runs, graphs


@pytest.mark.parametrize("checkpointing", ["full", "none", 2])
def test_early_blocks_run_once_and_have_no_graph(family: Family, checkpointing: Any) -> None:
    denoiser = adapted(family, "style", checkpointing=checkpointing)
    _, runs, graphs = watched(family, denoiser)
    again = {"full": LATE, "none": set(), 2: set(sorted(LATE)[:-2])}[checkpointing]
    for name in flux_memory.blocks(denoiser):
        assert graphs[name] == (name in LATE), name
        assert runs[name] == (2 if name in again else 1), name
    grads = {name: p.grad is not None for name, p in denoiser.named_parameters()}
    assert all(had == ("lora_" in name) for name, had in grads.items())


def test_all_blocks_run_again_where_all_are_trained(family: Family) -> None:
    denoiser = adapted(family, "attention")
    _, runs, _ = watched(family, denoiser)
    assert set(runs.values()) == {2}


def test_the_numbers_are_those_without_checkpointing(family: Family) -> None:
    found = []
    for policy in ("full", "none"):
        denoiser = adapted(family, "style", checkpointing=policy)
        loss, _, _ = watched(family, denoiser)
        grads = [p.grad for p in adapter.named(denoiser).values()]
        found.append((loss, grads))
    assert torch.equal(found[0][0], found[1][0])
    assert all(map(torch.equal, found[0][1], found[1][1]))


def test_style_works_with_blocks_and_modulation_on_the_host(family: Family) -> None:
    expected, _, _ = watched(family, adapted(family, "style"))
    away = adapted(family, "style", offload_blocks=6, modulation="ahead")
    for _ in range(2):  # the second step begins where the first one's backward pass ended
        loss, _, _ = watched(family, away)
        torch.testing.assert_close(loss, expected)


def test_a_graph_is_needed_for_what_comes_in_or_what_is_inside() -> None:
    block = nn.Linear(2, 2).requires_grad_(False)
    plain, learned = torch.ones(1, 2), torch.ones(1, 2, requires_grad=True)
    assert not checkpointing.needs_graph(block, (plain, None))
    assert checkpointing.needs_graph(block, (plain, learned))
    assert checkpointing.needs_graph(nn.Linear(2, 2), (plain,))
    with torch.no_grad():
        assert not checkpointing.needs_graph(nn.Linear(2, 2), (learned,))
