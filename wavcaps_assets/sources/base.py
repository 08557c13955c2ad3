"""What a source is: a name, partitions, and a crawl that turns its records into clips."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

from wavcaps_assets import schemas
from wavcaps_assets.clock import utc_now
from wavcaps_assets.network_errors import BadAnswer
from wavcaps_assets.stages import Stage, drop

if TYPE_CHECKING:
    from wavcaps_assets.network import Network

SAFE_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
# Some sites publish novels; a description beyond this is noise and a burden downstream.
LONGEST_TEXT = 20_000


class Source(Protocol):
    """One place that clips are crawled from."""

    @property
    def name(self) -> str:
        """The source's name in asset keys and clip ids, such as `freesound`."""

    @property
    def title(self) -> str:
        """Its name for people, such as `FreeSound`."""

    @property
    def hosts(self) -> frozenset[str]:
        """The hosts that a crawl of it may ask."""

    def partitions(self) -> list[str]:
        """The pieces that it is crawled in."""

    def records(self, network: Network, partition: str) -> Iterator[Record]:
        """Crawls one partition. Raises `NetworkError` where the source cannot be read."""


@dataclass(frozen=True)
class Record:
    """One clip as its source describes it, before it is checked. Fields as in `schemas.RAW_CLIPS`."""

    source_id: str
    audio_url: str
    title: str | None = None
    description: str | None = None
    tags: tuple[str, ...] = ()
    events: tuple[Mapping[str, Any], ...] = ()
    author: str | None = None
    licence: str | None = None
    page_url: str | None = None
    claimed_duration_s: float | None = None
    created: str | None = None
    problem: str | None = field(default=None)


def crawl(source: Source, network: Network, partition: str) -> Stage:
    """Crawls one partition of a source.

    Returns:
        `schemas.RAW_CLIPS`, and the records set aside: without a usable id, listed twice, or
        malformed.

    Raises:
        ValueError: there is no such partition.
        NetworkError: the source cannot be read.
    """
    if partition not in source.partitions():
        raise ValueError(f"{source.title} has no partition {partition!r}")
    return checked(source.name, source.records(network, partition))


def checked(source: str, records: Iterable[Record]) -> Stage:
    """Turns records into rows; what is no clip is set aside with its reason."""
    rows: dict[str, dict[str, Any]] = {}
    dropped = []
    crawled_at = utc_now()
    for number, record in enumerate(records):
        if not SAFE_ID.fullmatch(record.source_id):
            clip_id = f"{source}-record-{number}"
            dropped.append(drop(clip_id, source, "raw_clips", "bad_id", repr(record.source_id)[:200]))
            continue
        clip_id = f"{source}-{record.source_id}"
        if record.problem:
            dropped.append(drop(f"{clip_id}#{number}", source, "raw_clips", "bad_record", record.problem))
            continue
        if clip_id in rows:
            dropped.append(drop(f"{clip_id}#{number}", source, "raw_clips", "listed_twice", None))
            continue
        rows[clip_id] = {
            "clip_id": clip_id,
            "source": source,
            "source_id": record.source_id,
            "title": clean(record.title),
            "description": clean(record.description),
            "tags": [tag for tag in map(clean, record.tags) if tag],
            "events": list(record.events),
            "author": clean(record.author),
            "licence": clean(record.licence),
            "page_url": record.page_url,
            "audio_url": record.audio_url,
            "claimed_duration_s": record.claimed_duration_s,
            "created": record.created,
            "crawled_at": crawled_at,
        }
    return Stage(schemas.RAW_CLIPS.from_rows(rows.values()), schemas.DROPPED.from_rows(dropped))


def host_of(url: str) -> str:
    """`host` or `host:port` of a URL, as `Network` wants it."""
    return urlsplit(url).netloc.rpartition("@")[2]


def clean(text: str | None) -> str | None:
    """A crawled text as it may be stored: valid Unicode, no null bytes, of bounded length."""
    if text is None:
        return None
    valid = text.encode("utf-8", errors="replace").decode("utf-8").replace("\0", "")
    return valid[:LONGEST_TEXT]


def seconds(value: object) -> float | None:
    """A claimed duration in seconds, or None where the source says nothing usable."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        duration = float(value)
    except ValueError:
        return None
    return duration if 0 <= duration < float("inf") else None


def expect(answer: Any, key: str, kind: type | tuple[type, ...], where: str) -> Any:
    """A field of a JSON answer, of the type that the protocol promises.

    Raises:
        BadAnswer: it is not there, or of another type: the protocol has changed.
    """
    value = answer.get(key) if isinstance(answer, dict) else None
    if not isinstance(value, kind):
        raise BadAnswer(f"{where}: expected {key!r} in the answer; has the protocol changed?")
    return value
