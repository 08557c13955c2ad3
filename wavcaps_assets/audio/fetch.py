"""Fetches and normalises the audio of a partition's clips, each once."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa

from wavcaps_assets.audio.copies import ExtraCopy, copy_path, write_copy
from wavcaps_assets.audio.host_health import has_stored_clip
from wavcaps_assets.audio.normalise import AudioLimits, normalise
from wavcaps_assets.audio.originals import Origin, file_version, original
from wavcaps_assets.audio.reasons import LASTING, REASONS, WRONG_CHECKSUM, reason_of
from wavcaps_assets.audio.settings import FetchSettings
from wavcaps_assets.clock import utc_now
from wavcaps_assets.crawl.history import TEMPORARY, Event, History
from wavcaps_assets.crawl.past_fetches import PastFetches, is_first_failure, with_file_version
from wavcaps_assets.masking import masked
from wavcaps_assets.network.errors import HostDown, NotAllowed, NotThere, Paused
from wavcaps_assets.sources.base import Source
from wavcaps_assets.store.migration import fits
from wavcaps_assets.store.storage import StoreError
from wavcaps_assets.tables import AUDIO, DROPPED
from wavcaps_assets.tables.asset_tables import TableStore
from wavcaps_assets.tables.stage import Stage, drop

STAGE = "audio"
# In an interrupted fetch: a failure during an outage of the host is not final.
MAX_TRIES = 3
REQUEST_COLUMNS = ("audio_url", "claimed_md5", "claimed_bytes")


class WrongFolder(ValueError):
    """The folder of clips has other files than its source lists."""


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
        be decoded is not fetched again after `settings.attempts` fetches, until its source changes it.

    Raises:
        NotAllowed: the key is wrong.
        Paused: the source must not be sent requests now, or many clips failed in a row; fetched audio is
            kept, and nothing is recorded against these clips.
        StoreError: the store cannot be written; fetched audio is kept.
        WrongFolder: no file of the folder of clips has the checksum that its source lists; nothing is
            recorded against these clips.
    """
    with History(tables.store, source.name, partition) as history:
        done = tables.crawl_id_of([source.name, STAGE], partition)
        fetch = Fetch(source, partition, tables, origin, settings, history, done)
        rows_by_clip = fetch.fetch_all(list(_clips(clips)), settings.workers, on_clip)
        fetch.require_some_success()
        fetch.require_right_folder(rows_by_clip)
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
        self._tables = tables
        self._store = tables.store
        self._origin = origin
        self._settings = settings
        self._partition = partition
        self._limits = AudioLimits(longest_s=settings.longest_s)
        self._history = history
        self._folder = f"audio/{source.name}/{partition}"
        self._store.sweep(self._folder)
        self._sizes = self._store.sizes(self._folder)
        self._extra = settings.extra_copy
        self._copies: dict[str, int] = {}
        if self._extra is not ExtraCopy.none:
            copies = f"{self._extra.folder}/{source.name}/{partition}"
            self._store.sweep(copies)
            self._copies = self._store.sizes(copies)
        past = PastFetches(history, done)
        self.fetch_id = past.fetch_id
        self._last, self._failures, self._tries = past.last, past.failures, past.tries
        self._ever_stored = past.ever_stored
        self._fault_days = past.fault_days
        # Whether a stored clip can be downloaded; not known before it is tried.
        self._host_answers: bool | None = None
        # First failures since the last success, in order, with their reasons.
        self._streak = past.streak if source.folder is None else {}
        self._lock = threading.Lock()
        self._stopped: BaseException | None = None

    def fetch_all(
        self, clips: list[dict[str, Any]], workers: int, on_clip: Callable[[], object]
    ) -> dict[str, dict[str, Any]]:
        """The rows of several clips by clip id, in order."""
        if self._is_host_fault(self._settings.failures_in_a_row):
            # A fetch was killed after these failures, before they were blamed on the host.
            raise self._host_fault()
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
        if clip["claimed_crc32"] is not None:
            request.append(clip["claimed_crc32"])
        last = self._last.get(clip_id)
        if self._source.folder is not None:
            # A file that was replaced is another one, even under the same name.
            request += file_version(self._source.folder, clip["audio_url"])
            last = last and with_file_version(last, request)
        if last and last["asked_for"] == request:
            if last["event"] == Event.STORED and self._is_stored(last["row"]):
                return {**last["row"], "fetched_at": datetime.fromisoformat(last["row"]["fetched_at"])}
            if last["event"] == Event.FAILED and self._is_final(clip_id, last):
                return self._dropped(clip_id, last["reason"], last["detail"])
        if self._stopped is not None:
            raise self._stopped
        is_same = last is not None and last["asked_for"] == request
        attempt = self._failures.get(clip_id, 0) + 1 if is_same else 1
        about: dict[str, Any] = {"asked_for": request, "attempt": attempt, "version": clip["version"]}
        with self._lock:
            streak = frozenset(self._streak)
        try:
            row = self._fetch(clip)
        except (NotAllowed, Paused, StoreError) as error:
            # Not this clip's failure: every other clip would fail in the same way.
            self._stopped = error
            raise
        except tuple(REASONS) as error:
            reason, detail = reason_of(error), masked(str(error))[:500]
            failed = {"event": Event.FAILED, "asked_for": request, "reason": reason}
            with self._lock:
                if self._stopped is not None:
                    raise self._stopped from error
                self._tries[clip_id] += 1
                self._failures[clip_id] = attempt
                self._history.add(Event.FAILED, clip_id, self.fetch_id, reason=reason, detail=detail, **about)
                if self._source.folder is None and is_first_failure(last, failed):
                    self._streak[clip_id] = reason
                if self._is_host_fault(self._settings.failures_in_a_row):
                    self._stopped = self._host_fault()
                    raise self._stopped from error
            return self._dropped(clip_id, reason, detail)
        written = {**row, "fetched_at": row["fetched_at"].isoformat()}
        self._history.add(Event.STORED, clip_id, self.fetch_id, row=written, **about)
        with self._lock:
            self._ever_stored = True
            # What failed while this clip was being fetched may be the start of a streak.
            self._streak = {name: reason for name, reason in self._streak.items() if name not in streak}
        return row

    def require_some_success(self) -> None:
        """Raises Paused if every clip of the partition failed, unless there are only a few."""
        if not self._ever_stored and self._is_host_fault(self._settings.failed_partition):
            raise self._host_fault()

    def _is_host_fault(self, most: int) -> bool:
        """Whether at least `most` clips failed in a row, for which the host is to blame.

        Missing clips are believed to be gone after some days of pauses, if the host still has others.
        """
        if len(self._streak) >= most and len(self._fault_days) >= self._settings.host_fault_days:
            if self._host_answers is None:
                self._host_answers = has_stored_clip(self._source, self._tables, self._origin)
            if self._host_answers:
                self._streak = {
                    name: reason for name, reason in self._streak.items() if reason != REASONS[NotThere]
                }
        return len(self._streak) >= most

    def require_right_folder(self, rows: dict[str, dict[str, Any]]) -> None:
        """Raises WrongFolder if every local file has a wrong checksum, unless there are only a few.

        Args:
            rows: by clip id, as `fetch_all` returns them.
        """
        reasons = {clip_id: row.get("reason") for clip_id, row in rows.items()}
        there = [clip_id for clip_id, reason in reasons.items() if reason != REASONS[NotThere]]
        wrong = [clip_id for clip_id in there if reasons[clip_id] == WRONG_CHECKSUM]
        if len(wrong) < max(len(there), self._settings.failed_partition):
            return
        problem = (
            f"all {len(wrong)} files of {self._source.title} that are there have another checksum than their "
            f"source lists, first that of {wrong[0]}: the list and the files are not of the same release, or "
            "the files were changed. Get both again, then materialize raw_clips and audio. If each of the "
            "files is at fault, increase failed_partition of the asset"
        )
        self._blame(problem, wrong)
        raise WrongFolder(problem)

    def _host_fault(self) -> HostDown:
        """Blames the host for the failures since the last success. The clips are requested again."""
        reasons = ", ".join(f"{reason}: {count}" for reason, count in Counter(self._streak.values()).items())
        problem = (
            f"the audio of {len(self._streak)} clips of {self._source.title} failed in a row ({reasons}), "
            f"first {next(iter(self._streak))}: the host may be refusing requests, so they are requested "
            "again. If the clips are at fault, increase failures_in_a_row and failed_partition of the asset"
        )
        self._blame(problem, list(self._streak))
        return HostDown(problem, utc_now() + timedelta(hours=self._settings.failure_pause_h))

    def _blame(self, problem: str, clips: list[str]) -> None:
        """Records that it is the source's fault, and not that of these clips."""
        name = f"{self._source.name}-{self._partition}-audio"
        self._history.add(Event.HOST_FAULT, name, self.fetch_id, detail=problem, clips=clips)

    def _is_final(self, clip_id: str, failed: dict[str, Any]) -> bool:
        """Whether a failure is not retried, at all or in this fetch."""
        is_local = self._source.folder is not None
        if failed["reason"] in LASTING and (
            is_local or self._failures.get(clip_id, 0) >= self._settings.attempts
        ):
            return True
        tries = MAX_TRIES if failed["reason"] in TEMPORARY else 1
        return bool(failed["round"] == self.fetch_id and self._tries[clip_id] >= tries)

    def _is_stored(self, row: dict[str, Any]) -> bool:
        name = Path(row["audio_path"]).name
        if self._sizes.get(name) != row["stored_bytes"] or not fits(AUDIO, row.keys()):
            return False
        if self._extra is ExtraCopy.none:
            return True
        copy = copy_path(row["audio_path"], row["original_format"], self._extra)
        return Path(copy).name in self._copies

    def _fetch(self, clip: dict[str, Any]) -> dict[str, Any]:
        relative = f"{self._folder}/{clip['clip_id']}.flac"
        with original(self._source, clip, self._origin) as found, self._store.writing(relative) as target:
            facts = normalise(found.path, target, self._limits)
            stored_bytes = target.stat().st_size
            if self._extra is not ExtraCopy.none:
                copy = copy_path(relative, facts.original_format, self._extra)
                with self._store.writing(copy) as copy_target:
                    write_copy(found.path, copy_target, self._extra)
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
    names = ["clip_id", "source", "version", "claimed_duration_s", *REQUEST_COLUMNS, "claimed_crc32"]
    for batch in clips.select(names).to_batches():
        yield from batch.to_pylist()
