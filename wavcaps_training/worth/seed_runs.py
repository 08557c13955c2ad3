"""Trains a side's model with one seed and scores it on the test clips; what is done is not done again.

The ranks of each seed are kept in the store (`worth/runs/<hash>.npz`). Where the encoders are frozen, only
projections are trained, on features that are computed once. Any other retrieval model is trained by the
training loop, and a seed that was interrupted resumes from its last saved step.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from torch import Tensor

from wavcaps_assets.store.storage import MissingFile, Store, StoreError
from wavcaps_assets.tables.asset_tables import WHOLE, TableStore
from wavcaps_training.checkpoints.checkpoint import load_checkpoint
from wavcaps_training.checkpoints.code_version import sources_sha256
from wavcaps_training.data import AudioFiles, clips_of, unreadable_clips
from wavcaps_training.evaluation.clip_features import embed_set, features_version, known_features
from wavcaps_training.evaluation.ranking import score_retrieval
from wavcaps_training.evaluation.retrieval import embed
from wavcaps_training.executor.locks import try_lock
from wavcaps_training.models.retrieval import RetrievalModel
from wavcaps_training.settings.training import TrainingSettings
from wavcaps_training.tables import AUDIO_EMBEDDINGS, EMBEDDINGS_FOLDER, WORTH_EMBEDDINGS_KEY
from wavcaps_training.training.state import run_id
from wavcaps_training.training.train import RunOptions, train
from wavcaps_training.worth.composing import Comparison, Trained, clips_of_test
from wavcaps_training.worth.frozen import (
    Texts,
    embed_features,
    is_frozen,
    one_thread,
    train_projections,
)

RUNS = "worth/runs"
LOCK = ".lock"
DIRECTIONS = ("text_to_audio", "audio_to_text")

logger = logging.getLogger(__name__)


class AlreadyRunning(RuntimeError):
    """Another process trains the same seed of the same side."""


@dataclass(frozen=True)
class Machine:
    """What of this machine is used.

    Attributes:
        work: a folder for unfinished runs.
        device: `cpu` or `cuda`.
    """

    work: Path
    device: str = "cpu"


@dataclass(frozen=True)
class Ranks:
    """How one seed of a side did: 0-based ranks, by the number of the references and the direction.

    Attributes:
        clips: (scored clips,) which test clips were scored, by their place.
        of_queries: (queries,) the ranks, and the place of the test clip that each query belongs to.
    """

    clips: np.ndarray
    of_queries: Mapping[tuple[int, str], tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)


def features_of_pool(
    clips: pa.Table, settings: TrainingSettings, tables: TableStore, device: str
) -> dict[str, Tensor]:
    """The features of clips by a frozen audio encoder, by clip id; empty: the encoder is trained.

    Those that `audio_embeddings` has are used; others are computed, and kept in a table.

    Args:
        clips: `POOL`.

    Raises:
        AudioReadError: the audio of too many clips is missing or unreadable.
        PretrainedWeightsError: the encoder's weights are not installed.
    """
    if not is_frozen(settings):
        return {}
    places = ((EMBEDDINGS_FOLDER, settings.audio_encoder.encoder), WORTH_EMBEDDINGS_KEY)
    known = [tables.read(key, [WHOLE]) for key in places if tables.exists(key, None)]
    before = pa.concat_tables([AUDIO_EMBEDDINGS.empty(), *known])
    embedded = embed_set(clips, before, settings, AudioFiles(tables.store), device)
    new = embedded.filter(pc.invert(_same(embedded, before)))
    if len(new):
        own = (
            tables.read(WORTH_EMBEDDINGS_KEY, [WHOLE]) if tables.exists(WORTH_EMBEDDINGS_KEY, None) else None
        )
        others = [] if own is None else [own.filter(pc.invert(pc.is_in(own["clip_id"], _ids(new))))]
        tables.write(WORTH_EMBEDDINGS_KEY, None, pa.concat_tables([*others, new]))
    return known_features(embedded, settings)


def ranks_of(
    side: Trained,
    comparison: Comparison,
    settings: TrainingSettings,
    features: Mapping[str, Tensor],
    store: Store,
    machine: Machine,
    texts: Texts,
) -> Ranks:
    """The ranks of one seed, trained now or before.

    Args:
        side: what it is trained on.
        comparison: what it is tested on.
        settings: of the model and the run, with the seed.
        features: of a frozen audio encoder, by clip id; empty: the encoder is trained.
        store: contains the audio, and gets the ranks.
        machine: what of this machine is used.
        texts: the features of the side's captions, from its first seed to the others; at first empty.

    Raises:
        TrainingError, Stopped, AudioReadError, TextModelError, StoreError: as `train` does.
        BrokenEmbeddings: the model gives no finite vectors.
        AlreadyRunning: another process of this machine trains this seed.
    """
    name = _name(side, comparison, settings, features)
    path = f"{RUNS}/{name}.npz"
    known = _read(store, path)
    if known is not None:
        logger.info("seed %d of %s is done", settings.seed, side.name)
        return known
    logger.info("seed %d of %s", settings.seed, side.name)
    if is_frozen(settings):
        ranks = _on_features(side, comparison, settings, features, texts)
    else:
        ranks = _by_training_loop(side, comparison, settings, store, machine, machine.work / name)
    store.write_bytes(path, _packed(ranks))
    shutil.rmtree(machine.work / name, ignore_errors=True)
    return ranks


def _on_features(
    side: Trained,
    comparison: Comparison,
    settings: TrainingSettings,
    features: Mapping[str, Tensor],
    texts: Texts,
) -> Ranks:
    heard = {
        split: [clip for clip in clips_of(side.manifest, split) if clip.clip_id in features]
        for split in ("train", "validation")
    }
    with one_thread():
        model = train_projections(heard["train"], heard["validation"], features, settings, texts)
        found: dict[tuple[int, str], tuple[np.ndarray, np.ndarray]] = {}
        ids = comparison.test.column("clip_id").to_pylist()
        there = np.array([place for place, clip_id in enumerate(ids) if clip_id in features], np.int64)
        words = dict(texts)
        for number, references in enumerate(comparison.references):
            clips = clips_of_test(comparison, references)
            scored = [clips[place] for place in there.tolist()]
            vectors = embed_features(model, scored, features, words, settings.batch_size)
            found |= _ranked(number, vectors, there)
    return Ranks(there, found)


def _by_training_loop(
    side: Trained,
    comparison: Comparison,
    settings: TrainingSettings,
    store: Store,
    machine: Machine,
    folder: Path,
) -> Ranks:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = try_lock(folder / LOCK)
    except OSError as error:
        raise StoreError(f"cannot write to {folder}: {error.strerror}") from error
    if lock is None:
        raise AlreadyRunning(f"another process trains seed {settings.seed} of {side.name}: wait for it")
    audio = AudioFiles(store)
    with lock:
        result = train(side.manifest, audio, settings, folder, RunOptions(machine.device))
        model, _ = load_checkpoint(result.weights, machine.device)
        assert isinstance(model, RetrievalModel)
        found: dict[tuple[int, str], tuple[np.ndarray, np.ndarray]] = {}
        there = np.arange(len(comparison.test))
        for number, references in enumerate(comparison.references):
            clips = clips_of_test(comparison, references)
            unreadable = unreadable_clips(clips, settings, "test clips")
            vectors = embed(model, clips, audio, settings, unreadable)
            heard = [place for place, clip in enumerate(clips) if clip.clip_id not in unreadable.problems]
            there = np.array(heard, np.int64)
            found |= _ranked(number, vectors, there)
    return Ranks(there, found)


def _ranked(
    number: int, vectors: tuple[np.ndarray, np.ndarray, np.ndarray], there: np.ndarray
) -> dict[tuple[int, str], tuple[np.ndarray, np.ndarray]]:
    sounds, texts, clip_of_caption = vectors
    scores = score_retrieval(sounds, texts, clip_of_caption)
    return {
        (number, DIRECTIONS[0]): (scores.text_to_audio.ranks, there[clip_of_caption]),
        (number, DIRECTIONS[1]): (scores.audio_to_text.ranks, there),
    }


def _name(
    side: Trained, comparison: Comparison, settings: TrainingSettings, features: Mapping[str, Tensor]
) -> str:
    """What determines the ranks: the run, its sounds, the test clips and their references, and the code.

    Clips without features are neither trained nor tested on, and may have them the next time.
    """
    test = [comparison.test.column(name).to_pylist() for name in ("clip_id", "samples_sha256")]
    parts = [
        run_id(settings, side.sha256, None),
        test,
        [list(references.captions) for references in comparison.references],
        *([_without_features(comparison, features)] if features else []),
        features_version(settings),
        sources_sha256(),
    ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


def _without_features(comparison: Comparison, features: Mapping[str, Tensor]) -> list[str]:
    ids = comparison.heard.column("clip_id").to_pylist()
    return sorted(clip_id for clip_id in ids if clip_id not in features)


def _packed(ranks: Ranks) -> bytes:
    buffer = io.BytesIO()
    arrays: dict[str, Any] = {"clips": ranks.clips}
    for (number, direction), (values, places) in ranks.of_queries.items():
        arrays[f"{number} {direction} ranks"], arrays[f"{number} {direction} clips"] = values, places
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def _read(store: Store, path: str) -> Ranks | None:
    try:
        content = store.read_bytes(path)
    except MissingFile:
        return None
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        names = [
            name.removesuffix(" ranks").split(" ", 1) for name in arrays.files if name.endswith(" ranks")
        ]
        found = {
            (int(number), direction): (
                arrays[f"{number} {direction} ranks"],
                arrays[f"{number} {direction} clips"],
            )
            for number, direction in names
        }
        return Ranks(arrays["clips"], found)


def _ids(table: pa.Table) -> pa.Array:
    return table.column("clip_id").combine_chunks()


def _same(table: pa.Table, known: pa.Table) -> pa.Array:
    """Which rows of `tables.AUDIO_EMBEDDINGS` are among others, by clip, samples and version."""

    def keys(of: pa.Table) -> pa.Array:
        columns = (of.column(name) for name in ("clip_id", "samples_sha256", "features_version"))
        return pc.binary_join_element_wise(*columns, " ")

    return pc.is_in(keys(table), keys(known).combine_chunks())
