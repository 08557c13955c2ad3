"""The scores of short queries, with the vectors of an index."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from wavcaps_training.evaluation.encoder import Encoder
from wavcaps_training.evaluation.short_queries import queries_of, score_queries, test_clips
from wavcaps_training.search.index import StaleIndex
from wavcaps_training.search.indexing import matrix_of
from wavcaps_training.tables import QUERY_SCORES


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
        `tables.QUERY_SCORES`; empty if no clip of the test split is in the index.

    Raises:
        StaleIndex: the index is of other weights.
        CheckpointError: the weights are missing or damaged.
    """
    clips, recordings = test_clips(manifest, published)
    place = pc.index_in(clips["clip_id"], value_set=index["clip_id"].combine_chunks())
    there = pc.is_valid(place)
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
    return QUERY_SCORES.from_rows(
        {**row, **about}
        for queries in queries_of(clips)
        for row in score_queries(queries, encoder.captions(queries.texts), sounds, recordings)
    )
