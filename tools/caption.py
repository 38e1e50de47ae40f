"""Write a preset's captions file: by its captioner, or from its template, for you to edit.

python tools/caption.py presets/cc0_animals.toml --set dataset.captions=captions.jsonl
python tools/caption.py presets/my_icons.toml --dry-run     how much there is to ask
python tools/caption.py presets/my_icons.toml --redo        ask anew, but over no edit of yours
"""

import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from bioicons_kit import cli, console, files, preset_file
from bioicons_kit.errors import KitError, PresetError
from bioicons_kit.icons import select, sources
from bioicons_kit.icons.words import captioner_http, captioning, curated
from bioicons_kit.icons.words.captioning import Captioner, Desk, Question, Rejected
from bioicons_kit.icons.words.curated import Curated, Entry
from bioicons_kit.icons.workers import Painters
from bioicons_kit.preset import Preset

_AT_ONCE = 20  # answers between two writings of the file
_SHOWN = 5


def main(arguments: Sequence[str]) -> None:
    """Write captions as the command line asks."""
    parser = cli.Parser(prog="caption.py", description="Write a preset's captions file.")
    parser.add_preset()
    parser.add_argument("--redo", action="store_true", help="ask anew for what models wrote")
    parser.add_argument("--limit", type=cli.positive, metavar="N", help="ask about N pictures only")
    parser.add_argument("--dry-run", action="store_true", help="only say what would be asked")
    parser.add_argument("--yes", action="store_true", help="send pictures without asking first")
    parser.add_argument("--workers", type=cli.positive, help="processes that draw (default: cores)")
    parser.add_overrides()
    options = parser.parse_args(arguments)
    preset = preset_file.load(options.preset, options.overrides)
    settings = preset.dataset.captioner
    if preset.dataset.captions is None:
        raise PresetError(
            f"{options.preset}: names no captions file to write; set dataset.captions, for example "
            "with --set dataset.captions=captions.jsonl"
        )
    path = Path(preset.dataset.captions)

    libraries = sources.libraries(preset.dataset, Path(preset.cache.root))
    rows = select.rows(libraries, preset.dataset)
    icons = [icon for library in libraries.values() for icon in library.icons]
    known = curated.load(str(path), icons) if os.path.lexists(path) else Curated({})
    plan = captioning.plan(rows, known, settings is not None, options.redo)
    console.say(
        "captions",
        f"{plan.persons} by people, {plan.own_words} that came with the pictures, {plan.done} "
        f"written before, {len(plan.todo)} to write",
    )
    if settings is None:
        if not options.dry_run:
            curated.update(path, captioning.from_template(plan.todo, rows))
            console.say("done", f"{len(plan.todo)} from the template in {console.shown(path)}")
        return
    if options.dry_run:
        count = min(len(plan.todo), options.limit or len(plan.todo)) * settings.captions
        console.say("requests", f"{count} to {2 * count}, less those whose answer is in the cache")
        return
    captioner = _captioner(preset, options.preset)
    desk = Desk(captioner, settings, Path(preset.cache.root), forget=options.redo)
    told, questions = desk.known(plan.todo)
    questions = questions[: options.limit]
    if questions and settings.kind != "local":
        _agree(captioner.settings["server"], len(questions), options.yes)
    rejected = [each for each in told if isinstance(each, Rejected)]
    _keep(path, told)
    if questions:
        rejected += _ask(desk, questions, preset, path, options.workers)
    _list(path, rejected)
    written = len(told) + len(questions) - len(rejected)
    console.say("done", f"{written} written, {desk.asked} requests; edit {console.shown(path)}")


def _captioner(preset: Preset, preset_path: Path) -> Captioner:
    """Return the model that the preset names, ready to be asked."""
    settings = preset.dataset.captioner
    assert settings is not None
    if settings.kind != "local":
        return captioner_http.connect(settings)
    import torch

    from bioicons_kit.data.identity import Identities
    from bioicons_kit.families import captioner

    beside = preset_path.parent / settings.model
    folder = captioner.find(str(beside if beside.is_dir() else settings.model))
    weights = Identities(Path(preset.cache.root)).of(captioner.files(folder))
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    console.say("captioner", f"{settings.model} on {device.type}")
    return captioner.load(folder, settings, weights, device)


def _agree(server: str, count: int, yes: bool) -> None:
    """Go on only if the person agrees that pictures leave this machine."""
    console.say("server", f"{count} pictures and their names are sent to {server}")
    if yes:
        return
    try:
        answer = input("Send them? [y/N] ")
    except EOFError:
        answer = ""
    if answer.strip().lower() not in {"y", "yes"}:
        raise KitError(f"nothing was sent to {server}; answer y, or give --yes")


def _ask(
    desk: Desk, questions: Sequence[Question], preset: Preset, path: Path, workers: int | None
) -> list[Rejected]:
    """Ask about each picture, writing down what is said; return what was refused."""
    rejected: list[Rejected] = []
    fresh: list[Entry | Rejected] = []
    dataset = preset.dataset
    with Painters(workers) as painters, console.bar("captions", len(questions), "picture") as bar:
        try:
            for outcome in desk.ask(questions, dataset.renderer, dataset.margin, painters):
                fresh.append(outcome)
                bar.update()
                if isinstance(outcome, Rejected):
                    rejected.append(outcome)
                if len(fresh) >= _AT_ONCE:
                    _keep(path, fresh)
                    fresh.clear()
        finally:  # stopped or refused half-way: what is done is done
            _keep(path, fresh)
    return rejected


def _keep(path: Path, outcomes: Iterable[Entry | Rejected]) -> None:
    """Write captions into the file, but over none that is a person's."""
    entries = [each for each in outcomes if isinstance(each, Entry)]
    if entries:
        curated.update(path, entries)


def _list(path: Path, rejected: Sequence[Rejected]) -> None:
    """Name the pictures that the model found no caption for, all of them in a file of their own."""
    listing = path.with_name(f"{path.stem}.rejected.jsonl")
    if not rejected:
        listing.unlink(missing_ok=True)
        return
    lines = [json.dumps(each._asdict(), ensure_ascii=False) for each in rejected]
    files.write_text(listing, "\n".join(lines) + "\n")
    for each in rejected[:_SHOWN]:
        console.warn(f"{each.file}: {each.reason}")
    console.warn(f"{len(rejected)} refused: {console.shown(listing)} has them and the reasons")


if __name__ == "__main__":
    cli.run(main)
