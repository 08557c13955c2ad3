"""The report's funnel, its examples, and the sizes of the store."""

from __future__ import annotations

import pyarrow.compute as pc

from tests.training.report.report_store import (
    SOURCES,
    Page,
    fill_captions,
    fill_crawl,
    published_clip,
)
from wavcaps_assets.tables import DROPPED, MANIFEST
from wavcaps_assets.tables.asset_tables import TableStore
from wavcaps_assets.tables.stage import Stage, drop
from wavcaps_training.paper.experiments import DEMO_EXPERIMENT
from wavcaps_training.report.collect import EXAMPLES_PER_SOURCE, collect
from wavcaps_training.report.render import render_report


def test_the_funnel_counts_every_record_once(tables: TableStore) -> None:
    fill_crawl(tables)
    fill_captions(tables)
    (funnel,) = collect(tables, SOURCES, DEMO_EXPERIMENT).funnels
    # 8 records in two partitions; one is listed twice, one has no audio, one is short, one fails.
    assert funnel.steps == (8, 6, 5, 4, 4, 3)
    assert {(reason.step, reason.reason): reason.clips for reason in funnel.reasons} == {
        ("crawl", "listed_twice"): 1,
        ("audio", "not_found"): 1,
        ("stage 1 (filter)", "too_short"): 1,
        ("stage 2 (captions)", "failure"): 1,
        ("manifest", "no_audio_yet"): 1,
    }
    published = funnel.steps[-1]
    assert published is not None
    assert published + funnel.dropped + funnel.waiting == funnel.steps[0]
    assert funnel.waiting == 0
    failed = next(reason for reason in funnel.reasons if reason.reason == "too_short")
    assert failed.example.clip_id == "freesound-5"
    assert failed.example.detail == "0.500 s"


def test_a_sound_that_is_published_once_is_counted_as_dropped(tables: TableStore) -> None:
    fill_crawl(tables)
    fill_captions(tables)
    published = tables.read(["wavcaps"])
    left_out = drop("freesound-2", "freesound", "wavcaps", "same_sound", "the same sound as other-2")
    kept = published.filter(pc.not_equal(published["clip_id"], "freesound-2"))
    tables.write(["wavcaps"], None, Stage(kept, DROPPED.from_rows([left_out])))
    (funnel,) = collect(tables, SOURCES, DEMO_EXPERIMENT).funnels
    assert funnel.steps == (8, 6, 5, 4, 4, 2)
    assert funnel.steps[-1] + funnel.dropped + funnel.waiting == funnel.steps[0]
    (reason,) = [reason for reason in funnel.reasons if reason.reason == "same_sound"]
    assert (reason.step, reason.clips, reason.example.clip_id) == ("the whole set", 1, "freesound-2")


def test_what_has_not_come_to_the_end_is_waiting(tables: TableStore) -> None:
    fill_crawl(tables)
    (funnel,) = collect(tables, SOURCES, DEMO_EXPERIMENT).funnels
    assert funnel.steps == (8, 6, None, None, None, None)
    assert (funnel.dropped, funnel.waiting) == (2, 6)
    text = Page(render_report(collect(tables, SOURCES, DEMO_EXPERIMENT))).text
    assert "found 8 records at 1 source." in " ".join(text.split())


def test_examples_are_every_nth_clip(tables: TableStore) -> None:
    # Written backwards: the order of the page is that of the ids, whatever that of the table.
    rows = [published_clip(f"{i:03}", f"Sound {i}.") for i in reversed(range(21))]
    tables.write(["wavcaps"], None, MANIFEST.from_rows(rows))
    (freesound,) = collect(tables, SOURCES, DEMO_EXPERIMENT).published
    assert freesound.every == 3
    assert [example.clip_id for example in freesound.examples] == [
        f"freesound-{i:03}" for i in (0, 3, 6, 9, 12, 15, 18)
    ]
    assert len(freesound.examples) <= EXAMPLES_PER_SOURCE
    assert sorted(freesound.words) == [2] * 21


def test_sizes_are_those_of_the_files(tables: TableStore) -> None:
    fill_crawl(tables)
    for relative, length in (("audio/freesound/a.flac", 1000), ("audio/freesound/b.flac", 234)):
        with tables.store.writing(relative) as path:
            path.write_bytes(bytes(length))
    sizes = {folder.folder: folder for folder in collect(tables, SOURCES, DEMO_EXPERIMENT).sizes}
    assert (sizes["audio"].files, sizes["audio"].bytes) == (2, 1234)
    assert sizes["tables"].files == 8
