"""The starter is a whole, real FLUX: the same bytes each time, and built only once."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from diffusers import FluxPipeline
from safetensors import safe_open
from transformers import CLIPTokenizer, T5Tokenizer

from bioicons_kit import files, tensors
from bioicons_kit.errors import DamagedFileError, StorageError
from bioicons_kit.families import starter
from bioicons_kit.families.starter_vocabulary import (
    clip_merges,
    clip_vocabulary,
    t5_vocabulary,
    words,
)

REPOSITORY = Path(__file__).parents[2]
TEXTS = ["bioicon style, a mouse", "", "ZEBRAFISH? 12 µm", "naïve (unknown) wörds & 中文"]


def contents(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): files.sha256_file(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def build_elsewhere(root: Path, *before: str) -> subprocess.CompletedProcess[str]:
    """Run `starter.ensure` in another process, which hashes in another order."""
    script = (
        *before,
        "import sys",
        "from pathlib import Path",
        "from bioicons_kit import errors",
        "from bioicons_kit.families import starter",
        "import torch",
        "torch.manual_seed(12345)",
        "try: print(starter.ensure(Path(sys.argv[1])))",
        "except errors.StorageError as error: print('refused:', error)",
    )
    return subprocess.run(
        [sys.executable, "-c", "\n".join(script), str(root)],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONHASHSEED": "77"},
        capture_output=True,
        text=True,
        check=True,
    )


class TestBuild:
    def test_gives_the_same_bytes_in_every_process(self, starter_folder: Path, tmp_path: Path):
        done = build_elsewhere(tmp_path / "models")
        other = Path(done.stdout.strip())
        assert other.name == starter_folder.name
        assert contents(other) == contents(starter_folder)
        assert len(contents(other)) >= 12

    def test_names_nothing_of_the_machine(self, starter_folder: Path):
        for path in starter_folder.rglob("*.json"):
            text = path.read_text("utf-8")
            assert str(starter_folder.parent) not in text
            assert "/tmp" not in text

    @pytest.mark.parametrize("how", ["flipped", "cut", "gone", "unlisted", "nonsense"])
    def test_a_damaged_folder_is_told_and_built_again(
        self, starter_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], how: str
    ):
        folder = Path(shutil.copytree(starter_folder, tmp_path / starter_folder.name))
        assert starter.ensure(tmp_path) == folder
        assert "damaged" not in capsys.readouterr().err
        weights, listed = next((folder / "vae").glob("*.safetensors")), folder / "hashes.json"
        data = weights.read_bytes()
        if how == "flipped":
            weights.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
        elif how == "cut":
            weights.write_bytes(data[:-1])
        elif how == "gone":
            weights.unlink()
        elif how == "unlisted":
            listed.unlink()
        else:
            listed.write_text("[" * 10_000)
        assert starter.ensure(tmp_path) == folder
        assert f"{folder}: damaged; building the starter model again" in capsys.readouterr().err
        assert contents(folder) == contents(starter_folder)
        assert [path.name for path in tmp_path.iterdir()] == [folder.name]

    def test_neither_reads_nor_moves_the_global_generator(
        self, tmp_path: Path, starter_folder: Path
    ):
        torch.manual_seed(99)
        before = torch.get_rng_state()
        starter.build(tmp_path)
        assert torch.equal(torch.get_rng_state(), before)
        assert contents(tmp_path) == contents(starter_folder)

    def test_a_full_disk_is_one_line_and_leaves_nothing(self, tmp_path: Path):
        done = build_elsewhere(
            tmp_path,
            "import resource",
            "resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))",
        )
        assert done.stdout.startswith("refused: ")
        assert "no room to write it" in done.stdout
        assert done.stdout.count("\n") == 1
        assert list(tmp_path.iterdir()) == []


class TestTrainedWeights:
    """Where training has left weights, they are what the folder holds."""

    @pytest.fixture
    def trained(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """Weights as `benchmarks/starter/pack.py` writes them, of another seed."""
        folder = tmp_path / "starter_weights"
        torch.manual_seed(7)
        for name in starter.NETWORKS:
            state = starter.components()[name]().state_dict()
            stored = {key: value.to(torch.bfloat16) for key, value in state.items()}
            tensors.write(folder / f"{name}.safetensors", stored, {"license": "Apache-2.0"})
        monkeypatch.setattr(starter, "WEIGHTS", folder)
        return folder

    def test_are_in_the_folder(self, trained: Path, starter_folder: Path, tmp_path: Path):
        built = starter.ensure(tmp_path / "models")
        for name in starter.NETWORKS:
            given, _ = tensors.read(trained / f"{name}.safetensors")
            (path,) = (built / name).glob("*.safetensors")
            found, _ = tensors.read(path)
            assert found
            assert all(torch.equal(found[key], given[key].to(found[key].dtype)) for key in found)
            assert files.sha256_file(path) != files.sha256_file(
                starter_folder / name / path.name
            ), "the random ones"

    def test_one_that_is_missing_or_damaged_is_an_error(self, trained: Path, tmp_path: Path):
        (trained / "vae.safetensors").write_bytes(b"not weights")
        with pytest.raises(DamagedFileError, match=r"vae\.safetensors"):
            starter.ensure(tmp_path / "models")
        (trained / "vae.safetensors").unlink()
        with pytest.raises(DamagedFileError, match=r"vae\.safetensors"):
            starter.ensure(tmp_path / "models")


class TestEnsure:
    def test_builds_once(self, tmp_path: Path):
        folder = starter.ensure(tmp_path)
        assert folder.parent == tmp_path
        assert str(starter.VERSION) in folder.name
        times = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
        (folder / "mark").touch()
        assert starter.ensure(tmp_path) == folder
        assert (folder / "mark").exists(), "it was built anew"
        assert all(
            path.stat().st_mtime_ns == then for path, then in times.items() if path.is_file()
        )
        assert [path.name for path in tmp_path.iterdir()] == [folder.name]

    def test_a_failed_build_leaves_nothing_and_can_be_repeated(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        def stop(*_: object) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(torch.nn.Module, "to", stop)
            with pytest.raises(KeyboardInterrupt):
                starter.ensure(tmp_path)
        assert list(tmp_path.iterdir()) == []
        assert (starter.ensure(tmp_path) / "model_index.json").is_file()

    def test_a_place_that_cannot_be_is_a_storage_error(self, tmp_path: Path):
        (tmp_path / "file").touch()
        with pytest.raises(StorageError, match="cannot be written"):
            starter.ensure(tmp_path / "file")


class TestModel:
    def test_is_a_flux_pipeline_that_draws(self, starter_folder: Path):
        pipeline = FluxPipeline.from_pretrained(starter_folder, dtype=torch.float32)
        pipeline.set_progress_bar_config(disable=True)
        latents = pipeline(
            TEXTS[0],
            width=64,
            height=64,
            num_inference_steps=1,
            max_sequence_length=16,
            output_type="latent",
        ).images
        assert latents.shape == (1, 16, 64)
        assert latents.isfinite().all()
        assert latents.std() > 0.1

    def test_is_small_and_saved_as_a_plain_load_needs_it(self, starter_folder: Path):
        count = 0
        for path in starter_folder.rglob("*.safetensors"):
            with safe_open(path, framework="pt") as file:
                for key in file.keys():  # noqa: SIM118  # not a dict
                    tensor = file.get_tensor(key)
                    count += tensor.numel()
                    encoder = path.parent.name.startswith("text_encoder")
                    wanted = torch.float32 if encoder else torch.bfloat16
                    assert tensor.dtype == wanted, (path, key)
                    assert tensor.isfinite().all(), (path, key)
        assert 5e6 < count < 15e6

    def test_has_the_real_models_shape(self, starter_folder: Path):
        def config(part: str, name: str = "config.json") -> dict[str, object]:
            return json.loads((starter_folder / part / name).read_text())

        vae, transformer = config("vae"), config("transformer")
        assert vae["latent_channels"] == 16
        assert len(vae["block_out_channels"]) == 4, "a factor of 8"
        assert (vae["scaling_factor"], vae["shift_factor"]) == (0.3611, 0.1159)
        assert transformer["in_channels"] == 64
        assert transformer["guidance_embeds"] is True
        assert sum(transformer["axes_dims_rope"]) == transformer["attention_head_dim"]
        assert config("scheduler", "scheduler_config.json")["use_dynamic_shifting"] is True


class TestTokenizers:
    def test_come_back_with_the_same_ids(self, starter_folder: Path):
        made = {
            "tokenizer": CLIPTokenizer(
                vocab=clip_vocabulary(), merges=clip_merges(), model_max_length=77
            ),
            "tokenizer_2": T5Tokenizer(vocab=t5_vocabulary(), extra_ids=0),
        }
        for name, tokenizer in made.items():
            back = type(tokenizer).from_pretrained(starter_folder / name)
            assert back(TEXTS).input_ids == tokenizer(TEXTS).input_ids
            assert back.pad_token_id == tokenizer.pad_token_id

    def test_t5_has_a_piece_for_each_word(self, starter_folder: Path):
        tokenizer = T5Tokenizer.from_pretrained(starter_folder / "tokenizer_2")
        for word in words():
            ids = tokenizer(word).input_ids
            assert tokenizer.convert_ids_to_tokens(ids) == [f"▁{word}", "</s>"]

    def test_clip_breaks_words_into_few_pieces(self, starter_folder: Path):
        tokenizer = CLIPTokenizer.from_pretrained(starter_folder / "tokenizer")
        assert tokenizer.tokenize("a mouse") == ["a</w>", "mouse</w>"]
        pieces = sum(len(tokenizer.tokenize(word)) for word in words())
        assert pieces < sum(map(len, words())) / 2

    def test_clip_spells_any_text_at_all(self, starter_folder: Path):
        tokenizer = CLIPTokenizer.from_pretrained(starter_folder / "tokenizer")
        for text in TEXTS:
            ids = tokenizer(text, add_special_tokens=False).input_ids
            spelled = tokenizer.decode(ids).replace(" ", "")
            assert spelled == text.lower().replace(" ", "")

    def test_t5_spells_any_ascii_text(self, starter_folder: Path):
        tokenizer = T5Tokenizer.from_pretrained(starter_folder / "tokenizer_2")
        text = "".join(map(chr, range(33, 127)))
        assert tokenizer.unk_token_id not in tokenizer(text).input_ids

    def test_vocabularies_number_their_pieces_without_gaps(self):
        clip = clip_vocabulary()
        assert sorted(clip.values()) == list(range(len(clip)))
        pieces = [piece for piece, _ in t5_vocabulary()]
        assert len(set(pieces)) == len(pieces)
        for left, right in clip_merges():
            assert {left, right, left + right} <= clip.keys()
