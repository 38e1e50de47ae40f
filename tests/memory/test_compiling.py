"""Compiled blocks: one graph a kind of block, the adapter in it, and word while it is made."""

import pytest
import torch

from bioicons_kit.errors import PresetError
from bioicons_kit.families import flux, flux_memory
from bioicons_kit.memory import compiling
from bioicons_kit.preset import Memory, Train
from tests.memory import small


def compiled(memory: Memory, blocks: int) -> tuple[float, int]:
    """Return the loss of a compiled model of so many blocks, and the graphs that it took."""
    torch._dynamo.reset()
    graphs: list[int] = []

    def backend(graph: torch.fx.GraphModule, _inputs: object) -> object:
        graphs.append(len(graph.graph.nodes))
        return graph.forward

    config = {**small.CONFIG, "num_layers": blocks // 2, "num_single_layers": blocks // 2}
    model = small.denoiser(memory, config)
    compiling.apply(model, flux_memory.blocks(model), small.CPU, backend)  # type: ignore[arg-type]
    parameters = small.adapted(model)
    loss = flux.loss(model, small.batch(0), Train(batch_size=2), small.SCALING).mean()
    torch.autograd.backward([loss])
    assert all(p.grad is not None for p in parameters)
    torch._dynamo.reset()
    return loss.item(), len(graphs)


@pytest.mark.parametrize("level", ["none", "qfloat8"])
def test_blocks_of_one_kind_share_what_is_compiled(
    level: str, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
):
    caplog.set_level("ERROR")  # dynamo's traces are long
    memory = Memory.model_validate({"dtype": "fp32", "quantization": level, "modulation": "ahead"})
    config = {**small.CONFIG, "num_layers": 2, "num_single_layers": 2}
    model = small.denoiser(memory, config)
    small.adapted(model)
    plain = flux.loss(model, small.batch(0), Train(batch_size=2), small.SCALING).mean().item()
    loss, graphs = compiled(memory, 4)
    assert loss == pytest.approx(plain, rel=1e-5)
    # two kinds, each once more for where it stands: the first double block's input has no
    # gradient, the first single block's is laid out otherwise
    assert graphs == 4
    _, graphs = compiled(memory, 8)
    assert graphs == 4
    out = capsys.readouterr().out
    for kind in ("DoubleBlock", "SingleBlock"):
        assert f"{kind}: once, which may take minutes" in out
        assert f"{kind} in " in out


def test_without_a_compiler_it_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("shutil.which", lambda _: None)
    with pytest.raises(PresetError, match=r"memory.compile = true needs a C\+\+ compiler"):
        compiling.apply(torch.nn.Linear(1, 1), [], small.CPU)
    monkeypatch.setattr(compiling, "has_triton", lambda: False)
    with pytest.raises(PresetError, match=r"needs triton"):
        compiling.apply(torch.nn.Linear(1, 1), [], torch.device("cuda"))
