from __future__ import annotations

import csv
import io
import re
from collections import defaultdict
from typing import Any

import httpx
import pytest
import soundfile
from selectolax.lexbor import LexborHTMLParser

from tests.support.paths import DATA
from wavcaps_assets.demo.clips import Corpus, DemoClip, Source
from wavcaps_assets.demo.server import running_server

NONE = dict.fromkeys(("query", "tags", "categories", "durations", "continents", "sortBy", "source"))


def text_of(tree: LexborHTMLParser, selector: str) -> str:
    found = tree.css_first(selector)
    assert found is not None, f"no {selector} in the page"
    return found.text()


def bbc(client: httpx.Client, what: str = "search", start: int = 0, **criteria: Any) -> httpx.Response:
    return client.post(
        f"/bbc/api/sfx/{what}", json={"criteria": {"from": start, "size": 3, **NONE, **criteria}}
    )


def test_bbc_pages_and_totals(client: httpx.Client, corpus: Corpus) -> None:
    clips = corpus.of(Source.BBC)
    pages = [bbc(client, start=start).json() for start in (0, 3)]
    assert {page["total"] for page in pages} == {len(clips)}
    found = [sound for page in pages for sound in page["results"]]
    assert [sound["id"] for sound in found] == [clip.source_id for clip in clips[:6]]
    assert found[0]["duration"] == round(clips[0].duration_s * 1000)
    assert found[0]["description"] == clips[0].text
    assert {"categories", "tags", "source", "technicalMetadata", "additionalMetadata", "fileSizes"} <= set(
        found[0]
    )


def test_bbc_refuses_deep_pages(client: httpx.Client) -> None:
    answer = bbc(client, start=4)
    assert answer.status_code == 400
    assert "6" in answer.json()["message"]


def test_bbc_aggregations_count_what_a_search_finds(client: httpx.Client, corpus: Corpus) -> None:
    total = len(corpus.of(Source.BBC))
    durations = bbc(client, "durationAggregations").json()["aggregations"]
    assert sum(entry["doc_count"] for entry in durations.values()) == total
    for name, entry in durations.items():
        low, high = name.split("-")
        assert bbc(client, durations=[{"min": low, "max": high}]).json()["total"] == entry["doc_count"]
    categories = bbc(client, "categoryAggregations").json()["aggregations"]
    assert categories == {"Synthesised": {"doc_count": total}}
    assert bbc(client, categories=["Nature"]).json() == {"total": 0, "results": []}
    assert bbc(client, "continentAggregations").json() == {"aggregations": {}}


def test_bbc_sounds_can_have_several_categories_or_none_and_a_continent(corpus: Corpus) -> None:
    one, two, three, *_ = corpus.of(Source.BBC)
    clips = (
        one.model_copy(update={"category": "Nature;Birds", "continent": "Asia"}),
        two.model_copy(update={"category": "Nature", "continent": "Asia"}),
        three.model_copy(update={"category": ""}),
    )
    with running_server(Corpus(root=corpus.root, clips=clips)) as url, httpx.Client(base_url=url) as client:
        assert bbc(client, "categoryAggregations").json()["aggregations"] == {
            "Nature": {"doc_count": 2},
            "Birds": {"doc_count": 1},
        }
        assert bbc(client, "continentAggregations").json()["aggregations"] == {"Asia": {"doc_count": 2}}
        cases: list[tuple[dict[str, Any], list[DemoClip]]] = [
            ({"categories": ["Birds"]}, [one]),
            ({"categories": ["Nature", "Birds"]}, [one, two]),
            ({"continents": ["Asia"]}, [one, two]),
            ({"continents": ["Asia"], "categories": ["Birds"]}, [one]),
            ({"continents": ["Europe"]}, []),
            ({}, [one, two, three]),
        ]
        for criteria, found in cases:
            answer = bbc(client, **criteria).json()
            assert [sound["id"] for sound in answer["results"]] == [clip.source_id for clip in found]
            assert answer["total"] == len(found)
        first, _, last = bbc(client).json()["results"]
        assert first["categories"] == [{"className": "Nature"}, {"className": "Birds"}]
        assert last["categories"] == []


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b'{"criteria": 3}', b'{"criteria": {"from": "x"}}', b'{"criteria": {"durations": [3]}}'],
)
def test_bbc_refuses_what_is_no_criteria(client: httpx.Client, body: bytes) -> None:
    assert client.post("/bbc/api/sfx/search", content=body).status_code == 400


@pytest.mark.parametrize(("folder", "container"), [("wav", "WAV"), ("mp3", "MP3")])
def test_bbc_serves_the_sizes_and_durations_it_claims(
    client: httpx.Client, folder: str, container: str
) -> None:
    sound = bbc(client).json()["results"][0]
    audio = client.get(f"/bbc-media/{folder}/{sound['id']}.{folder}").content
    about = soundfile.info(io.BytesIO(audio))
    assert about.format == container
    assert about.duration * 1000 == pytest.approx(sound["duration"], abs=100)
    if folder == "wav":
        assert len(audio) == sound["fileSizes"]["wavFileSize"]


def test_bbc_answers_xml_for_a_missing_file(client: httpx.Client) -> None:
    answer = client.get("/bbc-media/wav/00000000.wav")
    assert answer.status_code == 404
    assert answer.content.startswith(b"<?xml")


def test_soundbible_lists_every_sound_once(client: httpx.Client, corpus: Corpus) -> None:
    links, page = [], "/soundbible/free-sound-effects-1.html"
    while page:
        tree = LexborHTMLParser(client.get(page).text)
        links += [link.attributes["href"] or "" for link in tree.css("h3 a")]
        following = tree.css_first("a[rel=next]")
        page = f"/soundbible/{following.attributes['href']}" if following else ""
    assert all(re.fullmatch(r"\d+(-[A-Za-z0-9.]+)+\.html", link) for link in links)
    ids = [link.partition("-")[0] for link in links]
    assert sorted(ids) == sorted(clip.source_id for clip in corpus.of(Source.SOUNDBIBLE))
    assert client.get("/soundbible/free-sound-effects-99.html").status_code == 404
    assert "h3" in client.get("/soundbible/").text


def test_soundbible_s_page_tells_of_the_sound_and_where_to_grab_it(
    client: httpx.Client, corpus: Corpus
) -> None:
    clip = corpus.of(Source.SOUNDBIBLE)[0]
    listing = LexborHTMLParser(client.get("/soundbible/free-sound-effects-2.html").text)
    name = next(
        link.attributes["href"]
        for link in listing.css("h3 a")
        if clip.source_id in (link.attributes["href"] or "")
    )
    tree = LexborHTMLParser(client.get(f"/soundbible/{name}").text)
    assert text_of(tree, "h1") == clip.title
    assert text_of(tree, "p") == clip.text
    assert "License: Public Domain | Recorded by wavcaps synthesiser |" in text_of(tree, "body")
    for link in tree.css("a[href^=grab]"):
        audio = client.get(f"/soundbible/{link.attributes['href']}")
        assert audio.headers["content-disposition"].startswith("attachment")
        about = soundfile.info(io.BytesIO(audio.content))
        assert about.duration == pytest.approx(clip.duration_s, abs=0.1)
    assert client.get(f"/soundbible/grab.php?id={clip.source_id}&type=exe").status_code == 404
    assert client.get("/soundbible/grab.php?id=1&type=wav").status_code == 404


def test_texts_cannot_become_markup(corpus: Corpus) -> None:
    hostile = "</p><script>alert('&')</script>\r\n"
    clip = corpus.of(Source.SOUNDBIBLE)[0].model_copy(
        update={"title": hostile, "text": hostile, "author": hostile}
    )
    with running_server(Corpus(root=corpus.root, clips=(clip,))) as url:
        listing = LexborHTMLParser(httpx.get(f"{url}/soundbible/free-sound-effects-1.html").text)
        (name,) = (link.attributes["href"] for link in listing.css("h3 a"))
        page = LexborHTMLParser(httpx.get(f"{url}/soundbible/{name}").text)
        assert httpx.get(f"{url}/soundbible/grab.php?id={clip.source_id}&type=wav").status_code == 200
    for tree in (listing, page):
        assert not tree.css("script")
        assert "<script>" in text_of(tree, "body")


def test_audioset_files_hold_every_event_of_their_split(client: httpx.Client, corpus: Corpus) -> None:
    names = dict(
        line.split("\t") for line in client.get("/audioset/labels/mid_to_display_name.tsv").text.splitlines()
    )
    events: defaultdict[str, list[tuple[float, float, str]]] = defaultdict(list)
    for split in ("train", "eval"):
        lines = client.get(f"/audioset/labels/audioset_{split}_strong.tsv").text.splitlines()
        assert lines[0] == "segment_id\tstart_time_seconds\tend_time_seconds\tlabel"
        for line in lines[1:]:
            segment, onset, offset, mid = line.split("\t")
            events[f"{split}/{segment}"].append((float(onset), float(offset), names[mid]))
    assert events == {
        f"{clip.split}/{clip.source_id}": [(e.onset_s, e.offset_s, e.label) for e in clip.events]
        for clip in corpus.of(Source.AUDIOSET)
    }
    assert client.get("/audioset/labels/audioset_all_strong.tsv").status_code == 404


def test_audioset_header_is_the_real_one(client: httpx.Client) -> None:
    folder = DATA / "audioset" / "strong_excerpts"
    real = folder / "snore_ov_audioset_eval_strong.tsv"
    if not real.is_file():
        pytest.skip(f"no excerpt of the real labels at {real}")
    ours = client.get("/audioset/labels/audioset_eval_strong.tsv").text
    assert ours.splitlines()[0] == real.read_text(encoding="utf-8").splitlines()[0]


def test_audioset_clips_are_ten_seconds(client: httpx.Client, corpus: Corpus) -> None:
    video = corpus.of(Source.AUDIOSET)[0].source_id.rpartition("_")[0]
    about = soundfile.info(io.BytesIO(client.get(f"/audioset/clips/Y{video}.wav").content))
    assert (about.duration, about.samplerate, about.channels) == (10.0, 32_000, 1)
    assert client.get("/audioset/clips/Yabsent.wav").status_code == 404


def test_recordings_name_every_clip(client: httpx.Client, corpus: Corpus) -> None:
    rows = list(csv.DictReader(client.get("/recordings.csv").text.splitlines()))
    assert {row["clip_id"] for row in rows} == {clip.clip_id for clip in corpus.clips}
    assert all(re.fullmatch(r"[a-z0-9.-]+", row["recording"]) for row in rows)
    scene = corpus.of(Source.AUDIOSET)[0]
    listed = {row["recording"] for row in rows if row["clip_id"] == scene.clip_id}
    assert listed == set(scene.recordings)
