"""Files are whole or not there, whatever goes wrong while they are written."""

import hashlib
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bioicons_kit import files
from bioicons_kit.errors import StorageError

REPOSITORY = Path(__file__).parent.parent


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


class TestWrite:
    def test_makes_the_folders_and_returns_the_path(self, tmp_path: Path):
        path = tmp_path / "a" / "b" / "data.bin"
        assert files.write_bytes(path, b"new") == path
        assert path.read_bytes() == b"new"
        assert names(path.parent) == ["data.bin"]

    def test_replaces_what_was_there(self, tmp_path: Path):
        path = tmp_path / "data.bin"
        path.write_bytes(b"a longer content than the next")
        files.write_bytes(path, b"new")
        assert path.read_bytes() == b"new"
        assert names(tmp_path) == ["data.bin"]

    def test_text_is_utf8_with_plain_newlines(self, tmp_path: Path):
        path = files.write_text(tmp_path / "text.txt", "µm\nnm\n")
        assert path.read_bytes() == b"\xc2\xb5m\nnm\n"

    @pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
    def test_permissions_follow_the_umask(self, tmp_path: Path, mask: int, mode: int):
        with umask(mask):
            path = files.write_bytes(tmp_path / "data.bin", b"")
            assert os.umask(mask) == mask, "the umask was not put back"
        assert path.stat().st_mode & 0o777 == mode

    def test_a_file_in_place_of_a_folder_is_a_storage_error(self, tmp_path: Path):
        (tmp_path / "file").write_bytes(b"old")
        with pytest.raises(StorageError, match=r"file/below\.txt: cannot be written"):
            files.write_text(tmp_path / "file" / "below.txt", "new")
        assert (tmp_path / "file").read_bytes() == b"old"

    def test_a_folder_in_place_of_the_file_stays(self, tmp_path: Path):
        target = tmp_path / "target"
        target.mkdir()
        with pytest.raises(StorageError, match="target: cannot be written"):
            files.write_bytes(target, b"new")
        assert names(tmp_path) == ["target"]

    def test_an_interruption_leaves_the_old_file(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        def interrupt(_descriptor: int) -> None:
            raise KeyboardInterrupt

        path = files.write_bytes(tmp_path / "data.bin", b"old")
        monkeypatch.setattr(os, "fsync", interrupt)
        with pytest.raises(KeyboardInterrupt):
            files.write_bytes(path, b"new")
        assert path.read_bytes() == b"old"
        assert names(tmp_path) == ["data.bin"]

    def test_a_full_disk_leaves_the_old_file(self, tmp_path: Path):
        path = tmp_path / "data.bin"
        path.write_bytes(b"old")
        script = (
            "import resource, sys\n"
            "from pathlib import Path\n"
            "from bioicons_kit import errors, files\n"
            "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
            "try:\n"
            "    files.write_bytes(Path(sys.argv[1]), bytes(5000))\n"
            "except errors.StorageError as error:\n"
            "    print(error)\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", script, str(path)],
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.startswith(f"{path}: no room to write it (")
        assert "free some disk space" in done.stdout
        assert done.stdout.count("\n") == 1
        assert path.read_bytes() == b"old"
        assert names(tmp_path) == ["data.bin"]

    def test_a_reader_never_sees_a_mixture(self, tmp_path: Path):
        path = tmp_path / "data.bin"
        whole = {bytes([letter]) * 50_000 for letter in b"abc"}
        files.write_bytes(path, min(whole))

        def write_often(data: bytes) -> None:
            for _ in range(8):
                files.write_bytes(path, data)

        writers = [threading.Thread(target=write_often, args=(data,)) for data in whole]
        seen = set()
        for writer in writers:
            writer.start()
        while any(writer.is_alive() for writer in writers):
            seen.add(path.read_bytes())
        for writer in writers:
            writer.join()
        assert seen | {path.read_bytes()} <= whole
        assert names(tmp_path) == ["data.bin"]


class TestAtomicFolder:
    def test_appears_whole_at_the_end_of_the_block(self, tmp_path: Path):
        folder = tmp_path / "models" / "one"
        with umask(0o022), files.atomic_folder(folder) as scratch:
            (scratch / "part").write_text("content")
            assert not folder.exists()
            assert scratch.parent == folder.parent, "a rename must not cross file systems"
        assert (folder / "part").read_text() == "content"
        assert folder.stat().st_mode & 0o777 == 0o755
        assert names(tmp_path / "models") == ["one"]

    def test_a_failure_leaves_nothing(self, tmp_path: Path):
        def fail_halfway() -> None:
            with files.atomic_folder(tmp_path / "one") as scratch:
                (scratch / "part").write_text("content")
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            fail_halfway()
        assert names(tmp_path) == []

    def test_whoever_was_first_stays(self, tmp_path: Path):
        folder = tmp_path / "one"
        with files.atomic_folder(folder) as scratch:
            (scratch / "part").write_text("second")
            folder.mkdir()
            (folder / "part").write_text("first")
        assert (folder / "part").read_text() == "first"
        assert names(tmp_path) == ["one"]

    def test_a_file_in_its_place_is_a_storage_error(self, tmp_path: Path):
        folder = tmp_path / "one"

        def be_overtaken() -> None:
            with files.atomic_folder(folder) as scratch:
                (scratch / "part").write_text("content")
                folder.write_text("a file")

        with pytest.raises(StorageError, match="one: cannot be written"):
            be_overtaken()
        assert folder.read_text() == "a file"
        assert names(tmp_path) == ["one"]

    def test_a_place_that_cannot_be_is_a_storage_error(self, tmp_path: Path):
        (tmp_path / "file").write_text("old")
        with (
            pytest.raises(StorageError, match="cannot be written"),
            files.atomic_folder(tmp_path / "file" / "one"),
        ):
            pytest.fail("the block was entered")


class TestRequireRoom:
    def test_little_is_granted_even_where_no_folder_is_yet(self, tmp_path: Path):
        files.require_room(tmp_path / "not" / "yet", 1, "a byte")
        assert names(tmp_path) == []

    def test_too_much_is_refused_with_both_numbers(self, tmp_path: Path):
        needed = 10**18
        with pytest.raises(StorageError) as refusal:
            files.require_room(tmp_path / "not" / "yet", needed, "the cache")
        message = str(refusal.value)
        assert message.startswith(f"{tmp_path / 'not' / 'yet'}: no room for the cache: needs ")
        assert "1,000,000,000,000 MB" in message
        assert " MB are free" in message


class TestTargets:
    def test_new_names_and_old_outputs_are_free(self, tmp_path: Path):
        (tmp_path / "in").touch()
        (tmp_path / "out").touch()
        files.require_targets([tmp_path / "out", tmp_path / "a" / "b", None], [tmp_path / "in"])

    @pytest.mark.parametrize("name", ["in", "link", "folder/../in", "folder/deep/new"])
    def test_an_input_is_none(self, tmp_path: Path, name: str):
        (tmp_path / "in").touch()
        (tmp_path / "link").symlink_to("in")
        (tmp_path / "folder").mkdir()
        with pytest.raises(StorageError, match="is one of the inputs"):
            files.require_targets([tmp_path / name], [tmp_path / "in", tmp_path / "folder"])

    def test_one_name_is_not_written_twice(self, tmp_path: Path):
        with pytest.raises(StorageError, match="would be written twice"):
            files.require_targets([tmp_path / "a", tmp_path / "b" / ".." / "a"], [])

    def test_a_device_or_pipe_is_not_replaced_by_a_file(self, tmp_path: Path):
        os.mkfifo(tmp_path / "pipe")
        for path in (tmp_path / "pipe", Path("/dev/null")):
            with pytest.raises(StorageError, match="is no file and no folder"):
                files.require_targets([path], [])

    def test_a_name_too_long_is_told(self, tmp_path: Path):
        with pytest.raises(StorageError, match="cannot be written"):
            files.require_targets([tmp_path / ("x" * 300)], [])


@settings(max_examples=20, deadline=None)
@given(st.binary(max_size=300_000))
def test_hashes_of_bytes_and_of_files_agree(tmp_path_factory: pytest.TempPathFactory, data: bytes):
    path = tmp_path_factory.mktemp("hash") / "data"
    path.write_bytes(data)
    expected = hashlib.sha256(data).hexdigest()
    assert files.sha256_bytes(data) == expected
    assert files.sha256_file(path) == expected
