"""Audio-language retrieval: a test set embedded and scored, both ways (section IV.A, Tables V and IX).

The protocol is that of the released code: each query ranks all candidates by cosine similarity, and only a
clip's own captions are correct. Clips with the same caption therefore compete with each other, which keeps
even a perfect model below 100 % in a small set.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from wavcaps_training.data import (
    AudioCache,
    AudioFiles,
    Clip,
    UnreadableClips,
    batch_loader,
    unreadable_clips,
)
from wavcaps_training.evaluation.guessing import chance_map10, chance_median_rank, chance_recall
from wavcaps_training.evaluation.intervals import intervals
from wavcaps_training.evaluation.ranking import DEPTHS, DirectionScores, score_retrieval
from wavcaps_training.models.retrieval import RetrievalModel
from wavcaps_training.settings.training import TrainingSettings


def embed(
    model: RetrievalModel,
    clips: Sequence[Clip],
    audio: AudioFiles,
    settings: TrainingSettings,
    unreadable: UnreadableClips | None = None,
    cache: AudioCache | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Unit vectors of clips and of their captions, in the clips' order.

    Args:
        model: in evaluation mode, on the device to use.
        clips: the clips, each with one caption or several.
        audio: where their audio is.
        settings: how clips are cropped and padded, and how many go into a batch.
        unreadable: gets the clips that are left out, because their audio cannot be read; None: none may be.
        cache: features of the audio encoder, in place of waveforms; None: they are computed.

    Returns:
        Audio (clips, joint dim), text (captions, joint dim), and the row of the clip that each caption
        belongs to (captions,).

    Raises:
        AudioReadError: the audio of too many clips is missing or unreadable.
    """
    rows: dict[str, int] = {}
    sounds, texts, clip_of_caption = [], [], []
    with torch.no_grad():
        for batch in batch_loader(clips, audio, settings, cache=cache, unreadable=unreadable):
            new = []
            for place, clip_id in enumerate(batch.clip_ids):
                if clip_id not in rows:
                    rows[clip_id] = len(rows)
                    new.append(place)
                clip_of_caption.append(rows[clip_id])
            if new:
                sounds.append(model.embed_audio(batch.audio[new].to(model.device)).cpu())
            texts.append(model.embed_text(batch.captions).cpu())
    return torch.cat(sounds).numpy(), torch.cat(texts).numpy(), np.array(clip_of_caption)


def evaluate_retrieval(
    model: RetrievalModel,
    name: str,
    clips: Sequence[Clip],
    audio: AudioFiles,
    settings: TrainingSettings,
    cache: AudioCache | None = None,
) -> tuple[list[Mapping[str, Any]], list[Clip]]:
    """Scores a model on clips.

    Args:
        model: as for `embed`, like the other arguments.
        name: its name in the rows, `trained` or `untrained`.
        clips: the test split.
        audio: where their audio is.
        settings: of the model's training.

    Returns:
        The rows of `tables.RETRIEVAL_SCORES` for the model, and the clips whose audio could be read.

    Raises:
        AudioReadError: the audio of too many clips is missing or unreadable.
    """
    unreadable = unreadable_clips(clips, settings, "clips of the test split")
    sounds, texts, clip_of_caption = embed(model, clips, audio, settings, unreadable, cache)
    unreadable.warn()
    scores = score_retrieval(sounds, texts, clip_of_caption)
    scored = [clip for clip in clips if clip.clip_id not in unreadable.problems]
    every = np.arange(len(scored))
    counts = {"clips": len(scored), "unreadable": len(unreadable.problems)}
    rows = [
        *_rows(name, "text_to_audio", scores.text_to_audio, clip_of_caption),
        *_rows(name, "audio_to_text", scores.audio_to_text, every),
    ]
    return [{**row, **counts} for row in rows], scored


def _rows(
    model: str, direction: str, scores: DirectionScores, clip_of_query: np.ndarray
) -> Iterator[Mapping[str, Any]]:
    values = {f"R@{k}": scores.recall_at(k) for k in DEPTHS}
    values |= {"mAP@10": scores.map10, "median rank": scores.median_rank}
    found = intervals(scores, clip_of_query, DEPTHS)
    for metric, value in values.items():
        low, high = found[metric]
        yield {**score_row(model, direction, metric, value), "low": low, "high": high}


def protocol(settings: TrainingSettings) -> str:
    """How a score was made, in one sentence."""
    clip = settings.clip
    return (
        "every query ranks all candidates by cosine similarity; correct is what belongs to the same clip; "
        "ties count against the model; a longer clip is cropped to "
        f"{clip.seconds:g} s at {clip.evaluation_position:g} of its length (0: start, 1: end)"
    )


def chance_rows(clips: Sequence[Clip], unreadable: int = 0) -> list[Mapping[str, Any]]:
    """The rows of `tables.RETRIEVAL_SCORES` for guessing.

    Args:
        clips: those that were scored, among which, and among whose captions, is guessed.
        unreadable: how many were left out.
    """
    captions = [len(clip.captions) for clip in clips]
    candidates = {"text_to_audio": (len(clips), [1]), "audio_to_text": (sum(captions), captions)}
    counts = {"clips": len(clips), "unreadable": unreadable}
    return [
        {**score_row("chance", direction, metric, value), **counts}
        for direction, (count, correct) in candidates.items()
        for metric, value in (
            *((f"R@{k}", chance_recall(count, k, correct)) for k in DEPTHS),
            ("mAP@10", chance_map10(count, correct)),
            ("median rank", chance_median_rank(count, correct)),
        )
    ]


def score_row(model: str, direction: str, metric: str, value: float) -> Mapping[str, Any]:
    return {"model": model, "direction": direction, "metric": metric, "value": value}
