"""Tables of the analysis of the set (section III.C of the paper)."""

from __future__ import annotations

import pyarrow as pa

from wavcaps_assets.store.schema import Column, TableSchema
from wavcaps_assets.tables.columns import CLIP_ID, SECONDS, SOURCE, STRING, STRINGS

COUNT = pa.int64()
NUMBER = pa.float64()
GROWTH = pa.list_(
    pa.struct([pa.field("captions", COUNT, nullable=False), pa.field("words", COUNT, nullable=False)])
)
# One row per source, and one for all sources.
SOURCE_OR_ALL = Column("source", STRING, "the source's name, or `wavcaps` for all sources")


def _spread(measure: str, origin: str) -> tuple[Column, ...]:
    """The columns of the distribution of a measure."""
    names = {"mean": "mean", "p10": "10th percentile", "median": "median", "p90": "90th percentile"}
    return tuple(
        Column(name, NUMBER, f"{words} of the {measure}", nullable=True, derived_from=(origin,))
        for name, words in names.items()
    )


TEXT_MEASURES = TableSchema(
    "text_measures",
    "Measures of the raw text and the caption of each published clip.",
    (
        CLIP_ID,
        SOURCE,
        Column("text_kind", STRING, "kind of the raw text, such as `plain`", derived_from=("text",)),
        Column("caption_kind", STRING, "kind of the caption, such as `plain`", derived_from=("caption",)),
        Column("text_words", pa.int32(), "words of the raw text", derived_from=("text",)),
        Column("caption_words", pa.int32(), "words of the caption", derived_from=("caption",)),
        Column("shared_words", pa.int32(), "distinct words in both", derived_from=("text", "caption")),
        Column(
            "jaccard",
            NUMBER,
            "Jaccard similarity of the two word sets (0 to 1; equation 1); null where both are empty",
            nullable=True,
            derived_from=("text", "caption"),
        ),
        Column(
            "text_grade",
            NUMBER,
            "Flesch-Kincaid grade of the raw text",
            nullable=True,
            derived_from=("text",),
        ),
        Column(
            "caption_grade",
            NUMBER,
            "Flesch-Kincaid grade of the caption",
            nullable=True,
            derived_from=("caption",),
        ),
        Column(
            "caption_key",
            STRING,
            "hash of the caption's words in order: equal for captions with the same words",
            nullable=True,
            derived_from=("caption",),
        ),
    ),
)

SET_STATISTICS = TableSchema(
    "set_statistics",
    "Table III: each source before and after processing, with the paper's figures.",
    (
        SOURCE_OR_ALL,
        Column("stage", STRING, "`before`: as crawled; `after`: as published", derived_from=()),
        Column(
            "clips", COUNT, "number of clips; null if not crawled", nullable=True, derived_from=("clip_id",)
        ),
        Column(
            "hours",
            NUMBER,
            "total duration (h); null if no clip has a known duration",
            nullable=True,
            derived_from=("duration_s", "claimed_duration_s"),
        ),
        Column(
            "mean_duration_s",
            SECONDS,
            "mean duration (s): before processing as claimed, or measured if not claimed; measured after",
            nullable=True,
            derived_from=("duration_s", "claimed_duration_s"),
        ),
        Column(
            "mean_words",
            NUMBER,
            "mean number of words: of the descriptions before, of the captions after",
            nullable=True,
            derived_from=("description", "caption"),
        ),
        Column(
            "without_duration",
            COUNT,
            "clips whose duration is missing, negative or not a number; not in the mean",
            nullable=True,
            derived_from=("duration_s", "claimed_duration_s"),
        ),
        Column(
            "without_words",
            COUNT,
            "clips whose text has no words; not in the mean",
            nullable=True,
            derived_from=("description", "caption"),
        ),
        Column("paper_clips", COUNT, "the paper's count", nullable=True, derived_from=()),
        Column(
            "paper_hours", NUMBER, "the paper's count × its mean duration (h)", nullable=True, derived_from=()
        ),
        Column(
            "paper_mean_duration_s", SECONDS, "the paper's mean duration (s)", nullable=True, derived_from=()
        ),
        Column(
            "paper_mean_words", NUMBER, "the paper's mean number of words", nullable=True, derived_from=()
        ),
    ),
    key=("source", "stage"),
)

EXAMPLES = TableSchema(
    "examples",
    "Table II: random raw texts and their captions.",
    (
        CLIP_ID,
        SOURCE,
        Column("text", STRING, "the raw text"),
        Column("caption", STRING, "the published caption"),
    ),
)

JACCARD = TableSchema(
    "jaccard",
    "Figure 2a: word overlap of raw texts and captions.",
    (
        SOURCE_OR_ALL,
        Column("clips", COUNT, "clips measured", derived_from=("jaccard",)),
        Column(
            "without_words",
            COUNT,
            "clips without words in both text and caption; left out",
            derived_from=("jaccard",),
        ),
        *_spread("Jaccard similarity (0 to 1)", "jaccard"),
        Column(
            "share_none",
            NUMBER,
            "share of clips without a common word (0 to 1)",
            nullable=True,
            derived_from=("jaccard",),
        ),
        Column(
            "share_all",
            NUMBER,
            "share of clips with the same words (0 to 1)",
            nullable=True,
            derived_from=("jaccard",),
        ),
    ),
    key=("source",),
)

READABILITY = TableSchema(
    "readability",
    "Figure 2c: Flesch-Kincaid grade of all crawled descriptions and of the published captions.",
    (
        SOURCE_OR_ALL,
        Column(
            "stage",
            STRING,
            "`before`: the descriptions as crawled, published or not; `after`: the captions",
            derived_from=(),
        ),
        Column("texts", COUNT, "texts measured", derived_from=("description", "caption_grade")),
        Column(
            "left_out",
            COUNT,
            "texts that were left out: without words, or not in Latin script",
            derived_from=("description", "caption_grade"),
        ),
        *_spread("Flesch-Kincaid grade", "caption_grade"),
    ),
    key=("source", "stage"),
)

ODD_TEXTS = TableSchema(
    "odd_texts",
    "Texts by kind: plain, or odd in some way.",
    (
        SOURCE,
        Column("stage", STRING, "`before`: the raw text; `after`: the caption", derived_from=()),
        Column("kind", STRING, "such as `plain` or `no_words`", derived_from=("text_kind", "caption_kind")),
        Column("texts", COUNT, "number of texts", derived_from=("clip_id",)),
        Column("meaning", STRING, "what the kind means", derived_from=()),
    ),
    key=("source", "stage", "kind"),
)

DURATIONS = TableSchema(
    "durations",
    "Figure 3: durations of the published clips.",
    (
        SOURCE_OR_ALL,
        Column("clips", COUNT, "clips measured", derived_from=("duration_s",)),
        Column(
            "left_out",
            COUNT,
            "clips whose duration is negative or not a number",
            derived_from=("duration_s",),
        ),
        Column("hours", NUMBER, "total duration (h)", derived_from=("duration_s",)),
        *_spread("duration (s)", "duration_s"),
        Column("least", SECONDS, "shortest duration (s)", nullable=True, derived_from=("duration_s",)),
        Column("most", SECONDS, "longest duration (s)", nullable=True, derived_from=("duration_s",)),
    ),
    key=("source",),
)

UNIQUE_CAPTIONS = TableSchema(
    "unique_captions",
    "How many captions are distinct, unique and repeated, per source and in the set.",
    (
        SOURCE_OR_ALL,
        Column("captions", COUNT, "captions with at least one word", derived_from=("caption_key",)),
        Column("unique", COUNT, "distinct captions, by their words", derived_from=("caption_key",)),
        Column("once", COUNT, "distinct captions of exactly one clip", derived_from=("caption_key",)),
        Column("recurring", COUNT, "distinct captions of several clips", derived_from=("caption_key",)),
        Column("often", COUNT, "distinct captions of many clips", derived_from=("caption_key",)),
        Column(
            "mean_words",
            NUMBER,
            "mean number of words of all captions",
            nullable=True,
            derived_from=("caption_words",),
        ),
        Column(
            "often_mean_words",
            NUMBER,
            "mean number of words of the captions of many clips, each counted once",
            nullable=True,
            derived_from=("caption_words",),
        ),
        Column("paper_captions", COUNT, "the paper's figures", nullable=True, derived_from=()),
        Column("paper_unique", COUNT, "as above", nullable=True, derived_from=()),
        Column("paper_once", COUNT, "as above", nullable=True, derived_from=()),
        Column("paper_recurring", COUNT, "as above", nullable=True, derived_from=()),
        Column("paper_mean_words", NUMBER, "as above", nullable=True, derived_from=()),
        Column("paper_often_mean_words", NUMBER, "as above", nullable=True, derived_from=()),
    ),
    key=("source",),
)

WORDS = TableSchema(
    "words",
    "Figure 2b as numbers: words that disappear between the crawled descriptions and the captions, "
    "and words that appear.",
    (
        Column("word", STRING, "the word", derived_from=("description", "caption")),
        Column("side", STRING, "`vanishes` or `appears`", derived_from=("description", "caption")),
        Column("rank", pa.int32(), "its rank on that side, from 1", derived_from=("description", "caption")),
        Column("in_texts", COUNT, "occurrences in the descriptions", derived_from=("description",)),
        Column("in_captions", COUNT, "occurrences in the captions", derived_from=("caption",)),
        Column(
            "log_odds",
            NUMBER,
            "log ratio of its odds in captions to its odds in descriptions, with a prior",
            derived_from=("description", "caption"),
        ),
        Column(
            "z",
            NUMBER,
            "the log odds in standard deviations; the rank is by this",
            derived_from=("description", "caption"),
        ),
    ),
    key=("word",),
)

VOCABULARY = TableSchema(
    "vocabulary",
    "The words of the captions.",
    (
        SOURCE_OR_ALL,
        Column("running_words", COUNT, "words, with repetitions", derived_from=("caption",)),
        Column("words", COUNT, "distinct words", derived_from=("caption",)),
        Column("once", COUNT, "distinct words that occur once", derived_from=("caption",)),
        Column("most_frequent", STRINGS, "the most frequent words, in order", derived_from=("caption",)),
        Column(
            "growth",
            GROWTH,
            "distinct words in the first n captions, shuffled by the seed",
            derived_from=("clip_id", "caption"),
        ),
    ),
    key=("source",),
)

DATA_SETS = TableSchema(
    "data_sets",
    "Audio-language data sets, as far as their figures are available (the paper's Table IV).",
    (
        Column("data_set", STRING, "its name", derived_from=()),
        Column("clips", COUNT, "number of clips", nullable=True, derived_from=("clips",)),
        Column("approximate", pa.bool_(), "whether the count is approximate", derived_from=()),
        Column("hours", NUMBER, "audio (h)", nullable=True, derived_from=("hours",)),
        Column(
            "mean_words",
            NUMBER,
            "mean number of words of a caption",
            nullable=True,
            derived_from=("mean_words",),
        ),
        Column("captions_by", STRING, "who wrote the captions", derived_from=()),
        Column(
            "from_paper", pa.bool_(), "whether the figures are the paper's, not this run's", derived_from=()
        ),
        Column("provenance", STRING, "where each figure comes from", derived_from=()),
    ),
    key=("data_set",),
)

LICENCES = TableSchema(
    "licences",
    "Licences of the published clips.",
    (
        SOURCE,
        Column(
            "licence_class",
            STRING,
            "what the licence requires, such as `BY-NC`",
            derived_from=("licence_id",),
        ),
        Column("licence_id", STRING, "SPDX identifier, or `LicenseRef-…`"),
        Column("clips", COUNT, "number of clips", derived_from=("clip_id",)),
        Column("hours", NUMBER, "total duration (h)", derived_from=("duration_s",)),
        Column("authors", COUNT, "number of named authors", derived_from=("author",)),
    ),
    key=("source", "licence_id"),
)

SYNTHETIC_SOUNDS = TableSchema(
    "synthetic_sounds",
    "AI-made sounds among all crawled sounds, by month of upload.",
    (
        SOURCE,
        Column("month", STRING, "month of upload, YYYY-MM", derived_from=("created",)),
        Column("clips", COUNT, "crawled sounds of the month", derived_from=("created",)),
        Column("known", COUNT, "those of them that have `synthetic`", derived_from=("synthetic",)),
        Column(
            "synthetic",
            COUNT,
            "those whose tags say that they are AI-made; null where it is not known of any",
            nullable=True,
        ),
        Column(
            "share",
            NUMBER,
            "AI-made sounds among those of which it is known (0 to 1); null where it is not known of any",
            nullable=True,
            derived_from=("synthetic",),
        ),
    ),
    key=("source", "month"),
)

DATA_SET_CARD = TableSchema(
    "data_set_card",
    "The data-set card in the store.",
    (
        Column("path", STRING, "where it is in the store", derived_from=()),
        Column("bytes", COUNT, "its size", derived_from=()),
        Column("sha256", STRING, "its SHA-256", derived_from=()),
        Column("clips", COUNT, "number of clips that it describes", derived_from=("clip_id",)),
    ),
    key=("path",),
)

TABLES = (
    TEXT_MEASURES,
    SET_STATISTICS,
    EXAMPLES,
    JACCARD,
    READABILITY,
    ODD_TEXTS,
    DURATIONS,
    UNIQUE_CAPTIONS,
    WORDS,
    VOCABULARY,
    DATA_SETS,
    LICENCES,
    SYNTHETIC_SOUNDS,
    DATA_SET_CARD,
)
