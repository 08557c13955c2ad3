"""The report's analysis of the set, and the way of one clip."""

from __future__ import annotations

import pytest

from tests.support.rows import raw_row
from tests.training.report.report_store import (
    HOSTILE,
    SOURCES,
    Page,
    fill_analysis,
    fill_captions,
    fill_crawl,
    published_clip,
)
from wavcaps_assets.analysis.synthetic import count_synthetic
from wavcaps_assets.tables import DROPPED, MANIFEST, RAW_CLIPS
from wavcaps_assets.tables.asset_tables import TableStore
from wavcaps_assets.tables.stage import Stage
from wavcaps_training.paper.experiments import DEMO_EXPERIMENT
from wavcaps_training.report.collect import collect
from wavcaps_training.report.render import render_report


@pytest.mark.slow
def test_words_are_those_of_the_analysis(tables: TableStore) -> None:
    fill_crawl(tables)
    caption = "Rain falls - loudly, and a dog clip-clops."
    tables.write(["wavcaps"], None, MANIFEST.from_rows([published_clip("1", caption)]))
    fill_analysis(tables)
    data = collect(tables, SOURCES, DEMO_EXPERIMENT)
    assert data.analysis is not None
    (after,) = [
        row
        for row in data.analysis.rows("set_statistics")
        if (row["source"], row["stage"]) == ("freesound", "after")
    ]
    assert data.published[0].words == (after["mean_words"],)
    assert data.published[0].words != (len(caption.split()),)


@pytest.mark.slow
def test_what_is_not_known_is_no_zero(tables: TableStore) -> None:
    fill_crawl(tables)
    clips = [{**published_clip(str(number), "Rain falls."), "author": None} for number in (1, 2)]
    clips[1]["model"] = "template"
    tables.write(["wavcaps"], None, MANIFEST.from_rows(clips))
    fill_analysis(tables)
    text = " ".join(Page(render_report(collect(tables, SOURCES, DEMO_EXPERIMENT))).text.split())
    assert "belong to their authors and are under" in text
    assert "by template" in text.partition("Key figures")[0]
    assert text.partition("HoursAuthors")[2].partition("Kinds of texts")[0].strip().endswith("< 0.01–")


@pytest.mark.slow
def test_the_analysis_and_the_way_of_a_clip_are_shown(tables: TableStore) -> None:
    fill_crawl(tables)
    fill_captions(tables)
    fill_analysis(tables)
    data = collect(tables, SOURCES, DEMO_EXPERIMENT)
    story, *others = data.stories
    assert len({story.clip_id, *(one.clip_id for one in others)}) == 1 + len(others)
    assert [chapter.title for chapter in story.chapters] == [
        "Raw record",
        "Audio",
        "Stage 1: filter",
        "Stage 2: language model",
        "Stage 3: rules",
        "Published",
    ]
    facts = {chapter.title: dict(chapter.facts) for chapter in story.chapters}
    number = story.clip_id.removeprefix("freesound-")
    assert facts["Raw record"]["description"] == f"Description {number}"
    assert facts["Stage 1: filter"]["verdict"] == "passed"
    assert facts["Stage 2: language model"]["model"] == "a model"
    assert facts["Stage 3: rules"]["verdict"] == "accept"
    assert facts["Published"]["caption"] == "Rain."
    page = Page(render_report(data))
    assert "Mean Flesch-Kincaid grade" in page.text
    assert f"Description {number}" in page.text
    assert page.unbalanced == []
    assert len([a for tag, a in page.elements if a.get("role") == "img"]) == 11
    # Table IV, drawn: the sets and their clips.
    (drawn,) = [a["aria-label"] for tag, a in page.elements if "each data set" in (a.get("aria-label") or "")]
    assert "633526" in page.text and drawn is not None


@pytest.mark.slow
def test_the_analysis_shows_crawled_texts_as_texts(tables: TableStore) -> None:
    rows = [published_clip(str(i), f"A {HOSTILE} caption.", text=HOSTILE, model=HOSTILE) for i in range(2)]
    tables.write(["wavcaps"], None, MANIFEST.from_rows(rows))
    raw = RAW_CLIPS.from_rows(raw_row(f"freesound-{i}", description=HOSTILE) for i in range(2))
    tables.write(["freesound", "raw_clips"], "one", Stage(raw, DROPPED.empty()))
    fill_analysis(tables)
    page = Page(render_report(collect(tables, SOURCES, DEMO_EXPERIMENT)))
    assert {"script", "img"}.isdisjoint(tag for tag, _ in page.elements)
    assert not any(name.startswith("on") for _, attributes in page.elements for name in attributes)
    assert page.text.count(HOSTILE) >= 5


@pytest.mark.slow
def test_ai_made_sounds_are_shown_by_month_and_what_is_not_known_as_such(tables: TableStore) -> None:
    fill_crawl(tables)
    fill_captions(tables)
    page = Page(render_report(collect(tables, SOURCES, DEMO_EXPERIMENT)))
    assert "AI-made sounds" not in page.text
    months: dict[str, list[bool | None]] = {
        "2026-09": [True, False, False],
        "2026-10": [None],
        "2026-11": [False, False],
    }
    sounds = [(month, known) for month, values in months.items() for known in values]
    raw = [
        raw_row(f"freesound-{number}", created=f"{month}-01T00:00:00", synthetic=known)
        for number, (month, known) in enumerate(sounds)
    ]
    tables.write(
        ["analysis", "synthetic_sounds"], None, count_synthetic({"freesound": [RAW_CLIPS.from_rows(raw)]})
    )
    page = Page(render_report(collect(tables, SOURCES, DEMO_EXPERIMENT)))
    assert "FreeSound2026-0933133.33FreeSound2026-1010––FreeSound2026-112200.00" in "".join(page.text.split())
    assert [a for _, a in page.elements if "AI-made sounds" in (a.get("aria-label") or "")]
    assert page.unbalanced == []
