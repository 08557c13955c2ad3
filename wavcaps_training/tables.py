"""Checkpoints and their scores."""

from __future__ import annotations

import pyarrow as pa

from wavcaps_assets.store.schema import Column, TableSchema
from wavcaps_assets.tables import register_schemas
from wavcaps_assets.tables.columns import SECONDS, STRING

NAMED_SCORES = pa.list_(
    pa.struct(
        [pa.field("name", pa.string(), nullable=False), pa.field("value", pa.float64(), nullable=False)]
    )
)

LEARNING_CURVE = pa.list_(
    pa.struct(
        [
            pa.field("epoch", pa.int32(), nullable=False),
            pa.field("train_loss", pa.float64(), nullable=False),
            pa.field("validation_loss", pa.float64(), nullable=False),
            # Of the task: recalls in percent (the mean of both directions), or CIDEr-D and its like.
            pa.field("scores", NAMED_SCORES, nullable=False),
            pa.field("learning_rate", pa.float64(), nullable=False),
            pa.field("seconds", pa.float64(), nullable=False),
            pa.field("clips_per_second", pa.float64(), nullable=False),
        ]
    )
)

CHECKPOINT = TableSchema(
    "checkpoint",
    "A trained model: where its weights are and how it came to be. One row.",
    (
        Column("model", STRING, "the model, such as `htsat_bert`", derived_from=()),
        Column("setting", STRING, "the experiment's name", derived_from=()),
        Column(
            "weights_path",
            STRING,
            "the safetensors file, relative to the store",
            derived_from=("audio_path", "caption"),
        ),
        Column("untrained_weights_path", STRING, "the weights before the first step", derived_from=()),
        Column("settings_json", STRING, "all settings of the run, as JSON", derived_from=()),
        Column(
            "manifest_sha256",
            STRING,
            "what the run was trained on: hash of the manifest's rows",
            derived_from=("clip_id", "caption", "split"),
        ),
        Column("parameters", pa.int64(), "number of parameters", derived_from=()),
        Column(
            "trainable_parameters",
            pa.int64(),
            "number of parameters that were trained",
            derived_from=(),
        ),
        Column(
            "best_epoch",
            pa.int32(),
            "the epoch whose weights are kept, by validation",
            derived_from=("split",),
        ),
        Column("seconds", SECONDS, "how long training took (s)", derived_from=()),
        Column("device", STRING, "the device that it ran on", derived_from=()),
        Column("devices", pa.int32(), "on how many of them", derived_from=()),
        Column(
            "flops_per_clip",
            pa.float64(),
            "floating-point operations of a training step, for each clip in it",
            derived_from=(),
        ),
        Column(
            "utilisation",
            pa.float64(),
            "share of the devices' peak that training reached (MFU)",
            nullable=True,
            derived_from=(),
        ),
        Column("tensorboard_path", STRING, "TensorBoard's files, relative to the store", derived_from=()),
        Column("train_clips", pa.int32(), "clips in the train split", derived_from=("split",)),
        Column("validation_clips", pa.int32(), "clips in the validation split", derived_from=("split",)),
        Column("learning_curve", LEARNING_CURVE, "one entry an epoch", derived_from=("split",)),
    ),
    key=("model", "setting"),
)

RETRIEVAL_SCORES = TableSchema(
    "retrieval_scores",
    "Audio-language retrieval on the test split: R@k in percent, both ways.",
    (
        Column("model", STRING, "`trained`, `untrained` or `chance`", derived_from=("weights_path",)),
        Column("direction", STRING, "`text_to_audio` or `audio_to_text`", derived_from=()),
        Column("metric", STRING, "`R@1`, `R@5` or `R@10`", derived_from=()),
        Column(
            "value",
            pa.float64(),
            "the score in percent",
            derived_from=("weights_path", "audio_path", "caption", "split"),
        ),
        Column("clips", pa.int32(), "clips in the test split", derived_from=("split",)),
    ),
    key=("model", "direction", "metric"),
)

PAPER_COMPARISON = TableSchema(
    "paper_comparison",
    "The paper's figures beside this run's.",
    (
        Column("table", STRING, "the paper's table, such as `Table III`", derived_from=("source",)),
        Column("row", STRING, "the row of that table", derived_from=("source", "model")),
        Column("column", STRING, "the column of that table", derived_from=("metric",)),
        Column("paper", pa.float64(), "the paper's figure", nullable=True, derived_from=("metric",)),
        Column(
            "measured",
            pa.float64(),
            "this run's figure",
            nullable=True,
            derived_from=("value", "caption", "duration_s"),
        ),
        Column("unit", STRING, "the figures' unit", derived_from=("metric",)),
        Column("comparable", pa.bool_(), "whether the two may be compared", derived_from=("metric",)),
        Column("note", STRING, "why, or why not", derived_from=("metric",)),
    ),
    key=("table", "row", "column"),
)

register_schemas(
    {"checkpoint": CHECKPOINT, "scores/retrieval": RETRIEVAL_SCORES, "paper_comparison": PAPER_COMPARISON}
)
