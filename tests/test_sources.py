"""The crawlers, over HTTP, against the demo's server and against the sources' own published answers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from tests.servers import running
from wavcaps_assets.audio.fetch import fetch_audio
from wavcaps_assets.audio.settings import FetchSettings
from wavcaps_assets.demo.clips import Corpus
from wavcaps_assets.demo.server import running_server
from wavcaps_assets.demo.synthesis import synthesised_corpus
from wavcaps_assets.network import Network, NetworkSettings
from wavcaps_assets.network_errors import BadAnswer, NotAllowed
from wavcaps_assets.settings import FreesoundSettings, Settings
from wavcaps_assets.sources import all_sources
from wavcaps_assets.sources.base import Record, Source, checked, crawl, host_of
from wavcaps_assets.sources.freesound import Freesound, month_bounds, months
from wavcaps_assets.sources.soundbible import parse_listing, parse_page
from wavcaps_assets.storage import Store

DATA = Path(__file__).parents[1].parent / "shared" / "data"
IMPATIENT = NetworkSettings(attempts=1)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return synthesised_corpus(tmp_path_factory.mktemp("corpus"), clips=24, scenes=12)


@pytest.fixture(scope="module")
def settings(corpus: Corpus) -> Iterator[Settings]:
    with running_server(corpus) as url:
        yield Settings(embedded_sources_port=int(url.rpartition(":")[2]))


def crawled(source: Source) -> dict[str, dict[str, object]]:
    with Network(source.hosts, IMPATIENT) as network:
        stages = [crawl(source, network, partition) for partition in source.partitions()]
    assert [stage.dropped.num_rows for stage in stages] == [0] * len(stages)
    rows = [row for stage in stages for row in stage.kept.to_pylist()]
    found = {row["clip_id"]: row for row in rows}
    assert len(found) == len(rows)
    return found


@pytest.mark.parametrize("name", ["freesound", "bbc_sound_effects", "soundbible", "audioset_sl"])
def test_a_crawl_finds_every_clip_with_its_words(corpus: Corpus, settings: Settings, name: str) -> None:
    (source,) = (source for source in all_sources(settings) if source.name == name)
    found = crawled(source)
    clips = {clip.clip_id: clip for clip in corpus.clips if clip.source.value == name}
    assert found.keys() == clips.keys()
    for clip_id, row in found.items():
        if name == "audioset_sl":
            assert [event["label"] for event in row["events"]] == [  # type: ignore[attr-defined]
                event.label for event in sorted(clips[clip_id].events, key=lambda event: event.onset_s)
            ]
        else:
            assert row["description"] == clips[clip_id].text
            assert row["licence"]
            assert row["author"] == clips[clip_id].author


def test_pages_are_turned_to_the_last(corpus: Corpus, settings: Settings) -> None:
    small = settings.freesound.model_copy(update={"page_size": 2})
    whole = crawled(Freesound(settings.freesound))
    assert crawled(Freesound(small)).keys() == whole.keys()


def test_audio_is_fetched_once(corpus: Corpus, settings: Settings, tmp_path: Path) -> None:
    source = all_sources(settings)[2]
    with Network(source.hosts, IMPATIENT) as network:
        clips = crawl(source, network, "catalogue").kept
        first = fetch_audio(clips, Store(tmp_path), network, FetchSettings())
    with Network(frozenset(), IMPATIENT) as nowhere:
        again = fetch_audio(clips, Store(tmp_path), nowhere, FetchSettings())
    assert first.kept.num_rows == clips.num_rows
    assert again.kept.equals(first.kept)


def test_audio_that_is_gone_is_set_aside_with_its_reason(
    corpus: Corpus, settings: Settings, tmp_path: Path
) -> None:
    source = Freesound(settings.freesound)
    with Network(source.hosts, IMPATIENT) as network:
        stages = [
            fetch_audio(crawl(source, network, month).kept, Store(tmp_path), network, FetchSettings())
            for month in source.partitions()
        ]
    gone = [row for stage in stages for row in stage.dropped.to_pylist()]
    made_to_fail = {
        clip.clip_id for clip in corpus.clips if clip.source.value == "freesound" and not clip.audio
    }
    assert made_to_fail
    assert {row["clip_id"] for row in gone if row["reason"] == "audio_gone"} == made_to_fail


def test_a_wrong_key_is_one_clear_error(settings: Settings) -> None:
    source = Freesound(settings.freesound.model_copy(update={"token": FreesoundSettings().token}))
    with Network(source.hosts) as network, pytest.raises(NotAllowed, match="WAVCAPS_FREESOUND__TOKEN"):
        crawl(source, network, source.partitions()[0])


def test_months_are_the_papers(settings: Settings) -> None:
    # FreeSound started in April 2005; the paper's data end on 30 November 2022 (section III.A).
    assert len(months("2005-04", "2022-11")) == 212
    assert month_bounds("2020-02") == ("2020-02-01T00:00:00Z", "2020-02-29T23:59:59.999Z")
    assert month_bounds("2022-12")[1] == "2022-12-31T23:59:59.999Z"


@pytest.mark.skipif(not DATA.is_dir(), reason="the published answers are not on this machine")
def test_a_published_freesound_answer_is_read() -> None:
    answer = json.loads((DATA / "freesound/apiv2_search_geo_barcelona.json").read_text())
    sounds = answer["results"]

    async def search(request: Request) -> JSONResponse:
        return JSONResponse({**answer, "count": len(sounds)})

    with running(Starlette(routes=[Route("/apiv2/search/text/", search)])) as url:
        published = FreesoundSettings(base_url=url, token="key", first_month="2022-11", last_month="2022-11")
        with Network(frozenset({host_of(url)})) as network:
            stage = crawl(Freesound(published), network, "2022-11")
    assert stage.kept.column("source_id").to_pylist() == [str(sound["id"]) for sound in sounds]
    assert stage.kept.column("description").to_pylist() == [sound.get("description") for sound in sounds]
    assert set(stage.kept.column("licence").to_pylist()) == {sound.get("license") for sound in sounds}


@pytest.mark.parametrize(
    "answer",
    [{"results": []}, {"count": "3", "results": []}, {"count": 3, "results": []}, ["unexpected"]],
)
def test_a_changed_protocol_fails_loudly(answer: object) -> None:
    async def search(request: Request) -> JSONResponse:
        return JSONResponse(answer)

    with running(Starlette(routes=[Route("/apiv2/search/text/", search)])) as url:
        changed = FreesoundSettings(base_url=url, token="key", first_month="2022-11", last_month="2022-11")
        with Network(frozenset({host_of(url)})) as network, pytest.raises(BadAnswer):
            crawl(Freesound(changed), network, "2022-11")


def test_broken_pages_are_read_as_a_browser_would() -> None:
    listing = (
        "<h3><a href='2219-Airplane-Landing.html'>Airplane<h3><a href=1-A.html>A<h3><a href='/about.html'>"
    )
    assert parse_listing(listing) == [("2219", "2219-Airplane-Landing.html"), ("1", "1-A.html")]
    page = "<h1>Airplane Landing<p>An airplane lands.<br><p>License: Attribution 3.0 | Recorded by Mike"
    record = parse_page("http://soundbible.com", "2219", "2219-Airplane-Landing.html", page)
    assert (record.description, record.licence, record.author) == (
        "An airplane lands.",
        "Attribution 3.0",
        "Mike",
    )
    assert record.audio_url == "http://soundbible.com/grab.php?id=2219&type=wav"


def test_hostile_records_are_set_aside_or_made_harmless() -> None:
    stage = checked(
        "freesound",
        [
            Record("../../etc/passwd", "http://a/"),
            Record("1", "http://a/", title="nul\0byte", description="lone \ud800 surrogate"),
            Record("1", "http://a/"),
            Record("2", "", problem="no preview"),
        ],
    )
    (kept,) = stage.kept.to_pylist()
    assert (kept["title"], kept["description"]) == ("nulbyte", "lone ? surrogate")
    assert [row["reason"] for row in stage.dropped.to_pylist()] == ["bad_id", "listed_twice", "bad_record"]
