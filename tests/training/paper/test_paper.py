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
from wavcaps_assets.tables.analysis import EXAMPLES
from wavcaps_training.paper.comparison import compare
from wavcaps_training.paper.experiments import CLASSIFICATION_SETS
from wavcaps_training.paper.tables.captioning import METRICS, TABLE_VI, TABLE_X
from wavcaps_training.paper.tables.classification import TABLE_VII
from wavcaps_training.paper.tables.examples import TABLE_II
from wavcaps_training.paper.tables.field import FIELD, MARKS, PAPER_BEST
from wavcaps_training.paper.tables.generation import TABLE_VIII
from wavcaps_training.paper.tables.retrieval import DIRECTIONS, TABLE_IX, TABLE_V, BenchmarkScores


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


@pytest.fixture(scope="module")
def printed() -> list[list[str]]:
    """The rows of the tables in the text of the paper, without empty cells at the start."""
    paper = SHARED / "paper.md"
    if not paper.is_file():
        pytest.skip("the text of the paper is not on this machine")
    lines = re.sub("</?b>|</?sub>|\\[[0-9]+\\]", "", paper.read_text(encoding="utf-8")).splitlines()
    return [[cell.strip() for cell in line.split("\t")] for line in lines if "\t" in line]


def numbers(cells: list[str]) -> list[float | None]:
    return [None if cell == "-" else float(cell.partition(" (")[0]) for cell in cells]


def test_table_ii_holds_what_the_paper_prints(printed: list[list[str]]) -> None:
    start = next(i for i, cells in enumerate(printed) if cells[0] == "Data sources" and "Raw" in cells[1])
    for source, texts, captions in printed[start + 1 : start + 5]:
        pairs = [pair for pair in TABLE_II if pair.row == source]
        assert " ".join(pair.text for pair in pairs) == texts
        assert " ".join(pair.caption for pair in pairs) == captions


def test_table_iii_holds_what_the_paper_prints(printed: list[list[str]]) -> None:
    rows = {cells[0]: cells[1:] for cells in printed if len(cells) == 7}
    for row in TABLE_III:
        mine = [
            figure
            for half in (row.before, row.after)
            for figure in (half.clips, half.mean_duration_s, half.mean_words)
        ]
        assert numbers(rows[row.row]) == mine


def test_tables_v_and_ix_hold_what_the_paper_prints(printed: list[list[str]]) -> None:
    rows = [cells for cells in printed if len(cells) == 14 and re.fullmatch("[0-9.]+", cells[-1])]
    assert [(cells[0], cells[1]) for cells in rows] == [(row.model, row.training_set) for row in TABLE_V]
    for cells, result in zip(rows, TABLE_V, strict=True):
        assert numbers(cells[2:]) == [*in_order(result.audiocaps), *in_order(result.clotho)]
        assert result.others is not cells[0].startswith(("HTSAT", "CNN14"))
    ablations = [cells for cells in printed if len(cells) == 13 and cells[0] != "Settings"]
    for cells, result in zip(ablations[-4:], TABLE_IX, strict=True):
        assert cells[0] == result.training_set
        assert numbers(cells[1:]) == [*in_order(result.audiocaps), *in_order(result.clotho)]


def test_tables_vi_and_x_hold_what_the_paper_prints(printed: list[list[str]]) -> None:
    found: dict[tuple[str, str], list[float | None]] = {}
    dataset = ""
    for line in printed:
        cells = [cell for cell in line if cell]
        names = [cell for cell in cells if not re.fullmatch("[0-9.]+", cell)]
        if len(cells) - len(names) != len(METRICS):
            continue
        dataset = next((name for name in names if name in ("Clotho", "AudioCaps")), dataset)
        model = next(name for name in names if name != dataset)
        found[model, dataset] = numbers(cells[len(names) :])
    mine = {
        (row.model, name): list(astuple(scores))
        for row in (*TABLE_VI, *TABLE_X)
        for name, scores in (("AudioCaps", row.audiocaps), ("Clotho", row.clotho))
        if scores is not None
    }
    assert mine == found
    assert len(found) == 12 + 11 + 4


def test_tables_vii_and_viii_hold_what_the_paper_prints(printed: list[list[str]]) -> None:
    start = next(i for i, cells in enumerate(printed) if cells[0] == "Model" and "ESC-50" in cells)
    for cells, result in zip(printed[start + 1 : start + 8], TABLE_VII, strict=True):
        assert cells[0] == result.model
        assert numbers(cells[1:]) == [result.esc50, result.urbansound8k, result.vggsound]
    start = next(i for i, cells in enumerate(printed) if cells[:2] == ["Model", "Train Condition"])
    model = ""
    for cells, generated in zip(printed[start + 1 : start + 9], TABLE_VIII, strict=True):
        # A model with two conditions is named once.
        model = cells[0] or model
        assert (
            model.replace("AudioLDMLAION", "AudioLDM LAION").replace("LDMWav", "LDM Wav") == generated.model
        )
        assert cells[1] == generated.train_condition
        mine = [generated.fad, generated.inception_score, generated.kl, generated.fd]
        assert numbers(cells[2:]) == mine


def test_the_papers_best_figures_are_those_of_its_tables() -> None:
    ours = [row for row in TABLE_V if not row.others]
    captioners = [row for row in TABLE_VI if not row.others]
    (ours_vii,) = [row for row in TABLE_VII if not row.others]
    generators = [row for row in TABLE_VIII if not row.others]
    best = {
        **{
            ("retrieval", name, f"R@1, {words.replace('-', ' ')}"): max(
                getattr(getattr(row, name), way).at_1 for row in ours
            )
            for name in ("audiocaps", "clotho")
            for way, words in DIRECTIONS.items()
        },
        ("captioning", "audiocaps", "SPIDEr"): max(
            row.audiocaps.spider for row in captioners if row.audiocaps
        ),
        ("captioning", "audiocaps", "CIDEr"): max(row.audiocaps.cider for row in captioners if row.audiocaps),
        **{("classification", name, "accuracy"): getattr(ours_vii, name) for name in CLASSIFICATION_SETS},
        ("generation", "audiocaps", "FAD"): min(row.fad for row in generators),
        ("generation", "audiocaps", "KL"): min(row.kl for row in generators),
        ("generation", "audiocaps", "IS"): max(row.inception_score or 0 for row in generators),
    }
    assert {key: figure.value for key, figure in PAPER_BEST.items()} == best


def test_the_field_has_the_figures_and_marks_of_its_source() -> None:
    facts = SHARED / "facts/field.md"
    if not facts.is_file():
        pytest.skip("the facts about the field are not on this machine")
    said = facts.read_text(encoding="utf-8").partition("## What others do today")[0]
    assert {result.mark for result in FIELD} == set(MARKS)
    for result in FIELD:
        # A number in the text, not a part of another one.
        shown = f"{result.value:g}".removeprefix("0")
        assert re.search(rf"(?<![0-9.]){re.escape(shown)}0?(?![0-9])", said), result
        assert result.system.removesuffix("-7B-PT").removesuffix("-7B").removesuffix("-3B") in said
    # Two figures of the same system are of different protocols.
    protocols = [(one.benchmark, one.metric, one.system, one.note) for one in FIELD]
    assert len(protocols) == len(set(protocols))


def in_order(scores: BenchmarkScores) -> list[float]:
    return [*astuple(scores.text_to_audio), *astuple(scores.audio_to_text)]


def test_a_run_stands_beside_the_paper() -> None:
    rows = by_cell(compared({"freesound": FREESOUND, "soundbible": SOUNDBIBLE}, WAVCAPS))

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
    # 262300/567078, and 403050 of the four sources' 710035.
    assert rows["FreeSound", "share kept"]["paper"] == pytest.approx(46.2546, abs=1e-4)
    assert rows["WavCaps", "share kept"]["paper"] == pytest.approx(56.7648, abs=1e-4)


def test_only_shares_and_caption_lengths_are_comparable() -> None:
    rows = by_cell(compared({"freesound": FREESOUND, "soundbible": SOUNDBIBLE}, WAVCAPS))
    comparable = {key for key, row in rows.items() if row["comparable"]}
    assert comparable == {
        (row, column)
        for row in ("FreeSound", "SoundBible", "WavCaps")
        for column in ("mean words after", "share kept")
    } | {("WavCaps (the paper's)", "mean words")}
    assert "these are by: smollm2." in rows["FreeSound", "mean words after"]["note"]


def test_what_was_not_measured_is_empty() -> None:
    nothing = compared({}, MANIFEST.empty())
    rows = by_cell(nothing)
    assert {row["table"] for row in rows.values()} == {f"Table {number}" for number in TABLES}
    assert rows["BBC Sound Effects", "clips before"]["measured"] is None
    assert rows["HTSAT-BERT", "AudioCaps audio-to-text R@1"]["measured"] is None
    assert not any(row["comparable"] for row in rows.values())
    assert rows["BBC Sound Effects", "clips before"]["note"] == "No figure of this store."
    assert rows["AudioSet SL subset", "mean words before"]["note"] == "No figure of the paper and this store."


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
        )
    )
    # 900 of the 1,232 clips: their means differ a little from those of all of them.
    assert rows["SoundBible", "mean words after"]["measured"] == pytest.approx(5.87, abs=0.1)
    assert rows["SoundBible", "mean words before"]["measured"] == pytest.approx(17.90, abs=0.1)


def test_the_paper_is_read_without_torch() -> None:
    code = "import sys, wavcaps_training.paper.comparison; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def compared(raw: dict[str, pa.Table], wavcaps: pa.Table) -> pa.Table:
    statistics = set_statistics({source: [clips] for source, clips in raw.items()}, wavcaps)
    return compare(statistics, authors_of(wavcaps), EXAMPLES.empty(), {})


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
TABLES = ("II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X")
