"""What the analysis says of the set; section III.C of the paper."""

from __future__ import annotations

import pyarrow as pa

from wavcaps_assets.store.schema import Column, TableSchema
from wavcaps_assets.tables.columns import CLIP_ID, SECONDS, SOURCE, STRING, STRINGS

COUNT = pa.int64()
NUMBER = pa.float64()
GROWTH = pa.list_(
    pa.struct([pa.field("captions", COUNT, nullable=False), pa.field("words", COUNT, nullable=False)])
)
# One row a source, and one for all of them.
SOURCE_OR_ALL = Column("source", STRING, "the source's name; `wavcaps`: all of them")


def _spread(measure: str, origin: str) -> tuple[Column, ...]:
    """The columns that say how a measure is distributed."""
    names = {"mean": "mean", "p10": "10th percentile", "median": "median", "p90": "90th percentile"}
    return tuple(
        Column(name, NUMBER, f"{words} of the {measure}", nullable=True, derived_from=(origin,))
        for name, words in names.items()
    )


TEXT_MEASURES = TableSchema(
    "text_measures",
    "What is measured of each published clip's raw text and caption.",
    (
        CLIP_ID,
        SOURCE,
        Column("text_kind", STRING, "what the raw text is, such as `plain`", derived_from=("text",)),
        Column("caption_kind", STRING, "what the caption is, such as `plain`", derived_from=("caption",)),
        Column("text_words", pa.int32(), "words of the raw text", derived_from=("text",)),
        Column("caption_words", pa.int32(), "words of the caption", derived_from=("caption",)),
        Column(
            "shared_words", pa.int32(), "different words that both have", derived_from=("text", "caption")
        ),
        Column(
            "jaccard",
            NUMBER,
            "Jaccard similarity of the two sets of words (0 to 1; equation 1); empty where both are",
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
            "hash of the caption's words in their order: equal for captions that say the same",
            nullable=True,
            derived_from=("caption",),
        ),
    ),
)

SET_STATISTICS = TableSchema(
    "set_statistics",
    "Table III: each source before and after processing, beside the paper's figures.",
    (
        SOURCE_OR_ALL,
        Column("stage", STRING, "`before`: as crawled; `after`: as published", derived_from=()),
        Column("clips", COUNT, "how many; empty: not crawled", nullable=True, derived_from=("clip_id",)),
        Column(
            "hours",
            NUMBER,
            "their durations together (h)",
            nullable=True,
            derived_from=("duration_s", "claimed_duration_s"),
        ),
        Column(
            "mean_duration_s",
            SECONDS,
            "mean duration (s): claimed before, measured after",
            nullable=True,
            derived_from=("duration_s", "claimed_duration_s"),
        ),
        Column(
            "mean_words",
            NUMBER,
            "mean words: of the descriptions before, of the captions after",
            nullable=True,
            derived_from=("description", "caption"),
        ),
        Column(
            "without_duration",
            COUNT,
            "clips whose duration is missing, negative or no number, and not in the mean",
            nullable=True,
            derived_from=("duration_s", "claimed_duration_s"),
        ),
        Column(
            "without_words",
            COUNT,
            "clips whose text has no word, and is not in the mean",
            nullable=True,
            derived_from=("description", "caption"),
        ),
        Column("paper_clips", COUNT, "the paper's count", nullable=True, derived_from=()),
        Column("paper_hours", NUMBER, "its count × its mean duration (h)", nullable=True, derived_from=()),
        Column("paper_mean_duration_s", SECONDS, "the paper's mean (s)", nullable=True, derived_from=()),
        Column("paper_mean_words", NUMBER, "the paper's mean", nullable=True, derived_from=()),
    ),
    key=("source", "stage"),
)

EXAMPLES = TableSchema(
    "examples",
    "Table II: raw texts and their captions, drawn at random.",
    (
        CLIP_ID,
        SOURCE,
        Column("text", STRING, "the raw text"),
        Column("caption", STRING, "the published caption"),
    ),
)

JACCARD = TableSchema(
    "jaccard",
    "Figure 2a: how many words a raw text and its caption share.",
    (
        SOURCE_OR_ALL,
        Column("clips", COUNT, "clips measured", derived_from=("jaccard",)),
        Column(
            "without_words",
            COUNT,
            "clips left out: neither text nor caption has a word",
            derived_from=("jaccard",),
        ),
        *_spread("Jaccard similarity (0 to 1)", "jaccard"),
        Column(
            "share_none",
            NUMBER,
            "share that share no word (0 to 1)",
            nullable=True,
            derived_from=("jaccard",),
        ),
        Column(
            "share_all",
            NUMBER,
            "share with the same words (0 to 1)",
            nullable=True,
            derived_from=("jaccard",),
        ),
    ),
    key=("source",),
)

READABILITY = TableSchema(
    "readability",
    "Figure 2c: the Flesch-Kincaid grade of all crawled descriptions and of the published captions.",
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
            "texts left out: without words, or not in Latin letters",
            derived_from=("description", "caption_grade"),
        ),
        *_spread("Flesch-Kincaid grade", "caption_grade"),
    ),
    key=("source", "stage"),
)

ODD_TEXTS = TableSchema(
    "odd_texts",
    "Texts by what they are: plain, or how they are odd.",
    (
        SOURCE,
        Column("stage", STRING, "`before`: the raw text; `after`: the caption", derived_from=()),
        Column("kind", STRING, "such as `plain` or `no_words`", derived_from=("text_kind", "caption_kind")),
        Column("texts", COUNT, "how many", derived_from=("clip_id",)),
        Column("meaning", STRING, "what the kind is", derived_from=()),
    ),
    key=("source", "stage", "kind"),
)

DURATIONS = TableSchema(
    "durations",
    "Figure 3: how long the published clips are.",
    (
        SOURCE_OR_ALL,
        Column("clips", COUNT, "clips measured", derived_from=("duration_s",)),
        Column(
            "left_out", COUNT, "clips whose duration is no number from 0 on", derived_from=("duration_s",)
        ),
        Column("hours", NUMBER, "their durations together (h)", derived_from=("duration_s",)),
        *_spread("duration (s)", "duration_s"),
        Column("least", SECONDS, "the shortest (s)", nullable=True, derived_from=("duration_s",)),
        Column("most", SECONDS, "the longest (s)", nullable=True, derived_from=("duration_s",)),
    ),
    key=("source",),
)

UNIQUE_CAPTIONS = TableSchema(
    "unique_captions",
    "How many captions are different, occur once, and recur, within each source and within the set.",
    (
        SOURCE_OR_ALL,
        Column("captions", COUNT, "captions with a word", derived_from=("caption_key",)),
        Column("unique", COUNT, "different ones, by their words", derived_from=("caption_key",)),
        Column("once", COUNT, "of these, the ones that only one clip has", derived_from=("caption_key",)),
        Column(
            "recurring", COUNT, "of these, the ones that several clips have", derived_from=("caption_key",)
        ),
        Column("often", COUNT, "of these, the ones that many clips have", derived_from=("caption_key",)),
        Column(
            "mean_words", NUMBER, "mean words of all captions", nullable=True, derived_from=("caption_words",)
        ),
        Column(
            "often_mean_words",
            NUMBER,
            "mean words of those that many clips have, each counted once",
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
    "Figure 2b, as numbers: the words that vanish from all crawled descriptions to the published captions, "
    "and those that appear.",
    (
        Column("word", STRING, "the word", derived_from=("description", "caption")),
        Column("side", STRING, "`vanishes` or `appears`", derived_from=("description", "caption")),
        Column("rank", pa.int32(), "its place on that side, from 1", derived_from=("description", "caption")),
        Column("in_texts", COUNT, "how often the descriptions have it", derived_from=("description",)),
        Column("in_captions", COUNT, "how often captions have it", derived_from=("caption",)),
        Column(
            "log_odds",
            NUMBER,
            "log of its odds in captions over its odds in the descriptions, with a prior",
            derived_from=("description", "caption"),
        ),
        Column(
            "z",
            NUMBER,
            "that in its standard deviations; what is ranked",
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
        Column("running_words", COUNT, "words, each as often as it occurs", derived_from=("caption",)),
        Column("words", COUNT, "different words", derived_from=("caption",)),
        Column("once", COUNT, "of these, the ones that occur once", derived_from=("caption",)),
        Column("most_frequent", STRINGS, "the most frequent first", derived_from=("caption",)),
        Column(
            "growth",
            GROWTH,
            "different words among the first so many captions, shuffled by the seed",
            derived_from=("clip_id", "caption"),
        ),
    ),
    key=("source",),
)

DATA_SETS = TableSchema(
    "data_sets",
    "Audio-language data sets side by side, as far as their figures are at hand (for the paper's Table IV).",
    (
        Column("data_set", STRING, "its name", derived_from=()),
        Column("clips", COUNT, "audio clips", nullable=True, derived_from=("clips",)),
        Column("approximate", pa.bool_(), "whether the count is a round one", derived_from=()),
        Column("hours", NUMBER, "audio (h)", nullable=True, derived_from=("hours",)),
        Column("mean_words", NUMBER, "mean words of a caption", nullable=True, derived_from=("mean_words",)),
        Column("captions_by", STRING, "who wrote the captions", derived_from=()),
        Column("from_paper", pa.bool_(), "whether it is the paper's figure, not this run's", derived_from=()),
        Column("provenance", STRING, "where each figure comes from", derived_from=()),
    ),
    key=("data_set",),
)

LICENCES = TableSchema(
    "licences",
    "Under which licences the published clips are.",
    (
        SOURCE,
        Column(
            "licence_class", STRING, "what the licence asks, such as `BY-NC`", derived_from=("licence_id",)
        ),
        Column("licence_id", STRING, "SPDX identifier, or `LicenseRef-…`"),
        Column("clips", COUNT, "how many", derived_from=("clip_id",)),
        Column("hours", NUMBER, "their durations together (h)", derived_from=("duration_s",)),
        Column("authors", COUNT, "named authors", derived_from=("author",)),
    ),
    key=("source", "licence_id"),
)

DATA_SET_CARD = TableSchema(
    "data_set_card",
    "The data-set card that was written into the store.",
    (
        Column("path", STRING, "where it is in the store", derived_from=()),
        Column("bytes", COUNT, "its size", derived_from=()),
        Column("sha256", STRING, "its SHA-256", derived_from=()),
        Column("clips", COUNT, "clips that it describes", derived_from=("clip_id",)),
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
    DATA_SET_CARD,
)
