"""A checkpoint that makes vectors of queries, clips and captions."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from wavcaps_assets.show.progress import NoProgress, Progress
from wavcaps_training.checkpoints.checkpoint import load_checkpoint, read_origin, read_weights
from wavcaps_training.checkpoints.weights import weights_sha256
from wavcaps_training.data import (
    AudioFiles,
    AudioFolder,
    Clip,
    UnreadableClips,
    batch_loader,
)
from wavcaps_training.evaluation.clip_features import compute_features

CAPTIONS_A_BATCH = 256
LONGEST_QUERY = 500
NO_PROGRESS = NoProgress()


class QueryError(ValueError):
    """A query that cannot be answered."""


class Encoder:
    """A retrieval checkpoint in evaluation mode. Threads may share it: one computes at a time.

    Args:
        weights: the checkpoint.
        device: `cpu` or `cuda`.

    Raises:
        CheckpointError: it is missing, damaged, or no checkpoint for retrieval.
    """

    def __init__(self, weights: Path, device: str = "cpu") -> None:
        self.model, self.settings = load_checkpoint(weights, device)
        origin = read_origin(weights)
        # The first format of checkpoints has no hash.
        self.weights_sha256 = origin.weights_sha256 or weights_sha256(read_weights(weights))
        parts = [
            self.weights_sha256,
            self.settings.model.model_dump(mode="json", exclude={"text": {"folder"}}),
            self.settings.clip.model_dump(mode="json"),
            dict(origin.text_files),
        ]
        self.version = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
        self._lock = threading.Lock()

    @property
    def width(self) -> int:
        """The width of the vectors."""
        return self.settings.model.joint_dim

    def captions(self, captions: Sequence[str]) -> np.ndarray:
        """Unit vectors of captions: (captions, width)."""
        parts = [np.empty((0, self.width), np.float32)]
        with self._lock, torch.no_grad():
            for start in range(0, len(captions), CAPTIONS_A_BATCH):
                batch = list(captions[start : start + CAPTIONS_A_BATCH])
                parts.append(self.model.embed_text(batch).float().cpu().numpy())
        return np.concatenate(parts)

    def query(self, text: str) -> np.ndarray:
        """The unit vector of a text: (width,).

        Raises:
            QueryError: it is empty or too long.
        """
        tidy = " ".join(text.split())
        if not tidy:
            raise QueryError("the query is empty: type a few words, such as: dog barking")
        if len(tidy) > LONGEST_QUERY:
            raise QueryError(
                f"the query has {len(tidy):,} characters; at most {LONGEST_QUERY} are searched for"
            )
        vector: np.ndarray = self.captions([tidy])[0]
        return vector

    def sound(self, path: Path, duration_s: float) -> np.ndarray:
        """The unit vector of a sound file: (width,).

        Args:
            path: a file that libsndfile reads.
            duration_s: its duration (s).

        Raises:
            AudioReadError: it cannot be read, or is silent.
        """
        clip = Clip("sound", ("",), path.name, duration_s)
        vectors = self.clips([clip], AudioFolder(path.parent), UnreadableClips("sounds", 1, 0))
        return vectors["sound"]

    def clips(
        self,
        clips: Sequence[Clip],
        audio: AudioFiles,
        unreadable: UnreadableClips,
        features: Mapping[str, Tensor] | None = None,
        progress: Progress = NO_PROGRESS,
    ) -> dict[str, np.ndarray]:
        """Unit vectors of clips, (width,) each; clips that cannot be read are left out.

        Args:
            clips: the clips, with one caption each.
            audio: where their audio is.
            unreadable: gets the clips that cannot be read.
            features: those of a pretrained audio encoder that are known; others are computed.
            progress: counts clips.

        Raises:
            AudioReadError: the audio of too many clips is missing or unreadable.
        """
        with self._lock, torch.no_grad():
            if self.settings.audio_encoder.pretrained:
                return self._by_features(clips, audio, unreadable, features or {}, progress)
            vectors: dict[str, np.ndarray] = {}
            settings = self.settings.model_copy(update={"cache_log_mel": False})
            for batch in batch_loader(clips, audio, settings, unreadable=unreadable):
                embedded = self.model.embed_audio(batch.audio.to(self.model.device)).float().cpu().numpy()
                vectors.update(zip(batch.clip_ids, embedded, strict=True))
                progress.update(len(vectors), len(clips))
            return vectors

    def _by_features(
        self,
        clips: Sequence[Clip],
        audio: AudioFiles,
        unreadable: UnreadableClips,
        features: Mapping[str, Tensor],
        progress: Progress,
    ) -> dict[str, np.ndarray]:
        missing = [clip for clip in clips if clip.clip_id not in features]
        network = self.model.audio_encoder.audio_enc
        known = {clip.clip_id: features[clip.clip_id] for clip in clips if clip.clip_id in features}
        if missing:
            known |= compute_features(network, missing, audio, self.settings, unreadable, progress)
        if not known:
            return {}
        stacked = torch.stack(list(known.values())).to(self.model.device)
        return dict(zip(known, self.model.embed_audio_features(stacked).float().cpu().numpy(), strict=True))
