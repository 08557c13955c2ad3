"""Tables of the search: the index of a checkpoint, people's ratings, and the scores of short queries."""

from __future__ import annotations

import pyarrow as pa

from wavcaps_assets.store.schema import Column, TableSchema
from wavcaps_assets.tables.columns import CLIP_ID, STRING

INDEX_FOLDER = "search_index"
QUERY_SCORES_FOLDER = "query_scores"
SEARCH_RATINGS_KEY = ("search_ratings",)

VECTOR = pa.list_(pa.float32())
FROM_QUERIES = ("audio_embedding", "caption", "split")

SEARCH_INDEX = TableSchema(
    "search_index",
    "The published clips and their captions as unit vectors of one checkpoint. Clips whose audio could not "
    "be read are left out.",
    (
        CLIP_ID,
        Column("samples_sha256", STRING, "SHA-256 of the samples that the clip's vector was computed from"),
        Column("caption", STRING, "the caption that the caption's vector was computed from"),
        Column("audio_embedding", VECTOR, "the clip's unit vector", derived_from=("samples_sha256",)),
        Column("caption_embedding", VECTOR, "the caption's unit vector", derived_from=("caption",)),
        Column(
            "weights_sha256",
            STRING,
            "a hash of the checkpoint's weights; the same in all rows",
            derived_from=("weights_path",),
        ),
        Column(
            "embedding_version",
            STRING,
            "a hash of what determines a vector apart from its clip: the weights, the model's settings, the "
            "tokenizer, and how clips are cropped; the same in all rows",
            derived_from=("weights_path", "settings_json"),
        ),
    ),
)

SEARCH_RATINGS = TableSchema(
    "search_ratings",
    "What people thought of search results: for each query, result and checkpoint, the last thumb. A thumb "
    "that was taken back has no row. There are no names and no addresses.",
    (
        Column("checkpoint", STRING, "the model and its experiment, such as `aisfx_minilm/demo`"),
        Column("weights_sha256", STRING, "a hash of the checkpoint's weights"),
        Column("query_kind", STRING, "`text`; `clip`: a clip of the set; `sound`: a person's own file"),
        Column("query", STRING, "the text, the clip_id, or the SHA-256 of the file's samples"),
        Column("clip_id", STRING, "the result: a clip, or the clip whose caption was found"),
        Column("rank", pa.int32(), "its place in the list that was rated, from 1"),
        Column("score", pa.float64(), "its cosine similarity to the query"),
        Column("thumb", STRING, "`up` or `down`"),
        Column("changes", pa.int32(), "how often the person's mind changed before"),
        Column("searched_version", STRING, "the published version that was searched", nullable=True),
        Column("at", pa.timestamp("us", tz="UTC"), "when it was rated, by the server's clock"),
    ),
    key=("weights_sha256", "query_kind", "query", "clip_id"),
)

QUERY_SCORES = TableSchema(
    "query_scores",
    "How well queries of several lengths find their clip among the clips of the test split.",
    (
        Column(
            "query",
            STRING,
            "`caption`: the whole caption; `two_words`: its first two content words; or a kind of further "
            "captions, such as `tags` or `query`",
            derived_from=("caption", "other_captions"),
        ),
        Column("metric", STRING, "`R@1`, `R@5`, `R@10`, `mAP@10` or `median rank`", derived_from=()),
        Column(
            "value", pa.float64(), "the score, in percent; a rank counts from 1", derived_from=FROM_QUERIES
        ),
        Column(
            "low",
            pa.float64(),
            "lower end of the 95 % bootstrap interval over recordings; null: there is one recording",
            nullable=True,
            derived_from=FROM_QUERIES,
        ),
        Column("high", pa.float64(), "upper end of that interval", nullable=True, derived_from=FROM_QUERIES),
        Column("chance", pa.float64(), "the score of a random order", derived_from=("split",)),
        Column("queries", pa.int32(), "number of queries", derived_from=("caption",)),
        Column("clips", pa.int32(), "number of clips that each query ranks", derived_from=("split",)),
        Column("words", pa.float64(), "mean number of words of a query", derived_from=("caption",)),
        Column(
            "shared",
            pa.int32(),
            "queries whose content words are all in another clip's caption too; that clip counts as wrong",
            derived_from=("caption",),
        ),
        Column("example", STRING, "the first query", derived_from=("caption",)),
        Column("checkpoint", STRING, "the model and its experiment", derived_from=("model", "setting")),
        Column(
            "weights_sha256", STRING, "a hash of the weights that were scored", derived_from=("weights_path",)
        ),
    ),
    key=("query", "metric"),
)
