"""Zero-shot classification of a benchmark's clips by a retrieval model (section IV.C, Table VII)."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch

from wavcaps_assets.benchmark_sets.classes import Classes
from wavcaps_training.data import AudioCache, AudioFiles, Clip, UnreadableClips, batch_loader
from wavcaps_training.evaluation.nothing_to_score import NothingToScore
from wavcaps_training.evaluation.prompts import PromptProtocol
from wavcaps_training.evaluation.retrieval import recordings_of
from wavcaps_training.evaluation.zero_shot import Accuracy, Answers, accuracies, answers_of
from wavcaps_training.models.retrieval import RetrievalModel
from wavcaps_training.settings.training import ClipSettings, TrainingSettings

SHOWN = 5
LOGGED_EVERY = 1000

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class LabelledClips:
    """The clips of a benchmark that can be scored.

    Attributes:
        clips: with audio and with a class; a recording is a sound of FreeSound or a video.
        truth: (clips,) the number of each clip's class, from 0.
        folds: of each clip; None: it has none.
        missing: how many listed clips have no audio here.
        unknown: the ids of clips whose label is no class of the benchmark.
    """

    clips: Sequence[Clip]
    truth: np.ndarray
    folds: Sequence[int | None]
    missing: int
    unknown: Sequence[str]


@dataclass(frozen=True)
class Sounds:
    """Where the audio of clips is.

    Attributes:
        audio: the files.
        cache: features of a pretrained audio encoder that were computed before; None: they are computed.
    """

    audio: AudioFiles
    cache: AudioCache | None = None


@dataclass(frozen=True)
class Classified:
    """The answers under one protocol, and their accuracies.

    Attributes:
        protocol: how they were made.
        answers: of the clips that could be read, in their order.
        accuracies: overall, of each fold and of each class that has clips.
        unreadable: what is wrong with clips that could not be read, by clip id.
    """

    protocol: PromptProtocol
    answers: Answers
    accuracies: Sequence[Accuracy]
    unreadable: dict[str, str]


def labelled_clips(listed: pa.Table, classes: Classes) -> LabelledClips:
    """The clips of a benchmark that can be scored, and how many cannot.

    Args:
        listed: `tables.BENCHMARK_CLIPS`, of the split that is scored.
        classes: of the benchmark.

    Raises:
        NothingToScore: there is none; says why.
    """
    numbers = classes.numbers(listed.column("label").to_pylist())
    there = pc.is_valid(listed.column("audio_path")).to_pylist()
    ids = listed.column("clip_id").to_pylist()
    unknown = [clip_id for clip_id, number in zip(ids, numbers, strict=True) if number is None]
    if unknown:
        shown = ", ".join(unknown[:SHOWN]) + (", …" if len(unknown) > SHOWN else "")
        logger.warning("%d clips have a label that is no class, and are left out: %s", len(unknown), shown)
    kept = [place for place, number in enumerate(numbers) if number is not None and there[place]]
    missing = there.count(False)
    if not kept:
        raise NothingToScore(
            f"none of {len(listed)} listed clips can be classified: {missing} have no audio here, and "
            f"{len(unknown)} have a label that is no class of the benchmark (docs/benchmarks.md says where "
            "the audio is looked for)"
        )
    rows = listed.take(pa.array(kept))
    columns = ["clip_id", "audio_path", "duration_s", "freesound_id", "youtube_id", "fold"]
    clips, folds = [], []
    for row in rows.select(columns).to_pylist():
        # A clip whose sound and video are not known is a recording of its own.
        recording = row["freesound_id"] or row["youtube_id"] or ""
        clips.append(Clip(row["clip_id"], ("",), row["audio_path"], row["duration_s"] or 0.0, recording))
        folds.append(row["fold"])
    truth = np.array([numbers[place] for place in kept], np.int64)
    return LabelledClips(clips, truth, folds, missing, unknown)


def classify(
    model: RetrievalModel,
    settings: TrainingSettings,
    labelled: LabelledClips,
    classes: Classes,
    sounds: Sounds,
    protocols: Sequence[PromptProtocol],
) -> list[Classified]:
    """Classifies clips under some protocols. Each clip is embedded once for each way to read it.

    Args:
        model: in evaluation mode, on the device to use.
        settings: of the model's training.
        labelled: the clips.
        classes: the candidates; all of them, whether or not a clip has them.
        sounds: where the clips' audio is.
        protocols: see `prompts.protocols_for`.

    Raises:
        BrokenEmbeddings: an embedding is not finite; names the clip or the class.
        AudioReadError: the audio of too many clips is missing or unreadable.
    """
    embedded: dict[ClipSettings, tuple[np.ndarray, UnreadableClips]] = {}
    found = []
    for protocol in protocols:
        read_as = protocol.settings(settings)
        if read_as.clip not in embedded:
            unreadable = UnreadableClips(
                "clips of the benchmark", len(labelled.clips), settings.max_unreadable_share
            )
            vectors = embed_sounds(model, labelled.clips, sounds, read_as, unreadable)
            unreadable.warn()
            embedded[read_as.clip] = vectors, unreadable
        vectors, unreadable = embedded[read_as.clip]
        with torch.no_grad():
            names = model.embed_text(protocol.texts(classes.names)).float().cpu().numpy()
        found.append(_classified(protocol, vectors, names, labelled, classes, unreadable.problems))
    return found


def _classified(
    protocol: PromptProtocol,
    vectors: np.ndarray,
    names: np.ndarray,
    labelled: LabelledClips,
    classes: Classes,
    unreadable: dict[str, str],
) -> Classified:
    kept = [place for place, clip in enumerate(labelled.clips) if clip.clip_id not in unreadable]
    clips = [labelled.clips[place] for place in kept]
    ids = [clip.clip_id for clip in clips]
    answers = answers_of(vectors, names, labelled.truth[kept], ids, classes.labels)
    folds = [labelled.folds[place] for place in kept]
    scored = list(accuracies(answers, folds, recordings_of(clips), classes.labels))
    return Classified(protocol, answers, scored, dict(unreadable))


def embed_sounds(
    model: RetrievalModel,
    clips: Sequence[Clip],
    sounds: Sounds,
    settings: TrainingSettings,
    unreadable: UnreadableClips,
) -> np.ndarray:
    """Unit vectors of clips (clips, joint dim), in their order, without those that cannot be read.

    Raises:
        AudioReadError: the audio of too many clips is missing or unreadable.
    """
    logger.info("embedding %d clips", len(clips))
    vectors: list[np.ndarray] = []
    done = 0
    with torch.no_grad():
        for batch in batch_loader(clips, sounds.audio, settings, cache=sounds.cache, unreadable=unreadable):
            vectors.append(model.embed_audio(batch.audio.to(model.device)).float().cpu().numpy())
            before, done = done, done + len(batch.clip_ids)
            if done // LOGGED_EVERY > before // LOGGED_EVERY:
                logger.info("embedded %d of %d clips", done, len(clips))
    return np.concatenate(vectors)
