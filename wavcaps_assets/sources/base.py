"""The interface of a source: a name, partitions, and a crawl that yields records."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import ValidationError

from wavcaps_assets.network.errors import BadAnswer, NetworkError, NotAllowed

if TYPE_CHECKING:
    import pyarrow as pa

    from wavcaps_assets.network.client import Network
    from wavcaps_assets.settings import Settings

T = TypeVar("T")

WEB_URL = re.compile(r"https?://[\w.-]+(:\d{1,5})?([/?#].*)?", re.IGNORECASE)
SAFE_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
# Some descriptions are very long; what is beyond this is of no use downstream (characters).
MAX_TEXT_CHARS = 20_000
MAX_URL_CHARS = 2_000
MAX_PROBLEM_CHARS = 500


# What a site that needs no key needs: its owner can then write to the person who crawls it.
NEEDS_CONTACT = "WAVCAPS_CONTACT: your address, which is sent with every request to the site's owner"


class Source(ABC):
    """A source of clips.

    Attributes:
        name: the name in asset keys and clip ids, such as `freesound`.
        title: the name for people, such as `FreeSound`.
    """

    name: str
    title: str
    # The source whose ids these are, where both have the same sounds: its clip is the published one.
    ids_of: str | None = None
    # Whether `Record.claimed_bytes` is the size of the file at `Record.audio_url`.
    exact_bytes: bool = False
    # Whether `Record.audio_url` may be a part of an archive of the folder (`packed_audio`).
    has_archives: bool = False
    # Whether its clips came with captions, and are published as they came unless a run says otherwise.
    as_given: bool = False

    def given_captions(self) -> pa.Table | None:
        """The captions that its clips came with, `tables.IMPORTED_CLIPS`; None: it has none."""
        return None

    @property
    def folder(self) -> Path | None:
        """The folder of the files that `Record.audio_url` names; None if audio is downloaded."""
        return None

    def audio_headers(self, network: Network) -> Mapping[str, str]:
        """Headers for a request for audio, such as an access token.

        Raises:
            NotAllowed: there is no valid token; says how to get one.
        """
        return {}

    def needs(self, settings: Settings) -> str:
        """What a person has to set before the source takes part by itself; empty: nothing.

        A source that `WAVCAPS_SOURCE_NAMES` names takes part in any case.
        """
        return ""

    @abstractmethod
    def partitions(self) -> list[str]:
        """The partitions in which the source is crawled."""

    def published_until(self, partition: str) -> date | None:
        """The last day on which a partition's clips were uploaded; None if the partition has no such day.

        Finished partitions are crawled again from time to time, those with such a day less often as they age.
        """
        return None

    @abstractmethod
    def records(self, network: Network, partition: str) -> Iterator[Record | Unread | Blanks | Note]:
        """Crawls one partition.

        It requests the same pages in the same order each time, so that an interrupted crawl does not
        request again what it has already read.

        Raises:
            NetworkError: the source cannot be read at all.
            Paused: the source cannot be read now.
        """


@dataclass(frozen=True)
class Record:
    """One clip as its source describes it, before it is checked. The fields are those of `tables.RAW_CLIPS`.

    Attributes:
        audio_url: a URL, or the path of a file in the source's folder.
        problem: why this is not a usable clip; None if it is usable.
    """

    source_id: str
    audio_url: str
    title: str | None = None
    description: str | None = None
    tags: tuple[str, ...] = ()
    events: tuple[Mapping[str, Any], ...] = ()
    event_mids: tuple[str, ...] | None = None
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
    claimed_crc32: str | None = None
    created: str | None = None
    recording: str | None = None
    gen_ai_preference: str | None = None
    category: str | None = None
    subcategory: str | None = None
    category_is_user_provided: bool | None = None
    is_explicit: bool | None = None
    is_remix: bool | None = None
    synthetic: bool | None = None
    problem: str | None = None


@dataclass(frozen=True)
class Note:
    """Something about a listing that a person should know, such as files that it does not name."""

    text: str


@dataclass(frozen=True)
class Unread:
    """A part of a source that could not be read, such as a page of its listing.

    Attributes:
        part: its name within the partition, such as `page-3`.
        problem: what was wrong.
    """

    part: str
    problem: str


@dataclass(frozen=True)
class Blanks:
    """Records that a source lists without content, so that it is not known which clips they are."""

    count: int


def read_part(part: str, read: Callable[[], T]) -> T | Unread:
    """Reads a part of a listing. If it cannot be read, the other parts still can.

    Raises:
        NotAllowed: the key is wrong, for all parts.
        Paused: the host must not be requested now.
    """
    try:
        return read()
    except NotAllowed:
        raise
    except NetworkError as error:
        return Unread(part, str(error))


def web_url(value: object) -> str | None:
    """A crawled link if it is safe to show in a browser: http(s), with a host, printable; else None."""
    if not isinstance(value, str) or len(value) > MAX_URL_CHARS or not value.isprintable() or " " in value:
        return None
    return value if WEB_URL.fullmatch(value) else None


def clean(text: str | None) -> str | None:
    """A crawled text that can be stored: valid Unicode, without null bytes, of bounded length."""
    if text is None:
        return None
    if not text.isascii():
        text = text.encode("utf-8", errors="replace").decode("utf-8")
    return text.replace("\0", "")[:MAX_TEXT_CHARS]


def seconds(value: object) -> float | None:
    """A claimed duration in seconds, or None if it is not usable."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        duration = float(value)
    except ValueError:
        return None
    return duration if 0 <= duration < float("inf") else None


def malformed(error: ValidationError) -> str:
    """What is wrong with a record, field by field. The values are not shown: they may be anything."""
    faults = error.errors(include_url=False, include_input=False, include_context=False)
    fields = (f"{'.'.join(map(str, fault['loc'])) or 'the record'}: {fault['msg']}" for fault in faults)
    return "; ".join(fields)[:MAX_PROBLEM_CHARS]


def expect(answer: Any, key: str, kind: type | tuple[type, ...], where: str) -> Any:
    """A field of a JSON answer, with the type that the protocol promises.

    Raises:
        BadAnswer: the field is missing or has another type.
    """
    value = answer.get(key) if isinstance(answer, dict) else None
    if not isinstance(value, kind):
        raise BadAnswer(f"{where}: expected {key!r} in the answer; has the protocol changed?")
    return value
