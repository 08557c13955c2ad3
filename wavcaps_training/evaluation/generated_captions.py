"""A captioner's captions of clips, which a stopped run does not lose: beam search is expensive."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence

import torch

from wavcaps_assets.show.progress import NoProgress, Progress
from wavcaps_assets.store.append_log import AppendLog
from wavcaps_assets.store.storage import Store
from wavcaps_training.data import AudioFiles, Clip, Example, example_loader, unreadable_clips
from wavcaps_training.evaluation.protocols import Protocol
from wavcaps_training.models.captioner import Captioner
from wavcaps_training.settings.captioner import CaptionerTrainingSettings

FOLDER = "log/captions"
NO_PROGRESS = NoProgress()

logger = logging.getLogger(__name__)


class CaptionLog:
    """The captions of one model, written batch by batch, until they are in a table.

    Captions are those of the same weights, generation, crops and batches: batches are padded to their
    longest clip, so another batch can give another caption.

    Args:
        store: in which the log is.
        weights_sha256: of the model.
        settings: of its run, as the protocol reads clips.
    """

    def __init__(self, store: Store, weights_sha256: str, settings: CaptionerTrainingSettings) -> None:
        parts = [weights_sha256, settings.model.generation.model_dump_json(), settings.clip.model_dump_json()]
        self.store = store
        self.folder = f"{FOLDER}/{hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]}"
        self._log = AppendLog(store, self.folder)
        self._captions: dict[str, Mapping[str, str]] = {
            record["batch"]: record["captions"] for record in self._log.read()
        }

    def captions(self, batch: Sequence[Example]) -> Mapping[str, str] | None:
        """The captions of a batch, by clip id; None: there are none yet, or not of all its clips.

        A clip that could not be read is read again, because its audio may be there by now.
        """
        known = self._captions.get(_name(batch))
        return known if known is not None and len(known) == len(batch) else None

    def add(self, batch: Sequence[Example], captions: Mapping[str, str]) -> None:
        """Writes the captions of a batch. They are in the store when this returns.

        Raises:
            StoreError: they could not be written.
        """
        self._log.append({"batch": _name(batch), "captions": dict(captions)})

    def remove(self) -> None:
        """Removes the log, once its captions are in a table.

        Raises:
            StoreError: it could not be removed.
        """
        self._log.close()
        self.store.remove_files([f"{self.folder}/{name}" for name in self.store.sizes(self.folder)])


def caption_clips(
    model: Captioner,
    clips: Sequence[Clip],
    audio: AudioFiles,
    settings: CaptionerTrainingSettings,
    *,
    protocol: Protocol,
    log: CaptionLog | None = None,
    progress: Progress = NO_PROGRESS,
) -> dict[str, str]:
    """Generates a caption for each clip, by beam search; each clip is read once.

    Args:
        model: in evaluation mode, on the device to use.
        clips: such as a test split.
        audio: where their audio is.
        settings: of the run: how clips are cropped and padded, and how many go into a batch.
        protocol: which part of a longer clip is heard; the first of its crops.
        log: has the captions of a run that was stopped, and gets new ones; None: none are kept.
        progress: counts clips.

    Returns:
        Captions by clip id, in the clips' order. Clips whose audio cannot be read are left out, with a
        warning.

    Raises:
        AudioReadError: the audio of too many clips is missing or unreadable.
        StoreError: the log cannot be written.
    """
    settings = protocol.settings(settings)
    device = next(model.parameters()).device
    unreadable = unreadable_clips(clips, settings)
    examples = [Example(clip, 0, protocol.positions(clip, settings)[0]) for clip in clips]
    size = settings.batch_size
    found: dict[str, str] = {}
    waiting: list[Example] = []
    batch_of: dict[str, Sequence[Example]] = {}
    for start in range(0, len(examples), size):
        group = examples[start : start + size]
        known = log.captions(group) if log else None
        if known is not None:
            found.update(known)
        else:
            # All but the last of all are full, so the loader makes the same batches of them.
            waiting += group
            batch_of |= {example.clip.clip_id: group for example in group}
    if found:
        logger.info("%d of %d captions are those of a run that was stopped", len(found), len(clips))
    with torch.inference_mode():
        for batch in example_loader(waiting, audio, settings, unreadable):
            written = model.generate(model.log_mel(batch.audio.to(device)))
            captions = dict(zip(batch.clip_ids, written, strict=True))
            found.update(captions)
            if log:
                log.add(batch_of[batch.clip_ids[0]], captions)
            progress.update(len(found), len(clips))
            logger.info("%d of %d captions", len(found), len(clips))
    unreadable.warn()
    return {clip.clip_id: found[clip.clip_id] for clip in clips if clip.clip_id in found}


def _name(batch: Sequence[Example]) -> str:
    """A hash of a batch's clips, and of what is heard of them."""
    clips = [
        [example.clip.clip_id, example.clip.audio_path, example.clip.duration_s, example.position]
        for example in batch
    ]
    return hashlib.sha256(json.dumps(clips).encode()).hexdigest()
