"""BBC Sound Effects (https://sound-effects.bbcrewind.co.uk/), through the site's own search API.

Paging is not deep there, so the catalogue is listed category by category; a sound in several
categories counts once, and the union is checked against the total.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from wavcaps_assets.network_errors import BadAnswer
from wavcaps_assets.settings import BbcSettings
from wavcaps_assets.sources.base import Record, expect, host_of, seconds

if TYPE_CHECKING:
    from wavcaps_assets.network import Network

CATALOGUE = "catalogue"
NO_CRITERIA = dict.fromkeys(
    ("query", "tags", "categories", "durations", "continents", "sortBy", "source", "recordist", "habitat")
)
# What holds for the whole archive, where a sound says nothing else:
# https://sound-effects.bbcrewind.co.uk/licensing
AUTHOR = "BBC"
LICENCE = "RemArc"


class BbcSoundEffects:
    """The crawl of BBC Sound Effects, in one partition."""

    name = "bbc_sound_effects"
    title = "BBC Sound Effects"

    def __init__(self, settings: BbcSettings) -> None:
        self._settings = settings
        self._search = f"{settings.api_url}/api/sfx/search"

    @property
    def hosts(self) -> frozenset[str]:
        return frozenset({host_of(self._settings.api_url), host_of(self._settings.media_url)})

    def partitions(self) -> list[str]:
        return [CATALOGUE]

    def records(self, network: Network, partition: str) -> Iterator[Record]:
        total = expect(self._page(network, None, 0, 1), "total", int, self._search)
        seen: set[str] = set()
        for category in self._categories(network):
            for sound in self._sounds(network, category):
                source_id = str(sound.get("id") or "")
                if source_id and source_id not in seen:
                    seen.add(source_id)
                    yield self._record(source_id, sound)
        if len(seen) != total:
            raise BadAnswer(
                f"{self._search}: the categories list {len(seen)} sounds, the catalogue says {total}; "
                "has the protocol changed?"
            )

    def _categories(self, network: Network) -> list[str]:
        url = f"{self._settings.api_url}/api/sfx/categoryAggregations"
        answer = network.post_json(url, {"criteria": {"from": 0, "size": 0, **NO_CRITERIA}})
        return list(expect(answer, "aggregations", dict, url))

    def _sounds(self, network: Network, category: str) -> Iterator[dict[str, Any]]:
        start, total = 0, None
        while total is None or start < total:
            answer = self._page(network, category, start, self._settings.page_size)
            total = expect(answer, "total", int, self._search)
            results = expect(answer, "results", list, self._search)
            if not results and start < total:
                raise BadAnswer(f"{self._search}: {category!r} stops at {start} of {total} sounds")
            yield from results
            start += len(results)

    def _page(self, network: Network, category: str | None, start: int, size: int) -> Any:
        criteria = {"from": start, "size": size, **NO_CRITERIA}
        if category is not None:
            criteria["categories"] = [category]
        return network.post_json(self._search, {"criteria": criteria})

    def _record(self, source_id: str, sound: dict[str, Any]) -> Record:
        milliseconds = seconds(sound.get("duration"))
        sizes = sound.get("fileSizes") or {}
        more = sound.get("additionalMetadata") or {}
        return Record(
            source_id=source_id,
            audio_url=f"{self._settings.media_url}/wav/{source_id}.wav",
            description=sound.get("description"),
            tags=tuple(
                category["className"]
                for category in sound.get("categories") or ()
                if isinstance(category, dict) and isinstance(category.get("className"), str)
            ),
            author=more.get("recordist") or AUTHOR,
            licence=more.get("licence") or LICENCE,
            page_url=f"{self._settings.site_url}/search?q={source_id}" if self._settings.site_url else None,
            claimed_duration_s=None if milliseconds is None else milliseconds / 1000,
            problem=None if sizes.get("wavFileSize") else "the catalogue has no file for it",
        )
