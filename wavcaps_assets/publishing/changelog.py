"""What a version changed, as a page for people."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc

from wavcaps_assets.publishing.version_diff import KINDS
from wavcaps_assets.show.previews import cell, tally

EXAMPLES = 10
TITLES = {
    "added": ("Added", ("clip", "caption", "")),
    "removed": ("Removed", ("clip", "caption", "why")),
    "recaptioned": ("Re-captioned", ("clip", "before", "after")),
    "other_captions_changed": ("Changed further captions", ("clip", "before", "after")),
    "relicensed": ("Re-licensed", ("clip", "before", "after")),
    "preference_changed": ("Changed preference about generative models", ("clip", "before", "after")),
    "audio_changed": ("Changed audio", ("clip",)),
    "details_changed": ("Other changes, such as a title or the model", ("clip",)),
}


def changelog(title: str, changes: pa.Table, counts: Mapping[str, int], removed: Mapping[str, int]) -> str:
    """The page, as Markdown: counts, and examples side by side.

    Args:
        title: what was compared.
        changes: `tables.SET_CHANGES`.
        counts: the number of changes of each kind.
        removed: the number of removed clips, by the reason.
    """
    parts = [f"# {title}", tally({TITLES[kind][0].lower(): counts.get(kind, 0) for kind in KINDS}, "clips")]
    if removed:
        parts += ["## Why clips were removed", tally(removed, "clips")]
    for kind in KINDS:
        if counts.get(kind):
            parts += [f"## {TITLES[kind][0]}", examples(changes, kind)]
    return "\n\n".join(parts) + "\n"


def of_kind(changes: pa.Table, kind: str, number: int = EXAMPLES) -> pa.Table:
    """Some changes of one kind, at equal distances in the order of the ids.

    Args:
        changes: `tables.SET_CHANGES`.
        kind: of `KINDS`.
        number: the largest number of examples.
    """
    rows = changes.filter(pc.equal(changes.column("change"), kind))
    number = min(number, len(rows))
    return rows.take(pa.array([place * len(rows) // number for place in range(number)], pa.int64()))


def examples(changes: pa.Table, kind: str, number: int = EXAMPLES) -> str:
    """Changes of one kind, side by side, as a Markdown table."""
    shown = of_kind(changes, kind, number)
    if not len(shown):
        return "*none*"
    heads = [head for head in TITLES[kind][1] if head]
    lines = ["| " + " | ".join(heads) + " |", "|" + " --- |" * len(heads)]
    for row in shown.to_pylist():
        texts = {
            "clip": row["clip_id"],
            "caption": row["before"] if kind == "removed" else row["after"],
            "why": f"{row['why'] or ''}: {row['detail'] or ''}",
            "before": row["before"],
            "after": row["after"],
        }
        lines.append("| " + " | ".join(cell(texts[head]) for head in heads) + " |")
    return "\n".join(lines)
