import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bioicons_kit.errors import LibraryError
from bioicons_kit.icons.scan import names, sidecar
from bioicons_kit.icons.scan.sidecar import Facts


def toml(root: Path, text: str) -> sidecar.Sidecar:
    (root / "licenses.toml").write_text(text, encoding="utf-8")
    return sidecar.read(root, [])


def listing(root: Path, *lines: object) -> sidecar.Sidecar:
    path = root / "metadata.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")
    return sidecar.read(root, [path])


def test_without_sidecars_nothing_is_known(tmp_path):
    assert sidecar.read(tmp_path, []).of("a.svg") == Facts()


def test_the_last_pattern_that_matches_counts_and_defaults_fill_in(tmp_path):
    said = toml(
        tmp_path,
        """
        license = "cc-by-4.0"
        author = "Jane Doe"
        author_url = "https://example.org/jane"

        [[files]]
        match = ["animals/*", "*frog.svg"]
        license = "CC0-1.0"

        [[files]]
        match = "animals/frog.svg"
        author = "Jo"
        title = "A frog"
        """,
    )
    assert said.of("x.svg") == Facts("CC-BY-4.0", "Jane Doe", "https://example.org/jane")
    assert said.of("animals/deep/x.svg").license == "CC0-1.0"
    # another author does not get the first one's address
    assert said.of("animals/frog.svg") == Facts("CC0-1.0", "Jo", None, "A frog")


def test_lines_count_more_than_patterns_and_are_relative_to_their_folder(tmp_path):
    (tmp_path / "licenses.toml").write_text('license = "MIT"\nauthor = "Jane"')
    for folder, name in (("", "a.svg"), ("train/", "a.svg"), ("train/", "./b/c.svg")):
        path = tmp_path / folder / "metadata.jsonl"
        path.parent.mkdir(exist_ok=True)
        with path.open("a") as file:
            file.write(json.dumps({"file_name": name, "title": f"{folder}{name}"}) + "\n\n")
    said = sidecar.read(tmp_path, [*tmp_path.rglob("metadata.jsonl")])
    assert said.of("a.svg") == Facts("MIT", "Jane", title="a.svg")
    assert said.of("train/a.svg").title == "train/a.svg"
    assert said.of("train/b/c.svg").title == "train/./b/c.svg"


@pytest.mark.parametrize(
    ("entry", "text"),
    [
        ({"text": "a  frog\n"}, "a frog"),
        ({"caption": "a frog"}, "a frog"),
        ({"text": "a frog", "texts": ["a frog", "", 3, "a green\nfrog"]}, "a frog\na green frog"),
        ({"texts": "no list"}, None),
        ({"text": 7}, None),
    ],
)
def test_captions_are_one_a_line(tmp_path, entry, text):
    assert listing(tmp_path, {"file_name": "x.png", **entry}).of("x.png").text == text


def test_lines_of_other_programs_are_read_for_what_they_say(tmp_path):
    said = listing(
        tmp_path,
        {"file_name": "x.png", "license": "", "author": None, "width": 3, "source_url": "x y"},
    )
    assert said.of("x.png") == Facts()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("license", "is no TOML"),
        ("x = " + "[" * 100_000, "is no TOML|nested too deeply"),
        ('licence = "MIT"', "unknown key licence; did you mean license"),
        ('license = "mine"', "licenses.toml: unknown license 'mine'"),
        ("license = 3", "license must be text"),
        ('author = " "', "author must be text"),
        ('author_url = "javascript:x"', "author_url must be a web address"),
        ('files = "x"', r"\[\[files\]\]"),
        ('[[files]]\nlicense = "MIT"', r"\[\[files\]\] 0: match must be a pattern"),
        ("[[files]]\nmatch = []", "match must be a pattern"),
        ("[[files]]\nmatch = [3]", "match must be a pattern"),
        ('[[files]]\nmatch = "x"\nlicense = "mine"', r"\[\[files\]\] 0: unknown license"),
    ],
)
def test_mistakes_of_who_wrote_it_are_told(tmp_path, text, message):
    with pytest.raises(LibraryError, match=message) as caught:
        toml(tmp_path, text)
    assert "licenses.toml" in str(caught.value)


@pytest.mark.parametrize("line", ["{", "[]", '{"text": "x"}', '{"file_name": 3}', "[" * 100_000])
def test_damaged_line_is_named(tmp_path, line):
    path = tmp_path / "metadata.jsonl"
    path.write_text(f'{{"file_name": "a.svg"}}\n{line}\n')
    with pytest.raises(LibraryError, match=r"metadata.jsonl, line 2: "):
        sidecar.read(tmp_path, [path])


@pytest.mark.skipif(os.name == "nt", reason="Windows has no pipes among files")
def test_pipes_and_links_out_are_refused(tmp_path):
    root = tmp_path / "root"
    root.mkdir()
    os.mkfifo(root / "licenses.toml")
    with pytest.raises(LibraryError, match="is no file"):
        sidecar.read(root, [])
    (root / "licenses.toml").unlink()
    (tmp_path / "x").write_text('license = "MIT"')
    (root / "licenses.toml").symlink_to(tmp_path / "x")
    with pytest.raises(LibraryError, match="leads out of the library"):
        sidecar.read(root, [])


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=())),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=4,
)


@given(st.dictionaries(st.sampled_from([*sidecar._KEYS, "texts", "caption"]), VALUES))
def test_whatever_a_line_says_can_be_written_down(tmp_path_factory, entry):
    said = listing(tmp_path_factory.mktemp("listing"), {**entry, "file_name": "x.svg"}).of("x.svg")
    for value in vars(said).values():
        if value is not None:
            assert all(line and names.is_writable(line) for line in value.split("\n"))


@pytest.mark.parametrize("license_", [["CC-BY-SA-4.0"], 4, {"id": "MIT"}, False])
def test_a_license_that_is_no_text_does_not_give_way_to_the_default(tmp_path, license_):
    (tmp_path / "licenses.toml").write_text('license = "CC0-1.0"')
    said = listing(tmp_path, {"file_name": "a.svg", "license": license_, "author": 3})
    assert said.of("a.svg") == Facts(license=str(license_))
    said = listing(tmp_path, {"file_name": "a.svg", "license": None})
    assert said.of("a.svg") == Facts(license="CC0-1.0")


def test_what_is_said_of_no_file_is_told(tmp_path, capsys):
    (tmp_path / "licenses.toml").write_text(
        'license = "MIT"\n[[files]]\nmatch = ["animals/*", "anmials/*"]\nlicense = "CC0-1.0"'
    )
    said = listing(tmp_path, {"file_name": "animals/a.svg"}, {"file_name": "animals/b.svg\n"})
    said.tell_unused({"animals/a.svg"})
    told = capsys.readouterr().err
    assert "metadata.jsonl: 1 of its 2 lines are of no file that is here" in told
    assert "animals/b.svg\\n" in told
    assert "the pattern anmials/* matches no file" in told
    assert "pattern animals/*" not in told
