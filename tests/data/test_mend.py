"""Damage found while training: the entry is made again, as it was, and the run goes on."""

import os
from itertools import islice
from pathlib import Path

import pytest
from accelerate import Accelerator

from bioicons_kit import preset_file
from bioicons_kit.data import batches, encode, job, selection
from bioicons_kit.data.encode import Encoded
from bioicons_kit.data.job import Job
from bioicons_kit.data.mend import Mender
from bioicons_kit.errors import DamagedFileError


def filled(preset: Path, root: Path, *overrides: str) -> tuple[Encoded, Job]:
    loaded = preset_file.load(preset, [f"cache.root={root}", *overrides])
    rows, work = selection.rows(loaded, lambda: job.start(loaded, Accelerator()))
    return encode.dataset(rows, work), work


def test_each_kind_of_entry_is_mended_to_what_it_was(
    small_preset: Path, fresh_cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    encoded, work = filled(small_preset, fresh_cache, "dataset.mask={source='alpha'}")
    paths = {
        kind: work.cache.path(next(iter(sources)))
        for kind, sources in encoded.plan.sources().items()
    }
    assert paths.keys() == {"latents", "mask", "clip", "t5"}
    before = {kind: path.read_bytes() for kind, path in paths.items()}
    for path in paths.values():
        stat, data = path.stat(), path.read_bytes()
        path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))  # as a failing disk leaves it
    content, train = encoded.content(work.preset), work.preset.train
    mend = Mender(encoded.plan, work)
    stream = batches.endless(work.cache, content, train, batches.Share(), mend=mend)
    assert len(list(islice(stream, 9))) == 9  # three epochs
    stream.close()
    told = capsys.readouterr().err
    mended = [kind for kind, path in paths.items() if path.read_bytes() == before[kind]]
    # the first texts are the empty one and the trigger, which no sample of this preset takes
    assert mended == ["latents", "mask"]
    assert all(f"{paths[kind]}: " in told for kind in mended)
    for kind in ("clip", "t5"):
        mend(next(iter(encoded.plan.texts[kind])))
        assert paths[kind].read_bytes() == before[kind]


def test_what_cannot_be_made_again_is_named(
    small_preset: Path, fresh_cache: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "library" / "cc-0" / "Animals" / "Petri_Press"
    folder.mkdir(parents=True)
    drawing = folder / "mouse.svg"
    drawing.write_text(
        "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 9 9'><path d='M1 1h7v7z'/></svg>"
    )
    encoded, work = filled(small_preset, fresh_cache, f"dataset.root={tmp_path / 'library'}")
    (made,) = encoded.plan.pictures
    drawing.write_text(drawing.read_text().replace("7z", "6z"))
    with pytest.raises(
        DamagedFileError, match=rf"{made.key} is damaged and .*mouse\.svg cannot be"
    ):
        Mender(encoded.plan, work)(made)
