"""The analysis' tables against counts made by hand and the paper's figures, and its card."""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from matplotlib.figure import Figure

from tests.support.paths import DATA
from tests.support.rows import manifest_row
from wavcaps_assets.analysis import figures
from wavcaps_assets.analysis.card import CARD, Findings, render_card, size_category, write_card
from wavcaps_assets.analysis.data_sets import THIS_RUN, authors_of, compare_data_sets
from wavcaps_assets.analysis.examples import sample, sample_examples
from wavcaps_assets.analysis.licences import count_licences
from wavcaps_assets.analysis.measures import grade_raw, measure_texts
from wavcaps_assets.analysis.paper_figures import LAION_CLIPS, TABLE_III, UNIQUE_CAPTIONS
from wavcaps_assets.analysis.settings import AnalysisSettings
from wavcaps_assets.analysis.statistics import set_statistics, with_measured_durations
from wavcaps_assets.analysis.summaries import (
    count_copies,
    count_kinds,
    summarise_durations,
    summarise_readability,
    summarise_similarity,
)
from wavcaps_assets.analysis.vocabulary import log_odds_ratio, vocabulary, words_that_change
from wavcaps_assets.store.storage import Store
from wavcaps_assets.tables import MANIFEST

SOUNDBIBLE = DATA / "wavcaps" / "sb_final.json"
SETTINGS = AnalysisSettings()
HOSTILE = "| a | b |\n---\nlicense: mit\n<script>alert(1)</script> ![x](http://evil.example)"
ODD = ("", "🔥", "صوت المطر", "<b>x</b>", "a\x00b", "dog " * 5000, "\u202eabc", "5", "A dog.")


def manifest(*rows: dict[str, Any]) -> pa.Table:
    return MANIFEST.from_rows(manifest_row(f"freesound-{i}", **row) for i, row in enumerate(rows))


def raw(descriptions: list[str | None], durations: list[float | None]) -> pa.Table:
    return pa.table(
        {
            "description": pa.array(descriptions, pa.string()),
            "claimed_duration_s": pa.array(durations, pa.float64()),
        }
    )


def everything(wavcaps: pa.Table) -> dict[str, pa.Table]:
    measures = measure_texts(wavcaps)
    crawled = [wavcaps.select(["text"]).rename_columns(["description"])]
    statistics = set_statistics({"freesound": [raw(["two words"], [2.0])]}, wavcaps)
    return {
        "measures": measures,
        "statistics": statistics,
        "jaccard": summarise_similarity(measures),
        "readability": summarise_readability(grade_raw({"freesound": crawled}), measures),
        "kinds": count_kinds(measures),
        "durations": summarise_durations(wavcaps),
        "unique": count_copies(measures, SETTINGS.often),
        "words": words_that_change({"freesound": crawled}, wavcaps, SETTINGS),
        "vocabulary": vocabulary(wavcaps, SETTINGS),
        "licences": count_licences(wavcaps),
        "examples": sample_examples(wavcaps, 2, 0),
        "data_sets": compare_data_sets(statistics, "a model"),
    }


@pytest.fixture(scope="module")
def soundbible() -> pa.Table:
    if not SOUNDBIBLE.exists():
        pytest.skip(f"{SOUNDBIBLE} is not here")
    data = json.loads(SOUNDBIBLE.read_text(encoding="utf-8"))["data"]
    return MANIFEST.from_rows(
        manifest_row(
            f"soundbible-{row['id']}",
            "soundbible",
            text=row["description"],
            caption=row["caption"],
            duration_s=float(row["duration"]),
            author=row["author"],
        )
        for row in data
    )


def test_the_released_captions_have_the_papers_length(soundbible: pa.Table) -> None:
    rows = soundbible.select(["source", "caption", "duration_s"])
    before = soundbible.select(["text", "duration_s"]).rename_columns(["description", "claimed_duration_s"])
    found = {
        (row["source"], row["stage"]): row
        for row in set_statistics({"soundbible": [before]}, rows).to_pylist()
    }
    after = found["soundbible", "after"]
    by_hand = [len(caption.split()) for caption in soundbible["caption"].to_pylist()]
    assert after["mean_words"] == pytest.approx(sum(by_hand) / len(by_hand))
    # Table III says 5.87 of all 1,232, and 17.90 of the raw ones; these are 900 of them.
    assert after["mean_words"] == pytest.approx(after["paper_mean_words"], abs=0.1)
    assert found["soundbible", "before"]["mean_words"] == pytest.approx(17.90, abs=0.1)
    assert found["freesound", "after"]["clips"] is None
    assert found["wavcaps", "after"]["paper_clips"] == 403_050


def test_equal_captions_are_counted_as_by_hand(soundbible: pa.Table) -> None:
    (own, whole) = count_copies(measure_texts(soundbible), 5).to_pylist()
    copies = Counter(" ".join(text.lower().rstrip(".").split()) for text in soundbible["caption"].to_pylist())
    assert own["captions"] == soundbible.num_rows
    assert own["unique"] == len(copies)
    assert own["once"] == sum(count == 1 for count in copies.values())
    assert own["recurring"] == own["unique"] - own["once"]
    often = [len(text.split()) for text, count in copies.items() if count > 5]
    assert own["often_mean_words"] == pytest.approx(sum(often) / len(often))
    assert whole["paper_unique"] == 330_609


def test_captions_become_simpler_and_lose_what_is_no_sound(soundbible: pa.Table) -> None:
    tables = everything(soundbible)
    grade = {
        row["stage"]: row["mean"] for row in tables["readability"].to_pylist() if row["source"] == "wavcaps"
    }
    assert grade["after"] < grade["before"]
    vanishing = [row["word"] for row in tables["words"].to_pylist() if row["side"] == "vanishes"]
    assert {"great", "requested", "recorded", "thanks"} <= set(vanishing)


def test_before_is_all_that_was_crawled_published_or_not() -> None:
    wavcaps = manifest({"text": "A dog barks.", "caption": "A dog barks."})
    months = {"freesound": [raw(["A dog barks."], [1.0]), raw(["Thanks!", None], [1.0, 2.0])]}
    rows = summarise_readability(grade_raw(months), measure_texts(wavcaps)).to_pylist()
    own = {row["stage"]: row for row in rows if row["source"] == "freesound"}
    assert (own["before"]["texts"], own["before"]["left_out"], own["after"]["texts"]) == (2, 1, 1)
    # 0.39 · 3 + 11.8 · 3/3 - 15.59, and 0.39 + 11.8 - 15.59 for one word of one syllable.
    assert own["before"]["mean"] == pytest.approx((-2.62 + -3.40) / 2)
    assert own["after"]["mean"] == pytest.approx(-2.62)
    iterators = {source: iter(tables) for source, tables in months.items()}
    (word,) = words_that_change(iterators, wavcaps, AnalysisSettings(words_listed=1)).to_pylist()[:1]
    assert (word["word"], word["side"], word["in_texts"], word["in_captions"]) == ("thanks", "vanishes", 1, 0)


def test_the_papers_figures_agree_with_each_other() -> None:
    parts = [row.after for row in TABLE_III[:-1]]
    whole = TABLE_III[-1].after
    assert sum(part.clips or 0 for part in parts) == whole.clips == UNIQUE_CAPTIONS.captions
    words = sum((part.clips or 0) * (part.mean_words or 0) for part in parts) / (whole.clips or 1)
    assert words == pytest.approx(whole.mean_words, abs=0.01)
    assert sum(part.hours or 0 for part in parts) == pytest.approx(whole.hours, rel=1e-3)
    assert UNIQUE_CAPTIONS.once + UNIQUE_CAPTIONS.recurring == UNIQUE_CAPTIONS.unique
    # Table XI; the set's own name rounds it.
    assert sum(LAION_CLIPS.values()) == 633_526


def test_odd_texts_are_counted_and_never_a_nan() -> None:
    rows = [
        {"text": text, "caption": text, "duration_s": duration}
        for text, duration in zip(ODD, (math.nan, math.inf, -1.0, 0.0, 1.0, 2.0, 3.0, 4.0, 5.0), strict=True)
    ]
    tables = everything(manifest(*rows))
    for name, table in tables.items():
        for row in table.to_pylist():
            assert not any(isinstance(value, float) and not math.isfinite(value) for value in row.values()), (
                name
            )
    kinds = {row["kind"]: row["texts"] for row in tables["kinds"].to_pylist() if row["stage"] == "before"}
    assert kinds["empty"] == kinds["no_words"] == kinds["other_script"] == kinds["markup"] == 1
    assert kinds["cut"] == kinds["control"] == 1
    assert sum(kinds.values()) == len(ODD)
    (durations, _) = tables["durations"].to_pylist()
    assert (durations["clips"], durations["left_out"]) == (6, 3)
    (similarity, _) = tables["jaccard"].to_pylist()
    assert (similarity["clips"], similarity["without_words"]) == (7, 2)


def test_a_set_without_clips_has_tables_without_rows() -> None:
    tables = everything(MANIFEST.empty())
    for name in ("jaccard", "durations", "unique", "words", "vocabulary", "licences", "examples", "kinds"):
        assert tables[name].num_rows == 0, name


def test_raw_texts_without_words_or_durations_are_counted_apart() -> None:
    parts = [raw(["one", None], [1.0, None]), raw(["one two three", "🔥"], [math.nan, -5.0])]
    table = set_statistics({"freesound": iter(parts)}, MANIFEST.empty())
    row = table.to_pylist()[0]
    assert (row["source"], row["stage"], row["clips"]) == ("freesound", "before", 4)
    assert (row["mean_words"], row["without_words"]) == (2.0, 2)
    assert (row["mean_duration_s"], row["without_duration"]) == (1.0, 3)


def test_durations_are_measured_where_the_source_claims_none() -> None:
    raw = pa.table({"clip_id": ["a", "b", "c"], "claimed_duration_s": [2.0, None, None]})
    raw = raw.append_column("description", pa.array(["one", "two", "three"]))
    audio = pa.table({"clip_id": ["b", "a"], "duration_s": [6.0, 5.0]})
    known = with_measured_durations(raw, audio)
    assert dict(zip(*known.select(["clip_id", "claimed_duration_s"]).to_pydict().values(), strict=True)) == {
        "a": 2.0,
        "b": 6.0,
        "c": None,
    }
    row = set_statistics({"local_folder": [known]}, MANIFEST.empty()).to_pylist()[8]
    assert (row["source"], row["clips"], row["without_duration"]) == ("local_folder", 3, 1)
    assert (row["mean_duration_s"], row["hours"]) == (4.0, 8.0 / 3600)


def test_unknown_durations_are_not_zero_hours() -> None:
    row = set_statistics({"soundbible": [raw(["one", "two"], [None, None])]}, MANIFEST.empty()).to_pylist()[4]
    assert (row["source"], row["stage"], row["clips"]) == ("soundbible", "before", 2)
    assert (row["hours"], row["mean_duration_s"]) == (None, None)


def test_log_odds_by_hand() -> None:
    ones, others = np.array([8, 2]), np.array([5, 5])
    difference, z = log_odds_ratio(ones, others, 10.0)
    # The prior has 6.5 and 3.5 words.
    expected = math.log(14.5 / 5.5) - math.log(11.5 / 8.5)
    assert difference[0] == pytest.approx(expected)
    assert z[0] == pytest.approx(expected / math.sqrt(1 / 14.5 + 1 / 11.5))
    assert difference[1] == pytest.approx(-expected)


def test_the_vocabulary_grows_as_counted() -> None:
    table = vocabulary(
        manifest({"caption": "A dog."}, {"caption": "A cat."}, {"caption": "A dog."}),
        AnalysisSettings(growth_points=4),
    )
    (own, whole) = table.to_pylist()
    assert [point["words"] for point in own["growth"]] == [0, 2, 3, 3]
    assert (own["running_words"], own["words"], own["once"]) == (6, 3, 1)
    assert own["most_frequent"] == ["a", "dog", "cat"]
    assert whole["source"] == "wavcaps"


def test_examples_are_drawn_by_seed() -> None:
    clips = manifest(*({"caption": f"Sound {number}."} for number in range(50)))
    drawn = sample_examples(clips, 4, 0)
    assert drawn.equals(sample_examples(clips, 4, 0))
    assert not drawn.equals(sample_examples(clips, 4, 1))
    # Nor does the order of the table matter.
    assert drawn.equals(sample_examples(clips.sort_by([("clip_id", "descending")]), 4, 0))


def test_nothing_is_drawn_from_nothing() -> None:
    assert sample(MANIFEST.empty(), 4, 0).num_rows == 0


def test_data_sets_name_where_each_figure_comes_from() -> None:
    wavcaps = manifest({"caption": "A dog barks.", "model": "m"})
    statistics = set_statistics({"freesound": [raw(["x"], [2.0])]}, wavcaps)
    rows = {
        row["data_set"]: row
        for row in compare_data_sets(statistics, ", ".join(authors_of(wavcaps))).to_pylist()
    }
    assert all(row["provenance"] for row in rows.values())
    assert (rows[THIS_RUN]["clips"], rows[THIS_RUN]["mean_words"], rows[THIS_RUN]["captions_by"]) == (
        1,
        3.0,
        "m",
    )
    assert rows["SoundDescs"]["clips"] is None
    # "LAION-Audio-630K has the highest number of audio clips" (section III.C).
    assert max((row["clips"] or 0, name) for name, row in rows.items()) == (633_526, "LAION-Audio-630K")


@pytest.mark.slow
def test_every_figure_can_be_drawn() -> None:
    wavcaps = manifest({"caption": "A dog barks."}, {"caption": "Rain."}, {"text": ""})
    tables = everything(wavcaps)
    drawn = [
        figures.plot_statistics(tables["statistics"]),
        figures.plot_similarity(tables["measures"]),
        figures.plot_readability(tables["readability"]),
        figures.plot_words(tables["words"]),
        figures.plot_durations(wavcaps),
        figures.plot_uniqueness(tables["unique"]),
        figures.plot_vocabulary(tables["vocabulary"]),
        figures.plot_kinds(tables["kinds"]),
        figures.plot_licences(tables["licences"]),
        figures.plot_data_sets(tables["data_sets"]),
    ]
    assert all(isinstance(figure, Figure) and figure.axes for figure in drawn)
    assert figures.plot_durations(MANIFEST.empty()) is None


def test_the_card_is_written_and_what_is_crawled_stays_in_its_cell(tmp_path: Path) -> None:
    yaml = pytest.importorskip("yaml")
    about = {"model": HOSTILE, "licence_id": HOSTILE, "author": HOSTILE}
    wavcaps = manifest(about, {"licence_id": "CC-BY-NC-4.0"})
    tables = everything(wavcaps)
    findings = Findings(
        *(tables[name] for name in ("statistics", "licences", "unique", "jaccard", "readability"))
    )
    store = Store(tmp_path / "store")
    (row,) = write_card(store, wavcaps, findings, {"freesound": "FreeSound"}).to_pylist()
    card = store.read_bytes(CARD).decode()
    assert row["bytes"] == len(card.encode())
    _, front, body = card.split("---\n", 2)
    about_set = yaml.safe_load(front)
    assert about_set["size_categories"] == ["n<1K"]
    assert about_set["license"] == "other"
    assert {"language", "task_categories", "configs", "pretty_name"} <= about_set.keys()
    assert "<script>" not in body
    assert "![x]" not in body
    assert "license: mit" not in body.splitlines()
    assert "1 clips have an unknown licence; 1 have a licence that excludes" in body
    assert card == render_card(wavcaps, findings, {"freesound": "FreeSound"})


@pytest.mark.parametrize(
    ("clips", "name"), [(0, "n<1K"), (1_000, "1K<n<10K"), (403_050, "100K<n<1M"), (10**8, "n>10M")]
)
def test_size_categories_are_the_hubs(clips: int, name: str) -> None:
    assert size_category(clips) == name


def test_bars_keep_their_order_where_a_source_was_not_crawled() -> None:
    statistics = set_statistics({"soundbible": [raw(["Dog."], [1.0])]}, manifest({"source": "soundbible"}))
    (legend,) = figures.plot_statistics(statistics).legends
    assert [text.get_text() for text in legend.get_texts()] == [
        "raw text, this run",
        "raw text, the paper",
        "caption, this run",
        "caption, the paper",
    ]


def test_sources_stand_in_the_papers_order_and_others_before_the_whole() -> None:
    names = ["wavcaps", "local_folder", "audioset_sl", "freesound"]
    ordered = [row["source"] for row in figures.in_order([{"source": name} for name in names])]
    assert ordered == ["freesound", "audioset_sl", "local_folder", "wavcaps"]


def test_nothing_odd_has_no_plot() -> None:
    measures = measure_texts(manifest({"caption": "A dog barks.", "text": "Dog."}))
    assert figures.plot_kinds(count_kinds(measures)) is None
