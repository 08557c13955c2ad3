"""The scores of short queries, with the vectors of an index."""

from __future__ import annotations

import logging
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from wavcaps_assets.tables.asset_tables import set_version_of, with_set_version
from wavcaps_training.evaluation.encoder import Encoder
from wavcaps_training.evaluation.short_queries import queries_of, score_queries, test_clips
from wavcaps_training.search.index import StaleIndex
from wavcaps_training.search.indexing import matrix_of
from wavcaps_training.tables import QUERY_SCORES

logger = logging.getLogger(__name__)


def score_short_queries(
    name: str, index: pa.Table, published: pa.Table, manifest: pa.Table, weights: Path, device: str = "cpu"
) -> pa.Table:
    """Scores queries of several lengths on the clips of the test split.

    Args:
        name: of the checkpoint, such as `aisfx_minilm/demo`.
        index: `tables.SEARCH_INDEX` of the checkpoint.
        published: `tables.MANIFEST`.
        manifest: `tables.TRAINING_MANIFEST`.
        weights: the checkpoint.
        device: `cpu` or `cuda`.

    Returns:
        `tables.QUERY_SCORES`, with the version of the set; empty if no clip of the test split is in the
        index.

    Raises:
        StaleIndex: the index is of other weights.
        CheckpointError: the weights are missing or damaged.
    """
    clips, recordings = test_clips(manifest, published)
    place = pc.index_in(clips["clip_id"], value_set=index["clip_id"].combine_chunks())
    # The index may be of an earlier version of the set, in which a clip had other sound.
    heard = pc.equal(index["samples_sha256"].take(place), clips["samples_sha256"])
    there = pc.fill_null(heard, False)
    if missing := pc.sum(pc.invert(there)).as_py():
        logger.warning(
            "%d of %d clips of the test split are not in search_index/%s as they are now, and are left out: "
            "materialize it again",
            missing,
            clips.num_rows,
            name,
        )
    clips, place = clips.filter(there), place.filter(there)
    if not clips.num_rows:
        return QUERY_SCORES.empty()
    recordings = [one for one, kept in zip(recordings, there.to_pylist(), strict=True) if kept]
    encoder = Encoder(weights, device)
    if pc.unique(index["embedding_version"]).to_pylist() != [encoder.version]:
        raise StaleIndex(
            f"search_index/{name} was made with other weights than those of checkpoint/{name}: materialize "
            "it again, then this"
        )
    sounds = matrix_of(index["audio_embedding"].take(place), encoder.width)
    about = {"checkpoint": name, "weights_sha256": encoder.weights_sha256}
    scores = QUERY_SCORES.from_rows(
        {**row, **about}
        for queries in queries_of(clips)
        for row in score_queries(queries, encoder.captions(queries.texts), sounds, recordings)
    )
    return with_set_version(scores, set_version_of(published))
