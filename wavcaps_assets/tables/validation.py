"""Tables of human validation (section III.D): the study, the ratings, and the scores."""

from __future__ import annotations

import pyarrow as pa

from wavcaps_assets.store.schema import Column, TableSchema
from wavcaps_assets.tables.columns import CLIP_ID, SECONDS, SOURCE, STRING

VALIDATION_STUDY = TableSchema(
    "validation_study",
    "The key of a study: the clip and the caption of each name on the raters' page.",
    (
        CLIP_ID,
        SOURCE,
        Column("study_id", STRING, "hash of everything that the raters see", derived_from=()),
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
        Column("second_caption", STRING, "the caption for comparison", nullable=True, derived_from=()),
        Column("duration_s", SECONDS, "measured duration (s)"),
        Column("samples_sha256", STRING, "SHA-256 of the stored 16-bit samples"),
        Column("attribution", STRING, "the credit line, shown at the end"),
    ),
)

VALIDATION_RATINGS = TableSchema(
    "validation_ratings",
    "Each answer of each rater; those that do not count have a reason.",
    (
        Column("file", STRING, "the rater's file", derived_from=()),
        Column("rater", STRING, "the name that the rater entered", nullable=True, derived_from=()),
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
            "time of the answer, by the rater's clock",
            nullable=True,
            derived_from=(),
        ),
        Column("reason", STRING, "why it does not count; empty if it does", nullable=True, derived_from=()),
        Column("detail", STRING, "what was found, for people", nullable=True, derived_from=()),
    ),
    # A rater may answer twice, and a file may contain anything.
    key=(),
)

ANSWERED = ("score", "option")
VALIDATION_SCORES = TableSchema(
    "validation_scores",
    "The results of the ratings, with the paper's figures (section III.D, Figure 4).",
    (
        Column(
            "measure",
            STRING,
            "`mean_score`, `score_share`, `mean_score_by_source`, `option_share`, `mean_score_by_option`, "
            "`second_mean_score`, `second_score_share` or `alpha`",
            derived_from=("question",),
        ),
        Column("group", STRING, "the group within the measure", derived_from=("question", "source")),
        Column("value", pa.float64(), "the figure", nullable=True, derived_from=ANSWERED),
        Column(
            "low", pa.float64(), "lower end of the confidence interval", nullable=True, derived_from=ANSWERED
        ),
        Column(
            "high", pa.float64(), "upper end of the confidence interval", nullable=True, derived_from=ANSWERED
        ),
        Column("clips", pa.int32(), "clips that it is computed from", derived_from=("clip_id",)),
        Column("answers", pa.int32(), "answers that it is computed from", derived_from=ANSWERED),
        Column("paper", pa.float64(), "the paper's figure", nullable=True, derived_from=()),
        Column(
            "note", STRING, "why there is no value; what the paper reports", nullable=True, derived_from=()
        ),
    ),
    key=("measure", "group"),
)
