"""Finds a clip by what a person has at hand: a file's name, or a link to its page or its audio."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath

import pyarrow as pa
import pyarrow.compute as pc

from wavcaps_assets.sources import source_names
from wavcaps_assets.tables.asset_tables import TableStore

# An address or a path of a raw clip.
COLUMNS = ("page_url", "audio_url")


class SeveralClips(LookupError):
    """A name fits several clips."""


def clip_id_of(tables: TableStore, name: str) -> str | None:
    """The id of the clip that a name means; None if it means none.

    Args:
        tables: the store's tables.
        name: the address of its page or its audio, the path of a file in the source's folder,
            the path of its FLAC file in the store, or the last part of one of these.

    Raises:
        SeveralClips: more than one clip fits; names them.
        StoreError: a table cannot be read.
    """
    stem = PurePosixPath(name).name.removesuffix(".flac")
    found: dict[str, None] = {}
    for table in _raw_clips(tables):
        ids = table.column("clip_id")
        fits = pc.equal(ids, stem)
        for column in COLUMNS:
            # Nulls, as of a clip without a page, fit nothing.
            same = pc.or_(pc.equal(table[column], name), pc.ends_with(table[column], f"/{name}"))
            fits = pc.or_(fits, pc.fill_null(same, False))
        found |= dict.fromkeys(table.filter(fits).column("clip_id").to_pylist())
    if len(found) > 1:
        shown = ", ".join(sorted(found)[:5])
        raise SeveralClips(f"{name!r:.200} fits {len(found)} clips: {shown}; use a clip_id")
    return next(iter(found), None)


def _raw_clips(tables: TableStore) -> Iterator[pa.Table]:
    for source in source_names():
        for partition in tables.partitions([source, "raw_clips"]):
            yield tables.read([source, "raw_clips"], [partition], ["clip_id", *COLUMNS])
