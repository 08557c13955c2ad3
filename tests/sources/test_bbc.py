"""The BBC's crawler against the demo's search API, which pages as shallowly as a test asks for."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from tests.sources.conftest import Opener
from tests.support.servers import running
from wavcaps_assets.demo.clips import CC0, Corpus, DemoClip, Source
from wavcaps_assets.demo.media import Media
from wavcaps_assets.demo.protocols.bbc import Bbc
from wavcaps_assets.network.errors import BadAnswer
from wavcaps_assets.sources.base import Blanks, Record, Unread
from wavcaps_assets.sources.bbc_sound_effects import CATALOGUE, BbcSettings, BbcSoundEffects

SITE = "https://sound-effects.example"
WINDOW = 4


class Scripted(Bbc):
    """The demo's API, with faults.

    Attributes:
        instead: gives an answer in place of a search's, or None.
        asked: the criteria of each search so far.
        headers: of the last one.
    """

    def __init__(self, corpus: Corpus, window: int) -> None:
        super().__init__(corpus, Media(corpus), window)
        self.instead: Callable[[dict[str, Any]], Response | None] = lambda criteria: None
        self.asked: list[dict[str, Any]] = []
        self.headers: dict[str, str] = {}

    async def search(self, request: Request) -> Response:
        criteria = json.loads(await request.body())["criteria"]
        self.asked.append(criteria)
        self.headers = dict(request.headers)
        return self.instead(criteria) or await super().search(request)


Clips = Callable[..., DemoClip]


@pytest.fixture
def clip(tmp_path: Path) -> Clips:
    """Makes clips, which share one file."""
    soundfile.write(tmp_path / "noise.wav", np.zeros((80, 2)), 44_100, subtype="PCM_16")

    def make(number: int, category: str, duration_s: float, continent: str = "") -> DemoClip:
        return DemoClip(
            source=Source.BBC,
            source_id=f"0700{number:04d}",
            origin=f"test/{number}",
            audio="noise.wav",
            duration_s=duration_s,
            title="",
            text=f"sound {number}",
            category=category,
            continent=continent,
            author="BBC",
            licence=CC0,
            recordings=(f"test-{number}",),
        )

    return make


def crawl(
    clips: list[DemoClip],
    tmp_path: Path,
    network_to: Opener,
    window: int = WINDOW,
    believed: int | None = None,
    instead: Callable[[dict[str, Any]], Response | None] = lambda criteria: None,
) -> tuple[list[Record | Unread | Blanks], Scripted]:
    """Crawls a catalogue.

    Args:
        window: the last result that paging reaches.
        believed: the last that the crawler believes it to reach.
    """
    api = Scripted(Corpus(root=tmp_path, clips=tuple(clips)), window)
    api.instead = instead
    with running(Starlette(routes=api.api_routes())) as url:
        settings = BbcSettings(
            api_url=url,
            media_url="https://media.example",
            site_url=SITE,
            page_size=3,
            result_window=believed or window,
        )
        return list(BbcSoundEffects(settings).records(network_to(url), CATALOGUE)), api


def ids(found: list[Record | Unread | Blanks]) -> list[int]:
    return sorted(int(item.source_id[4:]) for item in found if isinstance(item, Record) and not item.problem)


def unread(found: list[Record | Unread | Blanks]) -> dict[str, str]:
    return {item.part: item.problem for item in found if isinstance(item, Unread)}


def test_all_that_a_sound_says_is_read(clip: Clips, tmp_path: Path, network_to: Opener) -> None:
    found, api = crawl([clip(1, "Nature;Birds", 12.5)], tmp_path, network_to)
    assert found == [
        Record(
            source_id="07000001",
            audio_url="https://media.example/wav/07000001.wav",
            description="sound 1",
            tags=("Nature", "Birds"),
            author="BBC",
            licence=CC0,
            page_url=f"{SITE}/search?q=07000001",
            claimed_duration_s=12.5,
            claimed_sample_rate=44_100,
            claimed_channels=2,
            claimed_format="wav",
            claimed_bytes=364,
        )
    ]
    assert (api.headers["origin"], api.headers["referer"]) == (SITE, f"{SITE}/")


@pytest.mark.slow
@pytest.mark.parametrize("window", [4, 5, 9, 100])
def test_a_shallow_catalogue_is_listed_to_the_last_sound(
    clip: Clips, tmp_path: Path, network_to: Opener, window: int
) -> None:
    clips = [
        # Larger than the smallest window: sliced by duration, and the short ones by continent too.
        *(clip(number, "Nature", 1.0, "Europe") for number in range(1, 4)),
        *(clip(number, "Nature", 1.0, "Asia") for number in range(4, 7)),
        *(clip(number, "Nature", 30.0) for number in range(7, 10)),
        # In two categories: counts once.
        clip(10, "Nature;Transport", 7.0),
        clip(11, "Transport", 3.0),
        # In none: only slices of the whole catalogue show it.
        clip(12, "", 70.0),
    ]
    found, api = crawl(clips, tmp_path, network_to, window)
    assert ids(found) == list(range(1, 13))
    assert len(found) == 12
    assert all(asked["from"] + asked["size"] <= window for asked in api.asked)


def test_what_no_slice_shows_is_told(clip: Clips, tmp_path: Path, network_to: Opener) -> None:
    # Six sounds that nothing tells apart, four of them within reach.
    found, _ = crawl([clip(number, "Nature", 1.0) for number in range(1, 7)], tmp_path, network_to)
    assert ids(found) == [1, 2, 3, 4]
    assert unread(found) == {"listing": "the catalogue reports 6 sounds, 4 were found"}


def test_a_depth_that_is_less_than_believed_is_found_out(
    clip: Clips, tmp_path: Path, network_to: Opener
) -> None:
    clips = [clip(number, f"Category {number % 5}", 1.0) for number in range(1, 21)]
    found, _ = crawl(clips, tmp_path, network_to, window=6, believed=9_999)
    assert ids(found) == list(range(1, 21))
    assert unread(found) == {}


def test_a_page_that_cannot_be_read_is_made_up_for_by_slices(
    clip: Clips, tmp_path: Path, network_to: Opener
) -> None:
    def broken(criteria: dict[str, Any]) -> Response | None:
        third = criteria["from"] == 3 and criteria["durations"] is None
        return PlainTextResponse("<html>") if third else None

    clips = [clip(number, "Nature", float(number)) for number in range(1, 11)]
    found, _ = crawl(clips, tmp_path, network_to, window=100, instead=broken)
    assert ids(found) == list(range(1, 11))
    assert unread(found) == {}


def test_a_page_that_no_slice_makes_up_for_is_told_and_costs_no_other(
    clip: Clips, tmp_path: Path, network_to: Opener
) -> None:
    def broken(criteria: dict[str, Any]) -> Response | None:
        return PlainTextResponse("", status_code=500) if criteria["from"] == 3 else None

    clips = [clip(number, "Nature", 1.0) for number in range(1, 11)]
    found, _ = crawl(clips, tmp_path, network_to, window=100, instead=broken)
    assert ids(found) == [1, 2, 3, 7, 8, 9, 10]
    assert "500" in unread(found)["catalogue from 3"]
    assert unread(found)["listing"] == "the catalogue reports 10 sounds, 7 were found"


def test_a_page_that_repeats_ends_the_turning(clip: Clips, tmp_path: Path, network_to: Opener) -> None:
    sound = {"id": "07000001", "fileSizes": {"wavFileSize": 9}}

    def endless(criteria: dict[str, Any]) -> Response:
        return JSONResponse({"total": 10**9, "results": [sound]})

    found, api = crawl([clip(1, "Nature", 1.0)], tmp_path, network_to, window=1_000, instead=endless)
    assert ids(found) == [1]
    assert "listing" in unread(found)
    assert len(api.asked) < 20


@pytest.mark.slow
@pytest.mark.parametrize(
    "answer",
    [
        {"results": []},
        {"total": "7", "results": []},
        {"total": 7, "results": {}},
        {"total": 0, "results": []},
        [],
    ],
)
def test_a_changed_protocol_fails_loudly(
    clip: Clips, tmp_path: Path, network_to: Opener, answer: object
) -> None:
    with pytest.raises(BadAnswer):
        crawl([clip(1, "Nature", 1.0)], tmp_path, network_to, instead=lambda criteria: JSONResponse(answer))


GOOD = {
    "id": "07000001",
    "description": "rain",
    "duration": 1000,
    "categories": [{"className": "Nature"}],
    "tags": ["rain"],
    "source": "BBC",
    "technicalMetadata": {"sample_rate": "48000", "channels": "1", "bits_per_sample": "16"},
    "additionalMetadata": {"recordist": "Ada"},
    "fileSizes": {"wavFileSize": "96044", "mp3FileSize": "9000"},
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "source_id", "message"),
    [
        ({"id": "../../etc/passwd"}, "", "id: "),
        ({"id": 7000001}, "", "id: "),
        ({"id": None}, "", "id: "),
        ({"duration": "1000"}, "07000002", "duration: "),
        ({"duration": -5}, "07000002", "duration: "),
        ({"categories": ["Nature"]}, "07000002", "categories.0: "),
        ({"tags": "rain"}, "07000002", "tags: "),
        ({"fileSizes": []}, "07000002", "fileSizes: "),
        ({"fileSizes": {"mp3FileSize": 9}}, "07000002", "no wav file"),
        ({"fileSizes": {"wavFileSize": 0}}, "07000002", "no wav file"),
        ({"fileSizes": None}, "07000002", "no wav file"),
    ],
)
def test_a_malformed_sound_is_named_with_its_fault_and_costs_no_other(
    tmp_path: Path, network_to: Opener, changes: dict[str, Any], source_id: str, message: str
) -> None:
    results = [GOOD, {**GOOD, "id": "07000002", **changes}, {**GOOD, "id": "07000003"}]
    answer = JSONResponse({"total": 3, "results": results})
    found, _ = crawl([], tmp_path, network_to, instead=lambda criteria: answer)
    assert ids(found) == [1, 3]
    (bad,) = (item for item in found if isinstance(item, Record) and item.problem)
    assert (bad.source_id, unread(found)) == (source_id, {})
    assert message in (bad.problem or "")


@pytest.mark.parametrize(
    ("technical", "rate", "channels"),
    [
        ({"sample_rate": "48000", "channels": "2"}, 48_000, 2),
        ({"sample_rate": 96000, "channels": 6}, 96_000, 6),
        ({"sample_rate": "48 kHz", "channels": "stereo"}, None, None),
        ({"sample_rate": True, "channels": [2]}, None, None),
        ({"sample_rate": "9" * 5000, "channels": "-2"}, None, None),
        (None, None, None),
    ],
)
def test_what_is_shown_to_people_only_is_read_where_it_can_be(
    technical: object, rate: int | None, channels: int | None
) -> None:
    record = BbcSoundEffects(BbcSettings()).record({**GOOD, "technicalMetadata": technical})
    assert record == replace(record, claimed_sample_rate=rate, claimed_channels=channels, problem=None)
    assert (record.author, record.licence, record.claimed_bytes) == ("Ada", "RemArc", 96_044)
    assert (record.tags, record.page_url) == (("Nature", "rain"), None)


def test_slices_with_names_that_cannot_be_searched_for_are_told(
    clip: Clips, tmp_path: Path, network_to: Opener
) -> None:
    class Renamed(Scripted):
        async def aggregations(self, request: Request) -> Response:
            names = {"over two minutes": {"doc_count": 9}, "\ud800": {}, "2-5": {"doc_count": 0}}
            return PlainTextResponse(json.dumps({"aggregations": names}))

    clips = tuple(clip(number, "Nature", 1.0) for number in range(1, 7))
    api = Renamed(Corpus(root=tmp_path, clips=clips), WINDOW)
    with running(Starlette(routes=api.api_routes())) as url:
        settings = BbcSettings(api_url=url, page_size=3, result_window=WINDOW)
        found = list(BbcSoundEffects(settings).records(network_to(url), CATALOGUE))
    assert ids(found) == [1, 2, 3, 4]
    assert unread(found)["durationAggregations of catalogue"] == "0 of 2 names can be searched for"
    assert unread(found)["categoryAggregations of catalogue"] == "1 of 2 names can be searched for"
