"""The table of zero-shot classification scores on a benchmark."""

from __future__ import annotations

import pyarrow as pa

from wavcaps_assets.store.schema import Column
from wavcaps_assets.tables.columns import STRING
from wavcaps_training.tables.score_columns import OF_BENCHMARK, benchmark_scores

# How often clips of a class were answered with each class.
ANSWERS = pa.list_(
    pa.struct([pa.field("class", pa.string(), nullable=False), pa.field("clips", pa.int32(), nullable=False)])
)

CLASSIFICATION_SCORES = benchmark_scores(
    "classification_scores",
    "Zero-shot classification of a benchmark's clips by the names of its classes: accuracy in percent under "
    "each protocol, overall, of each fold and of each class. `clips` and `recordings` are those of the row.",
    own=(
        Column("scope", STRING, "`overall`, `fold` or `class`", derived_from=()),
        Column("group", STRING, "which fold or class; overall: empty", derived_from=("fold", "label")),
    ),
    more=(
        Column("prompt", STRING, "the text of a class; `{}` is its name", nullable=True, derived_from=()),
        Column(
            "recordings",
            pa.int32(),
            "sounds of FreeSound, or videos, that the clips are cut from, which the interval draws",
            nullable=True,
            derived_from=("freesound_id", "youtube_id"),
        ),
        Column(
            "answers",
            ANSWERS,
            "of a class: how many of its clips were answered with each class; classes that were never "
            "answered are left out",
            nullable=True,
            derived_from=OF_BENCHMARK,
        ),
        Column(
            "ties",
            pa.int32(),
            "clips whose own class tied with another one, which count as wrong; of all clips",
            nullable=True,
            derived_from=OF_BENCHMARK,
        ),
        Column("classes", pa.int32(), "classes that could be answered", derived_from=("label",)),
        Column(
            "official_classes",
            pa.int32(),
            "how many classes the benchmark has, by its authors; null: not known",
            nullable=True,
            derived_from=(),
        ),
        Column(
            "unknown_labels",
            pa.int32(),
            "listed clips whose label is no class, which were left out",
            derived_from=("label",),
        ),
    ),
    key=("model", "protocol_name", "scope", "group", "metric"),
)
