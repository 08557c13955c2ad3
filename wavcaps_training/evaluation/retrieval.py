"""Audio-language retrieval: a test set embedded and scored, both ways (section IV.A, Tables V and IX).

Each query ranks all candidates by cosine similarity, and only a clip's own captions are correct, as in the
released code. Clips with the same caption therefore compete with each other, which keeps even a perfect model
below 100 % in a small set. `protocols` says which part of a long clip is heard.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from wavcaps_training.data import (
    AudioCache,
    AudioFiles,
    Clip,
    Example,
    UnreadableClips,
    example_loader,
    unreadable_clips,
)
from wavcaps_training.evaluation.guessing import chance_map10, chance_median_rank, chance_recall
from wavcaps_training.evaluation.intervals import intervals
from wavcaps_training.evaluation.protocols import PROTOCOLS, Protocol, ProtocolName, is_longer
from wavcaps_training.evaluation.ranking import DEPTHS, DirectionScores, score_retrieval
from wavcaps_training.models.retrieval import RetrievalModel
from wavcaps_training.models.text import clean_caption
from wavcaps_training.settings.training import TrainingSettings

logger = logging.getLogger(__name__)


class BlankCaptions(ValueError):
    """Captions without a word, which no clip can be found by."""


def without_blank_captions(clips: Sequence[Clip]) -> tuple[list[Clip], int]:
    """Clips without their captions that have no word; a clip that has no other is left out, with a warning.

    Returns:
        The clips, and how many captions were left out.
    """
    kept: list[Clip] = []
    blank, first = 0, ""
    for clip in clips:
        captions = tuple(caption for caption in clip.captions if _has_words(caption))
        if len(captions) < len(clip.captions):
            blank += len(clip.captions) - len(captions)
            first = first or clip.clip_id
        if captions:
            kept.append(replace(clip, captions=captions) if len(captions) < len(clip.captions) else clip)
    if blank:
        logger.warning(
            "%d captions without a word are left out, and with them %d clips that have no other caption; "
            "the first is of clip %s",
            blank,
            len(clips) - len(kept),
            first,
        )
    return kept, blank


def recordings_of(clips: Sequence[Clip]) -> np.ndarray:
    """The number of each clip's recording, from 0: (clips,)."""
    names = [clip.recording or clip.clip_id for clip in clips]
    return np.unique(np.array(names, dtype=object).astype(str), return_inverse=True)[1]


def embed(
    model: RetrievalModel,
    clips: Sequence[Clip],
    audio: AudioFiles,
    settings: TrainingSettings,
    unreadable: UnreadableClips | None = None,
    cache: AudioCache | None = None,
    *,
    protocol: Protocol = PROTOCOLS[ProtocolName.middle],
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Unit vectors of clips and of their captions, in the clips' order.

    Each clip is read once for each of its crops, and each caption is embedded once: equal captions have equal
    vectors, so that they are tied.

    Args:
        model: in evaluation mode, on the device to use.
        clips: the clips, each with one caption or several.
        audio: where their audio is.
        settings: how clips are cropped and padded, and how many go into a batch.
        unreadable: gets the clips that are left out, because their audio cannot be read; None: none may be.
        cache: features of the audio encoder, in place of waveforms; None: they are computed. It is not used
            if a clip is longer than the model's input and the protocol crops it otherwise.
        protocol: which part of a clip is heard.

    Returns:
        Audio (clips, joint dim), text (captions, joint dim), and the row of the clip that each caption
        belongs to (captions,), without the clips that are left out.

    Raises:
        BlankCaptions: a caption has no word; `without_blank_captions` leaves them out.
        AudioReadError: the audio of too many clips is missing or unreadable.
    """
    if blank := [clip.clip_id for clip in clips if not all(map(_has_words, clip.captions))]:
        raise BlankCaptions(
            f"{len(blank)} clips have a caption without a word, the first is {blank[0]}: leave such "
            "captions out"
        )
    if unreadable is None:
        unreadable = UnreadableClips("clips", len(clips), 0)
    settings = protocol.settings(settings)
    crops = [Example(clip, 0, position) for clip in clips for position in protocol.positions(clip, settings)]
    if protocol.name is not ProtocolName.middle and any(is_longer(clip, settings.clip) for clip in clips):
        cache = None
    sounds = _embed_audio(model, crops, audio, settings, unreadable, cache)
    scored = [clip for clip in clips if clip.clip_id not in unreadable.problems]
    texts, places = _embed_texts(model, scored, settings.batch_size)
    return (
        np.stack([sounds[clip.clip_id] for clip in scored]),
        texts[[places[caption] for clip in scored for caption in clip.captions]],
        np.repeat(np.arange(len(scored)), [len(clip.captions) for clip in scored]),
    )


def _embed_audio(
    model: RetrievalModel,
    crops: Sequence[Example],
    audio: AudioFiles,
    settings: TrainingSettings,
    unreadable: UnreadableClips,
    cache: AudioCache | None,
) -> dict[str, np.ndarray]:
    """The unit vector of each clip, by clip id: the mean of those of its crops."""
    found: dict[str, list[np.ndarray]] = {}
    with torch.no_grad():
        for batch in example_loader(crops, audio, settings, unreadable, cache):
            vectors = model.embed_audio(batch.audio.to(model.device)).cpu().numpy()
            for clip_id, vector in zip(batch.clip_ids, vectors, strict=True):
                found.setdefault(clip_id, []).append(vector)
    return {clip_id: _mean(vectors) for clip_id, vectors in found.items()}


def _mean(vectors: Sequence[np.ndarray]) -> np.ndarray:
    if len(vectors) == 1:
        return vectors[0]
    mean: np.ndarray = np.mean(vectors, axis=0)
    scaled: np.ndarray = mean / np.linalg.norm(mean)
    return scaled


def _embed_texts(
    model: RetrievalModel, clips: Sequence[Clip], at_a_time: int
) -> tuple[np.ndarray, dict[str, int]]:
    """Unit vectors of the different captions, and the row of each caption.

    Captions that the model reads as the same text have the same row.
    """
    rows: dict[str, int] = {}
    places: dict[str, int] = {}
    distinct: list[str] = []
    for caption in dict.fromkeys(caption for clip in clips for caption in clip.captions):
        read = clean_caption(caption).strip()
        if read not in rows:
            rows[read] = len(rows)
            distinct.append(caption)
        places[caption] = rows[read]
    with torch.no_grad():
        parts = [
            model.embed_text(distinct[start : start + at_a_time]).cpu()
            for start in range(0, len(distinct), at_a_time)
        ]
    return torch.cat(parts).numpy(), places


def _has_words(caption: str) -> bool:
    return bool(clean_caption(caption).strip())


def evaluate_retrieval(
    model: RetrievalModel,
    name: str,
    clips: Sequence[Clip],
    audio: AudioFiles,
    settings: TrainingSettings,
    cache: AudioCache | None = None,
    *,
    protocol: Protocol = PROTOCOLS[ProtocolName.middle],
) -> tuple[list[Mapping[str, Any]], list[Clip]]:
    """Scores a model on clips.

    Args:
        model: as for `embed`, like the other arguments.
        name: its name in the rows, `trained` or `untrained`.
        clips: the test split.
        audio: where their audio is.
        settings: of the model's training.
        protocol: which part of a clip is heard.

    Returns:
        The rows of `tables.RETRIEVAL_SCORES` for the model, and the clips that were scored: those whose audio
        could be read, with their captions that have words.

    Raises:
        BlankCaptions: no clip has a caption with a word.
        AudioReadError: the audio of too many clips is missing or unreadable.
    """
    captioned, blank = without_blank_captions(clips)
    if not captioned:
        raise BlankCaptions(f"none of the {len(clips)} clips of the test split has a caption with a word")
    unreadable = unreadable_clips(captioned, settings, "clips of the test split")
    sounds, texts, clip_of_caption = embed(
        model, captioned, audio, settings, unreadable, cache, protocol=protocol
    )
    unreadable.warn()
    scores = score_retrieval(sounds, texts, clip_of_caption)
    scored = [clip for clip in captioned if clip.clip_id not in unreadable.problems]
    recordings = recordings_of(scored)
    about = {
        "clips": len(scored),
        "unreadable": len(unreadable.problems),
        "recordings": int(recordings.max()) + 1,
        "blank_captions": blank,
        "protocol_name": protocol.name.value,
        "protocol": protocol.sentence(settings),
    }
    rows = [
        *_rows(name, "text_to_audio", scores.text_to_audio, recordings[clip_of_caption]),
        *_rows(name, "audio_to_text", scores.audio_to_text, recordings),
    ]
    return [{**row, **about} for row in rows], scored


def _rows(
    model: str, direction: str, scores: DirectionScores, recording_of_query: np.ndarray
) -> Iterator[Mapping[str, Any]]:
    values = {f"R@{k}": scores.recall_at(k) for k in DEPTHS}
    values |= {"mAP@10": scores.map10, "median rank": scores.median_rank}
    found = intervals(scores, recording_of_query, DEPTHS)
    for metric, value in values.items():
        low, high = found.get(metric, (None, None))
        yield {**score_row(model, direction, metric, value), "low": low, "high": high}


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
