"""Encoding: what is encoded again after which change, what is skipped, and what is loaded."""

import os
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator

from bioicons_kit import preset_file
from bioicons_kit.data import encode, job
from bioicons_kit.data.cache import Entry
from bioicons_kit.data.encode import Encoded
from bioicons_kit.errors import DamagedFileError, LibraryError, ModelError
from bioicons_kit.icons import library, select

COUNTS = re.compile(r"^(latents|mask|clip|t5) +(\d+) in the cache, (\d+) to encode$", re.MULTILINE)
ICONS = ("mouse", "frog", "sea-turtle", "garden-snail")
# A caption each, one of which is also a prompt; the other prompt, the trigger, the empty text.
TEXTS = len(ICONS) + 3
NONE = {"latents": 0, "clip": 0, "t5": 0}
BROKEN = "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 9 9'><path d="


@dataclass(frozen=True)
class Pass:
    """One pass of encoding: its result, the hits and misses it told, its warnings, its cache."""

    encoded: Encoded
    hits: dict[str, int]
    misses: dict[str, int]
    out: str
    warnings: str
    cache: Path

    def picture(self, row: int = 0, version: int = 0, size: int = 0) -> Entry:
        """The entry of a row's picture."""
        return self.encoded.items[row].views[version][size].entries[0]

    @property
    def pictures(self) -> list[Entry]:
        """The first entry of each row's picture."""
        return [self.picture(row) for row in range(len(self.encoded.rows))]


@pytest.fixture
def icons(tmp_path: Path) -> Path:
    """A small library of copied icons."""
    folder = tmp_path / "library" / "cc-0" / "Animals" / "Petri_Press"
    folder.mkdir(parents=True)
    for name in ICONS:
        shutil.copy(library.SHIPPED / "cc-0/Animals/Petri_Press" / f"{name}.svg", folder)
    return folder


Encode = Callable[..., Pass]


@pytest.fixture
def run(
    small_preset: Path, icons: Path, fresh_cache: Path, capsys: pytest.CaptureFixture[str]
) -> Encode:
    """A function that encodes the small preset on the small library, with overrides."""
    root = icons.parents[2]

    def encode_all(*overrides: str) -> Pass:
        fixed = [f"dataset.root={root}", f"cache.root={fresh_cache}"]
        preset = preset_file.load(small_preset, [*fixed, *overrides])
        rows = select.rows(library.scan(preset.dataset.root), preset.dataset)
        capsys.readouterr()
        encoded = encode.dataset(rows, job.start(preset, Accelerator()))
        printed = capsys.readouterr()
        counts = COUNTS.findall(printed.out)
        assert [name for name, _, _ in counts if name != "mask"] == ["latents", "clip", "t5"]
        return Pass(
            encoded,
            {name: int(hits) for name, hits, _ in counts},
            {name: int(misses) for name, _, misses in counts},
            printed.out,
            printed.err,
            Path(preset.cache.root),
        )

    return encode_all


def entries(cache: Path) -> set[Path]:
    return set(cache.glob("*/*/*.safetensors"))


def test_the_first_pass_encodes_each_input_once_and_the_second_nothing(run: Encode) -> None:
    first = run()
    assert first.misses == {"latents": len(ICONS), "clip": TEXTS, "t5": TEXTS}
    assert first.hits == NONE
    assert re.search(r"^memory +peak \d+\.\d\d GB of RAM", first.out, re.MULTILINE)
    written = {path: path.stat().st_mtime_ns for path in entries(first.cache)}
    assert len(written) == len(ICONS) + 2 * TEXTS

    second = run()
    assert second.misses == NONE
    assert second.hits == {"latents": len(ICONS), "clip": TEXTS, "t5": TEXTS}
    assert second.encoded == first.encoded
    assert {path: path.stat().st_mtime_ns for path in entries(second.cache)} == written


def test_the_result_names_the_entry_of_every_picture_and_text(run: Encode) -> None:
    done = run()
    assert [row.icon.path.stem for row in done.encoded.rows] == sorted(ICONS)
    assert done.encoded.captions[2] == ("bioicon style, a mouse",)
    others = {"bioicon style, a mouse", "bioicon style, a jellyfish", "", "bioicon style"}
    captions = {text for texts in done.encoded.captions for text in texts}
    assert done.encoded.texts.keys() == captions | others
    for texts in done.encoded.texts.values():
        assert [each.kind for each in texts] == ["clip", "t5"]
    for item, words in zip(done.encoded.items, done.encoded.captions, strict=True):
        assert item.texts == tuple(done.encoded.texts[text] for text in words)
    named = {*done.pictures, *(e for es in done.encoded.texts.values() for e in es)}
    assert {path.stem for path in entries(done.cache)} == {each.key for each in named}


ALPHA = "dataset.mask={source='alpha'}"
SHAPED = {
    "dataset.caption=icon of {article} {name}, {trigger}": {"clip": 4, "t5": 4},
    "dataset.trigger=flat icon": {"clip": 5, "t5": 5},
    "sample.prompts=['bioicon style, a fern']": {"clip": 1, "t5": 1},
    "model.max_sequence_length=32": {"t5": 7},
    "memory.dtype=bf16": {"clip": 7, "t5": 7},
    "memory.text_encoder=qint8": {"t5": 7},
    "cache.dtype=fp32": {"latents": 4, "clip": 7, "t5": 7},
    "dataset.resolution=80": {"latents": 4},
    "dataset.background=black": {"latents": 4},
    "dataset.margin=0.1": {"latents": 4},
    "dataset.renderer=resvg": {"latents": 4},
    "dataset.sizes.extra=96": {"latents": 4},  # the other four are hits
    "dataset.buckets.0.augment.backgrounds=['#ffffff', '#eeeeee']": None,
    ALPHA: {"mask": 4},
    "dataset.mask={source='alpha', background=0.1}": {"mask": 0},
    "train.steps=7": {},
    "train.latents=mode": {},
    "train.caption_dropout=0.5": {},
    "train.trigger_only=0.1": {},
    "dataset.buckets.0.repeats=3": {},
    "memory.quantization=none": {},
}


def test_a_change_encodes_again_exactly_what_it_shapes(run: Encode) -> None:
    """And each key stands for other content: a part that changed nothing would not belong."""
    plain = run()
    kept = entries(plain.cache)
    cache = job.Cache(plain.cache)
    mean = cache.get(plain.picture())["mean"]
    for override, shaped in SHAPED.items():
        done = run(override)
        if shaped == {"latents": 4} and "extra" not in override:
            assert not torch.equal(cache.get(done.picture())["mean"], mean), override
        if shaped is None:  # one of two backgrounds an icon: those on white are hits
            assert 0 < done.misses["latents"] < 4
            assert done.misses["clip"] == done.misses["t5"] == 0
        else:
            assert done.misses == NONE | shaped, override
        assert kept <= entries(done.cache)  # nothing is thrown away
    assert run().misses == NONE  # so that going back costs nothing


def test_versions_of_a_picture_have_entries_of_their_own(run: Encode) -> None:
    """Augmentation: one version a repeat, each the picture that its version says."""
    run()
    repeats = "dataset.buckets.0.repeats=4"
    turned = run(repeats, "dataset.buckets.0.augment.rotation=20")
    assert turned.misses == NONE | {"latents": 16}
    assert [len(item.views) for item in turned.encoded.items] == [4] * 4
    assert len({turned.picture(0, version) for version in range(4)}) == 4
    mirrored = run(repeats, "dataset.buckets.0.augment.flip=true")
    assert mirrored.misses == NONE | {"latents": 4}  # every other one is the picture as it is
    assert run(repeats, "dataset.buckets.0.augment.rotation=20").misses == NONE
    assert run(repeats, "dataset.buckets.0.augment.rotation=20", "dataset.seed=1").misses == (
        NONE | {"latents": 16}
    )


def test_sizes_of_a_picture_have_entries_of_their_own(run: Encode) -> None:
    done = run("dataset.sizes.extra=[96, 128]", "dataset.buckets.0.repeats=2")
    cache = job.Cache(done.cache)
    shapes = [cache.get(done.picture(0, 0, size))["mean"].shape for size in range(3)]
    assert shapes == [(16, 8, 8), (16, 12, 12), (16, 16, 16)]
    table = [line for line in done.out.splitlines() if line.startswith("sizes")]
    assert "size" in table[0]
    assert [line.split()[1:4] for line in table[1:]] == [
        [str(side), "x", str(side)] for side in (64, 96, 128)
    ]
    assert all("33.3%" in line for line in table[1:])


def test_masks_are_of_the_drawing(run: Encode) -> None:
    done = run(ALPHA)
    for item in done.encoded.items:
        _, mask = item.views[0][0].entries
        assert mask.kind == "mask"
        coverage = job.Cache(done.cache).get(mask)["coverage"]
        assert coverage.shape == (8, 8)
        assert coverage.min() == 0 < coverage.mean() < 1
        assert coverage.max() > 0.9
    assert done.encoded.content(preset_file_of(done)).background == 0.3


def preset_file_of(done: Pass) -> preset_file.Preset:
    """The small preset with masks; only what `content` asks of it matters."""
    path = done.cache.parent / "small.toml"
    return preset_file.load(path, [ALPHA])


def test_validation_rows_are_encoded_and_not_trained_on(run: Encode, small_preset: Path) -> None:
    done = run("dataset.held_out={share=0.3}")
    roles = [row.role for row in done.encoded.rows]
    assert sorted(set(roles)) == ["train", "validation"]
    assert done.misses["latents"] == 4
    content = done.encoded.content(preset_file.load(small_preset))
    assert len(content.items) == roles.count("train")


def test_touching_one_icon_encodes_just_that_one(run: Encode, icons: Path) -> None:
    before = run()
    mouse = icons / "mouse.svg"
    mouse.write_text(mouse.read_text("utf-8").replace("</svg>", "<path d='M0 0h9v9z'/></svg>"))
    after = run()
    assert after.misses == {"latents": 1, "clip": 0, "t5": 0}
    changed = [
        row.icon.path.stem
        for row, old, new in zip(after.encoded.rows, before.pictures, after.pictures, strict=True)
        if old != new
    ]
    assert changed == ["mouse"]


def test_an_edit_that_leaves_size_and_time_alone_is_noticed(run: Encode, icons: Path) -> None:
    run()
    mouse = icons / "mouse.svg"
    stat, data = mouse.stat(), mouse.read_bytes()
    at = data.index(b"#") + 1  # the first color: another digit
    edited = data[:at] + (b"0" if data[at : at + 1] != b"0" else b"f") + data[at + 1 :]
    mouse.write_bytes(edited)
    os.utime(mouse, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert mouse.stat().st_size == stat.st_size
    assert run().misses == NONE | {"latents": 1}


def test_an_icon_that_was_only_moved_is_not_encoded_again(run: Encode, icons: Path) -> None:
    run()
    elsewhere = icons.with_name("Field_Notes")
    icons.rename(elsewhere)
    os.utime(elsewhere / "mouse.svg")
    assert run().misses == NONE


@pytest.mark.parametrize("kind", ["latents", "clip", "t5"])
def test_a_damaged_entry_is_told_and_encoded_again(run: Encode, kind: str) -> None:
    first = run()
    path = min(path for path in entries(first.cache) if path.parts[-3] == kind)
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    again = run()
    assert again.misses == NONE | {kind: 1}
    assert f"{path}: cache entry does not hold what it should; encoding it again" in again.warnings
    assert path.read_bytes() == whole  # to the bit, though encoded alone and not among others
    assert run().warnings == ""


def test_an_unreadable_icon_is_named_skipped_and_counted(run: Encode, icons: Path) -> None:
    (icons / "mouse.svg").write_text(BROKEN)
    done = run()
    assert "cc-0/Animals/Petri_Press/mouse.svg: skipped" in done.warnings
    assert re.search(r"skipped +1 of 4 icons could not be drawn", done.out)
    assert "mouse" not in {row.icon.path.stem for row in done.encoded.rows}
    assert len(done.encoded.rows) == len(done.encoded.items) == 3
    assert len(entries(done.cache)) == 3 + 2 * TEXTS


def test_an_icon_of_two_buckets_has_one_entry_and_is_skipped_in_both(
    run: Encode, icons: Path
) -> None:
    (icons / "mouse.svg").write_text(BROKEN)
    both = ["dataset.buckets=[{}, {}]", "dataset.overlap=each"]
    done = run(*both)
    assert done.misses["latents"] == len(ICONS)
    assert len(done.encoded.rows) == 2 * (len(ICONS) - 1)
    assert len(set(done.pictures)) == len(ICONS) - 1
    assert re.search(r"skipped +1 of 8 icons", done.out)
    for picture in done.pictures:
        assert job.Cache(done.cache).has(picture)


def test_many_unreadable_icons_are_counted_not_listed(run: Encode, icons: Path) -> None:
    for number in range(8):
        (icons / f"bad{number}.svg").write_text(BROKEN + str(number))
    done = run("dataset.buckets.0.limit=20")
    assert done.warnings.count(": skipped, ") == 5
    assert "and 3 more icons skipped" in done.warnings
    assert "8 of 12 icons could not be drawn" in done.out


def test_no_readable_icon_at_all_is_an_error(run: Encode, icons: Path) -> None:
    for name in ICONS:
        (icons / f"{name}.svg").write_text(BROKEN + name)
    with pytest.raises(LibraryError, match=r"none of the 4 selected icons can be drawn; .*\.svg"):
        run()


@pytest.fixture
def model(tmp_path: Path, starter_folder: Path) -> Path:
    """A copy of the starter model that a test may damage."""
    return Path(shutil.copytree(starter_folder, tmp_path / "model"))


def spoil(folder: Path) -> None:
    """Make a component's weights useless while their size and time stay the same."""
    (weights,) = folder.glob("*.safetensors")
    stat = weights.stat()
    weights.write_bytes(b"\xff" * stat.st_size)
    os.utime(weights, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def test_an_encoder_is_loaded_only_if_something_is_missing(
    run: Encode, icons: Path, model: Path
) -> None:
    """Weights that cannot be loaded show who tries; what is remembered of them is as before."""
    of_model = f"model.path={model}"
    run(of_model)
    for component in ("vae", "text_encoder", "text_encoder_2"):
        spoil(model / component)
    assert run(of_model).misses == NONE
    with pytest.raises(ModelError, match=r"vae"):
        run(of_model, "dataset.margin=0.2")
    with pytest.raises((ModelError, DamagedFileError), match=r"text_encoder[:/]"):
        run(of_model, "sample.prompts=a new prompt")
    with pytest.raises((ModelError, DamagedFileError), match=r"text_encoder_2"):
        run(of_model, "model.max_sequence_length=24")


def test_other_weights_of_an_encoder_are_other_entries_of_that_encoder(
    run: Encode, model: Path
) -> None:
    of_model = f"model.path={model}"
    run()
    assert run(of_model).misses == NONE  # a copy is the same model
    config = model / "text_encoder" / "config.json"
    config.write_text(config.read_text("utf-8") + "\n")
    assert run(of_model).misses == {"latents": 0, "clip": TEXTS, "t5": 0}


def test_the_cached_tensors_are_what_the_encoders_made(run: Encode, fresh_cache: Path) -> None:
    done = run("cache.dtype=fp32")
    cache = job.Cache(done.cache)
    (caption,) = done.encoded.captions[0]
    of_caption = {each.kind: cache.get(each) for each in done.encoded.texts[caption]}
    assert of_caption["clip"]["pooled"].shape == (128,)
    assert of_caption["t5"]["states"].shape == (16, 128)
    picture = cache.get(done.picture())
    assert picture.keys() == {"mean", "logvar"}
    assert picture["mean"].shape == picture["logvar"].shape == (16, 8, 8)
    assert not torch.equal(picture["mean"], cache.get(done.picture(1))["mean"])
