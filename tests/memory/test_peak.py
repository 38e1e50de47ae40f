"""The peak of memory: what the system says, in the units that people read."""

import re

import pytest
import torch

from bioicons_kit.memory import peak


def test_the_peak_grows_with_what_is_held_and_never_falls() -> None:
    before = peak.resident()
    assert before is not None
    held = torch.ones(before // 4 + 25_000_000)  # as much again, and 100 MB, touched
    grown = peak.resident()
    assert grown is not None
    assert grown >= before + 50_000_000
    del held
    assert peak.resident() == pytest.approx(grown, rel=0.05)


def test_it_is_told_in_gigabytes_and_of_a_gpu_only_where_there_is_one() -> None:
    told = peak.told(torch.device("cpu"))
    match = re.fullmatch(r"peak (\d+\.\d\d) GB of RAM", told)
    assert match is not None
    assert float(match[1]) == pytest.approx((peak.resident() or 0) / 1e9, abs=0.02)
    assert peak.on_device(torch.device("cpu")) is None


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpus_peak_is_told_too() -> None:
    device = torch.device("cuda")
    torch.ones(1000, device=device)
    assert re.fullmatch(r"peak .* GB of RAM, .* GB of cuda", peak.told(device))
