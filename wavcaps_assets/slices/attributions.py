"""The credit lines of the clips of a slice, as CSV and as text."""

from __future__ import annotations

from io import BytesIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from wavcaps_assets.crawl.licences import normalise_licence
from wavcaps_assets.slices.licence_classes import licence_class_of
from wavcaps_assets.store.storage import Store
from wavcaps_assets.tables.asset_tables import set_version_of

FOLDER = "slices"
CSV, TEXT = "attributions.csv", "ATTRIBUTIONS.txt"
COLUMNS = ("clip_id", "source", "title", "author", "licence_id", "page_url", "attribution")
# Spreadsheets calculate cells that begin with these. A quotation mark in front makes them text.
FORMULAS = "^[=+\\-@\t\r]"


def attributions_csv(clips: pa.Table) -> bytes:
    """One line for each clip, with the link of its licence, in the order of the table.

    A title or a name that a spreadsheet would calculate has an apostrophe in front.

    Args:
        clips: `tables.MANIFEST`.
    """
    table = clips.select(COLUMNS)
    for name in ("title", "author"):
        cells = table.column(name)
        risky = pc.match_substring_regex(cells, FORMULAS)
        shown = pc.if_else(risky, pc.binary_join_element_wise("'", cells, ""), cells)
        table = table.set_column(table.column_names.index(name), name, shown)
    licences = pc.unique(table.column("licence_id"))
    urls = [normalise_licence(licence).url for licence in licences.to_pylist()]
    links = pa.array(urls, pa.string()).take(pc.index_in(table.column("licence_id"), value_set=licences))
    table = table.add_column(table.column_names.index("page_url"), "licence_url", links)
    out = BytesIO()
    pyarrow.csv.write_csv(table, out)
    return out.getvalue()


def attributions_text(clips: pa.Table, title: str) -> bytes:
    """The credit lines, by class of licence, each with what it requires.

    Args:
        clips: `tables.MANIFEST`.
        title: the first line.
    """
    lines = [title, "=" * len(title), ""]
    by_class: dict[str, list[str]] = {}
    for licence in sorted(pc.unique(clips.column("licence_id")).to_pylist()):
        by_class.setdefault(licence_class_of(licence).name, []).append(licence)
    for licences in by_class.values():
        found = licence_class_of(licences[0])
        own = clips.filter(pc.is_in(clips.column("licence_id"), value_set=pa.array(licences)))
        head = f"{found.title.capitalize()}: {len(own):,} clips ({', '.join(licences)})"
        lines += [head, "-" * len(head), f"Conditions: {found.conditions}", ""]
        lines += sorted(own.column("attribution").to_pylist())
        lines.append("")
    return "\n".join(lines).encode()


def write_attributions(store: Store, use: str, clips: pa.Table) -> tuple[str, str]:
    """Writes both files into the folder of a slice.

    Returns:
        their paths in the store.

    Raises:
        StoreError: they cannot be written.
    """
    title = f"Attributions: slice {use} of {set_version_of(clips) or 'the set'}, {len(clips):,} clips"
    paths = f"{FOLDER}/{use}/{CSV}", f"{FOLDER}/{use}/{TEXT}"
    store.write_bytes(paths[0], attributions_csv(clips))
    store.write_bytes(paths[1], attributions_text(clips, title))
    return paths
