"""Captions by a model: what is asked, remembered, refused, and never written over."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from PIL import Image

from bioicons_kit.icons import library
from bioicons_kit.icons.row import Row
from bioicons_kit.icons.words import captioning
from bioicons_kit.icons.words.captioning import Desk, Rejected
from bioicons_kit.icons.words.curated import Curated, Entry, Writer
from bioicons_kit.icons.workers import Painters
from bioicons_kit.preset import Captioner

FILES = ("cc-0/Animals/Petri_Press/mouse.svg", "cc-0/Animals/Petri_Press/frog.svg")
SETTINGS = Captioner(kind="local", model="echo", size=64, prompt="What is it? {name}")


class Echo:
    """A model that says what it is told to, and keeps what it was asked."""

    def __init__(self, *answers: str, settings: Mapping[str, str] | None = None) -> None:
        self.model, self.settings = "echo", settings or {"weights": "1"}
        self.answers, self.prompts, self.images = list(answers), [], []

    def describe(self, image: Image.Image, prompt: str) -> tuple[str, str]:
        self.prompts.append(prompt)
        self.images.append(image)
        return self.answers.pop(0), "v1"


@pytest.fixture(scope="module")
def icons() -> dict[str, library.Icon]:
    return {icon.relative: icon for icon in library.scan("shipped").icons}


@pytest.fixture(scope="module", autouse=True)
def painters():
    """One worker for all tests: starting one takes longer than they do."""
    with Painters(1) as shared:
        ask.painters = shared
        yield


def ask(icons, files, captioner, root: Path, settings: Captioner = SETTINGS, forget: bool = False):
    """What the tool does: first what is remembered, then the model."""
    desk = Desk(captioner, settings, root, forget)
    told, questions = desk.known([icons[file] for file in files])
    return told + list(desk.ask(questions, "auto", 0.05, ask.painters)), desk.asked


def test_each_icon_is_shown_once_on_white_and_asked_about_by_name(icons, tmp_path):
    model = Echo("A gray mouse.", "A green frog, sitting.")
    (mouse, frog), asked = ask(icons, FILES, model, tmp_path)
    assert asked == 2
    assert model.prompts == ["What is it? mouse", "What is it? frog"]
    assert {image.size for image in model.images} == {(64, 64)}
    assert model.images[0].getpixel((0, 0)) == (255, 255, 255)
    assert model.images[0].tobytes() != model.images[1].tobytes()
    assert (mouse.file, mouse.captions) == (FILES[0], ("a gray mouse",))
    assert frog.captions == ("a green frog, sitting",)
    assert isinstance(mouse.by, Writer)
    assert (mouse.by.model, mouse.by.version) == ("echo", "v1")
    assert mouse.by.prompt_sha256 != frog.by.prompt_sha256
    assert not mouse.is_a_persons
    assert mouse.image_sha256 is not None


def test_an_answer_is_asked_for_once_until_something_about_it_changes(icons, tmp_path):
    first, _ = ask(icons, FILES, Echo("a mouse", "a frog"), tmp_path)
    again, asked = ask(icons, FILES, Echo(), tmp_path)
    assert (again, asked) == (first, 0)
    other_weights = Echo("one mouse", "one frog", settings={"weights": "2"})
    assert ask(icons, FILES, other_weights, tmp_path)[1] == 2
    other_prompt = SETTINGS.model_copy(update={"prompt": "{name}?"})
    assert ask(icons, FILES, Echo("a mouse", "a frog"), tmp_path, other_prompt)[1] == 2
    other_size = SETTINGS.model_copy(update={"size": 80})
    assert ask(icons, FILES, Echo("a mouse", "a frog"), tmp_path, other_size)[1] == 2
    anew, asked = ask(icons, FILES, Echo("new mouse", "new frog"), tmp_path, forget=True)
    assert [entry.captions for entry in anew] == [("new mouse",), ("new frog",)]
    assert ask(icons, FILES, Echo(), tmp_path)[0] == anew


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"text": 1, "version": "x"}', b"\xff"])
def test_a_damaged_memory_is_asked_for_again(icons, tmp_path, damage):
    ask(icons, FILES[:1], Echo("a mouse"), tmp_path)
    (path,) = (tmp_path / "captions").rglob("*.json")
    path.write_bytes(damage)
    (entry,), asked = ask(icons, FILES[:1], Echo("one mouse"), tmp_path)
    assert (entry.captions, asked) == (("one mouse",), 1)


def test_a_stopped_run_goes_on_where_it_was(icons, tmp_path):
    with pytest.raises(IndexError):  # the model has one answer only
        ask(icons, FILES, Echo("a mouse"), tmp_path)
    (mouse, frog), asked = ask(icons, FILES, Echo("a frog"), tmp_path)
    assert (mouse.captions, frog.captions, asked) == (("a mouse",), ("a frog",), 1)


def test_a_refused_answer_is_asked_for_once_more_with_the_reason(icons, tmp_path):
    model = Echo("an icon of a mouse", "a gray mouse")
    (entry,), _ = ask(icons, FILES[:1], model, tmp_path)
    assert entry.captions == ("a gray mouse",)
    assert model.prompts[1].startswith("What is it? mouse ")
    assert "it speaks of style (icon)" in model.prompts[1]


def test_an_icon_refused_twice_stays_without_and_costs_nothing_again(icons, tmp_path):
    refused, _ = ask(icons, FILES[:1], Echo("I'm sorry", "a gray rat"), tmp_path)
    assert refused == [Rejected(FILES[0], "it does not name the 'mouse'", "a gray rat")]
    assert ask(icons, FILES[:1], Echo(), tmp_path) == (refused, 0)


def test_several_captions_are_asked_for_one_after_the_other(icons, tmp_path):
    three = SETTINGS.model_copy(update={"captions": 3})
    model = Echo("a mouse", "a gray mouse", "a mouse", "a mouse with ears")
    (entry,), asked = ask(icons, FILES[:1], model, tmp_path, three)
    assert entry.captions == ("a mouse", "a gray mouse")  # the third was the first again
    assert model.prompts[1:] == [
        'What is it? mouse Word it differently from: "a mouse".',
        'What is it? mouse Word it differently from: "a mouse"; "a gray mouse".',
    ]
    assert asked == 3


def test_an_icon_that_cannot_be_read_or_drawn_is_listed_and_the_rest_goes_on(icons, tmp_path):
    broken, gone = tmp_path / "broken.svg", tmp_path / "gone.svg"
    broken.write_text("<svg", "utf-8")
    good = icons[FILES[0]]
    strange = [library.Icon(path, path.name, "", "MIT", "", path.stem) for path in (broken, gone)]
    all_icons = {icon.relative: icon for icon in (*strange, good)}
    results, _ = ask(all_icons, [*all_icons], Echo("a mouse"), tmp_path / "cache")
    by_file = {each.file: each for each in results}
    assert "XML" in by_file["broken.svg"].reason or "parse" in by_file["broken.svg"].reason
    assert "cannot be read" in by_file["gone.svg"].reason
    assert by_file[FILES[0]].captions == ("a mouse",)


class TestPlan:
    def plan(self, icons, entries, has_captioner=True, redo=False):
        rows = [Row(icon, 0, 1) for icon in icons] + [Row(icon, 1, 1) for icon in icons]
        curated = Curated({entry.file: entry for entry in entries})
        return captioning.plan(rows, curated, has_captioner, redo)

    def test_leaves_what_people_wrote_and_takes_each_icon_once(self, tmp_path):
        icons = [
            library.Icon(tmp_path / f"{name}.svg", f"{name}.svg", "", "MIT", "", name)
            for name in ("new", "typed", "edited", "model", "template", "sidecar")
        ]
        (tmp_path / "sidecar.txt").write_text("a caption", "utf-8")
        writer = Writer("m", "v", "0" * 64)
        entries = [
            Entry("typed.svg", ("x",)),
            Entry("edited.svg", ("changed",), writer, written_sha256="0" * 64),
            Entry("model.svg", ("x",), writer).signed(),
            Entry("template.svg", ("x",), "template").signed(),
        ]

        def todo(**options):
            plan = self.plan(icons, entries, **options)
            assert (plan.persons, plan.own_words) == (2, 1)
            assert len(plan.todo) + plan.done + 3 == len(icons)
            return [icon.title for icon in plan.todo]

        assert todo() == ["new", "template"]
        assert todo(redo=True) == ["new", "model", "template"]
        assert todo(has_captioner=False) == ["new"]
        assert todo(has_captioner=False, redo=True) == ["new", "template"]

    def test_the_template_leaves_the_trigger_open(self, icons):
        icon = icons["cc-0/Cell_types/Petri_Press/red-blood-cells.svg"]
        rows = [
            Row(icon, 0, 1, template="{trigger}: {article} {name}"),
            Row(icon, 1, 1, template="x"),
        ]
        (entry,) = captioning.from_template([icon], rows)
        assert entry.captions == ("{trigger}: red blood cells",)
        assert (entry.by, entry.is_a_persons) == ("template", False)


def test_what_is_remembered_says_what_was_asked_of_whom(icons, tmp_path):
    ask(icons, FILES[:1], Echo("a mouse"), tmp_path)
    (path,) = (tmp_path / "captions").rglob("*.json")
    record = json.loads(path.read_text("utf-8"))
    assert record["prompt"] == "What is it? mouse"
    assert {"model", "version", "image_sha256", "text", "size", "weights"} <= record.keys()


def test_what_cannot_be_written_down_is_shown_by_its_escapes(icons, tmp_path):
    model = Echo("a mouse \ud800", "a mouse \u202e")
    (refused,), _ = ask(icons, FILES[:1], model, tmp_path)
    assert refused == Rejected(
        FILES[0], "it holds characters that cannot be shown", "a mouse \\u202e"
    )


def test_a_photograph_need_not_be_called_as_its_file_is(tmp_path):
    path = tmp_path / "IMG_0042.png"
    Image.new("RGB", (32, 32), "#804020").save(path)
    photo = library.Icon(path, path.name, "x", "MIT", "Jo", "IMG 0042", kind="image")
    told, _ = ask({path.name: photo}, [path.name], Echo("a brown wall"), tmp_path / "cache")
    assert told[0].captions == ("a brown wall",)
