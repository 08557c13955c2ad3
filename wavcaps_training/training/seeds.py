"""The same model trained with several seeds: how much of a score is chance."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from torch import Tensor

from wavcaps_assets.store.storage import Store
from wavcaps_training.checkpoints.checkpoint import SETTINGS, load_checkpoint, read_origin
from wavcaps_training.data import AudioFiles, Clip, FeatureCache, clips_of, unreadable_clips
from wavcaps_training.data.manifest_version import rows_sha256
from wavcaps_training.evaluation.clip_features import features_of, known_features
from wavcaps_training.evaluation.intervals import interval_of_mean, intervals
from wavcaps_training.evaluation.nothing_to_score import NothingToScore
from wavcaps_training.evaluation.ranking import DEPTHS, DirectionScores, score_retrieval
from wavcaps_training.evaluation.retrieval import embed, recordings_of, without_blank_captions
from wavcaps_training.tables import SEED_SCORES
from wavcaps_training.training.train import RunOptions, train

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _OfASeed:
    """The scores of one seed.

    Attributes:
        seed: the seed.
        best_epoch: the best epoch by validation, whose weights were scored.
        clips: how many clips were scored.
        directions: the scores of each direction, and the number of the recording that each of its queries
            belongs to.
    """

    seed: int
    best_epoch: int
    clips: int
    directions: Mapping[str, tuple[DirectionScores, np.ndarray]]


def score_seeds(
    manifest: pa.Table,
    checkpoint: pa.Table,
    embeddings: pa.Table | None,
    store: Store,
    seeds: Sequence[int],
    device: str = "cpu",
) -> pa.Table:
    """Trains a checkpoint's model again with other seeds, and scores all of them on the test split.

    Each run chooses its epoch on the validation split, as the checkpoint's did. The weights of these runs are
    not kept.

    Args:
        manifest: `tables.TRAINING_MANIFEST`, the one that the checkpoint was trained on.
        checkpoint: `tables.CHECKPOINT`, one row; its own seed is scored from its weights.
        embeddings: `tables.AUDIO_EMBEDDINGS` of the clips; None: features are computed.
        store: contains audio and weights.
        seeds: of the runs.
        device: `cpu` or `cuda`.

    Returns:
        `tables.SEED_SCORES`.

    Raises:
        NothingToScore: there is no checkpoint, no clip in the test split, or the manifest has changed since.
        TrainingError, AudioReadError, CheckpointError, StoreError: as `train` does.
    """
    if not checkpoint.num_rows:
        raise NothingToScore("the checkpoint's table has no row: materialize the checkpoint first")
    (row,) = checkpoint.to_pylist()
    if row["manifest_sha256"] != rows_sha256(manifest):
        raise NothingToScore(
            "the training manifest has changed since the checkpoint was trained: materialize the checkpoint "
            "again first"
        )
    clips, _ = without_blank_captions(clips_of(manifest, "test"))
    if not clips:
        raise NothingToScore("the training manifest has no clips with a caption in the test split")
    settings = SETTINGS.validate_json(row["settings_json"])
    audio, features = AudioFiles(store), known_features(embeddings, settings)
    found = []
    for number, seed in enumerate(dict.fromkeys([settings.seed, *seeds]), start=1):
        logger.info("seed %d, the %d. of %d", seed, number, len({settings.seed, *seeds}))
        if seed == settings.seed:
            with store.reading(row["weights_path"]) as weights:
                found.append(_score(weights, seed, row["best_epoch"], (clips, audio, features), device))
                own = read_origin(weights).weights_sha256
            continue
        with tempfile.TemporaryDirectory() as name:
            options = RunOptions(device, features=features)
            run = settings.model_copy(update={"seed": seed})
            result = train(manifest, audio, run, Path(name), options)
            found.append(_score(result.weights, seed, result.best_epoch, (clips, audio, features), device))
    of_all = {
        "checkpoint": f"{row['model']}/{row['setting']}",
        "weights_sha256": own,
        "scored_on_sha256": row["manifest_sha256"],
        "seeds": len(found),
        "clips": found[0].clips,
    }
    return SEED_SCORES.from_rows([{**of_all, **score} for score in (*_each(found), *_means(found))])


def _score(
    weights: Path,
    seed: int,
    best_epoch: int,
    test_set: tuple[Sequence[Clip], AudioFiles, Mapping[str, Tensor]],
    device: str,
) -> _OfASeed:
    """Scores a checkpoint on the clips of a test set, with their audio and the features that are known."""
    clips, audio, features = test_set
    model, settings = load_checkpoint(weights, device)
    cache = None
    if settings.audio_encoder.pretrained:
        encoder = model.audio_encoder.audio_enc
        cache = FeatureCache(features_of(encoder, clips, audio, settings, features))
    unreadable = unreadable_clips(clips, settings, "clips of the test split")
    sounds, texts, clip_of_caption = embed(model, clips, audio, settings, unreadable, cache)
    scores = score_retrieval(sounds, texts, clip_of_caption)
    recordings = recordings_of([clip for clip in clips if clip.clip_id not in unreadable.problems])
    directions = {
        "text_to_audio": (scores.text_to_audio, recordings[clip_of_caption]),
        "audio_to_text": (scores.audio_to_text, recordings),
    }
    return _OfASeed(seed, best_epoch, len(sounds), directions)


def _values(scores: DirectionScores) -> dict[str, float]:
    values = {f"R@{k}": scores.recall_at(k) for k in DEPTHS}
    return {**values, "mAP@10": scores.map10, "median rank": scores.median_rank}


def _each(found: Sequence[_OfASeed]) -> Iterator[dict[str, Any]]:
    """The scores of each seed, with intervals over recordings."""
    for one in found:
        for direction, (scores, recording_of_query) in one.directions.items():
            ends = intervals(scores, recording_of_query, DEPTHS)
            for metric, value in _values(scores).items():
                low, high = ends.get(metric, (None, None))
                yield {
                    "seed": one.seed,
                    "best_epoch": one.best_epoch,
                    "direction": direction,
                    "metric": metric,
                    "value": value,
                    "low": low,
                    "high": high,
                }


def _means(found: Sequence[_OfASeed]) -> Iterator[dict[str, Any]]:
    """The mean of each score over the seeds; of the median rank there is no interval."""
    for direction, (_, recording_of_query) in found[0].directions.items():
        scores = [one.directions[direction][0] for one in found]
        of_queries = {f"R@{k}": [100.0 * (one.ranks < k) for one in scores] for k in DEPTHS}
        of_queries["mAP@10"] = [100.0 * one.average_precision for one in scores]
        for metric in _values(scores[0]):
            values = [_values(one)[metric] for one in scores]
            ends: dict[str, float] = {}
            if metric in of_queries:
                interval = interval_of_mean(np.stack(of_queries[metric]), recording_of_query)
                ends = dict(zip(("low", "high"), interval, strict=True)) if interval else {}
            deviation = float(np.std(values, ddof=1)) if len(values) > 1 else None
            mean = {"seed": None, "value": float(np.mean(values)), "deviation": deviation}
            yield {**mean, "direction": direction, "metric": metric, **ends}
