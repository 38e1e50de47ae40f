"""Filling: fixed batches, less where memory ends, room first, and nothing but finite numbers."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from PIL import Image
from torch import Tensor

from bioicons_kit import files, preset_file
from bioicons_kit.data import fill, job
from bioicons_kit.data.cache import Cache, Entry, Shape, entry
from bioicons_kit.data.fill import Encoding, filling
from bioicons_kit.data.job import Job
from bioicons_kit.data.plan import Source
from bioicons_kit.errors import ModelError, StorageError

LAYOUT = (Shape("x", torch.bfloat16, (2,)),)


def encoder(
    sizes: list[int], fits: int = 1000
) -> Callable[[Sequence[Any]], list[dict[str, Tensor]]]:
    """An encoder that notes the sizes of its batches, of which none above `fits` will do."""

    def encode(inputs: Sequence[Any]) -> list[dict[str, Tensor]]:
        sizes.append(len(inputs))
        if len(inputs) > fits:
            raise torch.OutOfMemoryError("allocated too much")
        return [{"x": torch.tensor([float(each), 0.0])} for each in inputs]

    return encode


def named(count: int) -> list[Entry]:
    return [entry("toy", {"n": str(number)}, LAYOUT) for number in range(count)]


def encoded(function: Any, count: int, size: int) -> list[float]:
    ready = ((each, number) for number, each in enumerate(named(count)))
    made = list(Encoding(function).each(ready, lambda _: size))
    assert [each for each, _ in made] == named(count)
    return [content["x"][0].item() for _, content in made]


def test_every_batch_is_of_one_size_the_last_filled_up() -> None:
    sizes: list[int] = []
    assert encoded(encoder(sizes), 7, 3) == [0, 1, 2, 3, 4, 5, 6]
    assert sizes == [3, 3, 3]


def test_where_memory_ends_batches_are_halved_and_stay_so(
    capsys: pytest.CaptureFixture[str],
) -> None:
    sizes: list[int] = []
    assert encoded(encoder(sizes, fits=2), 9, 8) == list(range(9))
    assert sizes == [8, 4, 2, 2, 2, 2, 2]
    assert "8 inputs do not fit in memory; encoding 4 at once" in capsys.readouterr().err


def test_an_input_that_does_not_fit_alone_ends_the_run_in_one_line() -> None:
    with pytest.raises(ModelError, match="one input alone does not fit in memory"):
        encoded(encoder([], fits=0), 1, 4)


def test_pictures_of_one_size_are_encoded_together_and_others_apart() -> None:
    batches: list[set[tuple[int, int]]] = []

    def encode(inputs: Sequence[Image.Image]) -> list[dict[str, Tensor]]:
        batches.append({image.size for image in inputs})
        return [{"x": torch.zeros(2)} for _ in inputs]

    sides = [64, 64, 64, 96, 96, 64]
    ready = zip(named(6), (Image.new("RGB", (side, 64)) for side in sides), strict=True)
    assert len(list(Encoding(encode).each(ready, lambda _: 2))) == 6
    assert batches == [{(64, 64)}, {(64, 64)}, {(96, 64)}, {(64, 64)}]


@pytest.fixture
def work(small_preset: Path, fresh_cache: Path) -> Job:
    preset = preset_file.load(small_preset, [f"cache.root={fresh_cache}"])
    return job.start(preset, Accelerator())


def sources(count: int) -> dict[Entry, Source]:
    return {
        each: Source(f"text {n}", f"icon {n}", ("n", str(n)), {})
        for n, each in enumerate(named(count))
    }


def test_what_is_put_is_there_at_the_end_in_the_dtype_of_its_layout(work: Job) -> None:
    with filling("toy", sources(3), work) as lacking:
        assert list(lacking.missing) == named(3)
        for number, each in enumerate(lacking.missing[:2]):
            lacking.put(each, {"x": torch.full((2,), float(number))})
        lacking.fail(lacking.missing[2], "cannot be drawn")
    assert lacking.failed == {named(3)[2]: "cannot be drawn"}
    assert work.cache.get(named(3)[1])["x"].dtype == torch.bfloat16
    assert work.cache.about(named(3)[1]) == {"of": "icon 1", "parts": {"n": "1"}}
    with filling("toy", sources(3), work) as lacking:
        assert lacking.missing == (named(3)[2],)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ({"x": torch.tensor([1.0, float("nan")])}, "not finite"),
        ({"x": torch.tensor([1.0, 3.4e38])}, "not finite"),  # beyond bfloat16
        ({"x": torch.zeros(3)}, r"holds x \[3\] bfloat16 instead of x \[2\]"),
        ({"y": torch.zeros(2)}, "instead of"),
    ],
)
def test_an_encoding_that_is_no_good_is_refused_with_the_inputs_name(
    work: Job, content: dict[str, Tensor], what: str
) -> None:
    made, source = next(iter(sources(1).items()))
    with pytest.raises(ModelError, match=f"^icon 0: its encoding .*{what}"):
        fill.write(work.cache, made, content, source)
    assert not work.cache.has(made)


def test_entries_put_before_an_error_stay_and_are_remembered(work: Job) -> None:
    def stop() -> None:
        with filling("toy", sources(3), work) as lacking:
            lacking.put(lacking.missing[0], {"x": torch.zeros(2)})
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stop()
    assert named(3)[0].key in (work.cache.root / "toy" / "known.txt").read_text()
    with filling("toy", sources(3), work) as lacking:
        assert list(lacking.missing) == named(3)[1:]


def test_room_is_asked_for_before_anything_is_made(
    work: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = files.shutil.disk_usage(work.cache.root)
    monkeypatch.setattr(files.shutil, "disk_usage", lambda _: usage._replace(free=20_000))

    def start() -> None:
        with filling("toy", sources(3), work):
            pytest.fail("there is no room")

    with pytest.raises(StorageError, match=r"no room for 3 more entries of toy in the cache"):
        start()
    assert Cache(work.cache.root).sweep("toy") == {}
