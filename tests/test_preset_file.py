"""Preset files: paths, --set, one-line errors, writing, the schema, and the shipped presets."""

import json
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bioicons_kit.errors import PresetError
from bioicons_kit.preset import Preset
from bioicons_kit.preset_file import dumps, json_schema, load

REPOSITORY = Path(__file__).resolve().parent.parent

LEAST = """\
[model]
path = "starter"

[dataset]
root = "shipped"
trigger = "bioicon style"

[[dataset.buckets]]
category = "Animals"

[[dataset.buckets]]
"""

# One folder serves all examples of a property: each example overwrites its file.
same_folder = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def preset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A valid preset, `presets/x.toml` as seen from the working directory."""
    monkeypatch.chdir(tmp_path)
    path = Path("presets/x.toml")
    path.parent.mkdir()
    path.write_text(LEAST, encoding="utf-8")
    return path


def complaint(path: Path, *overrides: str) -> str:
    with pytest.raises(PresetError) as caught:
        load(path, overrides)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def complaint_about(path: Path, text: str) -> str:
    path.write_text(text, encoding="utf-8")
    return complaint(path)


# --- paths and names


def test_paths_in_the_file_start_at_the_preset(preset: Path, tmp_path: Path):
    preset.write_text(
        LEAST.replace('"starter"', '"./starter"').replace('"shipped"', '"../icons"')
        + '[cache]\nroot = "c"\n[output]\nroot = "/r"\n'
    )
    loaded = load(preset)
    assert loaded.model.path == str(tmp_path / "presets" / "starter")
    assert loaded.dataset.root == str(tmp_path / "icons")
    assert loaded.cache.root == str(tmp_path / "presets" / "c")
    assert loaded.output.root == "/r"


def test_paths_on_the_command_line_start_at_the_working_directory(preset: Path, tmp_path: Path):
    loaded = load(preset, ["dataset.root=icons", "cache={root = 'c'}", "model.path=./m"])
    assert loaded.dataset.root == str(tmp_path / "icons")
    assert loaded.cache.root == str(tmp_path / "c")
    assert loaded.model.path == str(tmp_path / "m")


def test_caches_and_runs_lie_in_the_working_directory_by_default(preset: Path, tmp_path: Path):
    loaded = load(preset)
    assert (loaded.model.path, loaded.dataset.root) == ("starter", "shipped")
    assert loaded.cache.root == str(tmp_path / "cache")
    assert loaded.output.root == str(tmp_path / "runs")


def test_home_is_expanded(preset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    loaded = load(preset, ["dataset.root=~/icons", "model.path=~nobody-of-this-name/flux"])
    assert loaded.dataset.root == str(tmp_path / "home" / "icons")
    assert loaded.model.path == str(tmp_path / "~nobody-of-this-name" / "flux")


def test_owner_slash_name_is_a_hub_id_unless_it_is_a_folder(preset: Path, tmp_path: Path):
    hub = ["model.path=owner/name", "model.revision=main", "model.variant=bf16"]
    assert load(preset, hub).model.path == "owner/name"
    (tmp_path / "owner" / "name").mkdir(parents=True)
    assert load(preset, ["model.path=owner/name"]).model.path == str(tmp_path / "owner" / "name")
    assert "revision cannot apply" in complaint(preset, *hub)


def test_a_plain_word_is_a_folder(preset: Path, tmp_path: Path):
    assert load(preset, ["model.path=flux"]).model.path == str(tmp_path / "flux")


def test_a_preset_is_named_after_its_file_or_its_output(preset: Path):
    assert load(preset).name == load(preset).output.name == "x"
    assert load(preset, ["output.name=first-try"]).name == "first-try"
    odd = preset.rename(preset.with_name(".a b & c.toml"))
    assert load(odd).name == "a-b-c"


# --- the file as a whole


def test_a_missing_preset_lists_those_that_are_there(preset: Path):
    preset.with_name("quickstart.toml").write_text(LEAST)
    text = complaint(Path("presets/quickstrat.toml"))
    assert text == (
        "presets/quickstrat.toml: no such preset; presets here: quickstart.toml, x.toml"
    )
    assert complaint(Path("quickstart")) == (
        "quickstart: no such preset; presets in the folder presets: quickstart.toml, x.toml"
    )
    assert complaint(Path("nowhere/x.toml")).endswith("there is no folder nowhere")


def test_a_long_list_of_presets_is_cut_and_an_empty_one_said(preset: Path, tmp_path: Path):
    for number in range(20):
        preset.with_name(f"p{number}.toml").touch()
    assert complaint(Path("presets/zzz.toml")).endswith("and 13 more")
    (tmp_path / "empty").mkdir()
    assert "there are no presets in" in complaint(Path("empty/x.toml"))


def test_a_folder_is_no_preset(preset: Path):
    assert complaint(Path("presets")) == (
        "presets: is a folder, not a preset; presets here: x.toml"
    )


def test_what_cannot_be_opened_is_named(preset: Path):
    assert complaint(preset / "y.toml") == "presets/x.toml/y.toml: cannot be read (Not a directory)"
    assert "cannot be read (embedded null byte)" in complaint(Path("a\0b"))


def test_text_in_another_encoding_is_refused_with_its_line(preset: Path):
    preset.write_bytes(b"# one\n# caf\xe9\n")
    assert complaint(preset) == "presets/x.toml: line 2: not UTF-8 text; save the file as UTF-8"


def test_a_byte_order_mark_and_windows_line_ends_are_no_problem(preset: Path):
    preset.write_bytes(b"\xef\xbb\xbf" + LEAST.replace("\n", "\r\n").encode())
    assert load(preset).dataset.buckets[0].category == ("Animals",)


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("[model]\npath = starter\n", "line 2, column 8: invalid value (text needs double quotes)"),
        ("[model]\npath 3\n", "line 2, column 6: expected '='"),
        ("a = 1\nb = [", "line 2, column 6: "),
        ("[train]\n[train]\n", "line 2, column 7: cannot declare"),
    ],
)
def test_bad_toml_is_reported_with_line_and_column(preset: Path, text: str, where: str):
    assert complaint_about(preset, text).startswith(f"presets/x.toml: {where}")


def test_toml_that_overwhelms_the_parser_is_reported_too(preset: Path):
    assert "presets/x.toml: " in complaint_about(preset, "a = " + "[" * 20_000)
    assert "not TOML" in complaint_about(preset, "a = " + "9" * 5000)
    huge = complaint_about(preset, LEAST + "[train]\nsteps = 0x" + "f" * 5000)
    assert huge == "presets/x.toml: [train]: steps = a huge number must be at most 1000000"


# --- keys and tables


def test_a_misspelt_key_in_a_bucket_is_named_with_its_index_from_0(preset: Path):
    assert complaint_about(preset, LEAST + "repeat = 2\n") == (
        "presets/x.toml: [dataset.buckets][1]: unknown key 'repeat', did you mean 'repeats'?"
    )


@pytest.mark.parametrize(
    ("added", "says"),
    [
        ("[trian]\n", "unknown table [trian], did you mean [train]?"),
        ("[[bucket]]\n", "unknown table [bucket], did you mean [[dataset.buckets]]?"),
        ("[zzz]\n", "unknown table [zzz]; tables: [model], [dataset], [cache], [lora], [memory], "),
        ("['z z']\n", "unknown table 'z z'; tables: "),
        ("[train]\nRank = 3\n", "[train]: unknown key 'Rank'; keys: steps, batch_size, "),
        ("[train]\nrank = 3\n", "[train]: unknown key 'rank'; it belongs in [lora]"),
        ("[train]\nStep = 3\n", "[train]: unknown key 'Step', did you mean 'steps'?"),
        ("[train]\nsteps.x = 3\n", "[train]: steps must be an integer, not a table"),
        ("[train]\nsteps = [3]\n", "[train]: steps must be an integer, not a list"),
        ("[train]\nsteps = 2001-01-01\n", "[train]: steps = 2001-01-01 must be an integer"),
        ("[train]\nsteps = 'many'\n", "[train]: steps = 'many' must be an integer"),
        ("[[train]]\n", "[train]: must be a table"),
        ("[sample]\nprompts = ['a', 3]\n", "[sample]: prompts[1] = 3 must be a string"),
        ("[model.x]\n", "[model]: unknown key 'x'; keys: family, path, "),
    ],
)
def test_what_does_not_belong_is_named(preset: Path, added: str, says: str):
    assert complaint_about(preset, LEAST + added).startswith(f"presets/x.toml: {says}")


def test_keys_before_the_first_table_are_sent_to_one(preset: Path):
    assert complaint_about(preset, "steps = 3\n" + LEAST) == (
        "presets/x.toml: key 'steps' stands outside the tables; it belongs in [train] or [sample]"
    )
    assert "it belongs in one of [model], " in complaint_about(preset, "zzz = 3\n" + LEAST)


@pytest.mark.parametrize(
    ("removed", "says"),
    [
        ('path = "starter"', "[model]: key 'path' is missing (Model to fine-tune: "),
        ('[model]\npath = "starter"', "table [model] is missing (The diffusion model"),
        ('root = "shipped"', "[dataset]: key 'root' is missing (Icon library: "),
    ],
)
def test_what_is_missing_is_named_and_described(preset: Path, removed: str, says: str):
    text = complaint_about(preset, LEAST.replace(removed, ""))
    assert text.startswith(f"presets/x.toml: {says}")


def test_buckets_are_a_list_of_tables(preset: Path):
    start = LEAST[: LEAST.index("[[")]
    assert "table [[dataset.buckets]] is missing" in complaint_about(preset, start)
    assert "[[dataset.buckets]]" in complaint_about(preset, start + "[dataset.buckets]\n")
    none = complaint_about(preset, start + "buckets = []\n")
    assert none == "presets/x.toml: [dataset.buckets]: must have at least one entry"
    three = complaint_about(preset, start + "buckets = [3]\n")
    assert three == "presets/x.toml: [dataset.buckets][0]: must be a table"


def test_of_several_problems_the_first_is_told_and_the_rest_counted(preset: Path):
    text = complaint_about(preset, LEAST + "[train]\nsteps = 'x'\nseed = -1\n[lora]\nrnak = 3\n")
    assert text == ("presets/x.toml: [lora]: unknown key 'rnak', did you mean 'rank'? (and 2 more)")


# --- overrides


def test_overrides_are_toml_values_or_bare_strings(preset: Path):
    loaded = load(
        preset,
        [
            "train.steps=20",
            "train.learning_rate = 1e-3",
            "memory.checkpointing=false",
            "dataset.trigger=flat icon",
            'dataset.caption="{trigger}: {name}"',
            "dataset.background=#ABCDEF",
            "sample.prompts=['a', 'b=c']",
            "dataset.buckets.1.limit=5",
            "train.steps=30",
        ],
    )
    assert (loaded.train.steps, loaded.train.learning_rate) == (30, 1e-3)
    assert loaded.memory.checkpointing == "none"
    assert (loaded.dataset.trigger, loaded.dataset.caption) == ("flat icon", "{trigger}: {name}")
    assert loaded.dataset.background == "#abcdef"
    assert loaded.sample.prompts == ("a", "b=c")
    assert [bucket.limit for bucket in loaded.dataset.buckets] == [None, 5]


def test_an_override_can_mend_the_file(preset: Path):
    preset.write_text(LEAST.replace('path = "starter"', "") + "[train]\nsteps = 0\n")
    assert load(preset, ["model.path=starter", "train.steps=5"]).train.steps == 5


def test_a_value_cannot_smuggle_in_other_keys(preset: Path):
    assert load(preset, ["dataset.trigger=1\nx=2"]).dataset.trigger == "1\nx=2"


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("train.stpes=20", "[train]: unknown key 'stpes', did you mean 'steps'?"),
        ("train.steps=many", "[train]: steps = 'many' must be an integer"),
        ("train.learning_rate=5.0", "[train]: learning_rate = 5.0 must be at most 1"),
        ("train.learning_rate=nan", "[train]: learning_rate = nan must be a finite number"),
        ("dataset.trigger=2024", "[dataset]: trigger = 2024 must be a string (in double quotes)"),
        ("dataset.trigger=", "[dataset]: trigger is empty, but the caption template uses"),
        ("train.warmup_steps=1000", "[train]: warmup_steps = 1000 must be below steps = 1000"),
        ("dataset.buckets.1.limit=0", "[dataset.buckets][1]: limit = 0 must be at least 1"),
        ("dataset.buckets.2.limit=1", "dataset.buckets is a list; its entries are 0 to 1, not '2'"),
        ("dataset.buckets.x.limit=1", "dataset.buckets is a list; its entries are 0 to 1, not 'x'"),
        ("dataset.buckets.²=1", "dataset.buckets is a list; its entries are 0 to 1, not '²'"),
        ("dataset.root.x=1", "dataset.root is no table, so it has no key 'x'"),
        ("trian.steps=20", "unknown table [trian], did you mean [train]?"),
        ("train=20", "train is a table; set one of its keys: --set train.KEY=VALUE"),
        ("train.steps", "needs a value: --set train.steps=VALUE"),
        ("=20", "needs a key such as train.steps before the '='"),
        ("train..steps=20", "needs a key such as train.steps before the '='"),
    ],
)
def test_a_bad_override_is_blamed_itself(preset: Path, override: str, says: str):
    assert complaint(preset, override).startswith(f"--set {override}: {says}")


def test_the_file_is_blamed_for_what_no_override_touched(preset: Path):
    preset.write_text(LEAST + "[train]\nseed = -1\n")
    assert complaint(preset, "train.steps=5").startswith("presets/x.toml: [train]: seed = -1")


def test_odd_and_long_overrides_are_quoted_on_one_line(preset: Path):
    assert complaint(preset, "train.a\nb=1").startswith(r"--set 'train.a\nb=1': [train]: unknown")
    assert (
        complaint(preset, "train.\udc80=1") == r"--set 'train.\udc80=1': is not valid Unicode text"
    )
    assert complaint(preset, "\n") == r"--set '\n': needs a value: --set '\n'=VALUE"
    assert "\\n" in complaint(preset, "a\nb=3", "a\nb.c=4")
    assert len(complaint(preset, "train.steps=" + "x" * 10_000)) < 200
    assert "is a list; its entries are none" in complaint(
        preset, "dataset.buckets=[]", "dataset.buckets.0.limit=1"
    )


# --- writing


words = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
lists = st.lists(words, max_size=3)
folders = st.text("abc /.é\\\"'", max_size=10).map(lambda text: f"/{text}")
seeds = st.integers(0, 2**32 - 1)
sides = st.integers(4, 128).map(lambda units: 16 * units)


def some(required: dict[str, Any] | None = None, **optional: Any) -> st.SearchStrategy[Any]:
    return st.fixed_dictionaries(required or {}, optional=optional)


buckets = some(
    category=lists,
    license=lists,
    author=lists,
    name=lists,
    exclude=lists,
    repeats=st.integers(1, 1000),
    limit=st.integers(1),
)
presets = some(
    {
        "model": st.one_of(
            some(
                {"path": st.just("owner/name.x")}, revision=st.just("v1"), variant=st.just("bf16")
            ),
            some({"path": folders}, max_sequence_length=st.integers(16, 512)),
            st.just({"path": "starter"}),
        ),
        "dataset": some(
            {
                "root": folders | st.just("shipped"),
                "trigger": words.map(lambda text: f"t{text}"),
                "buckets": st.lists(buckets, min_size=1, max_size=3),
            },
            caption=st.sampled_from(["{name}", '\\ "{trigger}"\n\x00\x7f\x85', "é'''"]),
            resolution=sides,
            background=st.sampled_from(["white", "#00FFaa"]),
            margin=st.floats(0, 0.4),
        ),
        "output": some({"name": st.from_regex(r"[a-z0-9_-][a-z0-9._-]{0,9}", fullmatch=True)}),
    },
    cache=some(root=folders, dtype=st.sampled_from(["bf16", "fp32"])),
    lora=some(
        rank=st.integers(1, 512),
        alpha=st.floats(0, 4096, exclude_min=True),
        targets=st.just(["attention", r"\.to_(q|k)$", 'x"\\x41\\\\']),
    ),
    train=some(
        steps=st.integers(5, 1_000_000),
        learning_rate=st.floats(0, 1, exclude_min=True),
        max_grad_norm=st.floats(0, exclude_min=True, allow_infinity=False),
        warmup_steps=st.integers(0, 4),
        seed=seeds,
    ),
    sample=some(prompts=lists, guidance=st.floats(0, 100) | st.integers(0, 100), width=sides),
)


@given(tables=presets)
@same_folder
def test_a_written_preset_reads_back_equal_whatever_it_says(tmp_path: Path, tables: dict[str, Any]):
    path = tmp_path / "first.toml"
    path.write_bytes(dumps(Preset(name="x", **tables)).encode())
    first = load(path)
    copy = tmp_path / "elsewhere" / "preset.toml"
    copy.parent.mkdir(exist_ok=True)
    copy.write_bytes(dumps(first).encode())
    assert load(copy) == first
    assert first.sample.prompts == tuple(tables.get("sample", {}).get("prompts", ()))
    assert first.dataset.trigger == tables["dataset"]["trigger"]


@pytest.mark.parametrize(
    "text", ["\\x41", "a\\\\x41", "\x7f", "\x00", '\'"""\'', "\ufeff\u2028", "😀"]
)
def test_strings_that_toml_corrupts_are_written_right(preset: Path, text: str):
    loaded = load(preset)
    odd = loaded.model_copy(
        update={"sample": loaded.sample.model_copy(update={"prompts": (text, "plain")})}
    )
    preset.write_bytes(dumps(odd).encode())
    assert load(preset) == odd


# --- nothing but PresetError, whatever is read


TOML_PIECES = (
    *("model", "dataset", "buckets", "train", "steps", "path", "root", "true", "nan", "{name}"),
    *(".", "=", "[", "]", "[[", "]]", "{", "}", ",", '"', "'", '"""', "#", "\n", "\x00", "\\u00"),
    *("1", "-1", "1e9", "0x", "2001-01-01", "é"),
)
toml_pieces = st.sampled_from(TOML_PIECES)


def loads_or_complains(path: Path, *overrides: str) -> None:
    try:
        load(path, overrides)
    except PresetError as error:
        told = str(error)
    else:
        told = ""
    assert "\n" not in told


@given(text=st.lists(toml_pieces | st.text(max_size=3), max_size=25).map("".join))
@same_folder
def test_garbage_in_a_file_is_a_preset_error(tmp_path: Path, text: str):
    path = tmp_path / "x.toml"
    for content in (text, LEAST + text):
        path.write_bytes(content.encode("utf-8", "surrogatepass"))
        loads_or_complains(path)


KEYS = ("model", "dataset", "buckets", "train", "steps", "path", "root", "targets", "0", "1", "9")
keys = st.lists(st.sampled_from(KEYS) | st.text(max_size=3), min_size=1, max_size=4).map(".".join)


@given(overrides=st.lists(st.builds("{}={}".format, keys, st.text()) | st.text(), max_size=3))
@same_folder
def test_garbage_in_an_override_is_a_preset_error(tmp_path: Path, overrides: list[str]):
    path = tmp_path / "x.toml"
    path.write_text(LEAST)
    loads_or_complains(path, *overrides)


# --- what is shipped


def test_the_quick_start_needs_nothing_from_outside():
    loaded = load(REPOSITORY / "presets" / "quickstart.toml")
    assert (loaded.model.path, loaded.dataset.root) == ("starter", "shipped")


def test_the_animals_preset_is_that_of_the_original_project():
    loaded = load(REPOSITORY / "presets" / "cc0_animals.toml")
    assert loaded.model.path == "black-forest-labs/FLUX.1-dev"
    assert loaded.dataset.root == str(REPOSITORY.parent / "bioicons" / "static" / "icons")
    assert {bucket.license for bucket in loaded.dataset.buckets} == {("CC0-1.0",)}
    assert (loaded.dataset.resolution, loaded.lora.rank, loaded.train.steps) == (1024, 16, 1000)
    assert (loaded.train.learning_rate, loaded.train.guidance) == (1e-4, 1.0)
    assert (loaded.memory.quantization, loaded.memory.checkpointing) == ("qfloat8", "full")
    assert len(set(loaded.sample.prompts)) == 15


def test_the_shipped_schema_is_current():
    shipped = REPOSITORY / "presets" / "preset.schema.json"
    assert shipped.read_text(encoding="utf-8") == json_schema(), "run python tools/preset_schema.py"


def test_the_schema_says_what_the_checks_do():
    schema = json.loads(json_schema())
    assert set(schema["required"]) == {"model", "dataset"}
    assert "name" not in schema["properties"]
    train = schema["$defs"]["Train"]
    assert train["additionalProperties"] is False
    assert train["properties"]["steps"]["maximum"] == 1_000_000
    assert train["properties"]["learning_rate"]["exclusiveMinimum"] == 0
    assert schema["$defs"]["Dataset"]["properties"]["buckets"]["minItems"] == 1
    assert "null" not in json_schema()


def test_the_schema_tool_writes_and_checks(tmp_path: Path):
    tool = [sys.executable, str(REPOSITORY / "tools" / "preset_schema.py")]
    file = ["--file", str(tmp_path / "s.json")]
    stale = subprocess.run([*tool, "--check", *file], capture_output=True, text=True, check=False)
    assert stale.returncode == 2
    assert stale.stderr.endswith("s.json: not current; run python tools/preset_schema.py\n")
    subprocess.run([*tool, *file], check=True, capture_output=True)
    assert (tmp_path / "s.json").read_text(encoding="utf-8") == json_schema()
    subprocess.run([*tool, "--check", *file], check=True, capture_output=True)


def test_the_written_text_is_plain_toml(preset: Path):
    tables = tomllib.loads(dumps(load(preset)))
    assert "name" not in tables
    assert tables["output"]["name"] == "x"
    assert "alpha" not in tables["lora"]
