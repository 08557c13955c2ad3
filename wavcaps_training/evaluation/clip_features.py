"""The features of a pretrained, frozen audio encoder, which are computed once for each clip.

Crops are those of evaluation: nothing is drawn at random, so that every epoch, seed and score can share them.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch import Tensor

from wavcaps_assets.show.progress import NoProgress, Progress
from wavcaps_training.data import AudioFiles, Clip, UnreadableClips, batch_loader, unreadable_clips
from wavcaps_training.models.audio_encoder import build_audio_encoder
from wavcaps_training.models.audio_network import AudioNetwork
from wavcaps_training.settings.training import RunSettings
from wavcaps_training.tables import AUDIO_EMBEDDINGS

CLIPS_AT_A_TIME = 8
NO_PROGRESS = NoProgress()

logger = logging.getLogger(__name__)


def features_version(settings: RunSettings) -> str:
    """What determines a clip's features apart from its audio: the encoder, its weights, the crop."""
    encoder = settings.audio_encoder
    parts = [encoder.model_dump_json(), settings.clip.model_dump_json(), encoder.weights_sha256]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def compute_features(
    network: AudioNetwork,
    clips: Sequence[Clip],
    audio: AudioFiles,
    settings: RunSettings,
    unreadable: UnreadableClips,
    progress: Progress = NO_PROGRESS,
) -> dict[str, Tensor]:
    """The features of clips, (width,) each, on the CPU; clips that cannot be read are left out.

    Args:
        network: a pretrained encoder, on the device to use.
        clips: the clips.
        audio: where their audio is.
        settings: how clips are cropped.
        unreadable: gets the clips that cannot be read.
        progress: counts clips.

    Raises:
        AudioReadError: the audio of too many clips is missing or unreadable.
    """
    few = settings.model_copy(update={"batch_size": CLIPS_AT_A_TIME, "cache_log_mel": False})
    device = next(network.parameters()).device
    features: dict[str, Tensor] = {}
    once = [replace(clip, captions=clip.captions[:1]) for clip in clips]
    for batch in batch_loader(once, audio, few, unreadable=unreadable):
        waveforms = batch.audio.to(device)
        vectors = network.encode(network.audio_feats_extractor(waveforms)).embedding.cpu()
        features.update(zip(batch.clip_ids, vectors, strict=True))
        progress.update(len(features), len(clips))
    return features


def embed_set(
    manifest: pa.Table,
    known: pa.Table,
    settings: RunSettings,
    audio: AudioFiles,
    device: str = "cpu",
    progress: Progress = NO_PROGRESS,
) -> pa.Table:
    """The features of a set's clips. Clips whose audio has not changed keep theirs.

    Args:
        manifest: `tables.MANIFEST`.
        known: `tables.AUDIO_EMBEDDINGS` of an earlier set.
        settings: of a run with a pretrained encoder.
        audio: where the clips' audio is.
        device: `cpu` or `cuda`.
        progress: counts the clips that are computed.

    Returns:
        `tables.AUDIO_EMBEDDINGS`, in the manifest's order.

    Raises:
        PretrainedWeightsError: the encoder's weights are not installed.
        AudioReadError: the audio of too many clips is missing or unreadable.
    """
    version = features_version(settings)
    before = _known(known, version)
    clip_ids, hashes = (manifest[name].to_pylist() for name in ("clip_id", "samples_sha256"))
    kept = {
        clip_id: before[clip_id][1]
        for clip_id, sha256 in zip(clip_ids, hashes, strict=True)
        if clip_id in before and before[clip_id][0] == sha256
    }
    changed = pc.invert(pc.is_in(manifest["clip_id"], pa.array(kept, pa.string())))
    new = [
        Clip(row["clip_id"], ("",), row["audio_path"], row["duration_s"])
        for row in manifest.filter(changed).select(["clip_id", "audio_path", "duration_s"]).to_pylist()
    ]
    computed: dict[str, Tensor] = {}
    if new:
        logger.info("computing the features of %d clips; those of %d are known", len(new), len(kept))
        network = build_audio_encoder(settings.audio_encoder).to(device)
        # Of the whole set: those that could not be read before are among the new ones each time.
        unreadable = UnreadableClips("clips of the set", manifest.num_rows, settings.max_unreadable_share)
        computed = compute_features(network, new, audio, settings, unreadable, progress)
        unreadable.warn()
    features = kept | {clip_id: vector.numpy() for clip_id, vector in computed.items()}
    there = [place for place, clip_id in enumerate(clip_ids) if clip_id in features]
    matrix = (
        np.stack([features[clip_ids[place]] for place in there]) if there else np.empty((0, 1), np.float32)
    )
    width = matrix.shape[1]
    table = pa.table(
        {
            "clip_id": [clip_ids[place] for place in there],
            "samples_sha256": [hashes[place] for place in there],
            "features_version": [version] * len(there),
            "embedding": pa.ListArray.from_arrays(
                np.arange(0, width * len(there) + 1, width, dtype=np.int32), matrix.ravel()
            ),
        },
        schema=AUDIO_EMBEDDINGS.arrow,
    )
    return AUDIO_EMBEDDINGS.check(table)


def of_published_audio(embeddings: pa.Table, published: pa.Table) -> pa.Table:
    """The embeddings of the audio that is published: those of audio that was replaced since are left out.

    Args:
        embeddings: `tables.AUDIO_EMBEDDINGS`.
        published: `clip_id` and `samples_sha256` of the published set.
    """
    place = pc.index_in(embeddings["clip_id"], value_set=published["clip_id"].combine_chunks())
    same = pc.equal(published["samples_sha256"].take(place), embeddings["samples_sha256"])
    current = embeddings.filter(same)
    if left_out := embeddings.num_rows - current.num_rows:
        logger.warning(
            "%d of %d audio embeddings are of audio that is not published any more and are not used; "
            "materialize audio_embeddings again",
            left_out,
            embeddings.num_rows,
        )
    return current


def known_features(embeddings: pa.Table | None, settings: RunSettings) -> dict[str, Tensor]:
    """Features by clip id, from a table of the same encoder and crop; empty: it has none of these.

    Args:
        embeddings: `tables.AUDIO_EMBEDDINGS`; None: there is no table.
        settings: of a run.
    """
    if embeddings is None:
        return {}
    found = _known(embeddings, features_version(settings))
    return {clip_id: torch.from_numpy(vector) for clip_id, (_, vector) in found.items()}


def features_of(
    network: AudioNetwork,
    clips: Sequence[Clip],
    audio: AudioFiles,
    settings: RunSettings,
    known: Mapping[str, Tensor],
) -> dict[str, Tensor]:
    """The features of clips, known or computed now; clips that cannot be read are left out.

    Raises:
        AudioReadError: the audio of too many clips is missing or unreadable.
    """
    features = {clip.clip_id: known[clip.clip_id] for clip in clips if clip.clip_id in known}
    missing = [clip for clip in clips if clip.clip_id not in features]
    if missing:
        logger.info("computing the features of %d clips", len(missing))
        unreadable = unreadable_clips(clips, settings)
        features |= compute_features(network, missing, audio, settings, unreadable)
    return features


def _known(embeddings: pa.Table, version: str) -> dict[str, tuple[str, np.ndarray]]:
    """The hash of the samples and the features, (width,), of the rows of a version, by clip id."""
    same = embeddings.filter(pc.equal(embeddings["features_version"], version))
    if not same.num_rows:
        return {}
    matrix = np.stack(same["embedding"].to_numpy(zero_copy_only=False)).astype(np.float32)
    both = zip(same["samples_sha256"].to_pylist(), matrix, strict=True)
    return dict(zip(same["clip_id"].to_pylist(), both, strict=True))
