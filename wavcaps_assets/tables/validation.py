"""Human validation (section III.D): what raters are shown, what they answer, what it comes to."""

from __future__ import annotations

import pyarrow as pa

from wavcaps_assets.store.schema import Column, TableSchema
from wavcaps_assets.tables.columns import CLIP_ID, SECONDS, SOURCE, STRING

VALIDATION_STUDY = TableSchema(
    "validation_study",
    "The key of a study: which clip and which caption stand behind the names on the raters' page.",
    (
        CLIP_ID,
        SOURCE,
        Column("study_id", STRING, "hash of all that the raters are shown", derived_from=()),
        Column("item_id", STRING, "the clip's name on the page", derived_from=("clip_id",)),
        Column("caption_id", STRING, "the caption's name on the page", derived_from=("caption",)),
        Column("caption", STRING, "the caption under study"),
        Column(
            "second_caption_id",
            STRING,
            "the second caption's name on the page",
            nullable=True,
            derived_from=(),
        ),
        Column("second_caption", STRING, "the caption to compare with", nullable=True, derived_from=()),
        Column("duration_s", SECONDS, "measured duration (s)"),
        Column("samples_sha256", STRING, "SHA-256 of the stored 16-bit samples"),
        Column("attribution", STRING, "the credit line, shown when a rater is done"),
    ),
)

VALIDATION_RATINGS = TableSchema(
    "validation_ratings",
    "Each answer of each rater, also those that do not count, with the reason.",
    (
        Column("file", STRING, "the rater's file", derived_from=()),
        Column("rater", STRING, "the name that the rater gave", nullable=True, derived_from=()),
        Column("item_id", STRING, "the clip's name on the page", nullable=True),
        Column("clip_id", STRING, "the clip", nullable=True),
        Column("source", STRING, "the clip's source", nullable=True),
        Column(
            "question",
            STRING,
            "`rating` of the caption under study, `second_rating`, or `comparison`",
            nullable=True,
            derived_from=("caption_id", "second_caption_id"),
        ),
        Column("score", pa.int32(), "the rating, 1 to 5", nullable=True, derived_from=()),
        Column(
            "option",
            STRING,
            "the comparison: `A` nearly identical, `B` partial, `C` different",
            nullable=True,
            derived_from=(),
        ),
        Column(
            "at",
            pa.timestamp("us", tz="UTC"),
            "when it was answered, by the rater's clock",
            nullable=True,
            derived_from=(),
        ),
        Column("reason", STRING, "why it does not count; none: it does", nullable=True, derived_from=()),
        Column("detail", STRING, "what was seen, for the person who looks", nullable=True, derived_from=()),
    ),
    # A rater may answer twice, and a file may hold anything.
    key=(),
)

ANSWERED = ("score", "option")
VALIDATION_SCORES = TableSchema(
    "validation_scores",
    "What the raters' answers come to, beside the paper's figures (section III.D, Figure 4).",
    (
        Column(
            "measure",
            STRING,
            "`mean_score`, `score_share`, `mean_score_by_source`, `option_share`, `mean_score_by_option`, "
            "`second_mean_score`, `second_score_share` or `alpha`",
            derived_from=("question",),
        ),
        Column("group", STRING, "which of them", derived_from=("question", "source")),
        Column("value", pa.float64(), "the figure", nullable=True, derived_from=ANSWERED),
        Column("low", pa.float64(), "the interval's lower end", nullable=True, derived_from=ANSWERED),
        Column("high", pa.float64(), "the interval's upper end", nullable=True, derived_from=ANSWERED),
        Column("clips", pa.int32(), "clips that it rests on", derived_from=("clip_id",)),
        Column("answers", pa.int32(), "answers that it rests on", derived_from=ANSWERED),
        Column("paper", pa.float64(), "the paper's figure", nullable=True, derived_from=()),
        Column("note", STRING, "why there is no figure; what the paper says", nullable=True, derived_from=()),
    ),
    key=("measure", "group"),
)
