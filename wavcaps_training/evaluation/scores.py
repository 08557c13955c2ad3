"""The scores of a checkpoint, of the same model before training, and of chance."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from wavcaps_assets.store.storage import Store
from wavcaps_assets.tables.asset_tables import set_version_of
from wavcaps_training.checkpoints.checkpoint import load_checkpoint, read_origin
from wavcaps_training.data import AudioCache, AudioFiles, Clip, FeatureCache, clips_of
from wavcaps_training.data.manifest_version import rows_sha256
from wavcaps_training.evaluation.clip_features import features_of, known_features
from wavcaps_training.evaluation.nothing_to_score import NothingToScore
from wavcaps_training.evaluation.protocols import PROTOCOLS, Protocol, ProtocolName
from wavcaps_training.evaluation.retrieval import chance_rows, evaluate_retrieval
from wavcaps_training.models.device import device_name
from wavcaps_training.tables import RETRIEVAL_SCORES


def score_checkpoint(
    manifest: pa.Table,
    checkpoint: pa.Table,
    store: Store,
    device: str,
    embeddings: pa.Table | None = None,
    protocol: Protocol = PROTOCOLS[ProtocolName.middle],
) -> pa.Table:
    """Scores a checkpoint on the test split, which it was not trained on.

    Args:
        manifest: `tables.TRAINING_MANIFEST`.
        checkpoint: `tables.CHECKPOINT`, one row.
        store: contains audio and weights.
        device: `cpu` or `cuda`.
        embeddings: `tables.AUDIO_EMBEDDINGS` of the clips, for a pretrained audio encoder; None, or without
            some of them: they are computed.
        protocol: which part of a clip is heard.

    Returns:
        `tables.RETRIEVAL_SCORES`.

    Raises:
        NothingToScore: there is no checkpoint, or no clip in the test split.
        CheckpointError: the weights are missing, or of another model.
        AudioReadError: the audio of too many clips is missing or unreadable.
    """
    if not checkpoint.num_rows:
        raise NothingToScore("the checkpoint's table has no row: materialize the checkpoint first")
    (row,) = checkpoint.to_pylist()
    clips = clips_of(manifest, "test")
    if not clips:
        raise NothingToScore(
            f"the training manifest has {manifest.num_rows} clips, and no clips in the test split: crawl and "
            "caption more clips, or give the test split a larger share, and another seed, in the settings of "
            "training_manifest"
        )
    test_set = {"scored_on_sha256": rows_sha256(manifest), "scored_on_version": set_version_of(manifest)}
    rows: list[dict[str, Any]] = []
    scored: list[Clip] = []
    cache: AudioCache | None = None
    for name, column in (("trained", "weights_path"), ("untrained", "untrained_weights_path")):
        with store.reading(row[column]) as weights:
            model, settings = load_checkpoint(weights, device)
            origin = read_origin(weights)
        of_whom = {
            "checkpoint": f"{row['model']}/{row['setting']}",
            "weights_sha256": origin.weights_sha256,
            "trained_on_sha256": row["manifest_sha256"],
            "trained_on_version": row["set_version"],
            "device": device_name(model.device),
        }
        if cache is None and settings.audio_encoder.pretrained and protocol.name is ProtocolName.middle:
            known, encoder = known_features(embeddings, settings), model.audio_encoder.audio_enc
            cache = FeatureCache(features_of(encoder, clips, AudioFiles(store), settings, known))
        scores, scored = evaluate_retrieval(
            model, name, clips, AudioFiles(store), settings, cache, protocol=protocol
        )
        rows += [{**score, **test_set, **of_whom} for score in scores]
    # Chance guesses among the clips that were scored.
    guesses = chance_rows(scored, rows[0]["unreadable"])
    return RETRIEVAL_SCORES.from_rows([*({**score, **test_set} for score in guesses), *rows])
