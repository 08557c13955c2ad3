"""Which clips come from one recording: by the user's list, and by what the sources say."""

from __future__ import annotations

import csv
import io
import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from wavcaps_assets.tables import RECORDINGS

if TYPE_CHECKING:
    from wavcaps_assets.network.client import Network


def parse_recordings(text: str) -> pa.Table:
    """Reads the csv `clip_id,recording` as `tables.RECORDINGS`. Rows with an empty cell are left out.

    Raises:
        ValueError: a column is missing, a row has more cells than the header, or a quote is not closed.
    """
    reader = csv.DictReader(io.StringIO(text.removeprefix("\ufeff")), skipinitialspace=True, strict=True)
    try:
        rows = list(reader)
    except csv.Error as error:
        # Without a quote that closes, all rows that follow would be one cell.
        raise ValueError(
            f"the list of recordings is not a csv file, near line {reader.line_num}: {error}"
        ) from error
    if not {"clip_id", "recording"} <= set(reader.fieldnames or ()):
        raise ValueError(
            f"the list of recordings needs the columns clip_id,recording; it has {reader.fieldnames}"
        )
    for row in rows:
        if any(row.get(None, ())):
            raise ValueError(
                f"the row of {row['clip_id']!r} in the list of recordings has more cells than the header: "
                "put a name that has a comma in quotes"
            )
    pairs = {((row["clip_id"] or "").strip(), _name(row["recording"])) for row in rows}
    return RECORDINGS.from_rows(
        {"clip_id": clip_id, "recording": recording}
        for clip_id, recording in sorted(pairs)
        # An empty name would be one recording of all clips that have none.
        if clip_id and recording
    )


def _name(recording: str | None) -> str:
    """A recording's name, the same however an accent is written and whatever blanks are around it."""
    return unicodedata.normalize("NFC", recording or "").strip()


def read_recordings(address: str, network: Network) -> pa.Table:
    """Reads the list of recordings from a file or a URL. An empty address is an empty list."""
    if not address:
        return RECORDINGS.empty()
    if "://" in address:
        return parse_recordings(network.get_text(address))
    return parse_recordings(Path(address).read_text(encoding="utf-8-sig"))


def all_recordings(listed: pa.Table, wavcaps: pa.Table) -> pa.Table:
    """The recordings in the list and those that the sources name, as `tables.RECORDINGS`.

    Args:
        listed: `tables.RECORDINGS`, from the user's own list.
        wavcaps: `tables.MANIFEST`.

    Raises:
        ValueError: the list names no clip of the set.
    """
    ids = wavcaps.column("clip_id")
    if (
        len(listed)
        and len(ids)
        and not pc.any(pc.is_in(listed.column("clip_id"), ids.combine_chunks())).as_py()
    ):
        raise ValueError(
            f"none of the {len(listed)} clips in the list of recordings is in the set. It names "
            f"{pc.min(listed.column('clip_id')).as_py()!r}, and the set has {pc.min(ids).as_py()!r}: check "
            "WAVCAPS_RECORDINGS_URL"
        )
    names = pc.utf8_trim_whitespace(pc.utf8_normalize(wavcaps.column("recording"), form="NFC"))
    # Two sources may use the same name for different recordings.
    named = pc.binary_join_element_wise(wavcaps.column("source"), names, ": ")
    by_source = pa.table({"clip_id": ids, "recording": named}).filter(pc.greater(pc.utf8_length(names), 0))
    pairs = pa.concat_tables([listed.select(["clip_id", "recording"]), by_source.cast(listed.schema)])
    distinct = pairs.group_by(["clip_id", "recording"]).aggregate([])
    return distinct.sort_by([("clip_id", "ascending"), ("recording", "ascending")]).cast(RECORDINGS.arrow)


def unknown_recordings(split: pa.Table, recordings: pa.Table) -> str:
    """Which sources name no recording, so that nothing keeps clips of one recording together; empty: none.

    Args:
        split: `tables.TRAINING_MANIFEST`.
        recordings: `tables.RECORDINGS`.
    """
    known = pc.is_in(split.column("clip_id"), recordings.column("clip_id").combine_chunks())
    counted = split.select(["source"]).append_column("known", known).group_by("source")
    rows = counted.aggregate([("known", "any"), ([], "count_all")]).sort_by("source").to_pylist()
    without = [f"{row['source']} ({row['count_all']:,} clips)" for row in rows if not row["known_any"]]
    if not without:
        return ""
    return (
        f"no recording is known for {', '.join(without)}: clips that were cut from one recording may be in "
        "two parts of the split. Name the recordings in a list (WAVCAPS_RECORDINGS_URL) or, for your own "
        "sounds, in the column `recording` of clips.csv"
    )
