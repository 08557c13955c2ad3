"""How many clips a slice has, by class of licence, and how many it leaves out, by reason."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from wavcaps_assets.slices.licence_classes import LICENCE_CLASSES, licence_class_of


def clips_by_class(clips: pa.Table) -> dict[str, int]:
    """The clips of each class that occurs, by its title, in the order of the classes.

    Args:
        clips: with the column `licence_id` of `tables.MANIFEST`.
    """
    counted: dict[str, int] = {}
    for row in pc.value_counts(clips.column("licence_id")).to_pylist():
        title = licence_class_of(row["values"]).title
        counted[title] = counted.get(title, 0) + row["counts"]
    return {found.title: counted[found.title] for found in LICENCE_CLASSES if found.title in counted}


def clips_by_reason(dropped: pa.Table) -> dict[str, int]:
    """The clips with each sentence about why they are left out, the most frequent first.

    Args:
        dropped: `tables.DROPPED`.
    """
    rows = dropped.group_by("detail").aggregate([([], "count_all")])
    rows = rows.sort_by([("count_all", "descending"), ("detail", "ascending")])
    return {row["detail"]: row["count_all"] for row in rows.to_pylist()}
