"""Makes the index of a checkpoint: the published clips and captions as vectors.

What an earlier index of the same weights has is not computed again: a clip's vector while its samples are the
same, a caption's vector while its words are.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from torch import Tensor

from wavcaps_assets.show.progress import NoProgress, Progress
from wavcaps_assets.tables.asset_tables import set_version_of, with_set_version
from wavcaps_training.data import AudioFiles, Clip, UnreadableClips
from wavcaps_training.evaluation.clip_features import known_features
from wavcaps_training.evaluation.encoder import Encoder
from wavcaps_training.tables import SEARCH_INDEX

CLIPS_AT_A_TIME = 4096
# Arrow counts a list array's numbers in 32 bits.
ROWS_A_CHUNK = 100_000
PUBLISHED = ["clip_id", "samples_sha256", "caption", "audio_path", "duration_s"]
NO_PROGRESS = NoProgress()

logger = logging.getLogger(__name__)


class BrokenVectors(ValueError):
    """A checkpoint gives vectors with NaN or infinity."""


def build_index(
    published: pa.Table,
    before: pa.Table,
    weights: Path,
    audio: AudioFiles,
    device: str = "cpu",
    features: pa.Table | None = None,
    progress: Progress = NO_PROGRESS,
) -> pa.Table:
    """The index of a checkpoint.

    Args:
        published: `tables.MANIFEST`.
        before: `tables.SEARCH_INDEX` of an earlier set or checkpoint; may be empty.
        weights: a checkpoint for retrieval.
        audio: where the clips' audio is.
        device: `cpu` or `cuda`.
        features: `tables.AUDIO_EMBEDDINGS`, if the audio encoder is a pretrained one.
        progress: counts the clips that are computed.

    Returns:
        `tables.SEARCH_INDEX`, in the order of the set, with the set's version.

    Raises:
        CheckpointError: the weights are missing, damaged or not for retrieval.
        AudioReadError: the audio of too many clips is missing or unreadable.
        BrokenVectors: a vector is not finite.
    """
    encoder = Encoder(weights, device)
    published_version = set_version_of(published)
    published = published.select(PUBLISHED).combine_chunks()
    same = before.filter(pc.equal(before["embedding_version"], encoder.version)).combine_chunks()
    sounds = np.full((published.num_rows, encoder.width), np.nan, np.float32)
    texts = np.full((published.num_rows, encoder.width), np.nan, np.float32)
    heard = _take_over(published, same, "samples_sha256", "audio_embedding", sounds)
    read = _take_over(published, same, "caption", "caption_embedding", texts)
    logger.info(
        "%d clips: the vectors of %d sounds and %d captions are known",
        published.num_rows,
        heard.sum(),
        read.sum(),
    )
    unreadable = UnreadableClips(
        "clips of the set", published.num_rows, encoder.settings.max_unreadable_share
    )
    known = known_features(features, encoder.settings) if features is not None else {}
    places = np.flatnonzero(~heard)
    for start in range(0, len(places), CLIPS_AT_A_TIME):
        some = places[start : start + CLIPS_AT_A_TIME]
        heard[some] = _embed(published.take(some), encoder, audio, unreadable, known, sounds, some)
        progress.update(start + len(some), len(places))
    unreadable.warn()
    places = np.flatnonzero(~read & heard)
    texts[places] = encoder.captions(published["caption"].take(places).to_pylist())
    kept = np.flatnonzero(heard)
    rows = published.take(kept)
    table = pa.table(
        {
            "clip_id": rows["clip_id"],
            "samples_sha256": rows["samples_sha256"],
            "caption": rows["caption"],
            "audio_embedding": as_lists(sounds[kept], rows["clip_id"]),
            "caption_embedding": as_lists(texts[kept], rows["clip_id"]),
            "weights_sha256": pa.array([encoder.weights_sha256] * len(kept), pa.string()),
            "embedding_version": pa.array([encoder.version] * len(kept), pa.string()),
        },
        schema=SEARCH_INDEX.arrow,
    )
    return with_set_version(SEARCH_INDEX.check(table), published_version)


def _take_over(
    published: pa.Table, before: pa.Table, content: str, column: str, vectors: np.ndarray
) -> np.ndarray:
    """Copies the vectors of what has not changed. Gives the rows that have one: (clips,) bool."""
    place = pc.index_in(published["clip_id"], value_set=before["clip_id"].combine_chunks())
    same = pc.fill_null(pc.equal(before[content].take(place), published[content]), False)
    here = np.flatnonzero(same.to_numpy(zero_copy_only=False))
    if len(here):
        there = place.take(pa.array(here)).to_numpy(zero_copy_only=False).astype(np.int64)
        for start in range(0, len(here), ROWS_A_CHUNK):
            part = slice(start, start + ROWS_A_CHUNK)
            vectors[here[part]] = matrix_of(before[column].take(pa.array(there[part])), vectors.shape[1])
    found = np.zeros(published.num_rows, bool)
    found[here] = True
    return found


def _embed(
    rows: pa.Table,
    encoder: Encoder,
    audio: AudioFiles,
    unreadable: UnreadableClips,
    features: Mapping[str, Tensor],
    vectors: np.ndarray,
    places: np.ndarray,
) -> np.ndarray:
    """Computes the vectors of some clips. Gives which of them could be read: (rows,) bool."""
    clips = [
        Clip(row["clip_id"], ("",), row["audio_path"], row["duration_s"])
        for row in rows.select(["clip_id", "audio_path", "duration_s"]).to_pylist()
    ]
    found = encoder.clips(clips, audio, unreadable, features)
    for place, clip in zip(places, clips, strict=True):
        if clip.clip_id in found:
            vectors[place] = found[clip.clip_id]
    return np.array([clip.clip_id in found for clip in clips], bool)


def as_lists(vectors: np.ndarray, clip_ids: pa.ChunkedArray) -> pa.ChunkedArray:
    """Vectors (rows, width) as a column of lists.

    Raises:
        BrokenVectors: one is not finite; names the first clip.
    """
    broken = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
    if len(broken):
        raise BrokenVectors(
            f"the checkpoint gives {len(broken)} vectors that are not finite, the first of clip "
            f"{clip_ids[int(broken[0])].as_py()}: train it again"
        )
    return pa.chunked_array(list(_chunks(vectors)), pa.list_(pa.float32()))


def _chunks(vectors: np.ndarray) -> Iterator[pa.ListArray]:
    width = vectors.shape[1]
    for start in range(0, len(vectors), ROWS_A_CHUNK):
        part = vectors[start : start + ROWS_A_CHUNK]
        offsets = np.arange(0, width * len(part) + 1, width, dtype=np.int32)
        yield pa.ListArray.from_arrays(pa.array(offsets), pa.array(part.ravel()))


def matrix_of(column: pa.ChunkedArray | pa.Array, width: int) -> np.ndarray:
    """A column of lists as (rows, width)."""
    chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
    parts = [np.asarray(chunk.flatten()).reshape(-1, width) for chunk in chunks]
    return np.concatenate([np.empty((0, width), np.float32), *parts])
