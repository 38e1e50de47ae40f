"""Compiled blocks: one graph a kind of block, the adapter in it, and word while it is made."""

import pytest
import torch

from bioicons_kit.errors import PresetError
from bioicons_kit.families import flux, flux_memory
from bioicons_kit.memory import compiling
from bioicons_kit.preset import Memory, Train
from tests.memory import small


@pytest.mark.parametrize("modulation", ["resident", "ahead"])
def test_blocks_of_one_kind_share_what_is_compiled(
    modulation: str, capsys: pytest.CaptureFixture[str]
):
    torch._dynamo.reset()
    graphs: list[int] = []

    def backend(graph: torch.fx.GraphModule, _inputs: object) -> object:
        graphs.append(len(graph.graph.nodes))
        return graph.forward

    settings = Memory.model_validate(
        {"dtype": "fp32", "quantization": "qfloat8", "modulation": modulation}
    )
    plain, compiled = small.denoiser(settings), small.denoiser(settings)
    compiling.apply(compiled, flux_memory.blocks(compiled), small.CPU, backend)  # type: ignore[arg-type]
    losses = []
    for model in (plain, compiled):
        parameters = small.adapted(model)
        loss = flux.loss(model, small.batch(0), Train(batch_size=2), small.SCALING).mean()
        torch.autograd.backward([loss])
        assert all(p.grad is not None for p in parameters)
        losses.append(loss.item())
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    assert len(graphs) <= 4  # of 8 blocks: two kinds, and the first of each sees no gradient
    out = capsys.readouterr().out
    for kind in ("FluxTransformerBlock", "FluxSingleTransformerBlock"):
        assert f"{kind}: once, which may take minutes" in out
        assert f"{kind} in " in out
    torch._dynamo.reset()


def test_without_a_compiler_it_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("shutil.which", lambda _: None)
    with pytest.raises(PresetError, match=r"memory.compile = true needs a C\+\+ compiler"):
        compiling.apply(torch.nn.Linear(1, 1), [], small.CPU)
    monkeypatch.setattr(compiling, "has_triton", lambda: False)
    with pytest.raises(PresetError, match=r"needs triton"):
        compiling.apply(torch.nn.Linear(1, 1), [], torch.device("cuda"))
