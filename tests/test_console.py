"""What a person sees: one process speaks, and never into what is piped on."""

import pytest

from bioicons_kit import console


def test_a_line_has_its_label_in_the_margin(capsys: pytest.CaptureFixture[str]):
    console.say("icons", "44 found")
    console.say("cache", "3 reused")
    printed = capsys.readouterr()
    first, second = printed.out.splitlines()
    assert first.split() == ["icons", "44", "found"]
    assert first.index("44 found") == second.index("3 reused") == 12
    assert printed.err == ""


def test_warnings_go_to_standard_error_in_the_same_columns(capsys: pytest.CaptureFixture[str]):
    console.warn("one icon is unreadable")
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err == "warning     one icon is unreadable\n"


def test_only_the_main_process_speaks(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    for rank in ("0", "1"):
        monkeypatch.setenv("RANK", rank)
        console.say("rank", rank)
        console.warn(f"rank {rank}")
        with console.bar("rank", 2, "step") as bar:
            bar.update(2)
        assert console.is_main_process() == (rank == "0")
        printed = capsys.readouterr()
        assert ("rank        0" in printed.out) == (rank == "0")
        assert ("rank 0" in printed.err) == (rank == "0")
        assert ("2/2" in printed.err) == (rank == "0")


def test_a_bar_counts_in_its_unit_on_standard_error(capsys: pytest.CaptureFixture[str]):
    with console.bar("training", 4, "step") as bar:
        for _ in range(4):
            bar.update(1)
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "training   :" in printed.err
    assert "4/4" in printed.err
    assert "step/s" in printed.err or "s/step" in printed.err


def test_large_counts_are_scaled(capsys: pytest.CaptureFixture[str]):
    with console.bar("loading", 12_300_000, "B", scale=True) as bar:
        bar.update(12_300_000)
    assert "12.3M/12.3M" in capsys.readouterr().err


def test_a_line_does_not_tear_a_bar(capsys: pytest.CaptureFixture[str]):
    with console.bar("training", 4, "step") as bar:
        bar.update(1)
        console.say("loss", "0.5")
        bar.update(3)
    assert capsys.readouterr().out == "loss        0.5\n"


def test_paths_are_shown_as_a_person_would_type_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert console.shown(tmp_path / "runs" / "one") == "runs/one"
    assert console.shown(tmp_path.parent / "elsewhere") == str(tmp_path.parent / "elsewhere")


def test_what_a_file_holds_cannot_steer_the_terminal(capsys: pytest.CaptureFixture[str]):
    console.say("author", "Zoë\x1b[2J\nloss 0")
    console.warn("\x9b1m")
    printed = capsys.readouterr()
    assert printed.out == "author      Zoë\\x1b[2J\\x0aloss 0\n"
    assert printed.err == "warning     \\x9b1m\n"
