"""The parts of a page that is one file: no scripts, nothing loaded, everything escaped.

Every function takes plain text and returns HTML. The page's policy forbids browsers to load
or run anything that is not in it, should something slip through all the same.
"""

import base64
import html
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

from bioicons_kit.icons.folder.contact import thumbnail

_QUALITY = 80
_STYLE = """
:root { color-scheme: light dark; --ink: #1d2433; --soft: #667085; --paper: #f6f7fa; --card: #fff;
  --line: #e3e6ee; --accent: #3b6fd4; --accent-soft: #dbe6fb; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9f0; --soft: #98a2b3; --paper: #12151c;
  --card: #1b202b; --line: #2c3342; --accent: #7aa5f5; --accent-soft: #26375c; } }
* { box-sizing: border-box; }
html { scroll-behavior: smooth; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
header, main { max-width: 1180px; margin: 0 auto; padding: 0 24px; }
header { padding-top: 40px; }
h1 { font-size: 32px; margin: 0; letter-spacing: -.02em; overflow-wrap: anywhere; }
h2 { font-size: 20px; margin: 0 0 4px; letter-spacing: -.01em; }
p.lead, .note { color: var(--soft); margin: 0 0 16px; max-width: 78ch; }
nav { position: sticky; top: 0; z-index: 1; background: var(--paper); padding: 10px 0;
  border-bottom: 1px solid var(--line); margin-bottom: 24px; }
nav div { max-width: 1180px; margin: 0 auto; padding: 0 24px; display: flex; gap: 4px 18px;
  flex-wrap: wrap; }
a { color: var(--accent); text-decoration: none; }
a:hover { text-decoration: underline; }
section { background: var(--card); border: 1px solid var(--line); border-radius: 14px;
  padding: 22px 24px; margin: 0 0 22px; scroll-margin-top: 60px; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(130px, 1fr)); gap: 12px;
  margin: 20px 0; }
.tile { background: var(--card); border: 1px solid var(--line); border-radius: 12px;
  padding: 12px 16px; }
.tile b { display: block; font-size: 24px; letter-spacing: -.02em; }
.tile span, small { color: var(--soft); font-size: 13px; }
.band { display: flex; height: 30px; border-radius: 8px; overflow: hidden; margin: 6px 0;
  border: 1px solid var(--line); }
.band.tall { height: 56px; border-radius: 12px; margin: 18px 0 4px; }
.named { display: grid; grid-template-columns: minmax(120px, 220px) 1fr; gap: 2px 16px;
  align-items: center; }
table { border-collapse: collapse; width: 100%; }
th { text-align: left; font-weight: 600; color: var(--soft); font-size: 13px; white-space: nowrap; }
th, td { padding: 7px 12px 7px 0; border-bottom: 1px solid var(--line); vertical-align: top;
  overflow-wrap: anywhere; }
tr:last-child td { border-bottom: 0; }
td.number { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; width: 1%;
  padding-right: 36px; }
.bar { display: grid; grid-template-columns: minmax(120px, 260px) 1fr 70px; gap: 12px;
  align-items: center; padding: 2px 0; }
.bar i { display: block; height: 14px; border-radius: 4px; background: var(--accent);
  min-width: 2px; }
.bar u { background: var(--accent-soft); border-radius: 4px; text-decoration: none; }
.bar span { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.bar em { font-style: normal; text-align: right; font-variant-numeric: tabular-nums; }
.two { display: grid; grid-template-columns: repeat(auto-fit, minmax(320px, 1fr)); gap: 12px 40px; }
.two .bar { grid-template-columns: 120px 1fr 50px; }
.pairs { display: grid; grid-template-columns: repeat(auto-fill, minmax(270px, 1fr)); gap: 14px; }
.pair { border: 1px solid var(--line); border-radius: 10px; padding: 10px; }
.pair div { display: flex; gap: 8px; margin-bottom: 6px; }
.pair img { width: 50%; }
.pictures { display: grid; grid-template-columns: repeat(auto-fill, minmax(112px, 1fr));
  gap: 14px 12px; }
figure { margin: 0; min-width: 0; }
img { width: 100%; display: block; border-radius: 8px; border: 1px solid var(--line);
  background: #fff; }
figcaption { font-size: 12px; line-height: 1.35; margin-top: 4px; overflow: hidden;
  display: -webkit-box; -webkit-line-clamp: 3; -webkit-box-orient: vertical; }
details { margin-top: 12px; }
summary { cursor: pointer; color: var(--accent); }
code { font-size: 13px; overflow-wrap: anywhere; }
@media print { nav { display: none; } section { break-inside: avoid-page; } }
"""
# Nothing is loaded or run; pictures are in the file.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def document(title: str, lead: str, top: str, sections: Sequence[tuple[str, str, str]]) -> str:
    """Return a whole page.

    Args:
        title: first heading.
        lead: the line below it.
        top: HTML before the sections.
        sections: an id, a heading and HTML of each.
    """
    links = "".join(f'<a href="#{name}">{text(heading)}</a>' for name, heading, _ in sections)
    body = "\n".join(
        f'<section id="{name}"><h2>{text(heading)}</h2>\n{content}</section>'
        for name, heading, content in sections
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="referrer" content="no-referrer">\n'
        f"<title>{text(title)}</title>\n<style>{_STYLE}</style></head>\n<body>\n"
        f'<header><h1>{text(title)}</h1><p class="lead">{text(lead)}</p>{top}</header>\n'
        f"<nav><div>{links}</div></nav>\n<main>\n{body}\n</main></body></html>\n"
    )


def text(value: object) -> str:
    """Return plain text as HTML, in which nothing has a meaning."""
    return html.escape(str(value), quote=True)


def note(value: str) -> str:
    """Return a paragraph that explains."""
    return f'<p class="note">{text(value)}</p>\n'


def link(value: str, url: str | None) -> str:
    """Return text as a link to a web address; as mere text where there is none."""
    if not url or not url.startswith(("https://", "http://")):
        return text(value)
    return f'<a href="{text(url)}" rel="noopener noreferrer nofollow">{text(value)}</a>'


def tiles(numbers: Iterable[tuple[str, str]]) -> str:
    """Return large numbers with what they count."""
    cells = (
        f'<div class="tile"><b>{text(number)}</b><span>{text(label)}</span></div>'
        for number, label in numbers
    )
    return f'<div class="tiles">{"".join(cells)}</div>\n'


def bars(counts: Sequence[tuple[str, int]]) -> str:
    """Return a bar for each labelled count, as long as its share of the largest."""
    largest = max((count for _, count in counts), default=1) or 1
    return "".join(
        f'<div class="bar"><span title="{text(label)}">{text(label)}</span>'
        f'<u><i style="width:{100 * count / largest:.1f}%"></i></u><em>{count:,}</em></div>\n'
        for label, count in counts
    )


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; headings are text, cells are HTML, numbers stand to the right."""
    head = "".join(f"<th>{text(heading)}</th>" for heading in headings)
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>\n" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>\n{body}</tbody></table>\n"


def _cell(content: str) -> str:
    """Return one cell of a table."""
    kind = ' class="number"' if content.replace(",", "").isdigit() else ""
    return f"<td{kind}>{content}</td>"


def band(colors: Sequence[tuple[str, float]], tall: bool = False) -> str:
    """Return colors ("#rrggbb") side by side, as wide as their shares."""
    fields = "".join(
        f'<span style="flex:{100 * share:.2f};background:{color}" title="{color}"></span>'
        for color, share in ((text(color), share) for color, share in colors)
    )
    return f'<div class="band{" tall" * tall}">{fields}</div>\n'


def named(rows: Iterable[tuple[str, str]]) -> str:
    """Return HTML with a label before each, in two columns."""
    cells = "".join(f"<span>{text(label)}</span>{content}" for label, content in rows)
    return f'<div class="named">{cells}</div>\n'


def more(label: str, content: str) -> str:
    """Return HTML that opens on a click."""
    return f"<details><summary>{text(label)}</summary>{content}</details>\n"


def image(path: Path, side: int, about: str) -> str:
    """Return a picture's file, scaled to fit `side` pixels, in the page itself."""
    data = io.BytesIO()
    thumbnail(path, side).save(data, "WEBP", quality=_QUALITY, method=4)
    encoded = base64.b64encode(data.getvalue()).decode("ascii")
    return f'<img src="data:image/webp;base64,{encoded}" alt="{text(about)}" title="{text(about)}">'


def figures(pictures: Iterable[tuple[str, str]]) -> str:
    """Return pictures (HTML) with their captions (text) in a grid."""
    cells = (
        f"<figure>{content}<figcaption>{text(caption)}</figcaption></figure>"
        for content, caption in pictures
    )
    return f'<div class="pictures">{"".join(cells)}</div>\n'


def pairs(found: Iterable[tuple[str, str, str, str]]) -> str:
    """Return pictures (HTML) two by two, with both their names and a remark."""
    cells = (
        f'<div class="pair"><div>{first}{second}</div>{text(names)}<br>'
        f"<small>{text(remark)}</small></div>"
        for first, second, names, remark in found
    )
    return f'<div class="pairs">{"".join(cells)}</div>\n'
