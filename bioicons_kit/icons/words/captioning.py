"""Pictures -> captions by a model, whichever: asked, checked, remembered, written down.

A `Captioner` is a model that answers a prompt about one picture: a local one
(`families.captioner`) or one behind an HTTP interface (`captioner_http`). Each answer is
kept below `cache/captions/`, by the hash of the icon's file, the picture's size, the model
with its settings, and the prompt: a run that was stopped goes on where it was, and nothing
is asked or paid for twice.

An answer that breaks a rule (`caption_rules`) is refused, and asked for once more with the
reason. An icon whose second answer is no better stays without, and is listed.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

from PIL.Image import Image

from bioicons_kit import preset
from bioicons_kit.errors import DocumentError
from bioicons_kit.files import sha256_bytes, write_text
from bioicons_kit.icons import captions, picture
from bioicons_kit.icons.augment import Version
from bioicons_kit.icons.library import Icon
from bioicons_kit.icons.row import Row
from bioicons_kit.icons.scan import names
from bioicons_kit.icons.words import caption_rules
from bioicons_kit.icons.words.curated import Curated, Entry, Writer
from bioicons_kit.icons.workers import Painters, Task

# Raise it when a change of the code changes which captions come out of the same answers.
VERSION = "1"
_LARGEST_REPLY = 2**20
_ATTEMPTS = 2
_AGAIN = "An earlier answer was refused because {reason}. Mind that."


class Reply(NamedTuple):
    """What a model said, and which version of it that was."""

    text: str
    version: str


class Captioner(Protocol):
    """A model that can be asked about a picture.

    Attributes:
        model: what it is called.
        settings: everything else that shapes its answers.
    """

    model: str
    settings: Mapping[str, str]

    def describe(self, image: Image, prompt: str) -> tuple[str, str]:
        """Return the answer to `prompt` about one RGB picture, as it came, and the version.

        Raises:
            ModelError: the model cannot be asked any more.
        """
        ...


class Rejected(NamedTuple):
    """An icon that stays without a caption: why, and what the model said last."""

    file: str
    reason: str
    answer: str = ""


class Question(NamedTuple):
    """An icon that a model has to be asked about, and the hash of its file."""

    icon: Icon
    image_sha256: str


@dataclass(frozen=True)
class Plan:
    """Which icons are to be captioned, and why others are not."""

    todo: tuple[Icon, ...]
    persons: int
    own_words: int
    done: int


class _NotCachedError(Exception):
    """An answer would have to be asked for, and there is no picture to ask about."""


def plan(rows: Iterable[Row], curated: Curated, has_captioner: bool, redo: bool) -> Plan:
    """Return which icons need captions; each icon once, however many rows it has.

    A person's captions stay, and so do those that came with an icon. What a model wrote is
    done, unless `redo`; what the template wrote is done unless there is a model.
    """
    icons = {row.icon.relative: row.icon for row in rows}
    todo: list[Icon] = []
    persons = own = done = 0
    for relative, icon in icons.items():
        entry = curated.entries.get(relative)
        if entry is None and captions.own_words(icon):
            own += 1
        elif entry is None:
            todo.append(icon)
        elif entry.is_a_persons:
            persons += 1
        elif (redo or has_captioner) if entry.by == "template" else (redo and has_captioner):
            todo.append(icon)
        else:
            done += 1
    return Plan(tuple(todo), persons, own, done)


def from_template(icons: Iterable[Icon], rows: Iterable[Row]) -> Iterator[Entry]:
    """Yield what the templates say of icons, for a person to edit; the trigger stays open."""
    templates = {row.icon.relative: row.template for row in reversed(list(rows))}
    for icon in icons:
        text = captions.caption(icon, templates[icon.relative], "{trigger}")
        yield Entry(icon.relative, (names.plain(text),), by="template").signed()


class Desk:
    """Where icons are captioned: a model, its settings, and the memory of its answers.

    Args:
        captioner: the model.
        settings: the preset's `[dataset.captioner]`.
        cache_root: the cache's folder.
        forget: whether answers that are remembered are asked for again.
    """

    def __init__(
        self, captioner: Captioner, settings: preset.Captioner, cache_root: Path, forget: bool
    ) -> None:
        self._captioner, self._settings = captioner, settings
        self._root, self._forget = cache_root / "captions", forget
        self.asked = 0  # answers that were not remembered

    def known(self, icons: Iterable[Icon]) -> tuple[list[Entry | Rejected], list[Question]]:
        """Return what can be said without asking, and what has to be asked."""
        told: list[Entry | Rejected] = []
        unknown: list[Question] = []
        for icon in icons:
            try:
                question = Question(icon, sha256_bytes(picture.read(icon.path, icon.kind)))
                told.append(self._caption(question, None))
            except DocumentError as error:
                told.append(Rejected(icon.relative, str(error)))
            except _NotCachedError:
                unknown.append(question)
        return told, unknown

    def ask(
        self, questions: Sequence[Question], renderer: str, margin: float, painters: Painters
    ) -> Iterator[Entry | Rejected]:
        """Yield what the model says of each icon, drawn on white, in their order.

        Raises:
            ModelError: the model cannot be asked any more.
        """
        side = self._settings.size
        recipe = picture.Recipe(side, side, margin, renderer, Version(background="#ffffff"))
        tasks = (Task(icon.path, icon.kind, recipe, sha256) for icon, sha256 in questions)
        for question, outcome in zip(questions, painters.paint(tasks), strict=True):
            if outcome.picture is None:
                yield Rejected(question.icon.relative, outcome.problem or "cannot be drawn")
            else:
                yield self._caption(question, outcome.picture.image)

    def _caption(self, question: Question, image: Image | None) -> Entry | Rejected:
        """Return an icon's captions, or why the model found none."""
        icon, image_sha256 = question
        name = captions.clean_name(icon.name)
        prompt = self._settings.prompt.replace("{name}", name)
        written: list[str] = []
        version = ""
        for _ in range(self._settings.captions):
            reply, reason = self._accepted(_other(prompt, written), question, name, image)
            if reason is None and reply.text not in written:
                written.append(reply.text)
                version = reply.version
            elif not written:
                return Rejected(icon.relative, reason or "", names.printable(reply.text))
        by = Writer(self._captioner.model, version, sha256_bytes(prompt.encode()))
        return Entry(icon.relative, tuple(written), by, image_sha256=image_sha256).signed()

    def _accepted(
        self, prompt: str, question: Question, name: str, image: Image | None
    ) -> tuple[Reply, str | None]:
        """Return the tidied answer to a prompt, asked again if refused, and what is wrong."""
        asked, reason = prompt, None
        for _ in range(_ATTEMPTS):
            answer = self._reply(asked, question.image_sha256, image)
            reply = answer._replace(text=caption_rules.tidy(answer.text))
            reason = caption_rules.problem(
                reply.text, name, self._settings.max_words, question.icon.kind == "svg"
            )
            if reason is None:
                break
            asked = f"{prompt} {_AGAIN.format(reason=reason)}"
        return reply, reason

    def _reply(self, prompt: str, image_sha256: str, image: Image | None) -> Reply:
        """Return the answer to a prompt, remembered or asked for now."""
        question = {
            **self._captioner.settings,
            "captioning": VERSION,
            "model": self._captioner.model,
            "prompt": prompt,
            "image_sha256": image_sha256,
            "size": str(self._settings.size),
        }
        key = sha256_bytes(json.dumps(question, sort_keys=True).encode())
        path = self._root / key[:2] / f"{key}.json"
        remembered = None if self._forget else _remembered(path)
        if remembered is not None:
            return remembered
        if image is None:
            raise _NotCachedError
        reply = Reply(*self._captioner.describe(image, prompt))
        self.asked += 1
        answer = {"text": reply.text, "version": reply.version}
        write_text(path, json.dumps({**answer, **question}, indent=0) + "\n")
        return reply


def _other(prompt: str, written: Sequence[str]) -> str:
    """Return the prompt for one more caption, worded differently from those there are."""
    if not written:
        return prompt
    told = "; ".join(f'"{text}"' for text in written)
    return f"{prompt} Word it differently from: {told}."


def _remembered(path: Path) -> Reply | None:
    """Return a remembered answer; one that is damaged counts as not remembered."""
    try:
        if not path.is_file() or path.stat().st_size > _LARGEST_REPLY:
            return None
        answer = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(answer, dict):
        return None
    text, version = answer.get("text"), answer.get("version")
    return Reply(text, version) if isinstance(text, str) and isinstance(version, str) else None
