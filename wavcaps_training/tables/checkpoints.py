"""Tables of trained models."""

from __future__ import annotations

import pyarrow as pa

from wavcaps_assets.store.schema import Column, TableSchema
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
            # Retrieval: recalls in percent, the mean of both directions. Captioning: CIDEr-D and others.
            pa.field("scores", NAMED_SCORES, nullable=False),
            pa.field("learning_rate", pa.float64(), nullable=False),
            pa.field("seconds", pa.float64(), nullable=False),
            pa.field("clips_per_second", pa.float64(), nullable=False),
        ]
    )
)

CHECKPOINT = TableSchema(
    "checkpoint",
    "A trained model: where its weights are and how it was trained. One row.",
    (
        Column("model", STRING, "the model, such as `htsat_bert`", derived_from=()),
        Column("setting", STRING, "the experiment's name", derived_from=()),
        Column(
            "weights_path",
            STRING,
            "the safetensors file, relative to the store",
            derived_from=("audio_path", "caption"),
            # The path has the run's name. The version of the asset has a hash of the weights.
            is_data=False,
        ),
        Column(
            "untrained_weights_path",
            STRING,
            "the weights before the first step",
            derived_from=(),
            is_data=False,
        ),
        Column("settings_json", STRING, "all settings of the run, as JSON", derived_from=()),
        Column(
            "manifest_sha256",
            STRING,
            "version of the training manifest: a hash of its rows",
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
            "the epoch with the best validation, whose weights are kept",
            derived_from=("split",),
        ),
        Column("seconds", SECONDS, "duration of the training (s)", derived_from=(), is_data=False),
        Column("device", STRING, "the device that the training ran on", derived_from=(), is_data=False),
        Column("devices", pa.int32(), "number of devices", derived_from=(), is_data=False),
        Column(
            "flops_per_clip",
            pa.float64(),
            "floating-point operations of a training step, per clip",
            derived_from=(),
        ),
        Column(
            "utilisation",
            pa.float64(),
            "share of the devices' peak performance that was reached (MFU)",
            nullable=True,
            derived_from=(),
            is_data=False,
        ),
        Column(
            "tensorboard_path",
            STRING,
            "folder of TensorBoard's files, relative to the store",
            derived_from=(),
            is_data=False,
        ),
        Column(
            "train_clips",
            pa.int32(),
            "clips of the train split that the run has trained on",
            derived_from=("split",),
        ),
        Column(
            "validation_clips",
            pa.int32(),
            "clips of the validation split that it was validated on",
            derived_from=("split",),
        ),
        # It has the measured speed of each epoch.
        Column(
            "learning_curve",
            LEARNING_CURVE,
            "one entry per epoch",
            derived_from=("split",),
            is_data=False,
        ),
        # The version of the asset has a hash of the weights, which depend on these clips.
        Column(
            "unreadable_clips",
            pa.list_(pa.string()),
            "ids of the clips that were left out, because their audio could not be read",
            nullable=True,
            derived_from=("clip_id", "audio_path"),
            is_data=False,
            added_in=2,
        ),
        Column(
            "set_version",
            STRING,
            "the published version of the set that it was trained on; null: of no set, or not known",
            nullable=True,
            derived_from=(),
            added_in=3,
            # The hash of the manifest says what it was trained on.
            is_data=False,
        ),
    ),
    key=("model", "setting"),
)
