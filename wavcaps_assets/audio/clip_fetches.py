"""One pass over the clips of a partition: what is requested of each, and what came of it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from wavcaps_assets.audio.copies import copy_path, write_copy
from wavcaps_assets.audio.generated import refuse_generated
from wavcaps_assets.audio.host_health import HostHealth
from wavcaps_assets.audio.local_files import WrongFolder, other_release, require_folder, wrong_checksums
from wavcaps_assets.audio.normalise import AudioLimits, EmptyAudio, UnreadableAudio, normalise
from wavcaps_assets.audio.originals import Origin, file_version, original
from wavcaps_assets.audio.reasons import LASTING, REASONS, reason_of
from wavcaps_assets.audio.settings import FetchSettings
from wavcaps_assets.audio.summary import warn_of_missing
from wavcaps_assets.clock import utc_now
from wavcaps_assets.crawl.history import TEMPORARY, Event, History
from wavcaps_assets.crawl.past_fetches import PastFetches, with_file_version
from wavcaps_assets.masking import masked
from wavcaps_assets.network.errors import NotAllowed, NotThere, Paused
from wavcaps_assets.settings import ExtraCopy
from wavcaps_assets.sources.base import Source
from wavcaps_assets.store.migration import fits
from wavcaps_assets.store.storage import MissingFile, StoreError
from wavcaps_assets.tables import AUDIO
from wavcaps_assets.tables.asset_tables import TableStore
from wavcaps_assets.tables.stage import drop

STAGE = "audio"
# In an interrupted fetch: a failure during an outage of the host is not final.
MAX_TRIES = 3
REQUEST_COLUMNS = ("audio_url", "claimed_md5", "claimed_bytes")


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
        self._extra = settings.extra_copy or ExtraCopy.none
        self._copies: dict[str, int] = {}
        if self._extra is not ExtraCopy.none:
            copies = f"{self._extra.folder}/{source.name}/{partition}"
            self._store.sweep(copies)
            self._copies = self._store.sizes(copies)
        past = PastFetches(history, done)
        self.fetch_id = past.fetch_id
        self._last, self._failures, self._tries = past.last, past.failures, past.tries
        self._copy_failures, self._copies_tried = past.copy_failures, past.copies_tried
        self._health = HostHealth(source, tables, origin, settings, history, past)
        # Clips that are stored although their file is no longer there, or their extra copy cannot be made.
        self._without_file: list[str] = []
        self._without_copy: list[str] = []
        self._lock = threading.Lock()
        self._stopped: BaseException | None = None

    def fetch_all(
        self, clips: list[dict[str, Any]], workers: int, on_clip: Callable[[], object]
    ) -> dict[str, dict[str, Any]]:
        """The rows of several clips by clip id, in order."""
        if error := self._health.fault():
            # A fetch was killed after these failures, before they were blamed on the host.
            raise error
        # An earlier run of this fetch stopped while requests failed.
        self._health.require_host(self._health.streak, self._smallest_stored(clips))
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
        request = self._request_of(clip)
        last = self._last.get(clip_id)
        if last and self._source.folder is not None:
            last = with_file_version(last, request)
        same = last is not None and last["asked_for"] == request
        stored = self._stored_row(last)
        if stored is not None and self._is_missing(clip):
            # Without its file it can still be used. A person who does not want it removes its row.
            self._without_file.append(clip_id)
            if self._wants_copy(stored) and not self._copied_from_original(stored):
                self._without_copy.append(clip_id)
            return stored
        # What is stored, and would only be requested again for its copy.
        spare = stored if same else None
        if spare is not None and (not self._wants_copy(spare) or self._copied_from_original(spare)):
            return spare
        if last and same and last["event"] == Event.FAILED and self._is_final(clip_id, last):
            return self._dropped(clip_id, last["reason"], last["detail"])
        if self._stopped is not None:
            raise self._stopped
        try:
            return self._requested(clip, request, last, spare)
        except Exception as error:
            # Not this clip's failure: every other clip would fail in the same way, as on a full disk.
            self._stopped = self._stopped or error
            raise

    def _requested(
        self,
        clip: dict[str, Any],
        request: list[Any],
        last: dict[str, Any] | None,
        spare: dict[str, Any] | None,
    ) -> dict[str, Any]:
        """Requests a clip's audio, and records what came of it."""
        clip_id = clip["clip_id"]
        is_same = last is not None and last["asked_for"] == request
        attempt = self._failures.get(clip_id, 0) + 1 if is_same else 1
        if spare is not None:
            attempt = self._copy_failures.get(clip_id, 0) + 1
        about: dict[str, Any] = {"asked_for": request, "attempt": attempt, "version": clip["version"]}
        with self._lock:
            streak = self._health.streak
        try:
            row = self._fetch(clip)
        except (NotAllowed, Paused, StoreError):
            # No failure of this clip, although `REASONS` has network errors in general.
            raise
        except tuple(REASONS) as error:
            reason, detail = reason_of(error), masked(str(error))[:500]
            event = Event.FAILED if spare is None else Event.COPY_FAILED
            failed = {"event": event, "asked_for": request, "reason": reason}
            with self._lock:
                if self._stopped is not None:
                    raise self._stopped from error
                if spare is None:
                    self._tries[clip_id] += 1
                    self._failures[clip_id] = attempt
                else:
                    self._copy_failures[clip_id] = attempt
                    self._without_copy.append(clip_id)
                self._history.add(event, clip_id, self.fetch_id, reason=reason, detail=detail, **about)
                self._health.add_failure(clip_id, last, failed)
                if fault := self._health.fault():
                    self._stopped = fault
                    raise fault from error
            return self._dropped(clip_id, reason, detail) if spare is None else spare
        written = {**row, "fetched_at": row["fetched_at"].isoformat()}
        self._history.add(Event.STORED, clip_id, self.fetch_id, row=written, **about)
        with self._lock:
            self._last[clip_id] = {"event": Event.STORED, "row": written, "round": self.fetch_id, **about}
            self._health.add_success(streak)
        return row

    def require_sound_source(self, rows: dict[str, dict[str, Any]]) -> None:
        """Checks that the failures are not all the fault of the source.

        Args:
            rows: by clip id, as `fetch_all` returns them.

        Raises:
            HostDown, NoAudio: every clip of the partition failed, unless there are only a few.
            WrongFolder: the folder has no files, or only files of another release.
        """
        self._health.require_some_success()
        if self._source.folder is None:
            return
        if wrong := wrong_checksums(rows, self._settings.failed_partition):
            error = other_release(self._source, wrong)
            self._blame_folder(error, wrong)
            raise error
        missing = [clip_id for clip_id, row in rows.items() if row.get("reason") == REASONS[NotThere]]
        try:
            require_folder(self._source, len(missing))
        except WrongFolder as error:
            self._blame_folder(error, missing)
            raise

    def require_host(
        self, clips: list[dict[str, Any]], rows: Mapping[str, dict[str, Any]], pause: Paused | None
    ) -> None:
        """Checks that the host is there, where the last requests failed: see `HostHealth.require_host`.

        Args:
            clips: as `fetch_all` takes them.
            rows: by clip id.
            pause: ended the requests; None if nothing did.
        """
        failed = [clip_id for clip_id, row in rows.items() if row.get("reason") in TEMPORARY]
        self._health.require_host(failed, self._smallest_stored(clips), pause)

    def _smallest_stored(self, clips: list[dict[str, Any]]) -> dict[str, Any] | None:
        """The columns of a request for the smallest stored clip of the partition; None if none is stored."""
        sizes = {
            clip_id: event["row"]["original_bytes"]
            for clip_id, event in self._last.items()
            if event["event"] == Event.STORED
        }
        stored = [clip for clip in clips if clip["clip_id"] in sizes]
        return min(stored, key=lambda clip: sizes[clip["clip_id"]], default=None)

    def report(self) -> None:
        """Says which clips are stored although something of them is missing."""
        warn_of_missing(self._source.title, self._without_file, self._without_copy, self._extra.value)

    def _blame_folder(self, error: WrongFolder, clips: list[str]) -> None:
        """Records that it is the folder's fault, and not that of these clips."""
        name = f"{self._source.name}-{self._partition}-audio"
        self._history.add(Event.HOST_FAULT, name, self.fetch_id, detail=str(error), clips=clips)

    def _request_of(self, clip: dict[str, Any]) -> list[Any]:
        """What is requested of a clip: with another value it is another request."""
        request = [clip[name] for name in REQUEST_COLUMNS]
        if clip["claimed_crc32"] is not None:
            request.append(clip["claimed_crc32"])
        if self._source.folder is not None:
            # A file that was replaced is another one, even under the same name.
            request += file_version(self._source, clip["audio_url"])
        return request

    def _is_missing(self, clip: dict[str, Any]) -> bool:
        """Whether it is a clip of a folder that does not have its file."""
        is_local = self._source.folder is not None
        return is_local and file_version(self._source, clip["audio_url"]) == [None, None]

    def _is_final(self, clip_id: str, failed: dict[str, Any]) -> bool:
        """Whether a failure is not retried, at all or in this fetch."""
        is_local = self._source.folder is not None
        if is_local and failed["reason"] == REASONS[NotThere]:
            # It is still not there, or it would be another request. To say so again for each of 48,000 clips,
            # as in the released set, would make the history longer in every run.
            return True
        if failed["reason"] in LASTING and (
            is_local or self._failures.get(clip_id, 0) >= self._settings.attempts
        ):
            return True
        tries = MAX_TRIES if failed["reason"] in TEMPORARY else 1
        return bool(failed["round"] == self.fetch_id and self._tries[clip_id] >= tries)

    def _stored_row(self, last: dict[str, Any] | None) -> dict[str, Any] | None:
        """The row of a clip whose last request stored a file that is still there; None otherwise."""
        if last is None or last["event"] != Event.STORED:
            return None
        row = last["row"]
        if self._sizes.get(Path(row["audio_path"]).name) != row["stored_bytes"] or not fits(
            AUDIO, row.keys()
        ):
            return None
        return {**row, "fetched_at": datetime.fromisoformat(row["fetched_at"])}

    def _wants_copy(self, row: dict[str, Any]) -> bool:
        """Whether a stored clip is to be requested again for its extra copy."""
        if self._extra is ExtraCopy.none:
            return False
        clip_id, copy = row["clip_id"], copy_path(row["audio_path"], row["original_format"], self._extra)
        if Path(copy).name in self._copies:
            return False
        failed_often = self._copy_failures.get(clip_id, 0) >= self._settings.attempts
        if failed_often or clip_id in self._copies_tried:
            self._without_copy.append(clip_id)
            return False
        return True

    def _copied_from_original(self, row: dict[str, Any]) -> bool:
        """Makes a stored clip's extra copy from its original, if the store has it from an earlier setting."""
        kept = copy_path(row["audio_path"], row["original_format"], ExtraCopy.original)
        try:
            with self._store.reading(kept) as path:
                self._write_copy(path, row["audio_path"], row["original_format"])
        except (MissingFile, UnreadableAudio, EmptyAudio):
            return False
        return True

    def _write_copy(self, original_file: Path, audio_path: str, original_format: str) -> None:
        path = copy_path(audio_path, original_format, self._extra)
        with self._store.writing(path) as target:
            write_copy(original_file, target, self._extra)
        # The file that its source replaced may have had another suffix.
        clip, name = Path(audio_path).stem, Path(path).name
        for old in [found for found in self._copies if Path(found).stem == clip and found != name]:
            self._store.remove(f"{Path(path).parent.as_posix()}/{old}")

    def _fetch(self, clip: dict[str, Any]) -> dict[str, Any]:
        relative = f"{self._folder}/{clip['clip_id']}.flac"
        with original(self._source, clip, self._origin) as found, self._store.writing(relative) as target:
            refuse_generated(found.path)
            facts = normalise(found.path, target, self._limits)
            stored_bytes = target.stat().st_size
            if self._extra is not ExtraCopy.none:
                self._write_copy(found.path, relative, facts.original_format)
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
