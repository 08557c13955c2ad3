"""The table of retrieval scores on a benchmark."""

from __future__ import annotations

import pyarrow as pa

from wavcaps_assets.store.schema import Column
from wavcaps_training.tables.score_columns import DIRECTION, benchmark_scores

BENCHMARK_RETRIEVAL = benchmark_scores(
    "benchmark_retrieval",
    "Audio-language retrieval on a benchmark, in both directions: R@k and mAP@10 in percent, and the median "
    "rank, which counts from 1.",
    own=(DIRECTION,),
    more=(
        Column(
            "recordings",
            pa.int32(),
            "groups of clips that share a recording, which the interval draws",
            nullable=True,
            derived_from=("clip_id",),
        ),
        Column(
            "blank_captions",
            pa.int32(),
            "captions without a word, which were left out",
            nullable=True,
            derived_from=("captions",),
        ),
    ),
)
