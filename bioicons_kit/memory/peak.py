"""The most memory that this process has held so far, as the system and the driver count it."""

import sys

import torch


def resident() -> int | None:
    """Return the peak resident memory of this process in bytes; None where none is told."""
    if sys.platform == "win32":
        return None
    import resource  # not on Windows

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # Linux counts in kilobytes


def on_device(device: torch.device) -> int | None:
    """Return the peak memory reserved on a GPU, in bytes; None where there is none."""
    return torch.cuda.max_memory_reserved(device) if device.type == "cuda" else None


def told(device: torch.device) -> str:
    """Return one line on both."""
    counts = {"RAM": resident(), str(device): on_device(device)}
    known = [f"{count / 1e9:.2f} GB of {name}" for name, count in counts.items() if count]
    return f"peak {', '.join(known)}" if known else "peak not told by this system"
