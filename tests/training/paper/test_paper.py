"""The paper's tables: typed right, and compared with a run's figures without claiming too much."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import astuple
from typing import Any

import pyarrow as pa
import pytest

from tests.support.paths import SHARED
from tests.support.rows import manifest_row, raw_row
from wavcaps_assets.analysis.data_sets import authors_of
from wavcaps_assets.analysis.paper_figures import TABLE_III
from wavcaps_assets.analysis.statistics import set_statistics
from wavcaps_assets.tables import MANIFEST, RAW_CLIPS
from wavcaps_training.paper.comparison import compare
from wavcaps_training.paper.tables import METRICS, TABLE_IX, TABLE_V, TABLE_VI, TABLE_X, BenchmarkScores
from wavcaps_training.tables import RETRIEVAL_SCORES


def test_the_sources_of_table_iii_add_up_to_its_last_row() -> None:
    *sources, whole = TABLE_III
    after = [row.after for row in sources]
    clips = [part.clips or 0 for part in after]
    assert sum(clips) == 403_050 == whole.after.clips
    for figure in ("mean_duration_s", "mean_words"):
        weighted = sum(n * getattr(part, figure) for n, part in zip(clips, after, strict=True)) / sum(clips)
        # The parts are rounded to two decimals, and so is the whole.
        assert weighted == pytest.approx(getattr(whole.after, figure), abs=0.011)


def test_table_v_gives_the_improvements_that_the_paper_states() -> None:
    # Section IV.A.3 names them: over 36.7 and 46.8 (LAION) on AudioCaps, 18.2 and 25.7 on Clotho.
    best = {
        (name, direction): max(getattr(getattr(row, name), direction).at_1 for row in TABLE_V)
        for name in ("audiocaps", "clotho")
        for direction in ("text_to_audio", "audio_to_text")
    }
    improvement = {
        key: round(100 * (best[key] / before - 1), 1)
        for key, before in {
            ("audiocaps", "text_to_audio"): 36.7,
            ("audiocaps", "audio_to_text"): 46.8,
            ("clotho", "text_to_audio"): 18.2,
            ("clotho", "audio_to_text"): 25.7,
        }.items()
    }
    assert improvement == {
        ("audiocaps", "text_to_audio"): 15.0,
        ("audiocaps", "audio_to_text"): 16.7,
        ("clotho", "text_to_audio"): 18.1,
        ("clotho", "audio_to_text"): 5.4,
    }


def test_both_tables_hold_what_the_paper_prints() -> None:
    paper = SHARED / "paper.md"
    if not paper.is_file():
        pytest.skip("the text of the paper is not on this machine")
    printed = {
        tuple(cells[:2]) if cells[0].startswith(("HTSAT", "CNN14")) else cells[0]: cells
        for line in paper.read_text(encoding="utf-8").splitlines()
        if len(cells := re.sub("</?b>", "", line).split("\t")) in (7, 14)
    }

    def figures(cells: list[str]) -> list[float | None]:
        return [None if cell == "-" else float(cell) for cell in cells]

    for row in TABLE_III:
        mine = [
            figure
            for half in (row.before, row.after)
            for figure in (half.clips, half.mean_duration_s, half.mean_words)
        ]
        assert figures(printed[row.row][1:]) == mine
    for result in TABLE_V:
        scores = [
            recall.at(k)
            for test_set in (result.audiocaps, result.clotho)
            for recall in (test_set.text_to_audio, test_set.audio_to_text)
            for k in (1, 5, 10)
        ]
        assert figures(printed[result.model, result.training_set][2:]) == scores


def test_the_tables_of_captioning_and_of_the_ablation_hold_what_the_paper_prints() -> None:
    paper = SHARED / "paper.md"
    if not paper.is_file():
        pytest.skip("the text of the paper is not on this machine")
    printed: dict[str, list[list[float]]] = {}
    for line in paper.read_text(encoding="utf-8").splitlines():
        cells = [cell for cell in re.sub("</?b>", "", line).split("\t") if cell]
        names = [cell for cell in cells if not re.fullmatch(r"[0-9.]+", cell)]
        wanted = {*(row.model for row in TABLE_VI), *(row.training_set for row in TABLE_IX)} & set(names)
        figures = cells[len(names) :]
        if wanted and len(figures) in (len(METRICS), 12):
            key = f"{wanted.pop()}, {len(figures)} figures"
            printed.setdefault(key, []).append([float(figure) for figure in figures])
    for row in (*TABLE_VI, *TABLE_X):
        # Clotho's rows come first.
        expected = [list(astuple(row.clotho)), list(astuple(row.audiocaps))]
        assert printed[f"{row.model}, 7 figures"] == expected
    for ablation in TABLE_IX:
        scores = [*in_order(ablation.audiocaps), *in_order(ablation.clotho)]
        assert scores in printed[f"{ablation.training_set}, 12 figures"]


def in_order(scores: BenchmarkScores) -> list[float]:
    return [*astuple(scores.text_to_audio), *astuple(scores.audio_to_text)]


def test_a_run_stands_beside_the_paper() -> None:
    rows = by_cell(compared({"freesound": FREESOUND, "soundbible": SOUNDBIBLE}, WAVCAPS, SCORES))

    def measured(row: str, column: str) -> float | None:
        value: float | None = rows[row, column]["measured"]
        return value

    assert measured("FreeSound", "clips before") == 3
    assert measured("FreeSound", "mean duration before") == 3.0  # of 2 s and 4 s; one claims nothing
    assert measured("FreeSound", "mean words before") == 4.5  # of 6 and 3 words; one has no description
    assert measured("FreeSound", "clips after") == 2
    assert measured("FreeSound", "mean duration after") == 3.5
    assert measured("FreeSound", "mean words after") == 4.0
    assert measured("FreeSound", "share kept") == pytest.approx(200 / 3)
    assert measured("WavCaps", "clips before") == 4
    assert measured("WavCaps", "clips after") == 3
    assert measured("WavCaps", "share kept") == 75.0
    assert measured("HTSAT-BERT-ZS", "AudioCaps text-to-audio R@10") == 40.0
    assert measured("HTSAT-BERT-FT", "Clotho text-to-audio R@10") == 40.0
    # 262300/567078, and 403050 of the four sources' 710035.
    assert rows["FreeSound", "share kept"]["paper"] == pytest.approx(46.2546, abs=1e-4)
    assert rows["WavCaps", "share kept"]["paper"] == pytest.approx(56.7648, abs=1e-4)


def test_only_shares_and_caption_lengths_are_comparable() -> None:
    rows = by_cell(compared({"freesound": FREESOUND, "soundbible": SOUNDBIBLE}, WAVCAPS, SCORES))
    comparable = {key for key, row in rows.items() if row["comparable"]}
    assert comparable == {
        (row, column)
        for row in ("FreeSound", "SoundBible", "WavCaps")
        for column in ("mean words after", "share kept")
    }
    assert "these are by: smollm2." in rows["FreeSound", "mean words after"]["note"]
    assert "20 clips" in rows["HTSAT-BERT", "Clotho text-to-audio R@10"]["note"]


def test_what_was_not_measured_is_empty() -> None:
    nothing = compared({}, MANIFEST.empty(), RETRIEVAL_SCORES.empty())
    rows = by_cell(nothing)
    assert len(rows) == 5 * 7 + 4 * 12
    assert rows["BBC Sound Effects", "clips before"]["measured"] is None
    assert rows["HTSAT-BERT", "AudioCaps audio-to-text R@1"]["measured"] is None
    assert not any(row["comparable"] for row in rows.values())
    assert rows["BBC Sound Effects", "clips before"]["note"] == "No figure of this run."
    assert rows["AudioSet SL subset", "mean words before"]["note"] == "No figure of the paper and this run."


def test_words_are_counted_as_in_the_paper() -> None:
    released = SHARED / "data/wavcaps/sb_final.json"
    if not released.is_file():
        pytest.skip("needs an excerpt of the released set, ../shared/data/wavcaps/sb_final.json")
    clips = json.loads(released.read_text(encoding="utf-8"))["data"]
    raw = [raw_clip("soundbible", clip["id"], clip["description"], float(clip["duration"])) for clip in clips]
    published = [
        published_clip("soundbible", clip["id"], clip["caption"], float(clip["duration"])) for clip in clips
    ]
    rows = by_cell(
        compared(
            {"soundbible": RAW_CLIPS.from_rows(raw)},
            MANIFEST.from_rows(published),
            RETRIEVAL_SCORES.empty(),
        )
    )
    # 900 of the 1,232 clips: their means differ a little from those of all of them.
    assert rows["SoundBible", "mean words after"]["measured"] == pytest.approx(5.87, abs=0.1)
    assert rows["SoundBible", "mean words before"]["measured"] == pytest.approx(17.90, abs=0.1)


def test_the_paper_is_read_without_torch() -> None:
    code = "import sys, wavcaps_training.paper.comparison; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def compared(raw: dict[str, pa.Table], wavcaps: pa.Table, scores: pa.Table) -> pa.Table:
    statistics = set_statistics({source: [clips] for source, clips in raw.items()}, wavcaps)
    return compare(statistics, authors_of(wavcaps), scores)


def by_cell(table: pa.Table) -> dict[tuple[str, str], dict[str, Any]]:
    return {(row["row"], row["column"]): row for row in table.to_pylist()}


def raw_clip(source: str, source_id: str, description: str | None, claimed: float | None) -> dict[str, Any]:
    return raw_row(f"{source}-{source_id}", source, description=description, claimed_duration_s=claimed)


def published_clip(source: str, source_id: str, caption: str, duration_s: float) -> dict[str, Any]:
    about: dict[str, Any] = {"caption": caption, "duration_s": duration_s, "model": "smollm2"}
    return manifest_row(f"{source}-{source_id}", source, **about)


FREESOUND = RAW_CLIPS.from_rows(
    [
        raw_clip("freesound", "1", "This sound is of a  book.", 2.0),
        raw_clip("freesound", "2", "Rain on leaves", 4.0),
        raw_clip("freesound", "3", None, None),
    ]
)
SOUNDBIBLE = RAW_CLIPS.from_rows([raw_clip("soundbible", "4", "Bells", None)])
WAVCAPS = MANIFEST.from_rows(
    [
        published_clip("freesound", "1", "A book is falling.", 3.0),
        published_clip("freesound", "2", "Rain falls on leaves.", 4.0),
        published_clip("soundbible", "4", "Bells are ringing.", 5.0),
    ]
)
SCORES = RETRIEVAL_SCORES.from_rows(
    {"model": model, "direction": "text_to_audio", "metric": "R@10", "value": value, "clips": 20}
    for model, value in (("trained", 40.0), ("untrained", 50.0), ("chance", 50.0))
)
