"""Whether the host of a source's audio still answers: a clip that is stored is downloaded once more."""

from __future__ import annotations

import logging

from wavcaps_assets.audio.originals import NotAudio, Origin, original
from wavcaps_assets.network.errors import NetworkError
from wavcaps_assets.sources.base import Source
from wavcaps_assets.tables.asset_tables import TableStore

logger = logging.getLogger(__name__)


def has_stored_clip(source: Source, tables: TableStore, origin: Origin) -> bool:
    """Whether the smallest stored clip of a source can be downloaded. False if none is stored.

    Raises:
        NotAllowed, Paused: as `original` does.
    """
    clip = _smallest_stored(source, tables)
    if clip is None:
        return False
    try:
        with original(source, clip, origin):
            return True
    except (NetworkError, NotAudio) as error:
        logger.warning("%s is stored, and cannot be downloaded now: %s", clip["clip_id"], error)
        return False


def _smallest_stored(source: Source, tables: TableStore) -> dict[str, object] | None:
    """The columns of a request for it."""
    key = [source.name, "audio"]
    for partition in tables.partitions(key):
        stored = tables.read(key, [partition], columns=["clip_id", "original_bytes"])
        if not stored.num_rows:
            continue
        smallest = stored.sort_by("original_bytes")["clip_id"][0].as_py()
        columns = ["clip_id", "audio_url", "claimed_md5", "claimed_bytes"]
        listed = tables.read([source.name, "raw_clips"], [partition], columns=columns)
        found = next((row for row in listed.to_pylist() if row["clip_id"] == smallest), None)
        if found is not None:
            return found
    return None
