"""Any checkpoint, scored by its path: a file of this project, or one that was released."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from wavcaps_assets.benchmark_sets.benchmarks import benchmark_named
from wavcaps_assets.benchmark_sets.durations import with_durations
from wavcaps_assets.benchmark_sets.evidence import NOBODY
from wavcaps_assets.benchmark_sets.lists import SetError
from wavcaps_assets.benchmark_sets.tars import TarError
from wavcaps_assets.show.progress import NoProgress, Progress
from wavcaps_assets.store.storage import StoreError
from wavcaps_assets.tables.asset_tables import WHOLE, TableStore
from wavcaps_training.checkpoints.checkpoint import PICKLE_MAGIC, WEIGHTS, read_origin
from wavcaps_training.checkpoints.convert import convert_released
from wavcaps_training.checkpoints.released import ReadCheckpoint, read_released
from wavcaps_training.checkpoints.safe_files import ZIP_MAGIC, ReleasedCheckpointError
from wavcaps_training.data import AudioReadError
from wavcaps_training.evaluation.nothing_to_score import NothingToScore
from wavcaps_training.paper.experiments import changed
from wavcaps_training.paper.released import RELEASED_MODELS, ReleasedModel, released_named
from wavcaps_training.scoring.released import text_folder_beside
from wavcaps_training.scoring.score import Subject, score_on_benchmark
from wavcaps_training.scoring.shown import as_file_scores
from wavcaps_training.scoring.stored import training_data
from wavcaps_training.scoring.task import BenchmarkScores, ScoringTask
from wavcaps_training.scoring.tasks import tasks_of
from wavcaps_training.tables import FILE_SCORES

NO_PROGRESS = NoProgress()
NO_CHANGES: Mapping[str, Any] = {}


@dataclass(frozen=True)
class Request:
    """What is scored, and on what.

    Attributes:
        path: a file, or the folder of a run, which has `weights.safetensors`.
        benchmarks: by name; none: all that are there.
        protocol: of the task; empty: its default.
        text_folder: for a released file, BERT's or BART's configuration and tokenizer; None: see
            `released.register_released`.
        changes: for a released file, settings of the model that differ from the released ones.
    """

    path: Path
    benchmarks: Sequence[str] = ()
    protocol: str = ""
    text_folder: Path | None = None
    changes: Mapping[str, Any] = field(default_factory=lambda: NO_CHANGES)


@dataclass(frozen=True)
class FileScores:
    """The scores of a checkpoint on all benchmarks.

    Attributes:
        scored: what was measured, by task and benchmark.
        not_scored: why not, by benchmark.
    """

    scored: Sequence[tuple[ScoringTask, str, BenchmarkScores]]
    not_scored: Mapping[str, str]


def score_file(
    request: Request,
    tables: TableStore,
    device: str,
    ids_of: Mapping[str, str] = NOBODY,
    progress: Progress = NO_PROGRESS,
) -> FileScores:
    """Scores a checkpoint at all tasks that it is for, on the benchmarks in the store.

    Args:
        request: the checkpoint and the benchmarks.
        tables: the store, with the benchmarks' lists and audio, and the training manifests.
        device: `cpu` or `cuda`.
        ids_of: by source, the source whose ids its clips have, for sources that were imported.
        progress: counts benchmarks.

    Raises:
        NothingToScore: there is no such file, or not one benchmark could be scored; says why of each.
        CheckpointError, ReleasedCheckpointError: the file is no checkpoint that can be read.
    """
    with checkpoint_file(request, tables, ids_of) as subject:
        task_of_model = read_origin(subject.weights).settings.task
        tasks = tasks_of(task_of_model)
        wanted = [(task, name) for task in tasks for name in _benchmarks(task, request.benchmarks)]
        known = {name for task in tasks for name in (*task.benchmarks, *task.demo_benchmarks)}
        not_scored = {
            name: f"models for {task_of_model} are scored on {', '.join(sorted(known)) or 'no benchmark'}"
            for name in request.benchmarks
            if name not in known
        }
        scored = []
        for number, (task, name) in enumerate(wanted, start=1):
            try:
                benchmark = (name, benchmark_clips(name, tables))
                place = (tables.store, device)
                found = score_on_benchmark(task, subject, benchmark, place, request.protocol)
                scored.append((task, name, found))
            except (NothingToScore, SetError, TarError, StoreError, AudioReadError) as error:
                not_scored[name] = str(error)
            progress.update(number, len(wanted), name)
    if not scored:
        reasons = "; ".join(f"{name}: {why}" for name, why in not_scored.items())
        raise NothingToScore(
            f"{request.path} was not scored on any benchmark. {reasons or 'There is none for it'}"
        )
    return FileScores(scored, not_scored)


@contextmanager
def checkpoint_file(
    request: Request, tables: TableStore, ids_of: Mapping[str, str] = NOBODY
) -> Iterator[Subject]:
    """A checkpoint by its path; a released one is converted for the time being.

    Raises:
        NothingToScore: there is no such file.
        CheckpointError, ReleasedCheckpointError: it is no checkpoint that can be read.
    """
    if not request.path.name:
        raise NothingToScore("no checkpoint is named: give its `path`")
    path = request.path / WEIGHTS if request.path.is_dir() else request.path
    if not path.is_file():
        raise NothingToScore(
            f"there is no checkpoint {path}: give a safetensors file of this project, the folder of a run "
            f"with {WEIGHTS}, or a released .pt file"
        )
    with tempfile.TemporaryDirectory() as scratch:
        weights = path
        if _is_released(path):
            weights = Path(scratch) / WEIGHTS
            read = read_released(path)
            known = released_named(path.name)
            if known is not None and known.model is not _like(read).model:
                known = None
            folder = request.text_folder
            settings = changed(_like(read).settings(), request.changes)
            folder = folder or text_folder_beside(path, settings.task)
            convert_released(read, weights, settings, folder, known.setting if known else None)
        data = training_data(str(request.path), read_origin(weights), tables, ids_of)
        yield Subject(str(request.path), weights, data)


def benchmark_clips(name: str, tables: TableStore) -> pa.Table:
    """The clips of a benchmark: its asset's table, or else its lists in the store.

    Raises:
        SetError: neither is there, or the lists cannot be read.
        StoreError: the store cannot be read.
    """
    if tables.exists(["benchmark", name], None):
        return tables.read(["benchmark", name], [WHOLE])
    clips, _ = with_durations(tables.store, benchmark_named(name).read(tables.store).clips, NO_PROGRESS)
    return clips


def _benchmarks(task: ScoringTask, wanted: Sequence[str]) -> list[str]:
    names = (*task.benchmarks, *task.demo_benchmarks)
    return [name for name in names if not wanted or name in wanted]


def _is_released(path: Path) -> bool:
    """Whether a file is not safetensors: torch.save's, new or old, or a tar of it."""
    with path.open("rb") as file:
        start = file.read(len(ZIP_MAGIC))
    return start == ZIP_MAGIC or start.startswith(PICKLE_MAGIC) or path.suffix in {".pt", ".pth", ".ckpt"}


def _like(read: ReadCheckpoint) -> ReleasedModel:
    """A released checkpoint of the same model.

    Raises:
        ReleasedCheckpointError: it is of none of the models that were released.
    """
    family = read.family.name.lower()
    found = next((one for one in RELEASED_MODELS if one.model.name == family), None)
    if found is None:
        known = ", ".join(dict.fromkeys(one.model.title for one in RELEASED_MODELS))
        raise ReleasedCheckpointError(
            f"{read.path} is {read.family.title}, which cannot be scored: released checkpoints of {known} can"
        )
    return found


def add_to(before: pa.Table, found: FileScores) -> pa.Table:
    """`tables.FILE_SCORES` with new scores, which replace those of the same key."""
    rows = [row for task, _, scores in found.scored for row in as_file_scores(task, scores.table)]
    new, key = FILE_SCORES.from_rows(rows), list(FILE_SCORES.key)
    kept = before.join(new.select(key), key, join_type="left anti").select(FILE_SCORES.arrow.names)
    return FILE_SCORES.check(pa.concat_tables([kept.cast(FILE_SCORES.arrow), new]))
