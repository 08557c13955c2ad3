"""BBC Sound Effects (https://sound-effects.bbcrewind.co.uk/), with the search API of the site.

Paging has a limit there, so a search with more results is sliced: the catalogue by category, a large
category by duration and, if results are still missing, by continent. A sound can be in several slices
and counts once. The number of sounds is checked against the total of the catalogue.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from wavcaps_assets.network.errors import BadAnswer
from wavcaps_assets.network.json_pages import DamagedItem
from wavcaps_assets.sources.base import (
    NEEDS_CONTACT,
    SAFE_ID,
    Blanks,
    Record,
    Source,
    Unread,
    expect,
    malformed,
    read_part,
)
from wavcaps_assets.sources.settings import SourceSettings

if TYPE_CHECKING:
    from wavcaps_assets.network.client import Network
    from wavcaps_assets.settings import Settings

CATALOGUE = "catalogue"
NO_CRITERIA = dict.fromkeys(
    ("query", "tags", "categories", "durations", "continents", "sortBy", "source", "recordist", "habitat")
)
# The criteria by which a search is sliced, in this order, and the API's names of their counts.
AGGREGATIONS = {"categories": "category", "durations": "duration", "continents": "continent"}
SLICE_CRITERIA = tuple(AGGREGATIONS)
DURATION = re.compile(r"([0-9.]{1,12})-([0-9.]{1,12})")
PRINTABLE = re.compile(r"[^\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]{1,200}")
# The site has about twenty categories; an endless list of names is a fault.
MAX_SLICES = 1_000
# After this number of unreadable pages in a row, the limit of paging, which is not documented, is assumed
# to be reached.
MAX_UNREAD_IN_A_ROW = 2
# For the whole archive, unless a sound says otherwise:
# https://sound-effects.bbcrewind.co.uk/licensing
AUTHOR = "BBC"
LICENCE = "RemArc"


class BbcSettings(SourceSettings):
    """The BBC Sound Effects search API."""

    key = "bbc"

    api_url: str = Field("", description="root of the search API; empty: by `sources`")
    media_url: str = Field("", description="root of the audio files; empty: by `sources`")
    site_url: str = Field("", description="root of the site, for links to a sound; empty: by `sources`")
    page_size: int = Field(50, ge=1, le=500, description="sounds a page; the site itself asks for 50")
    result_window: int = Field(
        9_999,
        ge=1,
        description="results of one search that paging reaches; larger searches are sliced. A known "
        "client asks for 9,999, others report that less is reached",
    )

    def defaults(self, demo_url: str | None) -> Mapping[str, object]:
        if demo_url:
            return {"api_url": f"{demo_url}/bbc", "media_url": f"{demo_url}/bbc-media"}
        return {
            "api_url": "https://sound-effects-api.bbcrewind.co.uk",
            "media_url": "https://sound-effects-media.bbcrewind.co.uk",
            "site_url": "https://sound-effects.bbcrewind.co.uk",
        }


class Category(BaseModel):
    model_config = ConfigDict(strict=True)

    className: str  # noqa: N815 - the API's spelling


class Sound(BaseModel):
    """A result of a search. Undocumented fields that are only shown to people may have any type."""

    model_config = ConfigDict(strict=True)

    id: str = Field(pattern=rf"^{SAFE_ID.pattern}$")
    description: str | None = None
    duration: float | None = Field(None, ge=0, allow_inf_nan=False, description="ms")
    categories: list[Category] | None = None
    tags: list[str] | None = None
    technicalMetadata: dict[str, Any] | None = None  # noqa: N815
    additionalMetadata: dict[str, Any] | None = None  # noqa: N815
    fileSizes: dict[str, Any] | None = None  # noqa: N815


T = TypeVar("T")
Criteria = Mapping[str, Any]
Found = Generator[Any, None, set[str]]


class BbcSoundEffects(Source):
    """The crawl of BBC Sound Effects, in one partition."""

    name = "bbc_sound_effects"
    title = "BBC Sound Effects"
    exact_bytes = True

    def __init__(self, settings: BbcSettings) -> None:
        self._settings = settings
        # As the pages of the site send them.
        site = settings.site_url
        self._headers = {"Origin": site, "Referer": f"{site}/"} if site else {}

    def needs(self, settings: Settings) -> str:
        return "" if settings.demo_url or settings.contact else NEEDS_CONTACT

    def partitions(self) -> list[str]:
        return [CATALOGUE]

    def audio_headers(self, network: Network) -> Mapping[str, str]:
        return self._headers

    def records(self, network: Network, partition: str) -> Iterator[Record | Unread | Blanks]:
        catalogue = Catalogue(self._settings, network, self._headers)
        known: set[str] = set()
        for sound in catalogue.sounds({}, SLICE_CRITERIA):
            key = _key(sound)
            if key not in known:
                known.add(key)
                record = self.record(sound)
                yield record
                if not record.source_id:
                    # It may be any of the known sounds.
                    yield Blanks(1)
        if len(known) < catalogue.total:
            # Another search may have shown what an unread page contains, unless sounds are missing.
            yield from catalogue.unread.values()
            found = f"the catalogue reports {catalogue.total} sounds, {len(known)} were found"
            yield Unread("listing", found)

    def record(self, sound: Any) -> Record:
        """A result as a record. If it is malformed, the problem names the fields."""
        if isinstance(sound, DamagedItem):
            return Record("" if sound.id is None else str(sound.id), "", problem=sound.problem)
        try:
            read = Sound.model_validate(sound)
        except ValidationError as error:
            key = _key(sound)
            return Record(key if SAFE_ID.fullmatch(key) else "", "", problem=malformed(error))
        technical, more = read.technicalMetadata or {}, read.additionalMetadata or {}
        wav_bytes = _whole_number((read.fileSizes or {}).get("wavFileSize"))
        categories = [category.className for category in read.categories or ()]
        site = self._settings.site_url
        return Record(
            source_id=read.id,
            audio_url=f"{self._settings.media_url}/wav/{quote(read.id)}.wav",
            description=read.description,
            tags=tuple(dict.fromkeys([*categories, *(read.tags or ())])),
            author=_text(more.get("recordist")) or AUTHOR,
            licence=_text(more.get("licence")) or LICENCE,
            page_url=f"{site}/search?q={quote(read.id)}" if site else None,
            claimed_duration_s=None if read.duration is None else read.duration / 1000,
            claimed_sample_rate=_whole_number(technical.get("sample_rate"), 2**31 - 1),
            claimed_channels=_whole_number(technical.get("channels"), 2**31 - 1),
            claimed_format="wav",
            claimed_bytes=wav_bytes,
            problem=None if wav_bytes else "the catalogue has no wav file for it",
        )


def configured(demo_url: str | None, state: Path) -> BbcSoundEffects:
    return BbcSoundEffects(BbcSettings.read(demo_url))


class Catalogue:
    """Searches of the catalogue, as deep as paging allows, and as many as needed to see all sounds.

    Attributes:
        total: how many sounds the catalogue reports.
        unread: the parts that could not be read, by name.
    """

    def __init__(self, settings: BbcSettings, network: Network, headers: Mapping[str, str]) -> None:
        self._settings = settings
        self._network = network
        self._headers = headers
        self._search = f"{settings.api_url}/api/sfx/search"
        self.total = 0
        self.unread: dict[str, Unread] = {}

    def sounds(self, criteria: Criteria, slicing: tuple[str, ...]) -> Found:
        """Yields the results of a search, some more than once. Returns the keys of all results.

        Args:
            criteria: empty for the whole catalogue.
            slicing: the criteria by which the search may be sliced.

        Raises:
            NetworkError: the catalogue cannot be searched.
            Paused: the catalogue cannot be searched now.
        """
        keys: set[str] = set()
        page = partial(self._page, criteria, 0)
        first = self._read(_name(criteria), page) if criteria else page()
        if first is None:
            return keys
        total, results = first
        if not criteria:
            if not results:
                raise BadAnswer(f"{self._search} finds no sounds at all; has the protocol changed?")
            self.total = total
        yield from results
        paged = set(map(_key, results))
        keys |= paged
        within_reach = total <= self._settings.result_window
        whole = False
        if within_reach:
            whole = yield from self._pages(criteria, len(results), total, paged)
            keys |= paged
        # A few sounds that are missing from a slice are found in slices of the whole catalogue.
        if len(keys) < total and not (whole and criteria):
            yield from self._slices(criteria, slicing, total, keys)
            if len(keys) < total and not within_reach:
                yield from self._pages(criteria, len(results), total, paged)
                keys |= paged
        return keys

    def _slices(
        self, criteria: Criteria, slicing: tuple[str, ...], total: int, keys: set[str]
    ) -> Iterator[Any]:
        """Yields the results of slices of a search, by one criterion after another, until none is missing."""
        for number, criterion in enumerate(slicing):
            # All slices of a criterion are read: a search index may report a total that is capped.
            for value in self._values(criteria, criterion):
                keys |= yield from self.sounds({**criteria, criterion: [value]}, slicing[number + 1 :])
            if len(keys) >= total:
                return

    def _pages(
        self, criteria: Criteria, start: int, total: int, paged: set[str]
    ) -> Generator[Any, None, bool]:
        """Yields the results on the further pages of a search. Returns whether all pages could be read.

        Args:
            paged: the keys on the pages so far; the keys on these pages are added.
        """
        end = min(total, self._settings.result_window)
        unread_before, unread_here = len(self.unread), 0
        while start < end:
            name = f"{_name(criteria)} from {start}"
            answer = self._read(name, partial(self._page, criteria, start))
            if answer is None:
                unread_here += 1
                if unread_here == MAX_UNREAD_IN_A_ROW:
                    break
                start += self._settings.page_size
                continue
            unread_here = 0
            _, results = answer
            before = len(paged)
            paged.update(map(_key, results))
            if len(paged) == before:
                self.unread[name] = Unread(
                    name, f"none of its {len(results)} sounds is new; reading stopped there"
                )
                break
            yield from results
            start += len(results)
        return len(self.unread) == unread_before

    def _values(self, criteria: Criteria, criterion: str) -> list[Any]:
        """The values of a criterion among the results of a search."""
        what = f"{AGGREGATIONS[criterion]}Aggregations"
        url = f"{self._settings.api_url}/api/sfx/{what}"
        body = self._body(criteria, 0, self._settings.page_size)

        def read() -> dict[str, Any]:
            answer = self._network.post_json(url, body, self._headers)
            return dict(expect(answer, "aggregations", dict, url))

        part = f"{what} of {_name(criteria)}"
        counts = self._read(part, read)
        if counts is None:
            return []
        names = [name for name, entry in counts.items() if entry != {"doc_count": 0}]
        kind = DURATION if criterion == "durations" else PRINTABLE
        matches = [match for name in names if (match := kind.fullmatch(name))][:MAX_SLICES]
        if len(matches) < len(names):
            self.unread[part] = Unread(part, f"{len(matches)} of {len(names)} names can be searched for")
        if criterion == "durations":
            # As strings, which is how a known client sends the bounds.
            return [{"min": match[1], "max": match[2]} for match in matches]
        return [match[0] for match in matches]

    def _read(self, part: str, read: Callable[[], T]) -> T | None:
        answer = read_part(part, read)
        if isinstance(answer, Unread):
            self.unread[part] = answer
            return None
        return answer

    def _page(self, criteria: Criteria, start: int) -> tuple[int, list[Any]]:
        size = min(self._settings.page_size, self._settings.result_window - start)
        answer = self._network.post_json(self._search, self._body(criteria, start, size), self._headers)
        total = expect(answer, "total", int, self._search)
        return total, expect(answer, "results", list, self._search)

    def _body(self, criteria: Criteria, start: int, size: int) -> dict[str, Any]:
        return {"criteria": {"from": start, "size": size, **NO_CRITERIA, **criteria}}


def _name(criteria: Criteria) -> str:
    """The name of a search as a part of the listing."""
    sliced = (
        "-".join(value.values()) if isinstance(value, dict) else value
        for values in criteria.values()
        for value in values
    )
    return " / ".join((CATALOGUE, *sliced))


def _key(sound: Any) -> str:
    """What identifies a sound: its id, or its whole content if it has no usable id."""
    given = sound.get("id") if isinstance(sound, dict) else getattr(sound, "id", None)
    return given if isinstance(given, str) else repr(sound)


def _whole_number(value: Any, largest: int = 2**63 - 1) -> int | None:
    """A positive whole number, which may be a string; None if it is something else."""
    text = str(value) if isinstance(value, int | str) and not isinstance(value, bool) else ""
    number = int(text) if text.isascii() and text.isdecimal() and len(text) < 20 else 0
    return number if 0 < number <= largest else None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value.strip() else None
