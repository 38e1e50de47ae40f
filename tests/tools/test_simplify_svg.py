"""The command: where results go, what the report says, what is refused, what cannot stop it."""

import json

import pytest

from bioicons_kit.icons.clean import batch as clean_batch
from bioicons_kit.svg.credit import Credit

PATH = "M10 50" + "l1.0001 .5001" * 60 + "v30z"
GOOD = (
    f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 100 100"><path fill="teal" d="{PATH}"/>'
    "</svg>"
)


@pytest.fixture
def folder(tmp_path):
    """Two drawings in the folders of the library, and one file that is none."""
    place = tmp_path / "icons" / "cc-0" / "Animals" / "Ada_Lovelace"
    place.mkdir(parents=True)
    (place / "wave_one.svg").write_text(GOOD, "utf-8")
    (place / "two.svg").write_text(GOOD.replace("teal", "navy"), "utf-8")
    return tmp_path


def test_a_folder_keeps_its_places(folder, tool, command):
    out = folder / "out"
    report = folder / "report.json"
    done = command(
        tool("simplify_svg"), folder / "icons", "--out", out, "--report", report, "--preview",
        "--workers", 1,
    )  # fmt: skip
    assert done.status == 0, done.err
    results = sorted(out.rglob("*.svg"))
    assert [str(one.relative_to(out)) for one in results] == [
        "cc-0/Animals/Ada_Lovelace/two.svg",
        "cc-0/Animals/Ada_Lovelace/wave_one.svg",
    ]
    assert all(one.stat().st_size < len(GOOD) / 4 for one in results)
    assert len(list(out.rglob("*.preview.png"))) == 2
    entries = json.loads(report.read_text("utf-8"))["files"]
    for entry in entries:
        assert entry["nodes_after"] < entry["nodes_before"]
        assert 0 <= entry["max_error"] <= entry["tolerance"] <= 0.00025
        assert min(entry["similarity"].values()) > 0.999
        assert entry["left_alone"] == {}
    again = command(tool("simplify_svg"), folder / "icons", "--out", out, "--resume")
    assert again.status == 0
    assert "nothing" in again.out


def test_one_bad_file_stops_nothing(folder, tool, command):
    bad = folder / "icons" / "bad.svg"
    bad.write_text("<svg", "utf-8")
    report = folder / "report.json"
    done = command(
        tool("simplify_svg"), folder / "icons", "--out", folder / "out", "--report", report
    )
    assert "1 of 3" in done.error
    assert "bad.svg" in done.err
    told = json.loads(report.read_text("utf-8"))
    assert len(told["files"]) == 2
    (failed,) = told["failed"]
    assert "not readable as XML" in failed["problem"]


def test_credits_come_from_options_and_folders(folder):
    source = folder / "icons" / "cc-0" / "Animals" / "Ada_Lovelace" / "wave_one.svg"
    found = clean_batch.credited(source, Credit(title="A wave"), from_folders=True)
    assert found == Credit(
        "https://creativecommons.org/publicdomain/zero/1.0/", "Ada Lovelace", "", "A wave"
    )
    assert clean_batch.credited(source, Credit(), from_folders=False) is None


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["missing.svg"], "no such file"),
        (["icons", "--out", "one.svg"], "give a folder"),
        (["icons", "--out", "icons"], "would overwrite"),
        (["icons", "--out", "small.txt"], "name a folder, or a file that ends in .svg"),
        (["icons", "--report", "icons"], "--report icons: is a folder"),
        (["icons", "--tolerance", "0"], "--tolerance"),
        (["icons", "--tolerance", "nan"], "--tolerance"),
        (["icons", "--seconds", "-1"], "--seconds"),
        (["empty"], "no .svg file"),
    ],
)
def test_what_cannot_be_done_is_refused(folder, tool, command, monkeypatch, arguments, said):
    monkeypatch.chdir(folder)
    (folder / "empty").mkdir()
    assert said in command(tool("simplify_svg"), *arguments).error
    assert not list(folder.rglob("*.simplified.svg"))
