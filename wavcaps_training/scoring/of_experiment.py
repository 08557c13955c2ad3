"""The checkpoint of an experiment as something to score: its weights, and what it was trained on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from wavcaps_assets.benchmark_sets.evidence import NOBODY
from wavcaps_assets.tables.asset_tables import WHOLE, TableStore
from wavcaps_training.evaluation.nothing_to_score import NothingToScore
from wavcaps_training.paper.experiments import Experiment, experiment_named
from wavcaps_training.scoring.score import Subject
from wavcaps_training.scoring.trained_on import FromManifests, Training


@contextmanager
def checkpoint_of(
    experiment: Experiment, tables: TableStore, ids_of: Mapping[str, str] = NOBODY
) -> Iterator[Subject]:
    """The checkpoint of an experiment, while its weights are a file on this machine.

    Args:
        ids_of: by source, the source whose ids its clips have, for sources that were imported.

    Raises:
        NothingToScore: the checkpoint's table has no row.
        StoreError: there is no such table, or it cannot be read.
    """
    table = tables.read(experiment.key, [WHOLE])
    if not table.num_rows:
        raise NothingToScore(
            f"the table of checkpoint/{experiment.name} has no row: materialize the checkpoint first"
        )
    (row,) = table.to_pylist()
    data = FromManifests(tables, trainings_of(experiment, tables), ids_of=ids_of)
    with tables.store.reading(row["weights_path"]) as weights:
        yield Subject(experiment.name, weights, data, row["set_version"])


def trainings_of(experiment: Experiment, tables: TableStore) -> list[Training]:
    """The training of an experiment, of the one that it started from, and so on."""
    found = []
    part: Experiment | None = experiment
    while part is not None:
        stored = (
            tables.read(part.key, [WHOLE], ["manifest_sha256"]) if tables.exists(part.key, None) else None
        )
        sha256 = stored["manifest_sha256"][0].as_py() if stored is not None and stored.num_rows else None
        found.append(Training(part.name, sha256, part.training_manifest))
        part = experiment_named(part.start_key) if part.start_key else None
    return found
