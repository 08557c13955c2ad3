"""The whole page: what it escapes, and what it says where there is nothing yet."""

from __future__ import annotations

import re

import dagster as dg
import pytest

from tests.training.report.report_store import (
    HOSTILE,
    RIGHT_TO_LEFT,
    SOURCES,
    Page,
    fill_captions,
    fill_crawl,
    fill_training,
    published_clip,
)
from wavcaps_assets.settings import Settings, Sources
from wavcaps_assets.show.text import MAX_SHOWN_CHARS, shown
from wavcaps_assets.tables import DROPPED, MANIFEST, RAW_CLIPS
from wavcaps_assets.tables.asset_tables import TableStore
from wavcaps_assets.tables.stage import Stage, drop
from wavcaps_training.definitions import build
from wavcaps_training.paper.experiments import DEMO_EXPERIMENT, scored_experiment
from wavcaps_training.report.collect import collect
from wavcaps_training.report.data import RunFacts, StepTime
from wavcaps_training.report.render import number, render_report, size, span, write_report
from wavcaps_training.tables import (
    PAPER_COMPARISON_KEY,
    RETRIEVAL_SCORES_KEY,
)


def test_the_reports_asset_depends_on_what_it_shows() -> None:
    for sources in Sources:
        location = build(Settings(sources=sources)).resolve_asset_graph()
        parents = location.get(dg.AssetKey("report")).parent_keys
        scored = scored_experiment(sources)
        keys = (scored.key, scored.training_manifest, RETRIEVAL_SCORES_KEY, PAPER_COMPARISON_KEY)
        assert {dg.AssetKey(list(key)) for key in keys} <= parents


@pytest.mark.slow
def test_crawled_text_stays_text(tables: TableStore) -> None:
    said_of_a_clip = ("author", "licence", "licence_id", "attribution", "model")
    hostile = [
        published_clip(str(i), f"A {HOSTILE} caption.", text=text, **dict.fromkeys(said_of_a_clip, HOSTILE))
        for i, text in enumerate((HOSTILE, RIGHT_TO_LEFT))
    ]
    tables.write(["wavcaps"], None, MANIFEST.from_rows(hostile))
    dropped = DROPPED.from_rows([drop(HOSTILE, "freesound", "raw_clips", HOSTILE, HOSTILE)])
    tables.write(["freesound", "raw_clips"], "one", Stage(RAW_CLIPS.empty(), dropped))
    data = collect(
        tables, SOURCES, DEMO_EXPERIMENT, RunFacts(HOSTILE, (StepTime(HOSTILE, 1.0),), {HOSTILE: HOSTILE})
    )
    page = Page(render_report(data))
    assert {"script", "img"}.isdisjoint(tag for tag, _ in page.elements)
    assert not any(name.startswith("on") for _, attributes in page.elements for name in attributes)
    assert page.text.count(HOSTILE) >= 10
    # Isolated, so that a text's direction ends with it.
    assert f"<bdi>{RIGHT_TO_LEFT}</bdi>" in render_report(data)


@pytest.mark.slow
def test_the_page_needs_nothing_from_elsewhere(tables: TableStore) -> None:
    fill_crawl(tables)
    fill_captions(tables)
    fill_training(tables)
    page = render_report(collect(tables, SOURCES, DEMO_EXPERIMENT))
    elements = Page(page).elements
    assert {"script", "link", "iframe", "object", "img"}.isdisjoint(tag for tag, _ in elements)
    for tag, attributes in elements:
        for name in ("src", "srcset", "href", "xlink:href", "data", "action"):
            address = attributes.get(name)
            assert address is None or address.startswith("#") or tag == "a", (tag, attributes)
    assert "@import" not in page
    assert all(target.startswith("#") for target in re.findall(r"url\(([^)]*)\)", page))
    policy = next(a["content"] for tag, a in elements if tag == "meta" and "http-equiv" in a)
    assert policy is not None
    assert policy.startswith("default-src 'none'")


@pytest.mark.slow
def test_the_page_is_well_formed(tables: TableStore) -> None:
    fill_crawl(tables)
    fill_captions(tables)
    fill_training(tables)
    page = Page(render_report(collect(tables, SOURCES, DEMO_EXPERIMENT)))
    assert page.unbalanced == []
    assert page.open == []
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = [a["href"] or "" for tag, a in page.elements if tag == "a"]
    assert {link[1:] for link in links if link.startswith("#")} <= set(ids)
    drawings = [a for tag, a in page.elements if a.get("role") == "img"]
    assert len(drawings) == 7
    assert all(drawing["aria-label"] for drawing in drawings)


def test_an_empty_store_still_gives_a_page(tables: TableStore) -> None:
    page = Page(render_report(collect(tables, SOURCES, DEMO_EXPERIMENT)))
    assert "Nothing has been crawled yet." in page.text
    for what in ("Published clips", "A trained checkpoint", "Retrieval scores", "The times of the steps"):
        assert f"{what}: not available yet." in page.text
    assert page.unbalanced == []


def test_the_report_is_written_into_the_store(tables: TableStore) -> None:
    fill_crawl(tables)
    size = write_report(tables, SOURCES, DEMO_EXPERIMENT, RunFacts("A corpus.", (StepTime("crawl", 61.0),)))
    path = tables.store.path("report.html")
    assert path.stat().st_size == size
    text = Page(path.read_text(encoding="utf-8")).text
    assert "A corpus." in text
    assert "1 min 01 s" in text
    assert [entry.name for entry in path.parent.iterdir()].count("report.html") == 1
    assert not list(path.parent.glob(".*"))


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (number(403050), "403,050"),
        (number(67.594, 2), "67.59"),
        (number(None), "–"),
        (number(0.0, 2), "0.00"),
        (number(0.002, 2), "< 0.01"),
        (size(999), "999 B"),
        (size(15_230_000), "15.2 MB"),
        (span(12.04), "12.0 s"),
        (span(187.3), "3 min 07 s"),
        (span(7260.0), "2 h 01 min"),
        (shown(" two \n lines\t"), "two lines"),
        (shown("a\x07b"), "ab"),
        (shown(None), ""),
        (shown("x" * 1000), "x" * (MAX_SHOWN_CHARS - 1) + "…"),
    ],
)
def test_values_as_people_read_them(written: str, meant: str) -> None:
    assert written == meant
