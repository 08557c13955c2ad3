"""Fetches and normalises the audio of a partition's clips, each once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa

from wavcaps_assets.audio.clip_fetches import REQUEST_COLUMNS, STAGE, Fetch
from wavcaps_assets.audio.originals import Origin
from wavcaps_assets.audio.settings import FetchSettings
from wavcaps_assets.crawl.history import TEMPORARY, History
from wavcaps_assets.crawl.one_process import one_process
from wavcaps_assets.network.errors import Paused
from wavcaps_assets.sources.base import Source
from wavcaps_assets.tables import AUDIO, DROPPED
from wavcaps_assets.tables.asset_tables import TableStore
from wavcaps_assets.tables.stage import Stage


def fetch_audio(
    source: Source,
    partition: str,
    clips: pa.Table,
    tables: TableStore,
    origin: Origin,
    settings: FetchSettings,
    on_clip: Callable[[], object] = lambda: None,
) -> Stage:
    """Fetches and normalises the audio of a partition's clips.

    Args:
        clips: `tables.RAW_CLIPS`.
        origin: how audio is fetched.
        on_clip: called after each clip, for progress.

    Returns:
        `tables.AUDIO`, and the clips whose audio is gone, cannot be fetched or cannot be decoded.
        Stored audio is not fetched again, unless its extra copy is missing, and stays stored where its file
        is no longer in the source's folder. A failed request is repeated once per fetch. Audio that cannot
        be decoded is not fetched again after `settings.attempts` fetches, until its source changes it.

    Raises:
        NotAllowed: the key is wrong.
        Paused: the source must not be sent requests now, or its host does not respond, or many clips failed
            in a row, or another process fetches the partition's audio; fetched audio is kept, and nothing is
            recorded against these clips.
        StoreError: the store cannot be written; fetched audio is kept.
        NoAudio: many clips failed in a row for days, and no stored clip can be downloaded.
        WrongFolder: the folder of clips is not there or empty, or no file has the checksum that its source
            lists; nothing is recorded against these clips.
    """
    with (
        one_process(tables.store, source.name, partition) as still_alone,
        History(tables.store, source.name, partition, still_alone) as history,
    ):
        done = tables.crawl_id_of([source.name, STAGE], partition)
        fetch = Fetch(source, partition, tables, origin, settings, history, done)
        listed = list(_clips(clips))
        rows = fetch.fetch_all(listed, settings.workers, on_clip)
        fetch.require_sound_source(rows)
        # Clips that failed while others succeeded are tried once more.
        pause = None
        try:
            for clip in listed:
                if rows[clip["clip_id"]].get("reason") in TEMPORARY:
                    rows[clip["clip_id"]] = fetch.clip(clip)
        except Paused as error:
            pause = error
        fetch.require_host(listed, rows, pause)
        fetch.report()
    kept = [row for row in rows.values() if "reason" not in row]
    dropped = [row for row in rows.values() if "reason" in row]
    return Stage(AUDIO.from_rows(kept), DROPPED.from_rows(dropped), fetch.fetch_id, replaces=done or "")


def _clips(clips: pa.Table) -> Iterator[dict[str, Any]]:
    names = ["clip_id", "source", "version", "claimed_duration_s", *REQUEST_COLUMNS, "claimed_crc32"]
    for batch in clips.select(names).to_batches():
        yield from batch.to_pylist()
