"""What a dataset folder says of its pictures: metadata, credits, licenses, and its card.

A `metadata.jsonl` stands in each split's folder, as the `imagefolder` loader of `datasets`
wants it.
"""

import json
from collections.abc import Iterable, Mapping, Sequence

from bioicons_kit.icons import licenses, manifest
from bioicons_kit.icons.credits import attribution, license_texts
from bioicons_kit.icons.folder.contents import Contents
from bioicons_kit.icons.folder.plan import Skip
from bioicons_kit.icons.manifest import Record

SKIPPED, REMOVED, CARD = "skipped.jsonl", "removed.jsonl", "README.md"

# SPDX ids that the hub knows, in lower case, as licenses of datasets.
_HUB_LICENSES = {
    *("CC0-1.0", "MIT", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC"),
    *("CC-BY-2.0", "CC-BY-2.5", "CC-BY-3.0", "CC-BY-4.0", "CC-BY-SA-3.0", "CC-BY-SA-4.0"),
    *("CC-BY-NC-2.0", "CC-BY-NC-3.0", "CC-BY-NC-4.0", "CC-BY-ND-4.0"),
    *("CC-BY-NC-ND-3.0", "CC-BY-NC-ND-4.0", "CC-BY-NC-SA-3.0", "CC-BY-NC-SA-4.0"),
}
_SIZES = ((1000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (10**6, "100K<n<1M"))
_CARD = """
# {title}

{counts}. Prepared with bioicons_kit.

```python
from datasets import load_dataset

dataset = load_dataset("imagefolder", data_dir="this folder")
dataset["train"][0]["image"], dataset["train"][0]["text"]
```

{splits}

`text` is the caption, `repeats` how often an epoch shows this version of the picture, `sha256` the
hash of the file it was made from, and `changes` what was done to it.

## Licenses

{licenses}

[ATTRIBUTION.md](ATTRIBUTION.md) names every picture's title, author, source, license and changes.
Keep it with the pictures.
"""
_MEANING = {
    "train": "to learn from",
    "validation": "held out, to measure by",
    "prior": "to keep what a model knew (prior preservation)",
}


def files(contents: Contents) -> dict[str, bytes]:
    """Return the folder's text files by their paths below it."""
    found = {
        f"{split}/metadata.jsonl": manifest.metadata_jsonl(contents.split(split))
        for split in contents.splits
    }
    found["ATTRIBUTION.md"] = attribution.markdown([_credited(each) for each in contents.records])
    found |= _license_files(contents.records)
    found[SKIPPED] = _lines(_told(each) for each in contents.skipped)
    removed = contents.removed.items()
    found[REMOVED] = _lines({"path": path, "removed": [*what]} for path, what in removed)
    found[CARD] = card(contents)
    return {name: text.encode("utf-8") for name, text in found.items()}


def card(contents: Contents) -> str:
    """Return the dataset card: YAML for the hub, then text for people."""
    ids = sorted({record["license"] for record in contents.records})
    configs = [{"split": split, "path": f"{split}/**"} for split in contents.splits]
    head: dict[str, object] = {
        **_hub_license(ids),
        "pretty_name": contents.preset.name,
        "task_categories": ["text-to-image"],
        "tags": ["icons", "bioicons_kit"],
        "size_categories": [_size_category(len(contents.records))],
        "configs": [{"config_name": "default", "data_files": configs}],
    }
    # JSON is YAML, and quotes whatever strangers wrote.
    yaml = "".join(f"{key}: {json.dumps(value)}\n" for key, value in head.items())
    authors = len({record["author"] for record in contents.records})
    return f"---\n{yaml}---\n" + _CARD.format(
        title=contents.preset.name,
        counts=f"{len(contents.records):,} pictures by {authors:,} authors",
        splits="\n".join(
            f"- `{split}`: {len(contents.split(split)):,} pictures, {_MEANING[split]}"
            for split in contents.splits
        ),
        licenses="\n".join(f"- {line}" for line in duties(contents.records)),
    )


def duties(records: Sequence[Record]) -> list[str]:
    """Return a line on each license: how many pictures have it, and what it asks."""
    lines = []
    for spdx in sorted({record["license"] for record in records}):
        license_ = licenses.get(spdx)
        count = sum(record["license"] == spdx for record in records)
        name = f"[{license_.name}]({license_.url})" if license_.url else license_.name
        lines.append(f"{name} ({spdx}): {count:,} of the pictures. {license_.asks}")
    return lines


def _hub_license(ids: Sequence[str]) -> dict[str, object]:
    """Return the card's license keys: the license, or "other" where it takes more words."""
    if len(ids) == 1 and ids[0] in _HUB_LICENSES:
        return {"license": ids[0].lower()}
    return {
        "license": "other",
        "license_name": " AND ".join(ids),
        "license_link": "ATTRIBUTION.md",
    }


def _size_category(count: int) -> str:
    """Return the hub's word for how large a dataset is."""
    return next((name for most, name in _SIZES if count < most), "n>1M")


def _license_files(records: Sequence[Record]) -> dict[str, str]:
    """Return the license texts that have to go with the pictures, with their notices."""
    found = {}
    for spdx in sorted({record["license"] for record in records}):
        authors = dict.fromkeys(each["author"] for each in records if each["license"] == spdx)
        if licenses.get(spdx).notice and (text := license_texts.notice(spdx, authors)):
            found[f"LICENSES/{spdx}.txt"] = text
    return found


def _credited(record: Record) -> Record:
    """Return a record as the credits want it: None for what is not known."""
    urls = {key: record[key] or None for key in ("author_url", "source_url")}
    return {**record, **urls}


def _told(each: Skip) -> dict[str, str]:
    """Return a line of skipped.jsonl."""
    line = {"path": each.path, "reason": each.reason, "stage": each.stage}
    return {**line, "key": each.key} if each.key else line


def _lines(entries: Iterable[Mapping[str, object]]) -> str:
    """Return JSON, one entry a line."""
    return "".join(json.dumps(entry, ensure_ascii=False) + "\n" for entry in entries)
