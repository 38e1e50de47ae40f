"""FLUX as `memory` sees it: its blocks in order, its modulation, and what that one will see.

A double block modulates pictures and texts (`norm1.linear`, `norm1_context.linear`), a
single block both at once (`norm.linear`), the end once more (`norm_out.linear`). All of them
see silu of one vector a sample: the sum of what timestep, guidance and pooled text embed to.
"""

import re
from collections.abc import Generator, Iterable, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn

from bioicons_kit.errors import PresetError
from bioicons_kit.families import flow, flux_attention, preservation
from bioicons_kit.families.base import Batch
from bioicons_kit.memory import checkpointing, compiling, modulation, offload
from bioicons_kit.preset import Memory, Objective, Train

_BLOCK = re.compile(r"(?:single_)?transformer_blocks\.\d+")
_MODULATION = re.compile(
    r"(?:transformer_blocks\.\d+\.norm1(?:_context)?|single_transformer_blocks\.\d+\.norm|norm_out)"
    r"\.linear"
)
_EMBEDDER = "time_text_embed"  # what makes the vector

# Attention kernels that cannot be trained through.
_NO_BACKWARD = ("sage", "_sage")


def blocks(denoiser: nn.Module) -> tuple[str, ...]:
    """Return the names of the repeated blocks, in the order they run."""
    # double blocks run first, and stand first in the model
    return tuple(name for name, _ in denoiser.named_modules() if _BLOCK.fullmatch(name))


def modulation_linears(denoiser: nn.Module) -> tuple[str, ...]:
    """Return the names of the linears that see one vector a sample, in the model's order."""
    return tuple(name for name, _ in denoiser.named_modules() if _MODULATION.fullmatch(name))


def makes_modulation(name: str) -> bool:
    """Tell whether a module is one of the modulation's, or of what makes its vector."""
    return _MODULATION.fullmatch(name) is not None or name.startswith(f"{_EMBEDDER}.")


def host_modules(denoiser: nn.Module, memory: Memory) -> tuple[str, ...]:
    """Return the names of the modules whose weights are not to stay on the device.

    Raises:
        PresetError: more blocks are to be on the host than may be.
    """
    names = blocks(denoiser)
    kept = checkpointing.kept_blocks(names, memory.checkpointing)
    if memory.offload_blocks > len(names) - kept:
        raise PresetError(
            f"memory.offload_blocks = {memory.offload_blocks}: of the model's {len(names)} blocks "
            f"{len(names) - kept} are checkpointed, and only those can be on the host"
        )
    away = offload.chosen(names, memory.offload_blocks, kept) if memory.offload_blocks else ()
    ahead = modulation_linears(denoiser) if memory.modulation == "ahead" else ()
    return (*ahead, *away)


def arrange(denoiser: Any, memory: Memory, device: torch.device) -> None:
    """Make a loaded, frozen denoiser run as `memory` says; an adapter comes after this.

    The order is fixed: modulation leaves the blocks before blocks are stored away, and what
    runs them (checkpointing, compiling) is put around the result.

    Raises:
        PresetError: the attention or the compiler that was asked for is not to be had.
    """
    names = blocks(denoiser)
    away = [name for name in host_modules(denoiser, memory) if name in names]
    if memory.modulation == "ahead":
        modulation.put_ahead(denoiser, modulation_linears(denoiser))
    offload.apply(denoiser, away, device)
    on_host = memory.checkpoint_inputs == "host"
    checkpointing.apply(denoiser, names, memory.checkpointing, inputs_on_host=on_host)
    set_attention(denoiser, memory.attention)
    if memory.compile:
        compiling.apply(denoiser, names, device)
        return  # the compiler has its own idea of what to compute again
    from bioicons_kit.families import flux_blocks  # which imports diffusers

    flux_blocks.apply(denoiser)
    if device.type == "cpu" and memory.attention == "native":
        flux_attention.apply(denoiser)


def set_attention(denoiser: Any, name: str) -> None:
    """Have attention computed by one of diffusers' backends; "native" is torch's own.

    diffusers keeps one choice for the whole process, so "native" has to be said, too.

    torch's own choice leaves out cuDNN's kernels, which torch 2.11 takes first on an H100 or
    H200. Training steps of FLUX.1 ended in illegal memory accesses on an H200, and these kernels
    are the likely cause, not a proven one: torch's issues 169849, 193893 and 196678 tell of such
    accesses and of wrong numbers. Whoever wants them says "_native_cudnn".

    Raises:
        PresetError: there is none of that name, it is not installed, or it cannot be trained.
    """
    if name.startswith(_NO_BACKWARD):
        raise PresetError(
            f"memory.attention = '{name}': has no backward pass, so nothing can be trained with it"
        )
    if name == "native":
        torch.backends.cuda.enable_cudnn_sdp(False)
    try:
        denoiser.set_attention_backend(name)
    except (ValueError, RuntimeError, ImportError) as error:
        first = next(iter(str(error).splitlines()), type(error).__name__)
        raise PresetError(f"memory.attention = '{name}': cannot be used here ({first})") from error


def prepared(
    denoiser: nn.Module, stream: Iterable[Batch], objective: Train, count: int
) -> Generator[Batch]:
    """Yield the next `count` batches with what can be computed of them ahead: modulation.

    Args:
        denoiser: on its device; if its modulation is resident, batches pass as they are.
        stream: the batches to come.
        objective: says how levels are drawn, and the guidance.
        count: micro-steps to come.
    """
    if not modulation.is_ahead(denoiser):
        yield from islice(stream, count)
        return

    def answer(batches: Sequence[Batch]) -> Iterable[Batch]:
        with torch.no_grad():
            vectors = [_of_batch(denoiser, batch, objective) for batch in batches]
        found = modulation.answers(denoiser, vectors)
        for batch, row in zip(batches, found, strict=True):
            yield replace(batch, tensors={**batch.tensors, modulation.KEY: row})

    chunk = max(1, modulation.SAMPLES_AHEAD // objective.batch_size)
    yield from modulation.chunked(stream, count, chunk, answer)


def vector(denoiser: nn.Module, timestep: Tensor, guidance: Tensor, pooled: Tensor) -> Tensor:
    """Return what the modulation linears see, `[batch, width]`; as the model's forward has it.

    Args:
        denoiser: a FluxTransformer2DModel, wrapped or not.
        timestep: `[batch]` in 0..1; float32 is kept, see `keep_timesteps_float32`.
        guidance: `[batch]`.
        pooled: `[batch, width]`, CLIP's.
    """
    embedder = next(m for name, m in denoiser.named_modules() if name.endswith(_EMBEDDER))
    # with the precision of the hidden states, in which the forward holds them
    dtype = next(embedder.parameters()).dtype
    if timestep.dtype != torch.float32:
        timestep = timestep.to(dtype)
    embedded = embedder(timestep * 1000, guidance.to(dtype) * 1000, pooled.to(dtype))
    return nn.functional.silu(embedded)


def hand_over(
    denoiser: nn.Module,
    answers: Tensor | None,
    timestep: Tensor,
    guidance: Tensor,
    pooled: Tensor,
) -> None:
    """Give a denoiser whose modulation is ahead its answers; computed now where none came."""
    if answers is None:
        if not modulation.is_ahead(denoiser):
            return
        with torch.no_grad():
            seen = vector(denoiser, timestep, guidance, pooled)
        (answers,) = modulation.answers(denoiser, [seen])
    modulation.use(denoiser, answers.to(timestep.device, non_blocking=True))


def levels(batch: Batch, objective: Objective) -> Tensor:
    """Return the noise levels of a batch's samples, float32 `[batch]` on the CPU, if drawn."""
    if batch.levels is not None:
        return batch.levels.to(torch.float32)
    height, width = batch.tensors["latents.mean"].shape[2:]
    uniform = flow.draw_uniform(batch.seeds)
    return flow.levels(flow.sampling(objective), uniform, height * width // 4)


def _of_batch(denoiser: nn.Module, batch: Batch, objective: Train) -> Tensor:
    """Return what the modulation linears will see of a batch, the preserved class after it."""
    device = next(denoiser.parameters()).device
    level, pooled = levels(batch, objective), batch.tensors["clip.pooled"]
    if objective.preservation != "none":
        level = torch.cat([level, level])
        pooled = preservation.both(batch.tensors)["clip.pooled"]
    guidance = torch.full(level.shape, objective.guidance, device=device, dtype=torch.float32)
    pooled = pooled.to(device, non_blocking=True)
    return vector(denoiser, level.to(device), guidance, pooled)
