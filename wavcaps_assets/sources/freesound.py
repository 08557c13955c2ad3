"""FreeSound, with its API v2 (https://freesound.org/docs/api/). A partition is a month of upload."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from wavcaps_assets.network.errors import BadAnswer, NotAllowed, NotThere
from wavcaps_assets.network.json_pages import DamagedItem
from wavcaps_assets.sources.base import Blanks, Record, Source, Unread, expect, malformed, read_part, web_url
from wavcaps_assets.sources.freesound_oauth import access_token
from wavcaps_assets.sources.freesound_settings import FreesoundSettings
from wavcaps_assets.sources.freesound_sound import FIELDS, Sound, is_ai_made, unreadable_fields

if TYPE_CHECKING:
    from wavcaps_assets.network.client import Network
    from wavcaps_assets.settings import Settings

# Sounds are added and removed while the pages are read. A month whose count changed is read again, but
# not more often than this: another reading costs as many requests as the first.
MAX_READINGS = 3

logger = logging.getLogger(__name__)


@dataclass
class Reading:
    """One reading of all pages of a month.

    Attributes:
        counts: the number of sounds that each page reported.
        unread: the pages that could not be read.
        cut_short: whether a page was gone before it was read.
        blanks: results that were null, which happens where the index and the database of the site differ.
        unnamed: results that cannot be read, and of which the id is not known either.
    """

    counts: list[int] = field(default_factory=list)
    unread: list[Unread] = field(default_factory=list)
    cut_short: bool = False
    blanks: int = 0
    unnamed: int = 0

    @property
    def steady(self) -> bool:
        """Whether no sound was added or removed meanwhile, according to the counts."""
        return not self.cut_short and len(set(self.counts)) <= 1

    @property
    def count(self) -> int:
        """The number of sounds, as reported by the last page."""
        return self.counts[-1] if self.counts else 0


class Freesound(Source):
    """The crawl of FreeSound. A partition is a month, YYYY-MM.

    Args:
        state: the folder with the tokens for originals.
    """

    name = "freesound"
    title = "FreeSound"

    def __init__(self, settings: FreesoundSettings, state: Path) -> None:
        self._settings = settings
        self._state = state
        self.exact_bytes = settings.audio == "original"
        self._search = f"{settings.base_url}/apiv2/search/"
        # Fields that were reported once as unreadable.
        self._reported: set[str] = set()

    def needs(self, settings: Settings) -> str:
        if self._settings.token.get_secret_value():
            return ""
        return "WAVCAPS_FREESOUND__TOKEN: an API key, from https://freesound.org/apiv2/apply/"

    def partitions(self) -> list[str]:
        return months(self._settings.first_month, self._settings.last_month)

    def published_until(self, partition: str) -> date:
        return date.fromisoformat(month_bounds(partition)[1][:10])

    def audio_headers(self, network: Network) -> Mapping[str, str]:
        if self._settings.audio == "preview":
            return {}
        return {"Authorization": f"Bearer {access_token(self._settings, self._state, network)}"}

    def records(self, network: Network, partition: str) -> Iterator[Record | Unread | Blanks]:
        if not self._settings.token.get_secret_value():
            raise NotAllowed(
                "FreeSound requires an API key: get one at https://freesound.org/apiv2/apply/ "
                "and set WAVCAPS_FREESOUND__TOKEN"
            )
        found: set[object] = set()
        for again in range(MAX_READINGS):
            reading = Reading()
            yield from self._read(network, partition, again, reading, found)
            if reading.steady:
                break
        yield from reading.unread
        if not reading.steady:
            yield Unread(
                "listing",
                f"sounds were added or removed in each of {MAX_READINGS} readings; in the last one the count "
                f"changed from {reading.counts[0] if reading.counts else 'unknown'} to {reading.count}",
            )
        elif not reading.unread and reading.count > len(found) + reading.blanks:
            yield Unread("listing", f"the source reports {reading.count} sounds, {len(found)} were found")
        if nameless := reading.blanks + reading.unnamed:
            yield Blanks(nameless)

    def _read(
        self, network: Network, month: str, again: int, reading: Reading, found: set[object]
    ) -> Iterator[Record]:
        """Reads all pages of a month. Yields the sounds that are not in `found` yet."""
        seen: set[object] = set()
        number = 1
        while number == 1 or (number - 1) * self._settings.page_size < reading.count:
            part = f"page-{number}"
            if number > self._settings.most_pages:
                reading.unread.append(
                    Unread(
                        part,
                        f"the source reports {reading.count} sounds, which need more than the "
                        f"{self._settings.most_pages} pages of WAVCAPS_FREESOUND__MOST_PAGES",
                    )
                )
                return
            page = partial(self._page, network, month, number, again, reading)
            # Without the first page, the number of sounds is not known.
            sounds = page() if number == 1 and not again else read_part(part, page)
            if isinstance(sounds, Unread):
                reading.unread.append(sounds)
            else:
                before, blanks = len(seen), sounds.count(None)
                reading.blanks += blanks
                for key, sound in _keyed(sound for sound in sounds if sound is not None):
                    seen.add(key)
                    reading.unnamed += not isinstance(key, int)
                    if key not in found:
                        found.add(key)
                        yield self.record(sound)
                if len(seen) == before and not blanks and reading.count:
                    reading.unread.append(
                        Unread(
                            part,
                            f"all of its {len(sounds)} sounds are on earlier pages; reading stopped there",
                        )
                    )
                    return
            number += 1

    def _page(self, network: Network, month: str, number: int, again: int, reading: Reading) -> list[Any]:
        first, last = month_bounds(month)
        try:
            # The answer's `next` link may lack the token and the scheme, so it is not followed.
            answer = network.get_json(
                self._search,
                params={
                    "query": "",
                    "filter": f"created:[{first} TO {last}]",
                    "sort": "created_asc",
                    "fields": FIELDS,
                    "group_by_pack": 0,
                    "page_size": self._settings.page_size,
                    "page": number,
                },
                headers={"Authorization": f"Token {self._settings.token.get_secret_value()}"},
                reread=again,
            )
        except NotThere:
            # "Invalid page.": sounds were removed meanwhile, and no sound is left for this page.
            reading.cut_short = True
            raise
        count = expect(answer, "count", int, self._search)
        sounds = expect(answer, "results", list, self._search)
        if number == 1 and not again and count and not sounds:
            raise BadAnswer(f"{self._search}: {month} has {count} sounds, but none on its first page")
        reading.counts.append(count)
        return list(sounds)

    def record(self, sound: Any) -> Record:
        """A sound of an answer as a record. If it is malformed, the problem names the fields."""
        if isinstance(sound, DamagedItem):
            return Record("" if sound.id is None else str(sound.id), "", problem=sound.problem)
        try:
            read = Sound.model_validate(sound)
        except ValidationError as error:
            key = _key(sound)
            return Record(str(key) if isinstance(key, int) else "", "", problem=malformed(error))
        self._report(unreadable_fields(sound, read), read.id)
        original = self._settings.audio == "original"
        if original:
            audio_url = f"{self._settings.base_url}/apiv2/sounds/{read.id}/download/"
        else:
            audio_url = web_url((read.previews or {}).get(self._settings.preview)) or ""
        return Record(
            source_id=str(read.id),
            audio_url=audio_url,
            title=read.name,
            description=read.description,
            tags=tuple(read.tags or ()),
            author=read.username,
            licence=read.license,
            page_url=web_url(read.url),
            claimed_duration_s=read.duration,
            claimed_sample_rate=None if read.samplerate is None else round(read.samplerate),
            claimed_channels=read.channels,
            claimed_format=read.type,
            claimed_bytes=read.filesize,
            # The checksum is of the original, not of the preview.
            claimed_md5=read.md5 if original else None,
            created=read.created,
            gen_ai_preference=read.gen_ai_preference,
            category=read.category,
            subcategory=read.subcategory,
            category_is_user_provided=read.category_is_user_provided,
            is_explicit=read.is_explicit,
            is_remix=read.is_remix,
            synthetic=is_ai_made(read.tags),
            problem=None if audio_url else f"no link to {self._settings.preview} among its previews",
        )

    def _report(self, fields: list[str], number: int) -> None:
        """Warns about each field once: its values are null where they cannot be read."""
        for name in fields:
            if name not in self._reported:
                self._reported.add(name)
                logger.warning(
                    "FreeSound's field %s has an unexpected value, first in sound %d: it is stored as null "
                    "where it cannot be read. Has the protocol changed?",
                    name,
                    number,
                )


def configured(demo_url: str | None, state: Path) -> Freesound:
    return Freesound(FreesoundSettings.read(demo_url), state)


def _keyed(sounds: Iterable[Any]) -> Iterator[tuple[object, Any]]:
    """The sounds of a page with their keys. Those without an id that are alike are different ones."""
    alike: Counter[object] = Counter()
    for sound in sounds:
        key = _key(sound)
        if not isinstance(key, int):
            alike[key] += 1
            key = (key, alike[key])
        yield key, sound


def _key(sound: Any) -> object:
    """What identifies a sound: its id, or its whole content if it has no usable id."""
    number = sound.get("id") if isinstance(sound, dict) else getattr(sound, "id", None)
    return number if type(number) is int else repr(sound)


def months(first: str, last: str) -> list[str]:
    """All months from `first` to `last`, both included, as YYYY-MM."""
    year, month = map(int, first.split("-"))
    names = []
    while (name := f"{year:04d}-{month:02d}") <= last:
        names.append(name)
        year, month = (year, month + 1) if month < 12 else (year + 1, 1)
    return names


def month_bounds(month: str) -> tuple[str, str]:
    """The first and the last moment of a month in Solr's syntax (both ends are included)."""
    year, number = map(int, month.split("-"))
    following = date(year + number // 12, number % 12 + 1, 1)
    last_day = following - timedelta(days=1)
    return f"{month}-01T00:00:00Z", f"{last_day.isoformat()}T23:59:59.999Z"
