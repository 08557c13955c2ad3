"""The crawl diff: what is new, changed or gone since the previous crawl."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from wavcaps_assets.clock import utc_now
from wavcaps_assets.crawl.history import LISTING, Event, History, event_of
from wavcaps_assets.crawl.licences import attribution, normalise_licence
from wavcaps_assets.sources.base import Record, Source, clean
from wavcaps_assets.tables import DROPPED, RAW_CLIPS
from wavcaps_assets.tables.columns import SITE_FIELD_NAMES, SITE_FIELDS_SINCE
from wavcaps_assets.tables.stage import Stage, drop

STAGE = "raw_clips"
GONE = "gone"
# The name of the unread part where too many clips are missing at once.
VANISHED = "vanished"
# Sounds are deleted one by one. More than this share at once, and more than a few, is a fault of the site.
MAX_GONE_SHARE = 0.1
MAX_GONE_CLIPS = 5
# A clip that is not listed may be one of the records without content. Where their source lists such records
# without end, it counts as gone once it was missing in each crawl for so long.
MISSING_FOR = timedelta(days=7)
ADDED_IN = {column.name: column.added_in for column in RAW_CLIPS.columns}
CLIP_EVENTS = frozenset({Event.LISTED, Event.CHANGED, Event.GONE, Event.RETURNED})


@dataclass
class Changes:
    """The difference between a crawl and the previous one.

    Attributes:
        clips: how many clips were listed, changed, gone, returned or dropped.
        unread: parts of the listing that could not be read. While there are any, it is not known
            which clips are gone.
    """

    clips: Counter[str] = field(default_factory=Counter)
    unread: list[str] = field(default_factory=list)


class CrawlDiff:
    """Collects the clips of a crawl and compares them with those of the previous crawl.

    Args:
        history: of the partition; `record` adds what changed.
        before: the partition's tables from the previous crawl; None for the first crawl.
        crawl_id: the id of this crawl.
        started: when it began, UTC.
    """

    def __init__(
        self, source: Source, history: History, before: Stage | None, crawl_id: str, started: datetime
    ) -> None:
        self._source = source
        self._history = history
        self._crawl_id = crawl_id
        self._started = started
        self._at = utc_now().isoformat()
        self._known = {row["clip_id"]: row for row in before.kept.to_pylist()} if before else {}
        dropped = before.dropped.to_pylist() if before else []
        self._tombstones = {row["clip_id"]: row for row in dropped if row["reason"] == GONE}
        self._dropped_before = {row["clip_id"]: row for row in dropped if row["reason"] != GONE}
        self._versions, self._ever_listed = self._read_versions()
        self._missing_since = self._read_missing(before.crawl_id if before else None)
        # Listed with an unusable record, and therefore not gone.
        self._unusable: set[str] = set()
        self._blanks = 0
        self._numbers: Counter[str] = Counter()
        self._rows: dict[str, dict[str, Any]] = {}
        self._dropped: list[dict[str, Any]] = []
        self._events: list[dict[str, Any]] = []
        self._changes = Changes()

    def has(self, record: Record) -> bool:
        """Whether this crawl has listed the clip already."""
        return f"{self._source.name}-{record.source_id}" in self._rows

    def add(self, record: Record) -> None:
        """Adds a clip: new, unchanged, changed, or listed again after it was gone."""
        clip_id = f"{self._source.name}-{record.source_id}"
        row = self._row(clip_id, record)
        said = {name: row[name] for name in SITE_FIELD_NAMES if row[name] is not None}
        known = self._known.get(clip_id)
        if known is None:
            event = Event.RETURNED if clip_id in self._tombstones else Event.LISTED
            row["version"] = max(1, self._versions.get(clip_id, 0) + (event is Event.RETURNED))
            self._note(event, clip_id, version=row["version"], **said)
        else:
            row["first_crawled_at"] = known["first_crawled_at"]
            row["version"] = known["version"]
            read_by = _layout_of(record, known["record_sha256"])
            if read_by is not None:
                row["crawled_at"] = known["crawled_at"]
                if read_by < SITE_FIELDS_SINCE and said:
                    self._note(Event.FIELDS_ADDED, clip_id, version=row["version"], **said)
            else:
                row["version"] += 1
                self._note(Event.CHANGED, clip_id, version=row["version"], before=_as_json(known), **said)
        self._rows[clip_id] = row

    def drop(self, name: str, reason: str, detail: str | None, *, listed: bool = False) -> None:
        """Drops a record that is not a usable clip.

        Args:
            name: the clip's id at its source, or any other name. A number is added to it.
            listed: whether the source still lists a clip of that name.
        """
        if listed:
            self._unusable.add(f"{self._source.name}-{name}")
        self._numbers[name] += 1
        clip_id = f"{self._source.name}-{self._history.partition}-{name}#{self._numbers[name]}"
        self._drop(clip_id, reason, detail)
        self._note(Event.DROPPED, clip_id, reason=reason, detail=detail)

    def add_blanks(self, count: int) -> None:
        """Adds records that are listed without content. Each may be a clip that is not listed otherwise."""
        self._blanks += count

    def unread(self, part: str, problem: str) -> None:
        """Adds a part of the listing that could not be read."""
        name = f"{self._source.name}-{self._history.partition}-{part}"
        self._changes.unread.append(f"{part}: {problem}")
        self._drop(name, Event.UNREAD.value, problem)
        self._note(Event.UNREAD, name, detail=problem)

    def finish(self) -> tuple[Stage, Changes]:
        """Finds the clips that are gone, and returns the tables."""
        missing = [clip_id for clip_id in self._known if clip_id not in self._rows]
        doubtful = [clip_id for clip_id in missing if clip_id in self._unusable]
        vanished = [clip_id for clip_id in missing if clip_id not in self._unusable]
        if self._blanks:
            # Which of the missing clips are listed without content is not known.
            vanished = [clip_id for clip_id in vanished if self._is_long_missing(clip_id)]
            doubtful = [clip_id for clip_id in missing if clip_id not in vanished]
        if self._is_suspicious(len(vanished)):
            self.unread(
                VANISHED,
                f"{len(vanished)} of {len(self._known)} known clips are missing at once; "
                "they are recorded as gone if the next crawl does not find them either",
            )
        if self._changes.unread:
            # A missing clip may be in the part that could not be read.
            doubtful, vanished = missing, []
            dropped_now = {row["clip_id"] for row in self._dropped}
            self._dropped += [row for name, row in self._dropped_before.items() if name not in dropped_now]
        else:
            for name in self._dropped_before.keys() - {row["clip_id"] for row in self._dropped}:
                self._note(Event.RESOLVED, name)
            unlisted = self._ever_listed - self._rows.keys() - self._known.keys() - self._tombstones.keys()
            for clip_id in unlisted if not self._blanks else ():
                self._bury(clip_id, self._versions[clip_id], None)
        if self._blanks and not self._changes.unread:
            for clip_id in doubtful:
                since = self._missing_since.get(clip_id, self._started)
                self._note(Event.MISSING, clip_id, since=since.isoformat())
        self._rows.update((clip_id, self._known[clip_id]) for clip_id in doubtful)
        for clip_id in vanished:
            self._bury(clip_id, self._known[clip_id]["version"], _as_json(self._known[clip_id]))
        self._dropped += [row for clip_id, row in self._tombstones.items() if clip_id not in self._rows]
        kept = RAW_CLIPS.from_rows(self._rows.values())
        return Stage(kept, DROPPED.from_rows(self._dropped), self._crawl_id), self._changes

    def record(self) -> None:
        """Adds the changes to the history, once the tables are accepted."""
        self._history.add_all(self._events)

    def _is_suspicious(self, vanished: int) -> bool:
        """Whether the source is to blame for the missing clips. The second crawl in a row is believed."""
        suspicious = vanished > max(MAX_GONE_CLIPS, MAX_GONE_SHARE * len(self._known))
        reported_before = any(name.endswith(f"-{VANISHED}") for name in self._dropped_before)
        return suspicious and not reported_before

    def _bury(self, clip_id: str, version: int, before: str | None) -> None:
        detail = f"no longer listed on {self._started:%Y-%m-%d}; its last version is {version}"
        self._drop(clip_id, GONE, detail)
        self._note(Event.GONE, clip_id, version=version, detail=detail, before=before)

    def _read_versions(self) -> tuple[dict[str, int], set[str]]:
        """From the history: each clip's last version, and the clips that were ever listed.

        Events of an earlier, interrupted run of this crawl do not count.
        """
        versions: dict[str, int] = {}
        for record in self._history:
            if record["round"] != self._crawl_id and record["event"] in CLIP_EVENTS:
                versions[record["clip_id"]] = max(versions.get(record["clip_id"], 0), record["version"])
        return versions, set(versions)

    def _read_missing(self, previous: str | None) -> dict[str, datetime]:
        """From the history: the clips that the previous crawl missed, and since when they are missing."""
        return {
            record["clip_id"]: datetime.fromisoformat(record["since"])
            for record in self._history
            if record["event"] == Event.MISSING and record["round"] == previous
        }

    def _is_long_missing(self, clip_id: str) -> bool:
        since = self._missing_since.get(clip_id)
        return since is not None and self._started - since >= MISSING_FOR

    def _note(self, event: Event, clip_id: str, **more: Any) -> None:
        self._events.append(event_of(event, clip_id, self._crawl_id, self._at, **more))
        if event in LISTING:
            self._changes.clips[event.value] += 1

    def _drop(self, clip_id: str, reason: str, detail: str | None) -> None:
        self._dropped.append(drop(clip_id, self._source.name, STAGE, reason, detail))

    def _row(self, clip_id: str, record: Record) -> dict[str, Any]:
        title, author = clean(record.title), clean(record.author)
        licence = normalise_licence(record.licence)
        return {
            "clip_id": clip_id,
            "source": self._source.name,
            "source_id": record.source_id,
            "title": title,
            "description": clean(record.description),
            "tags": [tag for tag in map(clean, record.tags) if tag],
            "events": list(record.events),
            "start_s": record.start_s,
            "author": author,
            "licence": clean(record.licence),
            "licence_id": licence.id,
            "licence_class": licence.name,
            "attribution": attribution(title, author, self._source.title, record.page_url, licence),
            "page_url": clean(record.page_url),
            "audio_url": record.audio_url,
            "claimed_duration_s": record.claimed_duration_s,
            "claimed_sample_rate": record.claimed_sample_rate,
            "claimed_channels": record.claimed_channels,
            "claimed_format": clean(record.claimed_format),
            "claimed_bytes": record.claimed_bytes,
            "claimed_md5": record.claimed_md5,
            "created": record.created,
            "recording": clean(record.recording),
            "gen_ai_preference": clean(record.gen_ai_preference),
            "category": clean(record.category),
            "subcategory": clean(record.subcategory),
            "category_is_user_provided": record.category_is_user_provided,
            "is_explicit": record.is_explicit,
            "is_remix": record.is_remix,
            "synthetic": record.synthetic,
            "claimed_crc32": record.claimed_crc32,
            "event_mids": None if record.event_mids is None else list(record.event_mids),
            "record_sha256": _fingerprint(record, RAW_CLIPS.version),
            "first_crawled_at": self._started,
            "crawled_at": self._started,
        }


def _fingerprint(record: Record, version: int) -> str:
    """A hash of a record's fields.

    Args:
        version: of `tables.RAW_CLIPS`: only the fields that it has are hashed, in the way in which it was
            done then. So a row of an older table is recognised, and a field that the project reads only
            now changes no record.
    """
    fields = [
        (name, value)
        for name, value in vars(record).items()
        if (since := ADDED_IN.get(name, 1)) <= version and (value or (since > 1 and value is not None))
    ]
    hashed = fields if version == 1 else [version, fields]
    return hashlib.sha256(repr(hashed).encode("utf-8", "backslashreplace")).hexdigest()


def _layout_of(record: Record, fingerprint: str) -> int | None:
    """The version of `tables.RAW_CLIPS` with whose fields a record has this hash; None: it has changed."""
    versions = range(RAW_CLIPS.version, 0, -1)
    return next((version for version in versions if _fingerprint(record, version) == fingerprint), None)


def _as_json(row: Mapping[str, Any]) -> str:
    return json.dumps(row, default=str, sort_keys=True)
