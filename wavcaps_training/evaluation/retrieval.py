"""Audio-language retrieval: recall at k in both directions (section IV.A, Tables V and IX).

The protocol is that of the released code: each query ranks all candidates by cosine similarity, and only a
clip's own captions are correct. Clips with the same caption therefore compete with each other, which keeps
even a perfect model below 100 % in a small set.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from wavcaps_training.data import AudioFiles, Clip, UnreadableClips, batch_loader, unreadable_clips
from wavcaps_training.models.retrieval import RetrievalModel
from wavcaps_training.settings.training import TrainingSettings

DEPTHS = (1, 5, 10)  # k in Table V
MAP_DEPTH = 10
# Similarities that agree to this many decimals differ only by float32 rounding, and count as tied.
SIMILARITY_DECIMALS = 6


@dataclass(frozen=True)
class DirectionScores:
    """How well the queries of one direction found their targets.

    Attributes:
        ranks: (queries,) the 0-based rank of each query's best correct candidate.
        map10: mean average precision of the first ten candidates, in percent.
    """

    ranks: np.ndarray
    map10: float

    def recall_at(self, k: int) -> float:
        """Percentage of queries with a correct candidate among their first k."""
        return 100.0 * float(np.mean(self.ranks < k))

    @property
    def median_rank(self) -> float:
        """The median rank, counted from 1 and rounded down."""
        return float(np.floor(np.median(self.ranks)) + 1)

    @property
    def mean_rank(self) -> float:
        """The mean rank, counted from 1."""
        return float(np.mean(self.ranks) + 1)


@dataclass(frozen=True)
class RetrievalScores:
    """Both directions, over the same clips and captions."""

    text_to_audio: DirectionScores
    audio_to_text: DirectionScores

    @property
    def recall_sum(self) -> float:
        """R@1 + R@5 + R@10 of both directions, by which checkpoints are selected."""
        return sum(d.recall_at(k) for d in (self.text_to_audio, self.audio_to_text) for k in DEPTHS)

    def mean_recall_at(self, k: int) -> float:
        """R@k, averaged over the two directions, in percent."""
        return (self.text_to_audio.recall_at(k) + self.audio_to_text.recall_at(k)) / 2


def score_direction(similarity: np.ndarray, right: np.ndarray) -> DirectionScores:
    """Ranks candidates for each query.

    Ties are broken against the model: a wrong candidate that is as similar as a correct one is ranked before
    it, so a model that cannot distinguish candidates scores 0.

    Args:
        similarity: (queries, candidates).
        right: the same shape, True where the candidate belongs to the query; at least one per query.
    """
    rounded = np.round(similarity.astype(np.float64), SIMILARITY_DECIMALS)
    order = np.lexsort((right, -rounded), axis=1)
    hits = np.take_along_axis(right, order, axis=1)
    first_ten = hits[:, :MAP_DEPTH]
    precision = np.cumsum(first_ten, axis=1) / np.arange(1, first_ten.shape[1] + 1)
    average_precision = (precision * first_ten).sum(axis=1) / right.sum(axis=1)
    return DirectionScores(ranks=hits.argmax(axis=1), map10=100.0 * float(average_precision.mean()))


def score_retrieval(audio: np.ndarray, text: np.ndarray, clip_of_caption: np.ndarray) -> RetrievalScores:
    """Scores unit vectors of clips and captions.

    Args:
        audio: (clips, dim).
        text: (captions, dim).
        clip_of_caption: (captions,) the row of `audio` that each caption belongs to.
    """
    similarity = audio.astype(np.float64) @ text.astype(np.float64).T
    right = np.arange(len(audio))[:, None] == clip_of_caption[None, :]
    return RetrievalScores(
        text_to_audio=score_direction(similarity.T, right.T), audio_to_text=score_direction(similarity, right)
    )


def chance_recall(n: int, k: int) -> float:
    """R@k, in percent, of a random order of n candidates of which one is correct."""
    return 100.0 * min(k, n) / n


def embed(
    model: RetrievalModel,
    clips: Sequence[Clip],
    audio: AudioFiles,
    settings: TrainingSettings,
    unreadable: UnreadableClips | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Unit vectors of clips and of their captions, in the clips' order.

    Args:
        model: in evaluation mode, on the device to use.
        clips: the clips, each with one caption or several.
        audio: where their audio is.
        settings: how clips are cropped and padded, and how many go into a batch.
        unreadable: gets the clips that are left out, because their audio cannot be read; None: none may be.

    Returns:
        Audio (clips, joint dim), text (captions, joint dim), and the row of the clip that each caption
        belongs to (captions,).

    Raises:
        AudioReadError: the audio of too many clips is missing or unreadable.
    """
    rows: dict[str, int] = {}
    sounds, texts, clip_of_caption = [], [], []
    with torch.no_grad():
        for batch in batch_loader(clips, audio, settings, unreadable=unreadable):
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
    model: RetrievalModel, name: str, clips: Sequence[Clip], audio: AudioFiles, settings: TrainingSettings
) -> list[Mapping[str, Any]]:
    """Scores a model on clips: the rows of `tables.RETRIEVAL_SCORES` for it.

    Args:
        model: as for `embed`, like the other arguments.
        name: its name in the rows, `trained` or `untrained`.
        clips: the test split.
        audio: where their audio is.
        settings: of the model's training.

    Raises:
        AudioReadError: the audio of too many clips is missing or unreadable.
    """
    unreadable = unreadable_clips(clips, settings, "clips of the test split")
    scores = score_retrieval(*embed(model, clips, audio, settings, unreadable))
    unreadable.warn()
    left_out = len(unreadable.problems)
    directions = {"text_to_audio": scores.text_to_audio, "audio_to_text": scores.audio_to_text}
    return [
        score_row(name, direction, k, found.recall_at(k), len(clips) - left_out, left_out)
        for direction, found in directions.items()
        for k in DEPTHS
    ]


def protocol(settings: TrainingSettings) -> str:
    """How a score was made, in one sentence."""
    clip = settings.clip
    return (
        "every query ranks all candidates by cosine similarity; correct is what belongs to the same clip; "
        "ties count against the model; a longer clip is cropped to "
        f"{clip.seconds:g} s at {clip.evaluation_position:g} of its length (0: start, 1: end)"
    )


def chance_rows(clips: int, unreadable: int = 0) -> list[Mapping[str, Any]]:
    """The rows of `tables.RETRIEVAL_SCORES` for guessing among a number of clips.

    Args:
        clips: how many were scored.
        unreadable: how many were left out.
    """
    return [
        score_row("chance", direction, k, chance_recall(clips, k), clips, unreadable)
        for direction in ("text_to_audio", "audio_to_text")
        for k in DEPTHS
    ]


def score_row(
    model: str, direction: str, k: int, value: float, clips: int, unreadable: int
) -> Mapping[str, Any]:
    return {
        "model": model,
        "direction": direction,
        "metric": f"R@{k}",
        "value": value,
        "clips": clips,
        "unreadable": unreadable,
    }
