"""The report: what it counts, what it escapes, and what it says where there is nothing yet."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow.compute as pc
import pytest

from tests.support.rows import audio_row, manifest_row, raw_row
from wavcaps_assets.analysis.data_sets import compare_data_sets
from wavcaps_assets.analysis.examples import sample_examples
from wavcaps_assets.analysis.licences import count_licences
from wavcaps_assets.analysis.measures import grade_raw, measure_texts
from wavcaps_assets.analysis.settings import AnalysisSettings
from wavcaps_assets.analysis.statistics import set_statistics
from wavcaps_assets.analysis.summaries import (
    count_copies,
    count_kinds,
    summarise_durations,
    summarise_readability,
    summarise_similarity,
)
from wavcaps_assets.analysis.synthetic import count_synthetic
from wavcaps_assets.analysis.vocabulary import vocabulary, words_that_change
from wavcaps_assets.settings import Settings, Sources
from wavcaps_assets.show.text import MAX_SHOWN_CHARS, shown
from wavcaps_assets.sources.base import Record, Source
from wavcaps_assets.store.storage import Store
from wavcaps_assets.tables import AUDIO, DROPPED, MANIFEST, RAW_CLIPS, TRAINING_MANIFEST, schema_of
from wavcaps_assets.tables.asset_tables import TableStore
from wavcaps_assets.tables.stage import Stage, drop
from wavcaps_training.definitions import build
from wavcaps_training.paper.experiments import DEMO_EXPERIMENT, HTSAT_DEMO, Experiment, scored_experiment
from wavcaps_training.report.collect import EXAMPLES_PER_SOURCE, collect
from wavcaps_training.report.data import RunFacts, Seeds, StepTime
from wavcaps_training.report.render import number, render_report, size, span, write_report
from wavcaps_training.tables import (
    CHECKPOINT,
    PAPER_COMPARISON_KEY,
    RETRIEVAL_SCORES,
    RETRIEVAL_SCORES_KEY,
    SEED_SCORES,
    SEED_SCORES_KEY,
)

HOSTILE = "<script>alert(1)</script> \"quoted\" 'too' ]]> <img src=http://evil.example/x onerror=alert(2)>"
RIGHT_TO_LEFT = "\u202eصوت المطر\u202c"


class NamedSource(Source):
    """As much of a source as the report asks of it."""

    def __init__(self, name: str, title: str) -> None:
        self.name, self.title = name, title

    def partitions(self) -> list[str]:
        return ["one", "two"]

    def records(self, network: object, partition: str) -> Iterator[Record]:
        return iter(())


SOURCES = [NamedSource("freesound", "FreeSound"), NamedSource("soundbible", "SoundBible")]


class Page(HTMLParser):
    """What a browser would make of a page: its elements, with their attributes, and its text."""

    EMPTY = frozenset({"meta", "br", "img", "link", "input", "hr", "path", "use", "rect", "svg"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.open: list[str] = []
        self.unbalanced: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag in self.EMPTY:
            return
        if self.open and self.open[-1] == tag:
            self.open.pop()
        else:
            self.unbalanced.append(tag)

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] != "style":
            self.text += data


@pytest.fixture
def tables(tmp_path: Path) -> TableStore:
    return TableStore(Store(tmp_path / "store"))


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


def test_test_clips_that_share_a_caption_are_counted(tables: TableStore) -> None:
    fill_training(tables)
    scores = collect(tables, SOURCES, DEMO_EXPERIMENT).scores
    assert scores is not None
    # Of the test clips 0 to 4, three are captioned "Rain."; the train clip with that caption is no rival.
    assert scores.sharing_a_caption == 3
    assert {name: score.value for name, score in scores.values["text_to_audio"]["trained"].items()} == {
        "R@1": 20.0,
        "R@5": 60.0,
        "R@10": 100.0,
    }


def test_several_seeds_and_the_other_model_are_shown(tables: TableStore) -> None:
    fill_training(tables)
    metrics = ("R@1", "R@5", "R@10", "mAP@10", "median rank")
    of_weights = {"checkpoint": DEMO_EXPERIMENT.name, "weights_sha256": "a", "scored_on_sha256": "1"}
    values: dict[int | None, float] = {20: 43.7, 21: 55.2, 22: 49.4, None: 49.4}
    rows = [
        {
            "seed": seed,
            "direction": direction,
            "metric": metric,
            "value": value,
            "low": 38.7,
            "high": 59.8,
            "deviation": 5.7 if seed is None else None,
            "seeds": 3,
            "clips": 5,
            **of_weights,
        }
        for direction in ("text_to_audio", "audio_to_text")
        for metric in metrics
        for seed, value in values.items()
    ]
    tables.write(SEED_SCORES_KEY, None, SEED_SCORES.from_rows(rows))
    scores = tables.read(RETRIEVAL_SCORES_KEY).to_pylist()
    tables.write(HTSAT_DEMO.scores_key, None, RETRIEVAL_SCORES.from_rows(scores))

    def seeds_beside(**other: str) -> Seeds | None:
        scored = [row | of_weights | other if row["model"] == "trained" else row for row in scores]
        tables.write(RETRIEVAL_SCORES_KEY, None, RETRIEVAL_SCORES.from_rows(scored))
        return collect(tables, SOURCES, DEMO_EXPERIMENT).seeds

    # They are not of a checkpoint that was trained again, nor of another test split.
    assert seeds_beside(weights_sha256="b") is None
    assert seeds_beside(scored_on_sha256="2") is None
    assert seeds_beside() is not None
    text = " ".join(Page(render_report(collect(tables, SOURCES, DEMO_EXPERIMENT))).text.split())
    assert "trained with 3 seeds" in text
    assert "49.4 ± 5.7 (38.7 to 59.8)" in text
    assert "Another model on the same clips: htsat_bert/demo" in text
    # They are not of another experiment.
    live = collect(tables, SOURCES, scored_experiment(Sources.LIVE))
    assert live.seeds is None and not live.other_scores


@pytest.mark.slow
def test_only_the_checkpoint_of_the_scored_experiment_is_shown(tables: TableStore) -> None:
    """A store that has been used with the demo's sources still has the demo's checkpoint."""
    live = scored_experiment(Sources.LIVE)
    assert live.key != DEMO_EXPERIMENT.key
    fill_training(tables)
    page = Page(render_report(collect(tables, SOURCES, live)))
    assert "A trained checkpoint: not available yet." in page.text
    assert "1,234,567" not in page.text

    fill_training(tables, live, parameters=7_654_321)
    data = collect(tables, SOURCES, live)
    assert data.training is not None
    assert (data.training.model, data.training.setting) == (live.model.name, live.setting)
    assert data.scores is not None
    page = Page(render_report(data))
    assert "7,654,321" in page.text
    assert "own_split" in page.text
    assert "1,234,567" not in page.text
    demo = collect(tables, SOURCES, DEMO_EXPERIMENT).training
    assert demo is not None and demo.parameters == 1_234_567


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


def test_sizes_are_those_of_the_files(tables: TableStore) -> None:
    fill_crawl(tables)
    for relative, length in (("audio/freesound/a.flac", 1000), ("audio/freesound/b.flac", 234)):
        with tables.store.writing(relative) as path:
            path.write_bytes(bytes(length))
    sizes = {folder.folder: folder for folder in collect(tables, SOURCES, DEMO_EXPERIMENT).sizes}
    assert (sizes["audio"].files, sizes["audio"].bytes) == (2, 1234)
    assert sizes["tables"].files == 8


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


def published_clip(number: str, caption: str, **other: Any) -> dict[str, Any]:
    about: dict[str, Any] = {"source_id": number, "caption": caption, "duration_s": 4.0, **other}
    return manifest_row(f"freesound-{number}", **about)


def fill_crawl(tables: TableStore) -> None:
    """Clips 1 to 7 in two partitions; 7 of them is listed twice, 4 has no audio."""
    for partition, numbers, repeated in (("one", (1, 2, 3), []), ("two", (4, 5, 6, 7), ["freesound-7#9"])):
        raw = RAW_CLIPS.from_rows(
            raw_row(f"freesound-{n}", title=f"Title {n}", description=f"Description {n}") for n in numbers
        )
        dropped = [drop(clip_id, "freesound", "raw_clips", "listed_twice") for clip_id in repeated]
        tables.write(["freesound", "raw_clips"], partition, Stage(raw, DROPPED.from_rows(dropped)))
        audio = [audio_row(f"freesound-{n}", duration_s=4.0, stored_bytes=1000) for n in numbers if n != 4]
        lost = [drop("freesound-4", "freesound", "audio", "not_found", "404")] if 4 in numbers else []
        tables.write(
            ["freesound", "audio"],
            partition,
            Stage(AUDIO.from_rows(audio), DROPPED.from_rows(lost)),
        )


def fill_captions(tables: TableStore) -> None:
    """Stage 1 drops 4 (for its audio) and 5, stage 2 drops 6, the manifest drops 7."""

    def write(step: str, rows: list[dict[str, Any]], dropped: list[dict[str, str | None]]) -> None:
        kept = schema_of([step]).from_rows(rows)
        tables.write([step], "freesound", Stage(kept, DROPPED.from_rows(dropped)))

    def rows(numbers: tuple[int, ...], **columns: Any) -> list[dict[str, Any]]:
        return [{"clip_id": f"freesound-{n}", "source": "freesound", **columns} for n in numbers]

    write(
        "filtered_clips",
        rows((1, 2, 3, 6, 7), tags=[], events=[]),
        [
            drop("freesound-4", "freesound", "filtered_clips", "not_found", "404"),
            drop("freesound-5", "freesound", "filtered_clips", "too_short", "0.500 s"),
        ],
    )
    write(
        "llm_captions",
        rows((1, 2, 3, 7), text="A text", caption="Rain.", model="a model", prompt_version="0", attempts=1),
        [drop("freesound-6", "freesound", "llm_captions", "failure")],
    )
    checked = {"repairs": [], "verdict": "accept", "findings": []}
    write("captions", rows((1, 2, 3, 7), text="A text", caption="Rain.", **checked), [])
    manifest = [published_clip(str(number), "Rain.") for number in (1, 2, 3)]
    write("manifest", manifest, [drop("freesound-7", "freesound", "manifest", "no_audio_yet")])
    tables.write(["wavcaps"], None, MANIFEST.from_rows(manifest))


def fill_analysis(tables: TableStore) -> None:
    """The analysis of the manifest that is there."""
    wavcaps, settings = tables.read(["wavcaps"]), AnalysisSettings()
    measures = measure_texts(wavcaps)
    crawled = {"freesound": [tables.read(["freesound", "raw_clips"])]}
    statistics = set_statistics(crawled, wavcaps)
    analysed = {
        "text_measures": measures,
        "set_statistics": statistics,
        "examples": sample_examples(wavcaps, settings.examples_per_source, settings.seed),
        "jaccard": summarise_similarity(measures),
        "readability": summarise_readability(grade_raw(crawled), measures),
        "odd_texts": count_kinds(measures),
        "durations": summarise_durations(wavcaps),
        "unique_captions": count_copies(measures, settings.often),
        "words": words_that_change(crawled, wavcaps, settings),
        "vocabulary": vocabulary(wavcaps, settings),
        "licences": count_licences(wavcaps),
        "synthetic_sounds": count_synthetic(crawled),
        "data_sets": compare_data_sets(statistics, "a model"),
    }
    for name, table in analysed.items():
        tables.write(["analysis", name], None, table)


def fill_training(
    tables: TableStore, experiment: Experiment = DEMO_EXPERIMENT, parameters: int = 1_234_567
) -> None:
    captions = ("Rain.", "Rain.", "Rain.", "Wind.", "A dog.", "Wind.", "Rain.")
    splits = ("test",) * 5 + ("train",) * 2
    manifest = [
        {
            "clip_id": f"freesound-{number}",
            "source": "freesound",
            "caption": caption,
            "other_captions": [],
            "audio_path": f"audio/{number}.flac",
            "duration_s": 4.0,
            "recording": str(number),
            "split": split,
        }
        for number, (caption, split) in enumerate(zip(captions, splits, strict=True))
    ]
    tables.write(["training_manifest"], None, TRAINING_MANIFEST.from_rows(manifest))
    epoch = {
        "train_loss": 2.0,
        "validation_loss": 2.5,
        "scores": [{"name": "recall_at_1", "value": 10.0}, {"name": "recall_at_10", "value": 50.0}],
        "learning_rate": 1e-4,
        "seconds": 3.0,
        "clips_per_second": 0.7,
    }
    checkpoint = {
        "model": experiment.model.name,
        "setting": experiment.setting,
        "weights_path": "checkpoints/trained.safetensors",
        "untrained_weights_path": "checkpoints/untrained.safetensors",
        "settings_json": '{"epochs": 2}',
        "manifest_sha256": "0",
        "parameters": parameters,
        "trainable_parameters": 1_000_000,
        "best_epoch": 2,
        "seconds": 6.0,
        "device": "cpu",
        "devices": 1,
        "flops_per_clip": 1e9,
        "utilisation": None,
        "tensorboard_path": "checkpoints/tensorboard",
        "train_clips": 2,
        "validation_clips": 1,
        "learning_curve": [{"epoch": 1, **epoch}, {"epoch": 2, **epoch}],
    }
    tables.write(experiment.key, None, CHECKPOINT.from_rows([checkpoint]))
    figures = {"trained": (20.0, 60.0, 100.0), "chance": (20.0, 100.0, 100.0)}
    scores = [
        {"model": model, "direction": direction, "metric": f"R@{k}", "value": value, "clips": 5}
        for direction in ("text_to_audio", "audio_to_text")
        for model, values in figures.items()
        for k, value in zip((1, 5, 10), values, strict=True)
    ]
    tables.write(RETRIEVAL_SCORES_KEY, None, RETRIEVAL_SCORES.from_rows(scores))
