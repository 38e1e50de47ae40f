"""report.html: one page on a run, for whoever trained it and whoever is shown it.

It is made of what the run's folder holds, so it tells no more than is there, and parts that a
run does not have (validation, pictures) are left out. One file, no scripts, nothing loaded.
"""

import json
import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bioicons_kit import files
from bioicons_kit.icons import licenses
from bioicons_kit.icons.folder import page
from bioicons_kit.icons.manifest import Record
from bioicons_kit.preset import Preset
from bioicons_kit.train import curves
from bioicons_kit.train.curves import Line, Point
from bioicons_kit.train.run_folder import RunFolder

SMOOTHING = 20  # steps, as in the loss that is shown while training
_PICTURES_SHOWN = 48
_STRIP, _COMPARISON, _SINGLE = 1100, 1100, 224  # pixels
_MODELS = {"base": "Base", "lora": "With LoRA"}  # of run.json's "judge"
_CURVES = {  # of metrics.jsonl, in the page's order
    "learning_rate": ("Learning rate", "of the base group"),
    "grad_norm": ("Gradient norm", "before it is clipped"),
    "adapter_norm": ("Adapter norm", "of all its parameters together"),
    "seconds": ("Seconds a step", "by the clock, all of the step"),
}

Section = tuple[str, str, str]
Lines = Sequence[Mapping[str, Any]]


def write(folder: RunFolder, preset: Preset, records: Sequence[Record]) -> None:
    """Write the page from what the run's folder holds.

    Args:
        folder: the run's.
        preset: the run's settings.
        records: the dataset manifest's.

    Raises:
        StorageError: no room or no permission.
    """
    files.write_text(folder.report, html(folder, preset, records))


def html(folder: RunFolder, preset: Preset, records: Sequence[Record]) -> str:
    """Return the page."""
    summary = _object(folder.summary)
    metrics, validation = _jsonl(folder.metrics), _jsonl(folder.validation)
    sections = [
        _loss(metrics),
        *_validation(validation, summary),
        *_strips(folder),
        *_comparison(folder),
        *_judge(summary),
        _numbers(metrics),
        _timings(summary),
        _dataset(records),
        _credits(folder),
        _settings(folder),
    ]
    return page.document(
        preset.name,
        f"Training report: a LoRA of rank {preset.lora.rank} for {preset.model.path}, "
        "trained with bioicons_kit.",
        page.tiles(_tiles(preset, summary, metrics, validation)),
        sections,
    )


def _tiles(
    preset: Preset, summary: Mapping[str, Any], metrics: Lines, validation: Lines
) -> list[tuple[str, str]]:
    """Return the numbers at the top."""
    found = [
        (f"{len(metrics):,}", "steps"),
        (f"{preset.dataset.resolution} px", "pictures"),
    ]
    if "loss_first_tenth" in summary:
        found += [
            (f"{summary['loss_first_tenth']:.4f}", "loss, first tenth of the steps"),
            (f"{summary['loss_last_tenth']:.4f}", "loss, last tenth"),
        ]
    if validation:
        best = min(validation, key=lambda each: float(each["mean"]))
        found.append((f"{best['mean']:.4f}", f"best validation, step {best['step']:,}"))
    if summary.get("skipped_steps"):
        found.append((f"{summary['skipped_steps']:,}", "steps skipped: no finite numbers"))
    if "seconds" in summary:
        found.append((_duration(summary["seconds"]), f"on {summary.get('device', 'its device')}"))
    return found


def _loss(metrics: Lines) -> Section:
    """Return the section on the loss."""
    raw = _series(metrics, "loss")
    told = page.note(
        "A single step's loss says little: it depends most on the noise level that was drawn. "
        f"Look at the mean of the last {SMOOTHING} steps."
    )
    lines = [
        Line("each step", raw, is_faint=True),
        Line(f"mean of {SMOOTHING}", curves.smoothed(raw, SMOOTHING)),
    ]
    return "loss", "Loss", told + curves.chart(lines, "Loss by step")


def _validation(validation: Lines, summary: Mapping[str, Any]) -> list[Section]:
    """Return the section on validation, by noise level."""
    if not validation:
        return []
    names = list(dict.fromkeys(name for each in validation for name in each.get("levels", {})))
    lines = [Line("mean", [(each["step"], each["mean"]) for each in validation])]
    lines += [
        Line(
            f"level {name}",
            [(e["step"], e["levels"][name]) for e in validation if name in e["levels"]],
        )
        for name in names
    ]
    told = page.note(
        "The loss on rows that are not trained on, at fixed noise levels with fixed noise (0: the "
        "picture, 1: noise). Where it rises while the training loss falls, the LoRA begins to "
        "learn pictures by heart."
    )
    best = (summary.get("best") or {}).get("step")
    rows = [
        (
            f"{each['step']:,}",
            page.text(f"{each['mean']:.4f}" + (" (best)" if each["step"] == best else "")),
            *(page.text(f"{each['levels'].get(name, float('nan')):.4f}") for name in names),
        )
        for each in validation
    ]
    table = page.table(("Step", "Mean", *(f"Level {name}" for name in names)), rows)
    content = told + curves.chart(lines, "Validation loss by step") + page.more("Numbers", table)
    return [("validation", "Validation", content)]


def _strips(folder: RunFolder) -> list[Section]:
    """Return the section of pictures drawn while training."""
    found = sorted(folder.step_pictures.glob("strip-*.png"))[:_PICTURES_SHOWN]
    if not found:
        return []
    told = page.note("Each prompt at one seed, by step from left to right.")
    return [("strips", "While training", told + "".join(_wide(path, _STRIP) for path in found))]


def _comparison(folder: RunFolder) -> list[Section]:
    """Return the section of the pictures at the end, without and with the LoRA."""
    if folder.comparison.is_file():
        told = page.note(
            "The base model and the LoRA at equal seeds, with what was learned from above them."
        )
        return [("comparison", "Comparison", told + _wide(folder.comparison, _COMPARISON))]
    single = sorted(folder.samples.glob("*.png"))[:_PICTURES_SHOWN]
    if not single:
        return []
    shown = page.figures((page.image(path, _SINGLE, path.stem), path.stem) for path in single)
    return [("comparison", "Pictures", shown)]


def _wide(path: Path, side: int) -> str:
    """Return a picture as wide as the page."""
    return f'<figure style="margin:12px 0">{page.image(path, side, path.stem)}</figure>\n'


def _judge(summary: Mapping[str, Any]) -> list[Section]:
    """Return the section on how the pictures were judged, where they were."""
    scores = summary.get("judge")
    if not isinstance(scores, dict) or not scores:
        return []
    models = [(name, scores[key]) for key, name in _MODELS.items() if key in scores]
    rows = [
        tuple(
            page.text(each) for each in (name, _percent(share, "subject"), _percent(share, "style"))
        )
        for name, share in models
    ]
    told = page.note(
        "What a small classifier sees in the samples: the subject that the prompt names, and "
        "the icons' style, flat areas of color on white."
    )
    shares = page.table(("Model", "Subject recognized", "In the icons' style"), rows)
    seen = [
        tuple(page.text(_plain(each.get(key))) for key in ("prompt", *_MODELS))
        for each in scores.get("pictures", ())
    ]
    pictures = page.table(("Prompt", *_MODELS.values()), seen) if seen else ""
    return [("judge", "Judge", told + shares + pictures)]


def _percent(shares: Mapping[str, Any], key: str) -> str:
    """Return a share as people read it."""
    value = shares.get(key)
    return f"{value:.0%}" if isinstance(value, float) else "-"


def _numbers(metrics: Lines) -> Section:
    """Return the section of the other curves."""
    found = []
    for key, (title, about) in _CURVES.items():
        points = _series(metrics, key)
        if points:
            chart = curves.chart([Line(title, points)], f"{title} by step")
            found.append(f"<div><h3>{page.text(title)}</h3><small>{page.text(about)}</small>")
            found.append(f"{chart}</div>")
    return "numbers", "Numbers", f'<div class="two">{"".join(found)}</div>\n'


def _timings(summary: Mapping[str, Any]) -> Section:
    """Return the section on what took how long, and on what machine."""
    phases = summary.get("phases")
    content = ""
    if isinstance(phases, dict) and phases:
        rows = [(page.text(name), page.text(_duration(took))) for name, took in phases.items()]
        content = page.table(("Phase", "Time"), rows)
    hidden = {"phases", "judge", "best"}
    rows = [
        (page.text(key.replace("_", " ")), page.text(_plain(value)))
        for key, value in summary.items()
        if key not in hidden
    ]
    return "timings", "Time and machine", content + page.table(("", ""), rows)


def _dataset(records: Sequence[Record]) -> Section:
    """Return the section on what was learned from."""
    rows = []
    for spdx, count in Counter(record["license"] for record in records).most_common():
        license_ = licenses.get(spdx)
        authors = {record["author"] for record in records if record["license"] == spdx}
        name = page.link(f"{license_.name} ({spdx})", license_.url)
        asks = page.text(license_.asks_of_a_lora)
        rows.append((name, f"{count:,}", f"{len(authors):,}", asks))
    headings = ("License", "Pictures", "Authors", "What it asks of a LoRA, in our reading")
    categories = Counter(record["category"] for record in records).most_common(20)
    captions = [
        (page.text(record["title"]), page.text(record["author"]), page.text(record["text"]))
        for record in records[:200]
    ]
    listed = page.table(("Picture", "Author", "Caption"), captions)
    return (
        "dataset",
        "Learned from",
        page.table(headings, rows) + page.bars(categories) + page.more("Captions", listed),
    )


def _credits(folder: RunFolder) -> Section:
    """Return the credits, as they are in ATTRIBUTION.md."""
    told = page.note("Publish these with the LoRA: they are in dataset/ATTRIBUTION.md, too.")
    return "credits", "Attribution", told + page.more("Credits", _pre(_read(folder.attribution)))


def _settings(folder: RunFolder) -> Section:
    """Return the resolved preset."""
    content = _read(folder.preset)
    tables = [name for name, value in tomllib.loads(content).items() if isinstance(value, dict)]
    told = page.note(f"preset.toml trains this LoRA again. Tables: {', '.join(tables)}.")
    return "preset", "Preset", told + page.more("preset.toml", _pre(content))


def _pre(content: str) -> str:
    """Return text as it is, its lines broken where they are too long."""
    return f'<pre style="white-space:pre-wrap;font-size:13px">{page.text(content)}</pre>\n'


def _series(lines: Lines, key: str) -> list[Point]:
    """Return a value of each line that has it, by step."""
    return [
        (float(each["step"]), float(each[key]))
        for each in lines
        if isinstance(each.get(key), int | float)
    ]


def _duration(seconds: float) -> str:
    """Return seconds in words."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"


def _plain(value: object) -> str:
    """Return a value of run.json as people read it."""
    if isinstance(value, float):
        return curves.number(value)
    return value if isinstance(value, str) else json.dumps(value)


def _read(path: Path) -> str:
    """Return a text file's content, "" where there is none."""
    return path.read_text("utf-8") if path.is_file() else ""


def _jsonl(path: Path) -> list[dict[str, Any]]:
    """Return the objects of a file that has one a line."""
    return [json.loads(line) for line in _read(path).splitlines()]


def _object(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file."""
    found: dict[str, Any] = json.loads(_read(path) or "{}")
    return found
