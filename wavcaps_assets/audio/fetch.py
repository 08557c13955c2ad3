"""Fetches and normalises the audio of a partition's clips, each once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from wavcaps_assets.audio.normalise import AudioLimits, normalise
from wavcaps_assets.audio.originals import Origin, original
from wavcaps_assets.audio.reasons import LASTING, REASONS, reason_of
from wavcaps_assets.audio.settings import FetchSettings
from wavcaps_assets.clock import new_crawl_id, utc_now
from wavcaps_assets.crawl.history import AUDIO_EVENTS, TEMPORARY, Event, History
from wavcaps_assets.network.errors import NotAllowed, Paused
from wavcaps_assets.sources.base import Source
from wavcaps_assets.store.storage import StoreError
from wavcaps_assets.tables import AUDIO, DROPPED
from wavcaps_assets.tables.asset_tables import TableStore
from wavcaps_assets.tables.stage import Stage, drop

STAGE = "audio"
# In an interrupted fetch: a failure during an outage of the host is not final.
MAX_TRIES = 3
REQUEST_COLUMNS = ("audio_url", "claimed_md5", "claimed_bytes")


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
        Stored audio is not fetched again. A failed request is repeated once per fetch. Audio that cannot
        be decoded is not fetched again until its source changes it.

    Raises:
        NotAllowed: the key is wrong.
        Paused: the source must not be sent requests now; fetched audio is kept.
        StoreError: the store cannot be written; fetched audio is kept.
    """
    with History(tables.store, source.name, partition) as history:
        done = tables.crawl_id_of([source.name, STAGE], partition)
        fetch = Fetch(source, partition, tables, origin, settings, history, done)
        rows_by_clip = fetch.fetch_all(list(_clips(clips)), settings.workers, on_clip)
        # Clips that failed while others succeeded are tried once more.
        with suppress(Paused):
            for clip in _clips(clips):
                if rows_by_clip[clip["clip_id"]].get("reason") in TEMPORARY:
                    rows_by_clip[clip["clip_id"]] = fetch.clip(clip)
    rows = [row for row in rows_by_clip.values() if "reason" not in row]
    dropped = [row for row in rows_by_clip.values() if "reason" in row]
    return Stage(AUDIO.from_rows(rows), DROPPED.from_rows(dropped), fetch.fetch_id)


class Fetch:
    """One pass over a partition's clips, over one or more runs."""

    def __init__(
        self,
        source: Source,
        partition: str,
        tables: TableStore,
        origin: Origin,
        settings: FetchSettings,
        history: History,
        done: str | None,
    ) -> None:
        self._source = source
        self._store = tables.store
        self._origin = origin
        self._limits = AudioLimits(longest_s=settings.longest_s)
        self._history = history
        self._folder = f"audio/{source.name}/{partition}"
        self._store.sweep(self._folder)
        self._sizes = self._store.sizes(self._folder)
        self._last: dict[str, dict[str, Any]] = {}
        self._failures: dict[str, int] = {}
        self.fetch_id = ""
        for record in history:
            if record["event"] in AUDIO_EVENTS:
                self._last[record["clip_id"]] = record
                self.fetch_id = max(self.fetch_id, record["round"])
            if record["event"] == Event.FAILED:
                self._failures[record["clip_id"]] = record["attempt"]
        # Ids sort by their beginning. A fetch that left no event is known only from the table.
        if not self.fetch_id or (done is not None and self.fetch_id <= done):
            self.fetch_id = new_crawl_id(utc_now())
        self._tries = Counter(
            record["clip_id"]
            for record in history
            if record["event"] == Event.FAILED and record["round"] == self.fetch_id
        )
        self._stopped: BaseException | None = None

    def fetch_all(
        self, clips: list[dict[str, Any]], workers: int, on_clip: Callable[[], object]
    ) -> dict[str, dict[str, Any]]:
        """The rows of several clips by clip id, in order."""
        rows: dict[str, dict[str, Any]] = {}
        with ThreadPoolExecutor(workers, thread_name_prefix=STAGE) as pool:
            submitted = [(clip["clip_id"], pool.submit(self.clip, clip)) for clip in clips]
            try:
                for clip_id, future in submitted:
                    rows[clip_id] = future.result()
                    on_clip()
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
        return rows

    def clip(self, clip: dict[str, Any]) -> dict[str, Any]:
        """A row of `tables.AUDIO`, or one of `tables.DROPPED`."""
        clip_id = clip["clip_id"]
        request = [clip[name] for name in REQUEST_COLUMNS]
        last = self._last.get(clip_id)
        if last and last["asked_for"] == request:
            if last["event"] == Event.STORED and self._is_stored(last["row"]):
                return {**last["row"], "fetched_at": datetime.fromisoformat(last["row"]["fetched_at"])}
            if last["event"] == Event.FAILED and self._is_final(clip_id, last):
                return self._dropped(clip_id, last["reason"], last["detail"])
        if self._stopped is not None:
            raise self._stopped
        attempt = self._failures.get(clip_id, 0) + 1
        about: dict[str, Any] = {"asked_for": request, "attempt": attempt, "version": clip["version"]}
        try:
            row = self._fetch(clip)
        except (NotAllowed, Paused, StoreError) as error:
            # Not this clip's failure: every other clip would fail in the same way.
            self._stopped = error
            raise
        except tuple(REASONS) as error:
            reason, detail = reason_of(error), str(error)[:500]
            self._tries[clip_id] += 1
            self._failures[clip_id] = attempt
            self._history.add(Event.FAILED, clip_id, self.fetch_id, reason=reason, detail=detail, **about)
            return self._dropped(clip_id, reason, detail)
        written = {**row, "fetched_at": row["fetched_at"].isoformat()}
        self._history.add(Event.STORED, clip_id, self.fetch_id, row=written, **about)
        return row

    def _is_final(self, clip_id: str, failed: dict[str, Any]) -> bool:
        """Whether a failure is not retried, at all or in this fetch."""
        if failed["reason"] in LASTING:
            return True
        tries = MAX_TRIES if failed["reason"] in TEMPORARY else 1
        return bool(failed["round"] == self.fetch_id and self._tries[clip_id] >= tries)

    def _is_stored(self, row: dict[str, Any]) -> bool:
        name = Path(row["audio_path"]).name
        return self._sizes.get(name) == row["stored_bytes"] and row.keys() == set(AUDIO.arrow.names)

    def _fetch(self, clip: dict[str, Any]) -> dict[str, Any]:
        relative = f"{self._folder}/{clip['clip_id']}.flac"
        with original(self._source, clip, self._origin) as found, self._store.writing(relative) as target:
            facts = normalise(found.path, target, self._limits)
            stored_bytes = target.stat().st_size
        return {
            "clip_id": clip["clip_id"],
            "source": clip["source"],
            "audio_path": relative,
            "claimed_duration_s": clip["claimed_duration_s"],
            "original_sha256": found.sha256,
            "original_bytes": found.bytes,
            "fetched_at": utc_now(),
            "stored_bytes": stored_bytes,
            **asdict(facts),
        }

    def _dropped(self, clip_id: str, reason: str, detail: str) -> dict[str, Any]:
        return drop(clip_id, self._source.name, STAGE, reason, detail)


def _clips(clips: pa.Table) -> Iterator[dict[str, Any]]:
    names = ["clip_id", "source", "version", "claimed_duration_s", *REQUEST_COLUMNS]
    for batch in clips.select(names).to_batches():
        yield from batch.to_pylist()
