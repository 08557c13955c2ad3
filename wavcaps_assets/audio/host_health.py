"""Whether the host is at fault: many clips fail in a row, and a stored clip cannot be downloaded either.

Such a fault of the host is not recorded against the clips: they are requested again.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection, Mapping
from datetime import timedelta
from typing import Any

from wavcaps_assets.audio.originals import NotAudio, Origin, original
from wavcaps_assets.audio.settings import FetchSettings
from wavcaps_assets.clock import utc_now
from wavcaps_assets.crawl.history import TEMPORARY, Event, History
from wavcaps_assets.crawl.past_fetches import PastFetches, is_first_failure
from wavcaps_assets.network.errors import HostDown, NetworkError, Paused
from wavcaps_assets.sources.base import Source
from wavcaps_assets.tables.asset_tables import TableStore

logger = logging.getLogger(__name__)


class NoAudio(RuntimeError):
    """For days, none of a source's audio could be downloaded. A person has to look."""


class HostHealth:
    """What the failures of a fetch say about the host. Not safe to use from several threads.

    Args:
        history: of the partition; faults of the host are added to it.
        past: what the history says about earlier attempts.
    """

    def __init__(
        self,
        source: Source,
        tables: TableStore,
        origin: Origin,
        settings: FetchSettings,
        history: History,
        past: PastFetches,
    ) -> None:
        self._source = source
        self._tables = tables
        self._origin = origin
        self._settings = settings
        self._history = history
        self._fetch_id = past.fetch_id
        self._ever_stored = past.ever_stored
        self._fault_days = past.fault_days
        # Whether a stored clip can be downloaded; not known before it is tried.
        self._answers: bool | None = None
        # First failures since the last success, in order, with their reasons.
        self._streak = past.streak if source.folder is None else {}

    @property
    def streak(self) -> frozenset[str]:
        """The clips that failed for the first time since the last success."""
        return frozenset(self._streak)

    def add_failure(self, clip_id: str, last: Mapping[str, Any] | None, failed: Mapping[str, Any]) -> None:
        """Adds a failure.

        Args:
            last: the clip's event before it.
            failed: the `event`, `asked_for` and `reason` of the failure.
        """
        if self._source.folder is None and is_first_failure(last, failed):
            self._streak[clip_id] = failed["reason"]

    def add_success(self, streak: Collection[str]) -> None:
        """Adds a stored clip.

        Args:
            streak: when its download began: what failed meanwhile may be the start of another streak.
        """
        self._ever_stored = True
        self._fault_days.clear()
        self._streak = {name: reason for name, reason in self._streak.items() if name not in streak}

    def fault(self) -> HostDown | NoAudio | None:
        """The error if too many clips failed in a row, for which the host is to blame; else None.

        After some days of pauses, clips are believed to be at fault if the host still has others.

        Raises:
            NotAllowed, Paused: as `original` does.
        """
        return self._fault(self._settings.failures_in_a_row)

    def require_some_success(self) -> None:
        """Raises HostDown or NoAudio if every clip of the partition failed, unless there are only a few."""
        if not self._ever_stored and (error := self._fault(self._settings.failed_partition)):
            raise error

    def require_host(
        self, failed: Collection[str], stored: Mapping[str, Any] | None, pause: Paused | None = None
    ) -> None:
        """Checks that the host is there, where the last requests failed.

        Args:
            failed: the clips whose failure may be the host's.
            stored: the columns of a request for a clip that is stored; None if there is none.
            pause: ended the requests; None if nothing did.

        Raises:
            HostDown: the stored clip cannot be downloaded either. Nothing is recorded against the clips.
            NoAudio: this was so for days.
            Paused: the host cannot be asked now.
            NotAllowed: as `original` does.
        """
        last = [name for name, why in self._streak.items() if why in TEMPORARY and name in failed]
        if not last or stored is None:
            return
        try:
            if self._downloads(stored):
                return
        except Paused as error:
            raise (pause or error) from None
        problem = (
            f"the audio of the last {len(last)} clips of {self._source.title} could not be downloaded, first "
            f"{last[0]}, and neither can {stored['clip_id']}, which is stored: the host does not respond, so "
            "they are requested again"
        )
        self._blame(problem)
        if len(self._fault_days) >= self._settings.host_fault_days:
            raise NoAudio(f"{problem}. This was so on {len(self._fault_days)} days before")
        wait = timedelta(seconds=self._origin.network.settings.pause_s)
        raise HostDown(problem, utc_now() + wait)

    def _fault(self, most: int) -> HostDown | NoAudio | None:
        if len(self._streak) < most:
            return None
        for_days = len(self._fault_days) >= self._settings.host_fault_days
        if for_days and self._stored_clip_answers():
            self._streak.clear()
            return None
        reasons = ", ".join(f"{reason}: {count}" for reason, count in Counter(self._streak.values()).items())
        problem = (
            f"the audio of {len(self._streak)} clips of {self._source.title} failed in a row ({reasons}), "
            f"first {next(iter(self._streak))}: the host may be refusing requests, so they are requested "
            "again. If the clips are at fault, increase failures_in_a_row and failed_partition of the asset"
        )
        self._blame(problem)
        if for_days:
            return NoAudio(
                f"{problem}. This was so on {len(self._fault_days)} days before, and no stored clip of this "
                "source can be downloaded: has its audio moved, does it refuse this machine, or is a setting "
                "of the source wrong? Nothing is recorded against the clips"
            )
        return HostDown(problem, utc_now() + timedelta(hours=self._settings.failure_pause_h))

    def _blame(self, problem: str) -> None:
        """Records that it is the source's fault, and not that of the clips of the streak."""
        name = f"{self._source.name}-{self._history.partition}-audio"
        self._history.add(Event.HOST_FAULT, name, self._fetch_id, detail=problem, clips=list(self._streak))

    def _stored_clip_answers(self) -> bool:
        """Whether the smallest stored clip of the source can be downloaded. False if none is stored."""
        if self._answers is None:
            clip = _smallest_stored(self._source, self._tables)
            self._answers = clip is not None and self._downloads(clip)
        return self._answers

    def _downloads(self, clip: Mapping[str, Any]) -> bool:
        try:
            with original(self._source, dict(clip), self._origin):
                return True
        except (NetworkError, NotAudio) as error:
            logger.warning("%s is stored, and cannot be downloaded now: %s", clip["clip_id"], error)
            return False


def _smallest_stored(source: Source, tables: TableStore) -> dict[str, Any] | None:
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
