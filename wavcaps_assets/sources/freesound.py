"""FreeSound, through its API v2 (https://freesound.org/docs/api/), a month of creation at a time."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from wavcaps_assets.network_errors import BadAnswer, NotAllowed
from wavcaps_assets.settings import FreesoundSettings
from wavcaps_assets.sources.base import Record, expect, host_of, seconds

if TYPE_CHECKING:
    from wavcaps_assets.network import Network

FIELDS = "id,url,name,tags,description,created,license,duration,username,previews"


class Freesound:
    """The crawl of FreeSound. A partition is a month, YYYY-MM."""

    name = "freesound"
    title = "FreeSound"

    def __init__(self, settings: FreesoundSettings) -> None:
        self._settings = settings

    @property
    def hosts(self) -> frozenset[str]:
        return frozenset({host_of(self._settings.base_url), "cdn.freesound.org", ".freesound.org"})

    def partitions(self) -> list[str]:
        return months(self._settings.first_month, self._settings.last_month)

    def records(self, network: Network, partition: str) -> Iterator[Record]:
        token = self._settings.token.get_secret_value()
        if not token:
            raise NotAllowed(
                "FreeSound wants an API key: get one at https://freesound.org/apiv2/apply/ "
                "and set WAVCAPS_FREESOUND__TOKEN"
            )
        url = f"{self._settings.base_url}/apiv2/search/text/"
        first, last = month_bounds(partition)
        page, seen, total = 1, 0, None
        while total is None or seen < total:
            # The answer's `next` link can lack the token and the scheme: each page is asked for anew.
            answer = network.get_json(
                url,
                params={
                    "query": "",
                    "filter": f"created:[{first} TO {last}]",
                    "sort": "created_asc",
                    "fields": FIELDS,
                    "group_by_pack": 0,
                    "page_size": self._settings.page_size,
                    "page": page,
                },
                headers={"Authorization": f"Token {token}"},
            )
            total = expect(answer, "count", int, url)
            results = expect(answer, "results", list, url)
            if not results:
                if seen < total:
                    raise BadAnswer(
                        f"{url}: page {page} of {partition} is empty, {total - seen} sounds are missing"
                    )
                return
            for sound in results:
                yield self._record(sound, url)
            seen += len(results)
            page += 1

    def _record(self, sound: Any, url: str) -> Record:
        source_id = str(expect(sound, "id", int, url))
        preview = (sound.get("previews") or {}).get(self._settings.preview)
        return Record(
            source_id=source_id,
            audio_url=preview or "",
            title=sound.get("name"),
            description=sound.get("description"),
            tags=tuple(tag for tag in sound.get("tags") or () if isinstance(tag, str)),
            author=sound.get("username"),
            licence=sound.get("license"),
            page_url=sound.get("url"),
            claimed_duration_s=seconds(sound.get("duration")),
            created=sound.get("created"),
            problem=None if preview else f"no {self._settings.preview} among its previews",
        )


def months(first: str, last: str) -> list[str]:
    """All months from `first` to `last`, YYYY-MM, both included."""
    year, month = map(int, first.split("-"))
    names = []
    while (name := f"{year:04d}-{month:02d}") <= last:
        names.append(name)
        year, month = (year, month + 1) if month < 12 else (year + 1, 1)
    return names


def month_bounds(month: str) -> tuple[str, str]:
    """The first and the last instant of a month, as Solr writes them (both ends are included)."""
    year, number = map(int, month.split("-"))
    following = date(year + number // 12, number % 12 + 1, 1)
    last_day = following - timedelta(days=1)
    return f"{month}-01T00:00:00Z", f"{last_day.isoformat()}T23:59:59.999Z"
