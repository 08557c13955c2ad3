"""What a source is: a name, partitions, and a crawl that turns its records into clips."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import ValidationError

from wavcaps_assets.network.errors import BadAnswer, NetworkError, NotAllowed

if TYPE_CHECKING:
    from wavcaps_assets.network.client import Network

T = TypeVar("T")

WEB_URL = re.compile(r"https?://[\w.-]+(:\d{1,5})?([/?#].*)?", re.IGNORECASE)
SAFE_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
# Some sites publish novels; a description beyond this is noise and a burden downstream.
LONGEST_TEXT = 20_000
LONGEST_URL = 2_000
LONGEST_PROBLEM = 500


class Source(ABC):
    """One place that clips are crawled from.

    Attributes:
        name: its name in asset keys and clip ids, such as `freesound`.
        title: its name for people, such as `FreeSound`.
    """

    name: str
    title: str

    @property
    def folder(self) -> Path | None:
        """The folder that `Record.audio_url` names a file of; None: audio comes over the network."""
        return None

    def audio_headers(self, network: Network) -> Mapping[str, str]:
        """What a request for audio must carry, such as an access token.

        Raises:
            NotAllowed: there is no valid token; says how to get one.
        """
        return {}

    @abstractmethod
    def partitions(self) -> list[str]:
        """The pieces that it is crawled in."""

    @abstractmethod
    def records(self, network: Network, partition: str) -> Iterator[Record | Unread]:
        """Crawls one partition.

        The same pages are asked for in the same order each time: what an interrupted crawl has
        read is not asked for again.

        Raises:
            NetworkError: the source cannot be read at all.
            Paused: it cannot be read now.
        """


@dataclass(frozen=True)
class Record:
    """One clip as its source describes it, before it is checked. Fields as in `tables.RAW_CLIPS`.

    Attributes:
        audio_url: a URL, or, where the source has a folder, a file's path relative to it.
        problem: why this is no usable clip; None if it is one.
    """

    source_id: str
    audio_url: str
    title: str | None = None
    description: str | None = None
    tags: tuple[str, ...] = ()
    events: tuple[Mapping[str, Any], ...] = ()
    start_s: float | None = None
    author: str | None = None
    licence: str | None = None
    page_url: str | None = None
    claimed_duration_s: float | None = None
    claimed_sample_rate: int | None = None
    claimed_channels: int | None = None
    claimed_format: str | None = None
    claimed_bytes: int | None = None
    claimed_md5: str | None = None
    created: str | None = None
    problem: str | None = None


@dataclass(frozen=True)
class Unread:
    """A part of a source that could not be read, such as a page of its listing.

    Attributes:
        part: its name within the partition, such as `page-3`.
        problem: what was wrong with it.
    """

    part: str
    problem: str


def read_part(part: str, read: Callable[[], T]) -> T | Unread:
    """Reads a part of a listing. One that cannot be read costs its own clips, not the others.

    Raises:
        NotAllowed: the key is wrong, which no other part would heal.
        Paused: the host is not to be asked now.
    """
    try:
        return read()
    except NotAllowed:
        raise
    except NetworkError as error:
        return Unread(part, str(error))


def web_url(value: object) -> str | None:
    """A crawled link if it is one that a browser may be given: http(s), to a host, printable; else None."""
    if not isinstance(value, str) or len(value) > LONGEST_URL or not value.isprintable() or " " in value:
        return None
    return value if WEB_URL.fullmatch(value) else None


def clean(text: str | None) -> str | None:
    """A crawled text as it may be stored: valid Unicode, no null bytes, of bounded length."""
    if text is None:
        return None
    if not text.isascii():
        text = text.encode("utf-8", errors="replace").decode("utf-8")
    return text.replace("\0", "")[:LONGEST_TEXT]


def seconds(value: object) -> float | None:
    """A claimed duration in seconds, or None where the source says nothing usable."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        duration = float(value)
    except ValueError:
        return None
    return duration if 0 <= duration < float("inf") else None


def malformed(error: ValidationError) -> str:
    """What is wrong with a record, field by field, without the values, which may be anything."""
    faults = error.errors(include_url=False, include_input=False, include_context=False)
    fields = (f"{'.'.join(map(str, fault['loc'])) or 'the record'}: {fault['msg']}" for fault in faults)
    return "; ".join(fields)[:LONGEST_PROBLEM]


def expect(answer: Any, key: str, kind: type | tuple[type, ...], where: str) -> Any:
    """A field of a JSON answer, of the type that the protocol promises.

    Raises:
        BadAnswer: it is not there, or of another type: the protocol has changed.
    """
    value = answer.get(key) if isinstance(answer, dict) else None
    if not isinstance(value, kind):
        raise BadAnswer(f"{where}: expected {key!r} in the answer; has the protocol changed?")
    return value
