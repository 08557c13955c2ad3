"""Tables of retrieval scores."""

from __future__ import annotations

import pyarrow as pa

from wavcaps_assets.store.schema import Column, TableSchema
from wavcaps_assets.tables.columns import STRING
from wavcaps_training.tables.score_columns import DIRECTION, OF_SCORE, interval, shared_since

RETRIEVAL_SCORES_KEY = ("scores", "retrieval")

# The scores of an experiment that is not the one in the report: `scores/<model>/<setting>`.
SCORES_OF_EXPERIMENTS = "scores"

SEED_SCORES_KEY = ("scores", "seeds")

RETRIEVAL_SCORES = TableSchema(
    "retrieval_scores",
    "Audio-language retrieval on the test split, in both directions: R@k, mAP@10 and the median rank.",
    (
        Column("model", STRING, "`trained`, `untrained` or `chance`", derived_from=("weights_path",)),
        DIRECTION,
        Column("metric", STRING, "`R@1`, `R@5`, `R@10`, `mAP@10` or `median rank`", derived_from=()),
        Column(
            "value",
            pa.float64(),
            "the score, in percent; a median rank counts from 1",
            derived_from=OF_SCORE,
        ),
        Column("clips", pa.int32(), "clips of the test split that were scored", derived_from=("split",)),
        *interval(
            "lower end of the 95 % bootstrap interval over recordings; null for chance, or for one recording",
            "upper end of that interval; null for chance",
            added_in=2,
        ),
        *shared_since(2, "checkpoint", "weights_sha256", "trained_on_sha256"),
        Column(
            "scored_on_sha256",
            STRING,
            "version of the training manifest whose test split was scored",
            nullable=True,
            derived_from=("clip_id", "caption", "split"),
            added_in=2,
        ),
        *shared_since(2, "protocol", "device"),
        Column(
            "unreadable",
            pa.int32(),
            "clips of the test split that were left out, because their audio could not be read",
            nullable=True,
            derived_from=("split", "audio_path"),
            added_in=3,
        ),
        *shared_since(4, "trained_on_version"),
        Column(
            "scored_on_version",
            STRING,
            "the published version of the set whose test split was scored",
            nullable=True,
            derived_from=(),
            added_in=4,
            is_data=False,
        ),
        *shared_since(5, "protocol_name"),
        Column(
            "recordings",
            pa.int32(),
            "recordings of the scored clips, which the interval draws again; null for chance",
            nullable=True,
            derived_from=("recording", "split"),
            added_in=5,
        ),
        Column(
            "blank_captions",
            pa.int32(),
            "captions of the test split that were left out, because they have no word; null for chance",
            nullable=True,
            derived_from=("caption", "split"),
            added_in=5,
        ),
    ),
    key=("model", "direction", "metric"),
)

SEED_SCORES = TableSchema(
    "seed_scores",
    "The same model, trained with several seeds and scored on the same test split.",
    (
        Column(
            "seed", pa.int32(), "the seed; null: the mean of all", nullable=True, derived_from=("setting",)
        ),
        DIRECTION,
        Column("metric", STRING, "`R@1`, `R@5`, `R@10`, `mAP@10` or `median rank`", derived_from=()),
        Column(
            "value",
            pa.float64(),
            "the score, in percent; a median rank counts from 1",
            derived_from=OF_SCORE,
        ),
        *interval(
            "lower end of the 95 % bootstrap interval over recordings; of the mean, over seeds as well",
            "upper end of that interval",
        ),
        Column(
            "deviation",
            pa.float64(),
            "of the mean: the standard deviation over the seeds",
            nullable=True,
            derived_from=("weights_path",),
        ),
        Column("seeds", pa.int32(), "number of seeds", derived_from=()),
        Column("clips", pa.int32(), "clips of the test split that were scored", derived_from=("split",)),
        Column(
            "checkpoint",
            STRING,
            "the model and its experiment, such as `aisfx_minilm/demo`",
            derived_from=("model", "setting"),
        ),
        Column(
            "best_epoch", pa.int32(), "the best epoch by validation", nullable=True, derived_from=("split",)
        ),
        *shared_since(2, "weights_sha256"),
        Column(
            "scored_on_sha256",
            STRING,
            "version of the training manifest whose test split was scored",
            nullable=True,
            derived_from=("clip_id", "caption", "split"),
            added_in=2,
        ),
    ),
    key=("seed", "direction", "metric"),
)
