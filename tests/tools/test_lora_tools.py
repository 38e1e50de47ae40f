"""The LoRA tools by their command lines: what they print and write, and what they refuse."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from lxml import etree
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from bioicons_kit.lora import formats
from bioicons_kit.lora.formats import Layer

Q = "transformer.transformer_blocks.0.attn.to_q"
MLP = "transformer.single_transformer_blocks.5.proj_mlp"
SHAPES = {Q: (192, 192), MLP: (768, 192)}  # the starter's


def layers(seed: int, names: tuple[str, ...] = (Q, MLP)) -> dict[str, Layer]:
    generator = torch.Generator().manual_seed(seed)
    return {
        name: Layer(
            torch.randn(4, SHAPES[name][1], generator=generator) / 10,
            torch.randn(SHAPES[name][0], 4, generator=generator) / 10,
            2.0,
        )
        for name in names
    }


@pytest.fixture
def a(tmp_path: Path) -> Path:
    """A LoRA in kohya's layout with licenses in its header."""
    header = {
        "bioicons_kit.training_licenses": json.dumps({"CC-BY-SA-4.0": 2}),
        "bioicons_kit.training_authors": json.dumps(["Zoë"]),
        "modelspec.architecture": "flux-1-dev/lora",
    }
    return formats.write(tmp_path / "a.safetensors", layers(1), "kohya", header)


@pytest.fixture
def b(tmp_path: Path) -> Path:
    """A LoRA in diffusers' layout."""
    header = {"bioicons_kit.training_licenses": json.dumps({"CC0-1.0": 3})}
    return formats.write(tmp_path / "b.safetensors", layers(2, (Q,)), "diffusers", header)


def test_inspect_tells_what_the_file_is(command: Any, tool: Any, a: Path, tmp_path: Path) -> None:
    done = command(tool("inspect_lora"), a, "--modules", "--metadata", "--map", tmp_path / "a.svg")
    assert done.status == 0, done.err
    for line in (
        "layout      kohya",
        "model       FLUX.1",
        "modules     2, 0 with DoRA",
        "ranks       4 (2)",
        "alphas      2 (2)",
        "licenses    CC-BY-SA-4.0 (2)",
        "authors     Zoë",
        "hash        modelspec.hash_sha256 is right",
        "header      modelspec.architecture = flux-1-dev/lora",
    ):
        assert line in done.out.splitlines()
    effect = float(layers(1)[Q].delta().norm())
    assert f"{Q}\t192x192\t4\t2\t{effect:.6g}\tFalse" in done.out.splitlines()
    svg = etree.fromstring((tmp_path / "a.svg").read_bytes())
    titles = [title.text for title in svg.iter("{http://www.w3.org/2000/svg}title")]
    assert len(titles) == 2
    assert any(Q in title for title in titles)


def test_inspect_tells_when_the_data_were_changed(command: Any, tool: Any, a: Path) -> None:
    content = bytearray(a.read_bytes())
    content[-2] ^= 1
    a.write_bytes(content)
    done = command(tool("inspect_lora"), a)
    assert "modelspec.hash_sha256 is WRONG" in done.out


def test_the_map_escapes_what_a_file_is_called(
    command: Any, tool: Any, a: Path, tmp_path: Path
) -> None:
    odd = a.rename(tmp_path / "a<&b.safetensors")
    assert command(tool("inspect_lora"), odd, "--map", tmp_path / "m.svg").status == 0
    etree.fromstring((tmp_path / "m.svg").read_bytes())


@pytest.mark.parametrize("to", ["diffusers", "kohya", "bfl"])
def test_convert_writes_the_same_update(
    command: Any, tool: Any, a: Path, tmp_path: Path, to: str
) -> None:
    done = command(tool("convert_lora"), a, "--to", to, "--out", tmp_path / "c")
    assert done.status == 0, done.err
    found = formats.read(tmp_path / "c")
    assert found.layouts[0] == to
    for name, layer in layers(1).items():
        assert torch.allclose(found.layers[name].delta(), layer.delta(), atol=1e-6)
    assert json.loads(found.metadata["bioicons_kit.training_authors"]) == ["Zoë"]


def test_convert_folds_alpha_where_asked_to(
    command: Any, tool: Any, a: Path, tmp_path: Path
) -> None:
    main = tool("convert_lora")
    options = ("--to", "kohya", "--fold-alpha", "--dtype", "bf16", "--out", tmp_path / "c")
    assert command(main, a, *options).status == 0
    content = load_file(tmp_path / "c")
    stem = "lora_unet_double_blocks_0_img_attn_qkv"
    assert content[f"{stem}.alpha"] == content[f"{stem}.lora_down.weight"].shape[0]
    assert content[f"{stem}.lora_up.weight"].dtype == torch.bfloat16
    line = command(main, a, "--to", "bfl", "--fold-alpha", "--out", tmp_path / "d").err
    assert "--fold-alpha is for kohya" in line


def test_resize_keeps_to_what_was_asked(command: Any, tool: Any, a: Path, tmp_path: Path) -> None:
    main = tool("resize_lora")
    out, report = tmp_path / "r.safetensors", tmp_path / "r.tsv"
    done = command(main, a, "--rank", "2", "--out", out, "--report", report)
    assert done.status == 0, done.err
    assert "ranks       2 (2)" in done.out
    lines = [line.split("\t") for line in report.read_text("utf-8").splitlines()]
    assert lines[0] == ["module", "rank before", "rank", "effect", "error"]
    for name, before, rank, effect, error in lines[1:]:
        assert (before, rank) == ("4", "2")
        exact = layers(1)[name].delta()
        difference = formats.read(out).layers[name].delta() - exact
        assert float(difference.norm()) == pytest.approx(float(effect) * float(error), rel=1e-3)
    assert command(main, a, "--error", "0.01", "--out", out).status == 0
    assert "say how small" in command(main, a, "--out", out).err
    for bad in (("--rank", "0"), ("--energy", "1.5"), ("--error", "x")):
        assert command(main, a, *bad, "--out", out).status == 2


def test_merge_into_one_unites_effects_and_credits(
    command: Any, tool: Any, a: Path, b: Path, tmp_path: Path
) -> None:
    out, report = tmp_path / "c.safetensors", tmp_path / "c.tsv"
    arguments = ("--lora", f"{a}:0.8", "--lora", f"{b}:-0.4", "--blocks", "2=double.0:0.5")
    done = command(
        tool("merge_lora"), *arguments, "--out", out, "--to", "kohya", "--report", report
    )
    assert done.status == 0, done.err
    assert "asks that adaptations be shared under it" in done.err
    found = formats.read(out)
    expected = 0.8 * layers(1)[Q].delta() - 0.2 * layers(2)[Q].delta()
    assert torch.allclose(found.layers[Q].delta(), expected, atol=1e-6)
    assert torch.allclose(found.layers[MLP].delta(), 0.8 * layers(1)[MLP].delta(), atol=1e-6)
    licenses = json.loads(found.metadata["bioicons_kit.training_licenses"])
    assert licenses == {"CC-BY-SA-4.0": 2, "CC0-1.0": 3}
    origins = json.loads(found.metadata["bioicons_kit.merged_from"])
    assert [(each["name"], each["weight"]) for each in origins] == [(a.name, 0.8), (b.name, -0.4)]
    assert str(tmp_path) not in " ".join(found.metadata.values())
    assert report.read_text("utf-8").startswith("module\trank\teffect\terror\n")


@pytest.mark.parametrize("method", ["svd", "ties", "dare"])
def test_every_method_gives_the_rank_and_the_same_bytes_again(
    command: Any, tool: Any, a: Path, b: Path, tmp_path: Path, method: str
) -> None:
    for out in ("1", "2"):
        arguments = ("--lora", a, "--lora", b, "--method", method, "--rank", 3)
        done = command(tool("merge_lora"), *arguments, "--out", tmp_path / out)
        assert done.status == 0, done.err
        assert "2 modules, rank 3" in done.out
    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()


def test_merge_into_a_model_and_out_of_it_again(
    command: Any, tool: Any, a: Path, b: Path, starter_folder: Path, tmp_path: Path
) -> None:
    out, report = tmp_path / "merged", tmp_path / "m.tsv"
    options = ("--base", starter_folder, "--dtype", "fp32", "--report", report)
    done = command(tool("merge_lora"), "--lora", f"{a}:0.5", "--lora", b, *options, "--out", out)
    assert done.status == 0, done.err
    assert "reopened and checked" in done.out
    assert "rounding    at worst" in done.out
    assert len(report.read_text("utf-8").splitlines()) == 3
    path = out / "transformer" / "diffusion_pytorch_model.safetensors"
    with safe_open(path, "pt") as file:
        merged = json.loads(file.metadata()["bioicons_kit.merged_from"])
    assert [each["weight"] for each in merged] == [0.5, 1.0]

    lora = tmp_path / "x.safetensors"
    options = ("--base", starter_folder, "--tuned", out, "--rank", 8, "--out", lora)
    done = command(tool("extract_lora"), *options, "--report", report)
    assert done.status == 0, done.err
    assert re.search(r"\b2 of 1\d\d differ", done.out)
    found = formats.read(lora).layers
    expected = 0.5 * layers(1)[Q].delta() + layers(2)[Q].delta()
    assert torch.allclose(found[Q].delta(), expected, atol=1e-5)


@pytest.fixture
def wide(tmp_path: Path) -> Path:
    """A LoRA for FLUX.1's real width."""
    layer = Layer(torch.ones(2, 3072), torch.ones(3072, 2), 2.0)
    return formats.write(tmp_path / "wide.safetensors", {Q: layer}, "diffusers", {})


@pytest.fixture
def far(tmp_path: Path) -> Path:
    """A LoRA for the starter, of which one module is in a block it has not."""
    more = {Q.replace("blocks.0", "blocks.9"): layers(3)[Q], **layers(3)}
    return formats.write(tmp_path / "far.safetensors", more, "diffusers", {})


@pytest.mark.parametrize(
    ("lora", "said"),
    [
        ("wide", r"made for another model: 'transformer.transformer_blocks.0.attn.to_q'"),
        ("far", r"1 of the LoRA's 3 modules are not in it: 'transformer.transformer_blocks.9"),
    ],
)
def test_a_lora_that_does_not_fit_the_base_leaves_no_output(
    command: Any, tool: Any, starter_folder: Path, tmp_path: Path,
    request: pytest.FixtureRequest, lora: str, said: str,
) -> None:  # fmt: skip
    path = request.getfixturevalue(lora)
    options = ("--base", starter_folder, "--out", tmp_path / "m")
    done = command(tool("merge_lora"), "--lora", path, *options)
    assert said in done.error
    assert not (tmp_path / "m").exists()
    if lora == "far":
        done = command(tool("merge_lora"), "--lora", path, *options, "--ignore-unmatched")
        assert done.status == 0
        assert "left out, not in the model: transformer.transformer_blocks.9" in done.err


def test_no_match_and_a_quantized_base_leave_no_output(
    command: Any, tool: Any, a: Path, starter_folder: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other.safetensors"
    save_file({"double_blocks.3.img_mlp.0.weight": torch.ones(8, 2)}, other)
    out = tmp_path / "m.safetensors"
    line = command(tool("merge_lora"), "--lora", a, "--base", other, "--out", out).error
    assert "none of the LoRA's modules is in it: " in line
    assert Q in line
    save_file({"single_blocks.5.linear1.weight": torch.ones(1344, 192).to(torch.int8)}, other)
    line = command(tool("merge_lora"), "--lora", a, "--base", other, "--out", out).error
    assert "'single_blocks.5.linear1.weight' is I8" in line
    assert "merge into the bf16 or fp16 original" in line
    assert not out.exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--rank", "4"), "--rank does not apply to concat"),
        (("--density", "0.5"), "--density does not apply to concat"),
        (("--seed", "1"), "--seed does not apply to concat"),
        (("--rounding", "nearest"), "--rounding does not apply to concat"),
        (("--dtype", "fp8"), "--dtype fp8 does not apply to concat"),
        (("--method", "svd"), "--method svd needs --rank"),
        (("--method", "svd", "--rank", "2", "--density", "0.5"), "--density does not apply to svd"),
        (("--base", "x", "--method", "svd"), "--method does not apply to --base"),
        (("--base", "x", "--to", "kohya"), "--to does not apply to --base"),
        (("--base", "x", "--rank", "3"), "--rank does not apply to --base"),
        (("--base", "x", "--seed", "3"), "--seed does not apply to --base"),
        (("--blocks", "2=mid:0"), "begin with the number of its --lora (1 to 1)"),
        (("--blocks", "mid:0"), "begin with the number"),
        (("--blocks", "1=up.0:0"), "has no such blocks; it has double, single"),
        (("--density", "2"), "no share above 0"),
    ],
)
def test_options_that_cannot_apply_are_refused(
    command: Any, tool: Any, a: Path, tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    out = tmp_path / "c.safetensors"
    line = command(tool("merge_lora"), "--lora", a, "--out", out, *arguments).error
    assert said in line
    assert not out.exists()


def test_an_input_is_never_written_over(command: Any, tool: Any, a: Path, b: Path) -> None:
    before = a.read_bytes()
    line = command(tool("merge_lora"), "--lora", a, "--lora", b, "--out", a).error
    assert "is one of the inputs" in line
    assert a.read_bytes() == before


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("inspect_lora", ["A", "--map", "A"]),
        ("convert_lora", ["A", "--to", "kohya", "--out", "A"]),
        ("resize_lora", ["A", "--rank", "1", "--out", "A"]),
        ("resize_lora", ["A", "--rank", "1", "--out", "NEW", "--report", "A"]),
        ("merge_lora", ["--lora", "A", "--out", "NEW", "--report", "A"]),
        ("merge_lora", ["--lora", "A", "--base", "BASE", "--out", "NEW", "--report", "A"]),
        ("merge_lora", ["--lora", "A", "--base", "BASE", "--out", "BASE/new"]),
        ("extract_lora", ["--base", "BASE", "--tuned", "A", "--rank", "1", "--out", "A"]),
        ("extract_lora", ["--base", "BASE", "--tuned", "A", "--rank", "1", "--out", "BASE/new"]),
    ],
)
def test_no_output_goes_where_an_input_is(
    command: Any, tool: Any, a: Path, starter_folder: Path, tmp_path: Path,
    name: str, arguments: list[str],
) -> None:  # fmt: skip
    before, there = a.read_bytes(), sorted(tmp_path.iterdir())
    paths = {"A": str(a), "NEW": str(tmp_path / "new"), "BASE": str(starter_folder)}
    given = [paths.get(word, word.replace("BASE", paths["BASE"])) for word in arguments]
    assert "is one of the inputs" in command(tool(name), *given).error
    assert a.read_bytes() == before
    assert sorted(tmp_path.iterdir()) == there
    assert not (starter_folder / "new").exists()


def test_a_merge_that_no_reader_would_take_is_not_written(
    command: Any, tool: Any, a: Path, tmp_path: Path
) -> None:
    out = tmp_path / "c.safetensors"
    given = ("--lora", f"{a}:1000000", "--out", out)
    done = command(tool("merge_lora"), *given, "--blocks", "1=double.*:1000000")
    assert "is a weight too large?" in done.error
    assert not out.exists()
    assert command(tool("merge_lora"), *given).status == 0
    assert command(tool("inspect_lora"), out).status == 0


def test_a_file_cannot_steer_the_terminal(command: Any, tool: Any, tmp_path: Path) -> None:
    bad = tmp_path / "bad.safetensors"
    save_file({"\x1b[2J.lora_A.weight": torch.ones(1)}, bad, {"a": "\x1b]0;owned\x07"})
    done = command(tool("inspect_lora"), bad, "--metadata")
    assert r"'\x1b[2J.lora_A.weight'" in done.error
    good = formats.write(tmp_path / "a\x1b[2J", layers(1), "kohya", {"a": "\x1b]0;owned\x07"})
    done = command(tool("inspect_lora"), good, "--metadata", "--map", tmp_path / "a.svg")
    assert r"a = \x1b]0;owned\x07" in done.out
    assert "\x1b" not in done.out + done.err
    etree.parse(tmp_path / "a.svg")


@pytest.mark.parametrize("name", ["inspect_lora", "convert_lora", "resize_lora", "merge_lora"])
def test_a_file_that_is_no_lora_is_one_line(
    command: Any, tool: Any, name: str, tmp_path: Path
) -> None:
    bad = tmp_path / "bad.safetensors"
    bad.write_bytes((40 * 10**9).to_bytes(8, "little") + b"{}")
    out = tmp_path / "out.safetensors"
    arguments: dict[str, tuple[object, ...]] = {
        "inspect_lora": (bad,),
        "convert_lora": (bad, "--to", "kohya", "--out", out),
        "resize_lora": (bad, "--rank", 2, "--out", out),
        "merge_lora": ("--lora", bad, "--out", out),
    }
    line = command(tool(name), *arguments[name]).error
    assert "its header claims 40,000,000,000 bytes" in line
    assert not out.exists()


def test_odd_keys_are_named_and_can_be_left_out(
    command: Any, tool: Any, b: Path, tmp_path: Path
) -> None:
    odd = tmp_path / "odd.safetensors"
    save_file({**load_file(b), "odd.key": torch.ones(1)}, odd)
    out = tmp_path / "out.safetensors"
    arguments = (odd, "--to", "kohya", "--out", out)
    assert "'odd.key'; --ignore-unmatched" in command(tool("convert_lora"), *arguments).error
    assert not out.exists()
    done = command(tool("convert_lora"), *arguments, "--ignore-unmatched")
    assert done.status == 0
    assert "left out: odd.key" in done.err
