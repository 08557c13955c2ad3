"""The paper's figures, Tables II to X, next to what this store has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from wavcaps_assets.tables.asset_tables import TableStore
from wavcaps_training.paper.cells import Cell, Wanted, released_cells, score_cells
from wavcaps_training.paper.experiments import Experiment
from wavcaps_training.paper.likeness import Match, match
from wavcaps_training.paper.released import ReleasedModel
from wavcaps_training.paper.set_comparison import compare_examples, compare_other_sets, compare_sets
from wavcaps_training.paper.stored_scores import CurrentLists, StoredScores, read_scores
from wavcaps_training.tables import PAPER_COMPARISON


def compare(
    statistics: pa.Table,
    captions_by: Sequence[str],
    examples: pa.Table,
    scores: Mapping[tuple[str, ...], StoredScores],
) -> pa.Table:
    """Compares the paper's figures with those of a store.

    A score stands next to a figure only if it is of the same experiment, benchmark and metric. It is
    comparable only if the protocol, the training and the clips are the paper's, too.

    Args:
        statistics: `tables.analysis.SET_STATISTICS`, this store's Table III.
        captions_by: the models that wrote the captions.
        examples: `tables.analysis.EXAMPLES`, this store's Table II.
        scores: the tables of scores that exist, by the keys of their assets.

    Returns:
        `tables.PAPER_COMPARISON`, all cells of Tables II to X; of Table IV, which was not available, what the
        paper's text says. A missing figure is empty.
    """
    return PAPER_COMPARISON.from_rows(
        [
            *compare_examples(examples),
            *compare_sets(statistics, captions_by),
            *compare_other_sets(statistics, captions_by),
            *(_row(cell, scores) for cell in score_cells()),
            *(
                _row(cell, scores)
                for cell in released_cells()
                if cell.wanted and cell.wanted.scores_key in scores
            ),
        ]
    )


def reported_keys() -> dict[tuple[str, ...], Experiment | ReleasedModel]:
    """The keys of the scores that the paper has figures of, with the checkpoints that are scored."""
    cells = (*score_cells(), *released_cells())
    return {cell.wanted.scores_key: cell.wanted.experiment for cell in cells if cell.wanted}


def reported_scores(tables: TableStore) -> dict[tuple[str, ...], StoredScores]:
    """The tables of scores that the paper has figures of, by the keys of their assets; those that exist.

    Raises:
        StoreError: a table exists and cannot be read.
    """
    lists = CurrentLists(tables)
    found = (
        read_scores(tables, key, one.key, one.start_key if isinstance(one, Experiment) else None, lists)
        for key, one in reported_keys().items()
    )
    return {scores.key: scores for scores in found if scores is not None}


def _row(cell: Cell, scores: Mapping[tuple[str, ...], StoredScores]) -> dict[str, Any]:
    row: dict[str, Any] = {
        "table": cell.table,
        "row": cell.row,
        "column": cell.column,
        "paper": cell.paper,
        "measured": None,
        "unit": cell.unit,
        "comparable": False,
        "note": cell.note,
    }
    if cell.wanted is None:
        status = "no figure" if cell.paper is None else "of others" if cell.of_others else "not run"
        return {**row, "status": status}
    key = cell.wanted.scores_key
    found = match(cell.wanted, scores[key]) if key in scores else ""
    asset = "/".join(key)
    row["scores"] = asset
    if isinstance(found, Match):
        return {**row, **_measured(cell, found, scores[key])}
    if found:
        return {**row, "status": "not measured", "note": found}
    needs = ", ".join(_needs(cell.wanted, cell.wanted.experiment))
    return {**row, "status": "not run", "needs": needs, "note": f"not run: needs {needs}"}


def _needs(wanted: Wanted, experiment: Experiment | ReleasedModel) -> Iterator[str]:
    """The assets that make a score, in their order."""
    if isinstance(experiment, Experiment):
        yield "/".join(experiment.training_manifest)
        if experiment.start_key is not None:
            yield "/".join(experiment.start_key)
        if experiment.parts is not None and experiment.latents_key is not None:
            yield "/".join(experiment.parts.autoencoder)
            yield "/".join(experiment.parts.conditioned_by)
            yield "/".join(experiment.latents_key)
    yield "/".join(experiment.key)
    yield f"benchmark/{wanted.benchmark}"
    yield "/".join(wanted.scores_key)


def _measured(cell: Cell, found: Match, scores: StoredScores) -> dict[str, Any]:
    comparable = cell.paper is not None and not found.unlike
    score = found.row
    copied = ("low", "high", "checkpoint", "weights_sha256", "protocol_name", "clips", "trained_on_benchmark")
    return {
        **{name: score[name] for name in copied},
        "official_clips": score.get("official_clips"),
        "measured": score["value"],
        "comparable": comparable,
        "difference": score["value"] - cell.paper if comparable and cell.paper is not None else None,
        "status": "compared" if comparable else "not comparable",
        "stale": bool(scores.stale),
        "note": " ".join([*found.unlike, *found.said]),
    }
