"""The draft of the summary of training content: its figures, and its blanks."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.exports.sets import NOW, publish
from tests.support.rows import raw_row
from wavcaps_assets.exports.export import export
from wavcaps_assets.exports.exported_set import ExportedSet, open_set
from wavcaps_assets.exports.formats.training_summary import DATA, FORMAT, PAGE, TrainingSummarySettings
from wavcaps_assets.store.storage import Store
from wavcaps_assets.tables import RAW_CLIPS
from wavcaps_assets.tables.asset_tables import TableStore


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


FREESOUND = {"gen_ai_preference": "no-additional-preferences", "page_url": "https://freesound.org/s/1/"}
CLIPS: list[dict[str, Any]] = [
    {"clip_id": "freesound-1", **FREESOUND, "duration_s": 3600.0, "synthetic": False, "category": "Music"},
    {"clip_id": "freesound-2", **FREESOUND, "gen_ai_preference": "no-gen-ai", "synthetic": True},
    {
        "clip_id": "soundbible-3",
        "source": "soundbible",
        "page_url": "http://user@SoundBible.com:80/3-x.html",
        "licence_id": "CC-BY-NC-3.0",
        "duration_s": 1800.0,
        "text": "Ein Hund bellt sehr laut im Garten, und die Katze läuft davon",
        "model": "other | model",
    },
]


def answers(done: Any) -> dict[tuple[str, str], dict[str, Any]]:
    summary = json.loads(done.store.read_bytes(f"{done.folder}/{DATA}"))
    return {
        (section["number"], answer["question"].split(":")[0].split(" (")[0]): answer
        for section in summary["sections"]
        for answer in section["answers"]
    }


def published(store: Store) -> ExportedSet:
    exported = publish(store, [{**clip, "duration_s": clip.get("duration_s", 36.0)} for clip in CLIPS])
    crawled = {
        "freesound-1": datetime(2025, 3, 5, tzinfo=UTC),
        "freesound-2": datetime(2026, 1, 2, tzinfo=UTC),
        # A clip that is not in the version says nothing about it.
        "freesound-9": datetime(2001, 1, 1, tzinfo=UTC),
    }
    rows = [raw_row(one, first_crawled_at=at, crawled_at=at) for one, at in crawled.items()]
    TableStore(store).write(["freesound", "raw_clips"], "one", RAW_CLIPS.from_rows(rows))
    return exported


@pytest.mark.slow
def test_every_figure_is_counted(store: Store) -> None:
    done = export(published(store), FORMAT, TrainingSummarySettings(), NOW)
    found = answers(done)
    assert found["1.3", "Audio"]["answer"] == [
        "Less than 10,000 hours: 1.51 hours in 3 clips",
        "Music: 1.00 hours, 1 clips",
        "without a category: 0.51 hours, 2 clips",
    ]
    # Three captions of three words, two raw texts of one, and one of twelve.
    assert found["1.3", "Text"]["answer"].startswith("Less than 1 billion tokens: 23 words")
    assert found["1.3", "Latest date of data acquisition"]["answer"] == "01/2026"
    assert found["2.3", "Period of data collection"]["answer"] == "03/2025 to 01/2026"
    assert found["1.3", "Licences"]["answer"] == ["public domain: 2 clips", "non-commercial: 1 clips"]
    assert found["1.3", "Linguistic characteristics"]["answer"][1].endswith("others: de: 1")
    assert found["2.1", "Sources of the clips, with their size"]["answer"] == [
        "freesound: 1.01 hours, 2 clips",
        "soundbible: 0.50 hours, 1 clips",
    ]
    assert found["2.3", "Domain names, by size of content"]["answer"] == [
        "freesound.org: 1.01 hours, 2 clips",
        "soundbible.com: 0.50 hours, 1 clips",
    ]
    assert found["2.5", "Synthetic text"]["answer"] == [
        "other | model: 0.50 hours, 1 clips",
        "test: 1.01 hours, 2 clips",
    ]
    assert found["2.5", "Synthetic audio"]["answer"].startswith("1 sounds are AI-made")
    assert found["3.1", "Wishes about generative models"]["answer"] == [
        "no-additional-preferences: 1 clips",
        "no-gen-ai: 1 clips",
    ]
    assert "not restricted" in found["3.1", "Opt-outs by licence and by authors' wishes"]["answer"][0]


@pytest.mark.slow
def test_what_only_the_provider_knows_is_a_named_blank(store: Store) -> None:
    done = export(published(store), FORMAT, TrainingSummarySettings(), NOW)
    found = answers(done)
    assert all(answer["answer"] or answer["to_fill_in"] for answer in found.values())
    blank = found["1.1", "Provider name and contact details"]
    assert blank["answer"] is None and blank["to_fill_in"] == "your name and contact"
    page = done.store.read_bytes(f"{done.folder}/{PAGE}").decode()
    assert page.count("TO FILL IN: ") == sum(answer["to_fill_in"] is not None for answer in found.values())
    assert "other \\| model" in page
    assert "C(2025) 8311" in page and "was not compared" in page and "## 2.6 Other sources of data" in page


def test_a_slice_says_what_it_leaves_out_and_why(store: Store) -> None:
    published(store)
    done = export(open_set(store, use="commercial"), FORMAT, TrainingSummarySettings(), NOW)
    said = answers(done)["3.1", "Opt-outs by licence and by authors' wishes"]["answer"]
    assert said[0].startswith("This is the slice for commercial use. 2 of 3 clips")
    assert any("no-gen-ai" in line for line in said[1:]) and any("CC-BY-NC-3.0" in line for line in said[1:])


def test_a_store_that_does_not_know_when_says_so(store: Store) -> None:
    exported = publish(store, [{"clip_id": "local_folder-1", "source": "local_folder"}])
    TableStore(store).store.remove("tables/local_folder")
    found = answers(export(exported, FORMAT, TrainingSummarySettings(), NOW))
    assert found["2.3", "Period of data collection"] == {
        "question": "Period of data collection",
        "answer": None,
        "to_fill_in": "the store does not know it",
    }
