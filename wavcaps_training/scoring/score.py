"""Scores a checkpoint at a task on a benchmark: the task's rows, and all that says what the scores are of."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from wavcaps_assets.benchmark_sets.scored_clips import clips_sha256
from wavcaps_assets.store.storage import Store
from wavcaps_training.checkpoints.checkpoint import read_origin
from wavcaps_training.scoring.scored_part import scored_part
from wavcaps_training.scoring.task import TRAINED, BenchmarkScores, ScoringTask
from wavcaps_training.scoring.trained_on import TrainingData


@dataclass(frozen=True)
class Subject:
    """A checkpoint to score.

    Attributes:
        name: its model and its setting, such as `htsat_bert/zero_shot`, or its path.
        weights: its file of this project.
        training_data: what it was trained on.
        set_version: the published version of the set that it was trained on, if known.
    """

    name: str
    weights: Path
    training_data: TrainingData
    set_version: str | None = None


def score_on_benchmark(
    task: ScoringTask,
    subject: Subject,
    benchmark: tuple[str, pa.Table],
    place: tuple[Store, str],
    protocol: str = "",
) -> BenchmarkScores:
    """Scores a checkpoint at a task on a benchmark.

    Args:
        task: what is measured.
        subject: the checkpoint.
        benchmark: its name, and `tables.BENCHMARK_CLIPS`.
        place: the store that contains the audio, and the device: `cpu` or `cuda`.
        protocol: one of the task's; empty: its default.

    Raises:
        NothingToScore: no clip of the test split has audio, or the clips lack what the task needs; or the
            task has no such protocol.
        CheckpointError: the weights are missing, damaged, or of a model for another task.
        AudioReadError: the audio of too many clips cannot be read.
    """
    name, clips = benchmark
    part = scored_part(name, clips)
    origin = read_origin(subject.weights)
    store, device = place
    found = task.score(subject.weights, part, store, device, task.protocol_named(protocol))
    trained_on = subject.training_data.trained_on(name, clips, found.clip_ids)
    scored = pa.array(found.clip_ids, pa.string())
    scored_on = {
        "benchmark": name,
        "benchmark_version": part.version,
        "scored_on_sha256": clips_sha256(clips.filter(pc.is_in(clips["clip_id"], scored))),
        "listed_sha256": clips_sha256(part.listed),
        "clips": len(found.clip_ids),
        "unreadable": part.clips.num_rows - len(found.clip_ids),
        "missing": part.missing,
        "official_clips": part.official,
    }
    of_whom = {
        "checkpoint": subject.name,
        "weights_sha256": origin.weights_sha256,
        "trained_on_sha256": origin.manifest_sha256,
        "trained_on_version": subject.set_version,
        "trained_on_benchmark": trained_on.benchmark,
        "trained_on_benchmark_why": trained_on.why,
        "scored_clips_trained_on": trained_on.scored_clips,
        "protocol_name": found.protocol_name,
        "protocol": found.protocol,
        "device": found.device,
    }
    rows = [{**scored_on, **(of_whom if row["model"] == TRAINED else {}), **row} for row in found.rows]
    return BenchmarkScores(task.schema.from_rows(rows), found.figures, part.partial(len(found.clip_ids)))
