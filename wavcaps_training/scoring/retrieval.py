"""Retrieval scores of a checkpoint on the clips of a benchmark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from wavcaps_assets.show.plots import as_markdown, grouped_bars
from wavcaps_assets.store.storage import Store
from wavcaps_training.checkpoints.checkpoint import load_checkpoint
from wavcaps_training.data import AudioCache, AudioFiles, Clip, FeatureCache
from wavcaps_training.evaluation.clip_features import features_of
from wavcaps_training.evaluation.directions import DIRECTIONS
from wavcaps_training.evaluation.nothing_to_score import NothingToScore
from wavcaps_training.evaluation.protocols import PROTOCOLS, ProtocolName
from wavcaps_training.evaluation.retrieval import BlankCaptions, chance_rows, evaluate_retrieval
from wavcaps_training.models.device import device_name
from wavcaps_training.scoring.scored_part import ScoredPart
from wavcaps_training.scoring.task import TRAINED, Scored


def clips_to_score(clips: pa.Table) -> list[Clip]:
    """Clips with their captions, in the table's order.

    Args:
        clips: of `tables.BENCHMARK_CLIPS`, all with audio.
    """
    columns = ["clip_id", "captions", "audio_path", "duration_s", "freesound_id", "youtube_id"]
    return [
        # A duration that could not be read is that of a file that cannot be read, which is found out later.
        Clip(
            row["clip_id"],
            tuple(row["captions"]),
            row["audio_path"],
            row["duration_s"] or 0.0,
            row["freesound_id"] or row["youtube_id"] or "",
        )
        for row in clips.select(columns).to_pylist()
    ]


def score_retrieval(weights: Path, part: ScoredPart, store: Store, device: str, protocol: str) -> Scored:
    """Both directions, next to chance; the arguments are those of `ScoringTask.score`."""
    model, settings = load_checkpoint(weights, device)
    clips, audio = clips_to_score(part.clips), AudioFiles(store)
    wanted = PROTOCOLS[ProtocolName(protocol)]
    cache: AudioCache | None = None
    if settings.audio_encoder.pretrained and wanted.name is ProtocolName.middle:
        cache = FeatureCache(features_of(model.audio_encoder.audio_enc, clips, audio, settings, {}))
    try:
        rows, scored = evaluate_retrieval(model, TRAINED, clips, audio, settings, cache, protocol=wanted)
    except BlankCaptions as error:
        raise NothingToScore(
            f"the benchmark {part.benchmark!r} has no captions to search for: {error}"
        ) from error
    guesses = chance_rows(scored, rows[0]["unreadable"])
    return Scored(
        rows=[*guesses, *rows],
        clip_ids=[clip.clip_id for clip in scored],
        protocol_name=protocol,
        protocol=wanted.sentence(settings),
        device=device_name(model.device),
        figures={"recall": _figure([*guesses, *rows])},
    )


def _figure(rows: Sequence[Mapping[str, Any]]) -> str:
    bars: dict[str, dict[str, float]] = {}
    for row in rows:
        if row["metric"].startswith("R@"):
            group = f"{DIRECTIONS[row['direction']]}\n{row['metric']}"
            bars.setdefault(group, {})[row["model"]] = row["value"]
    return as_markdown(grouped_bars(bars, "recall (%)"))
