"""The report's scores on benchmarks and its comparison with the paper: of a full store, an old one, none."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pytest
import torch
from safetensors.torch import save_file

from tests.training.report.report_store import SOURCES, Page, fill_training
from wavcaps_assets.tables import schema_of
from wavcaps_assets.tables.analysis import EXAMPLES, SET_STATISTICS
from wavcaps_assets.tables.asset_tables import TableStore
from wavcaps_training.checkpoints.header import WEIGHTS_KEY
from wavcaps_training.paper.cells import Cell, score_cells
from wavcaps_training.paper.comparison import compare, reported_scores
from wavcaps_training.paper.experiments import DEMO_EXPERIMENT, EXPERIMENTS, Experiment
from wavcaps_training.paper.models import Preset
from wavcaps_training.report.collect import collect
from wavcaps_training.report.comparison import lay_out
from wavcaps_training.report.render import figure, render_report
from wavcaps_training.tables import PAPER_COMPARISON, PAPER_COMPARISON_KEY, RETRIEVAL_SCORES_KEY

OFFICIAL = {"audiocaps": 975, "clotho": 1045, "esc50": 2000, "urbansound8k": 8732, "vggsound": 15_446}
ZERO_SHOT = "checkpoint/htsat_bert/zero_shot"
SCORES = "scores/retrieval/audiocaps/htsat_bert/zero_shot"


def write_weights(tables: TableStore, name: str, sha256: str) -> None:
    with tables.store.writing(f"checkpoints/{name}.safetensors") as path:
        save_file({"weight": torch.zeros(1)}, path, {WEIGHTS_KEY: sha256})


def write_checkpoint(tables: TableStore, experiment: Experiment, sha256: str = "a" * 64) -> None:
    """A checkpoint as the released code trains it; the weights are none."""
    fill_training(tables, experiment)
    (row,) = tables.read(experiment.key).to_pylist()
    settings = experiment.settings(Preset.released).model_dump_json()
    row |= {"settings_json": settings, "weights_path": f"checkpoints/{experiment.name}.safetensors"}
    tables.write(experiment.key, None, schema_of(experiment.key).from_rows([row]))
    write_weights(tables, experiment.name, sha256)


def figures_of_the_paper() -> Iterator[tuple[tuple[str, ...], Cell]]:
    for cell in score_cells():
        if cell.wanted is not None and cell.paper is not None:
            yield cell.wanted.scores_key, cell


def fill_scores(tables: TableStore) -> None:
    """Every score that the paper has a figure of: two points below it."""
    by_key: dict[tuple[str, ...], list[Cell]] = {}
    for key, cell in figures_of_the_paper():
        by_key.setdefault(key, []).append(cell)
    for key, cells in by_key.items():
        wanted = cells[0].wanted
        assert wanted is not None and isinstance(wanted.experiment, Experiment)
        if not tables.exists(wanted.experiment.key, None):
            write_checkpoint(tables, wanted.experiment)
        rows = [score_row(cell, str(wanted.experiment.name)) for cell in cells]
        # The ablation's last row is a row of Table V.
        unlike = {(row.get("direction"), row["metric"]): row for row in rows}
        tables.write(key, None, schema_of(key).from_rows(unlike.values()))


def score_row(cell: Cell, checkpoint: str) -> dict[str, Any]:
    wanted = cell.wanted
    assert wanted is not None and cell.paper is not None
    columns = schema_of(wanted.scores_key).columns
    known = {column.name for column in columns}
    official = OFFICIAL[wanted.benchmark]
    spice = wanted.metrics[0] == "SPICE"
    values = {
        "model": "trained",
        "direction": wanted.direction,
        "scope": "overall",
        "group": "",
        "metric": wanted.metrics[0],
        "value": None if spice else cell.paper - 2,
        "note": "not measured: SPICE needs its parser" if spice else None,
        "low": None if spice else cell.paper - 4.5,
        "high": None if spice else cell.paper + 0.4,
        "checkpoint": checkpoint,
        "weights_sha256": "a" * 64,
        "trained_on_benchmark": wanted.experiment.stage.value not in ("zero-shot", "pre-training"),
        "scored_clips_trained_on": 0,
        "benchmark": wanted.benchmark,
        "benchmark_version": "v1",
        "scored_on_sha256": "0" * 64,
        "clips": official - 20,
        "unreadable": 0,
        "missing": 20,
        "references": 5 * (official - 20),
        "recordings": official - 20,
        "official_clips": official,
        "protocol_name": "released",
        "protocol": "as the released code does",
    }
    # Counts of a task of its own.
    lacking = [column for column in columns if not column.nullable and column.name not in values]
    rest = {column.name: "" if column.type == pa.string() else 0 for column in lacking}
    return rest | {name: value for name, value in values.items() if name in known}


def fill_comparison(tables: TableStore) -> None:
    comparison = compare(SET_STATISTICS.empty(), [], EXAMPLES.empty(), reported_scores(tables))
    tables.write(PAPER_COMPARISON_KEY, None, comparison)


def text_of(tables: TableStore) -> str:
    page = Page(render_report(collect(tables, SOURCES, DEMO_EXPERIMENT)))
    assert page.unbalanced == [] and page.open == []
    return " ".join(page.text.split())


def test_without_any_table_the_sections_say_so_and_the_field_is_there(tables: TableStore) -> None:
    text = text_of(tables)
    assert "Scores on benchmarks: not available yet." in text
    assert "The comparison with the paper: not available yet." in text
    assert "The field in November 2026, and the paper" in text
    assert "V read at the source; A abstract or opening of the page only; S secondary source." in text
    assert "AuroLA-7B re-ranked" in text


def test_without_scores_each_row_says_what_it_needs(tables: TableStore) -> None:
    fill_comparison(tables)
    text = text_of(tables)
    for name in ("II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X"):
        assert f"Table {name}" in text
    assert (
        "this store: not run: needs training_manifest/wavcaps_zero_shot, checkpoint/htsat_bert/zero_shot, "
        f"benchmark/audiocaps, {SCORES}, benchmark/clotho, scores/retrieval/clotho/htsat_bert/zero_shot"
    ) in text
    assert "checkpoint/audioldm_wavcaps_ft/audio" in text


@pytest.mark.slow
def test_a_full_set_of_scores_is_shown_with_its_conditions(tables: TableStore) -> None:
    fill_scores(tables)
    fill_comparison(tables)
    data = collect(tables, SOURCES, DEMO_EXPERIMENT)
    assert {(table.task, table.benchmark) for table in data.benchmarks} == {
        ("retrieval", "AudioCaps"),
        ("retrieval", "Clotho"),
        ("captioning", "AudioCaps"),
        ("captioning", "Clotho"),
        ("classification", "ESC-50"),
        ("classification", "UrbanSound8K"),
        ("classification", "VGGSound"),
        ("generation", "AudioCaps"),
    }
    (audiocaps,) = [one for one in data.benchmarks if (one.task, one.benchmark) == ("retrieval", "AudioCaps")]
    zero_shot = next(row for row in audiocaps.rows if row.checkpoint == "htsat_bert/zero_shot")
    assert (zero_shot.trained_on, zero_shot.clips, zero_shot.official) == ("no", 955, 975)
    # Of the sources' weights, fresh ones here: so nothing is the paper's.
    tables_of_paper = {table.name: table for table in data.paper}
    row = next(row for row in tables_of_paper["Table V"].rows if row.name == "HTSAT-BERT-ZS")
    assert row.cells[0] is not None
    assert (row.cells[0].paper, row.cells[0].measured, row.cells[0].comparable) == (28.6, 26.6, False)
    assert "starts from fresh weights" in tables_of_paper["Table V"].notes[row.cells[0].note - 1]
    assert data.paper_outdated == []
    text = text_of(tables)
    assert "955 of 975: partial" in text
    assert "not measured: SPICE needs its parser" in text
    assert "not comparable" in text


def test_scores_of_a_checkpoint_that_was_trained_again_are_marked(tables: TableStore) -> None:
    """Only the checkpoint is materialized again: its scores, and the comparison, are as before."""
    zero_shot = next(one for one in EXPERIMENTS if f"checkpoint/{one.name}" == ZERO_SHOT)
    write_checkpoint(tables, zero_shot)
    cells = [
        cell for key, cell in figures_of_the_paper() if "/".join(key) == SCORES and cell.table == "Table V"
    ]
    key = tuple(SCORES.split("/"))
    rows = [score_row(cell, zero_shot.name) for cell in cells]
    tables.write(key, None, schema_of(key).from_rows(rows))
    fill_comparison(tables)
    assert "out of date" not in text_of(tables)
    write_weights(tables, zero_shot.name, "b" * 64)
    text = text_of(tables)
    assert "out of date" in text
    assert f"Materialize {SCORES} again." in text
    # New scores, and the comparison of before.
    again = [{**row, "weights_sha256": "b" * 64} for row in rows]
    tables.write(key, None, schema_of(key).from_rows(again))
    text = text_of(tables)
    assert "out of date" not in text
    assert f"{SCORES} has changed since the comparison was made." in text


def test_own_scores_older_than_the_checkpoint_are_marked_wherever_they_are_shown(tables: TableStore) -> None:
    fill_training(tables)
    scores = tables.read(RETRIEVAL_SCORES_KEY).to_pylist()
    scored = [{**row, "weights_sha256": "a" * 64} if row["model"] == "trained" else row for row in scores]
    tables.write(RETRIEVAL_SCORES_KEY, None, schema_of(RETRIEVAL_SCORES_KEY).from_rows(scored))
    write_weights(tables, "trained", "a" * 64)
    assert "earlier checkpoint" not in text_of(tables)
    write_weights(tables, "trained", "c" * 64)
    text = text_of(tables)
    assert "This score is of an earlier checkpoint: the checkpoint was trained again since." in text
    assert "Older than the checkpoint." in text
    assert "of an earlier checkpoint;" in text.partition("Key figures")[2]
    assert "Materialize scores/retrieval again." in text


def test_a_comparison_of_an_older_version_is_shown(tables: TableStore) -> None:
    line: dict[str, Any] = {"table": "Table III", "row": "FreeSound", "unit": "clips"}
    rows: list[dict[str, Any]] = [
        {
            **line,
            "column": "clips before",
            "paper": 2.0,
            "measured": 1.0,
            "comparable": False,
            "note": "Other.",
        },
        {**line, "column": "share kept", "paper": 2.0, "measured": 1.0, "comparable": True, "note": "Alike."},
        {
            **line,
            "column": "clips after",
            "paper": 2.0,
            "measured": None,
            "comparable": False,
            "note": "None.",
        },
    ]
    tables.write(PAPER_COMPARISON_KEY, None, PAPER_COMPARISON.from_rows(rows))
    (table,) = lay_out(tables.read(PAPER_COMPARISON_KEY))
    (row,) = table.rows
    assert [cell.note if cell else None for cell in row.cells] == [1, 2, 0]
    assert (table.notes, row.missing) == (("Other.", "Alike."), ("None.",))
    assert "FreeSound" in text_of(tables)


def test_figures_are_printed_as_their_sources_print_them() -> None:
    assert [figure(value) for value in (51.0, 42.2, 1.15, 0.48, 2.3)] == [
        "51.0",
        "42.2",
        "1.15",
        "0.48",
        "2.3",
    ]
