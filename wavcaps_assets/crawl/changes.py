"""One crawl beside the one before it: what is new, what changed, what is gone."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from wavcaps_assets.clock import utc_now
from wavcaps_assets.crawl.history import LISTING, Event, History, event_of
from wavcaps_assets.crawl.licences import attribution, normalise_licence
from wavcaps_assets.sources.base import Record, Source, clean
from wavcaps_assets.tables import DROPPED, RAW_CLIPS
from wavcaps_assets.tables.stage import Stage, drop

STAGE = "raw_clips"
GONE = "gone"
# The part of the listing that is missing where too many clips are.
VANISHED = "vanished"
# Sounds are deleted one by one; more than this share at once, and more than a few, is a fault of the site.
MOST_GONE_AT_ONCE = 0.1
FEW = 5
CLIP_EVENTS = frozenset({Event.LISTED, Event.CHANGED, Event.GONE, Event.RETURNED})


@dataclass
class Changes:
    """How a crawl differs from the one before.

    Attributes:
        clips: how many were listed, changed, gone, returned or set aside.
        unread: parts of the listing that could not be read: while there are any, nobody can say
            which clips are gone.
    """

    clips: Counter[str] = field(default_factory=Counter)
    unread: list[str] = field(default_factory=list)


class Comparison:
    """Collects a crawl's clips, and compares them with those of the crawl before.

    Args:
        history: of the partition; `finish` writes down what changed.
        before: the partition's tables, as the crawl before left them; None: there was none.
        round_id: the crawl's id.
        started: when it began, UTC.
    """

    def __init__(
        self, source: Source, history: History, before: Stage | None, round_id: str, started: datetime
    ) -> None:
        self._source = source
        self._history = history
        self._round = round_id
        self._started = started
        self._at = utc_now().isoformat()
        self._known = {row["clip_id"]: row for row in before.kept.to_pylist()} if before else {}
        aside = before.dropped.to_pylist() if before else []
        self._tombstones = {row["clip_id"]: row for row in aside if row["reason"] == GONE}
        self._aside_before = {row["clip_id"]: row for row in aside if row["reason"] != GONE}
        self._versions, self._heard_of = self._remembered()
        # Listed, with a record that makes no sense: not gone, whatever it is.
        self._listed_badly: set[str] = set()
        self._numbers: Counter[str] = Counter()
        self._rows: dict[str, dict[str, Any]] = {}
        self._dropped: list[dict[str, Any]] = []
        self._events: list[dict[str, Any]] = []
        self._changes = Changes()

    def has(self, record: Record) -> bool:
        """Whether this crawl has listed the clip already."""
        return f"{self._source.name}-{record.source_id}" in self._rows

    def add(self, record: Record) -> None:
        """A clip: new, as before, changed, or back again."""
        clip_id = f"{self._source.name}-{record.source_id}"
        row = self._row(clip_id, record)
        known = self._known.get(clip_id)
        if known is None:
            event = Event.RETURNED if clip_id in self._tombstones else Event.LISTED
            row["version"] = max(1, self._versions.get(clip_id, 0) + (event is Event.RETURNED))
            self._note(event, clip_id, version=row["version"])
        else:
            row["first_crawled_at"] = known["first_crawled_at"]
            row["version"] = known["version"]
            if row["record_sha256"] == known["record_sha256"]:
                row["crawled_at"] = known["crawled_at"]
            else:
                row["version"] += 1
                self._note(Event.CHANGED, clip_id, version=row["version"], before=_as_json(known))
        self._rows[clip_id] = row

    def set_aside(self, name: str, reason: str, detail: str | None, *, listed: bool = False) -> None:
        """A record that is no clip.

        Args:
            name: a clip's id at its source, or any; the record gets a number of its own.
            listed: whether the source still lists a clip of that name.
        """
        if listed:
            self._listed_badly.add(f"{self._source.name}-{name}")
        self._numbers[name] += 1
        clip_id = f"{self._source.name}-{self._history.partition}-{name}#{self._numbers[name]}"
        self._drop(clip_id, reason, detail)
        self._note(Event.SET_ASIDE, clip_id, reason=reason, detail=detail)

    def unread(self, part: str, problem: str) -> None:
        """A part of the listing that could not be read."""
        name = f"{self._source.name}-{self._history.partition}-{part}"
        self._changes.unread.append(f"{part}: {problem}")
        self._drop(name, Event.UNREAD.value, problem)
        self._note(Event.UNREAD, name, detail=problem)

    def finish(self) -> tuple[Stage, Changes]:
        """Finds what is gone, writes the changes to the history, and gives the tables."""
        missing = [clip_id for clip_id in self._known if clip_id not in self._rows]
        doubtful = [clip_id for clip_id in missing if clip_id in self._listed_badly]
        vanished = [clip_id for clip_id in missing if clip_id not in self._listed_badly]
        if self._is_too_much(len(vanished)):
            self.unread(
                VANISHED,
                f"{len(vanished)} of {len(self._known)} known clips are missing at once; "
                "they are taken for gone if the next crawl does not find them either",
            )
        if self._changes.unread:
            # What is missing may stand in the part that could not be read.
            doubtful, vanished = missing, []
            seen = {row["clip_id"] for row in self._dropped}
            self._dropped += [row for name, row in self._aside_before.items() if name not in seen]
        else:
            for name in self._aside_before.keys() - {row["clip_id"] for row in self._dropped}:
                self._note(Event.RESOLVED, name)
            for clip_id in self._heard_of - self._rows.keys() - self._known.keys() - self._tombstones.keys():
                self._bury(clip_id, self._versions[clip_id], None)
        self._rows.update((clip_id, self._known[clip_id]) for clip_id in doubtful)
        for clip_id in vanished:
            self._bury(clip_id, self._known[clip_id]["version"], _as_json(self._known[clip_id]))
        self._dropped += [row for clip_id, row in self._tombstones.items() if clip_id not in self._rows]
        self._history.add_all(self._events)
        kept = RAW_CLIPS.from_rows(self._rows.values())
        return Stage(kept, DROPPED.from_rows(self._dropped), self._round), self._changes

    def _is_too_much(self, vanished: int) -> bool:
        """Whether so much vanished at once that the source, not the clips, is to blame; believed twice."""
        suspicious = vanished > max(FEW, MOST_GONE_AT_ONCE * len(self._known))
        said_before = any(name.endswith(f"-{VANISHED}") for name in self._aside_before)
        return suspicious and not said_before

    def _bury(self, clip_id: str, version: int, before: str | None) -> None:
        detail = f"no longer listed on {self._started:%Y-%m-%d}; its last version is {version}"
        self._drop(clip_id, GONE, detail)
        self._note(Event.GONE, clip_id, version=version, detail=detail, before=before)

    def _remembered(self) -> tuple[dict[str, int], set[str]]:
        """What the history says: each clip's last version, and the clips that were ever listed.

        What an unfinished try of this crawl wrote does not count.
        """
        versions: dict[str, int] = {}
        for record in self._history:
            if record["round"] != self._round and record["event"] in CLIP_EVENTS:
                versions[record["clip_id"]] = max(versions.get(record["clip_id"], 0), record["version"])
        return versions, set(versions)

    def _note(self, event: Event, clip_id: str, **more: Any) -> None:
        self._events.append(event_of(event, clip_id, self._round, self._at, **more))
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
            "record_sha256": _fingerprint(record),
            "first_crawled_at": self._started,
            "crawled_at": self._started,
        }


def _fingerprint(record: Record) -> str:
    """A hash of what a record says; a field that it does not say leaves it as it is."""
    said = [(name, value) for name, value in vars(record).items() if value]
    return hashlib.sha256(repr(said).encode("utf-8", "backslashreplace")).hexdigest()


def _as_json(row: Mapping[str, Any]) -> str:
    return json.dumps(row, default=str, sort_keys=True)
