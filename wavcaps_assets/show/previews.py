"""Tables for people: the first rows as Markdown, with crawled text that cannot act as markup."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from urllib.parse import quote

import pyarrow as pa
import pyarrow.compute as pc

MAX_CELL_CHARS = 90
# The UI makes these links where a host follows, even after escaping, as GitHub's Markdown does:
# https://github.com/syntax-tree/mdast-util-gfm-autolink-literal
AUTOLINK = re.compile(r"https?:(?=//)|www(?=\.)|(?=@)", re.IGNORECASE)
WORD_JOINER = "\u2060"
# They would show the rest of a row in another order.
BIDI_CONTROLS = dict.fromkeys((0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)))
# Links that a source has checked; the UI may open them.
LINK_COLUMNS = frozenset({"page_url"})
LINK = re.compile(r"https?://([^/?#\s]+)\S*", re.IGNORECASE)
# What stays in a URL; the other characters could end it in Markdown.
SAFE_IN_URL = "-._~:/?#[]@!$&'()*+,;=%"
# Markdown's markup characters. Crawled text must not create links or images in the UI.
MARKUP = re.compile(r"([\\`*_{}\[\]#!|~$])")


def preview(table: pa.Table, columns: Sequence[str] | None = None, rows: int = 8) -> str:
    """The first rows of a table as a Markdown table."""
    names = [name for name in columns or table.column_names if name in table.column_names]
    if table.num_rows == 0:
        return "*no rows*"
    lines = ["| " + " | ".join(names) + " |", "|" + " --- |" * len(names)]
    for row in table.select(names).slice(0, rows).to_pylist():
        shown = (link(row[name]) if name in LINK_COLUMNS else cell(row[name]) for name in names)
        lines.append("| " + " | ".join(shown) + " |")
    return "\n".join(lines)


def reasons(dropped: pa.Table) -> str:
    """The number of dropped clips by reason, as a Markdown table."""
    if dropped.num_rows == 0:
        return "*nothing was dropped*"
    counts = dropped.group_by(["stage", "reason"]).aggregate([([], "count_all")])
    ordered = counts.sort_by([("count_all", "descending"), ("reason", "ascending")])
    lines = ["| stage | reason | clips | for example |", "| --- | --- | --- | --- |"]
    for row in ordered.to_pylist():
        mask = pc.and_(pc.equal(dropped["stage"], row["stage"]), pc.equal(dropped["reason"], row["reason"]))
        example = dropped.filter(mask).slice(0, 1).to_pylist()[0]
        shown = cell(f"{example['clip_id']}: {example['detail'] or ''}")
        lines.append(f"| {cell(row['stage'])} | {cell(row['reason'])} | {row['count_all']} | {shown} |")
    return "\n".join(lines)


def counts(table: pa.Table, *columns: str, distinct: str | None = None) -> str:
    """Counts of rows, or of distinct values of a column, grouped by some columns."""
    measure = ([], "count_all") if distinct is None else (distinct, "count_distinct")
    counted = table.group_by(list(columns)).aggregate([measure])
    named = counted.rename_columns([*columns, distinct or "clips"])
    return preview(named.sort_by([(name, "ascending") for name in columns]), rows=50)


def tally(counted: Mapping[str, int], what: str) -> str:
    """Counts by name, as a Markdown table."""
    if not counted:
        return "*none*"
    lines = [f"| | {cell(what)} |", "| --- | --- |"]
    return "\n".join([*lines, *(f"| {cell(name)} | {count} |" for name, count in counted.items())])


def cell(value: object, most_chars: int = MAX_CELL_CHARS) -> str:
    """One value as the text of a Markdown cell. Addresses in it are not links. Longer texts are cut."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 1e4 else f"{value:.0f}"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M}"
    if isinstance(value, list):
        value = ", ".join(
            str(item.get("label", item)) if isinstance(item, dict) else str(item) for item in value
        )
    text = " ".join(str(value).translate(BIDI_CONTROLS).split())
    if len(text) > most_chars:
        text = text[: most_chars - 1] + "…"
    text = AUTOLINK.sub(lambda match: f"{match[0]}{WORD_JOINER}", text)
    return MARKUP.sub(r"\\\1", html.escape(text, quote=False))


def link(url: object) -> str:
    """A checked http(s) address as a Markdown link that shows its host; anything else as a cell."""
    match = LINK.fullmatch(url) if isinstance(url, str) else None
    if match is None:
        return cell(url)
    return f"[{cell(match[1])}](<{quote(match[0], safe=SAFE_IN_URL)}>)"
