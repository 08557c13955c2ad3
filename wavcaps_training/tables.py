"""The tables of this package: checkpoints, scores, the comparison with the paper."""

from __future__ import annotations

import pyarrow as pa

from wavcaps_assets.store.schema import Column, TableSchema
from wavcaps_assets.tables import register_schemas
from wavcaps_assets.tables.columns import CLIP_ID, SECONDS, SOURCE, STRING

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

AUDIO_EMBEDDINGS = TableSchema(
    "audio_embeddings",
    "What a pretrained audio encoder makes of each published clip. Clips whose audio could not be read are "
    "left out.",
    (
        CLIP_ID,
        Column("samples_sha256", STRING, "SHA-256 of the samples that it was computed from"),
        Column(
            "features_version",
            STRING,
            "a hash of the encoder's settings and weights, and of how long clips are cropped",
            derived_from=(),
        ),
        Column("embedding", pa.list_(pa.float32()), "the encoder's vector", derived_from=("samples_sha256",)),
    ),
)

RETRIEVAL_SCORES = TableSchema(
    "retrieval_scores",
    "Audio-language retrieval on the test split, in both directions: R@k, mAP@10 and the median rank.",
    (
        Column("model", STRING, "`trained`, `untrained` or `chance`", derived_from=("weights_path",)),
        Column("direction", STRING, "`text_to_audio` or `audio_to_text`", derived_from=()),
        Column("metric", STRING, "`R@1`, `R@5`, `R@10`, `mAP@10` or `median rank`", derived_from=()),
        Column(
            "value",
            pa.float64(),
            "the score, in percent; a median rank counts from 1",
            derived_from=("weights_path", "audio_path", "caption", "split"),
        ),
        Column("clips", pa.int32(), "clips of the test split that were scored", derived_from=("split",)),
        Column(
            "low",
            pa.float64(),
            "lower end of the 95 % bootstrap interval over test clips; null for chance",
            nullable=True,
            derived_from=("weights_path", "audio_path", "caption", "split"),
            added_in=2,
        ),
        Column(
            "high",
            pa.float64(),
            "upper end of that interval; null for chance",
            nullable=True,
            derived_from=("weights_path", "audio_path", "caption", "split"),
            added_in=2,
        ),
        Column(
            "checkpoint",
            STRING,
            "the checkpoint: its model and its experiment, such as `htsat_bert/pretrained`; null for chance",
            nullable=True,
            derived_from=("model", "setting"),
            added_in=2,
        ),
        Column(
            "weights_sha256",
            STRING,
            "a hash of the weights that were scored; null for chance",
            nullable=True,
            derived_from=("weights_path",),
            added_in=2,
        ),
        Column(
            "trained_on_sha256",
            STRING,
            "version of the training manifest that the checkpoint was trained on; null for chance",
            nullable=True,
            derived_from=("manifest_sha256",),
            added_in=2,
        ),
        Column(
            "scored_on_sha256",
            STRING,
            "version of the training manifest whose test split was scored",
            nullable=True,
            derived_from=("clip_id", "caption", "split"),
            added_in=2,
        ),
        Column(
            "protocol",
            STRING,
            "how candidates are ranked, what counts as correct, and how clips are cropped",
            nullable=True,
            derived_from=(),
            added_in=2,
        ),
        Column(
            "device",
            STRING,
            "the device that computed the score; null for chance",
            nullable=True,
            derived_from=(),
            added_in=2,
            is_data=False,
        ),
        Column(
            "unreadable",
            pa.int32(),
            "clips of the test split that were left out, because their audio could not be read",
            nullable=True,
            derived_from=("split", "audio_path"),
            added_in=3,
        ),
        Column(
            "trained_on_version",
            STRING,
            "the published version of the set that the checkpoint was trained on",
            nullable=True,
            derived_from=("set_version",),
            added_in=4,
            is_data=False,
        ),
        Column(
            "scored_on_version",
            STRING,
            "the published version of the set whose test split was scored",
            nullable=True,
            derived_from=(),
            added_in=4,
            is_data=False,
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
        Column("direction", STRING, "`text_to_audio` or `audio_to_text`", derived_from=()),
        Column("metric", STRING, "`R@1`, `R@5`, `R@10`, `mAP@10` or `median rank`", derived_from=()),
        Column(
            "value",
            pa.float64(),
            "the score, in percent; a median rank counts from 1",
            derived_from=("weights_path", "audio_path", "caption", "split"),
        ),
        Column(
            "low",
            pa.float64(),
            "lower end of the 95 % bootstrap interval over test clips; of the mean, over seeds and clips",
            nullable=True,
            derived_from=("weights_path", "audio_path", "caption", "split"),
        ),
        Column(
            "high",
            pa.float64(),
            "upper end of that interval",
            nullable=True,
            derived_from=("weights_path", "audio_path", "caption", "split"),
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
        Column(
            "weights_sha256",
            STRING,
            "a hash of the checkpoint's weights, whose settings the other seeds have",
            nullable=True,
            derived_from=("weights_path",),
            added_in=2,
        ),
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

PAPER_COMPARISON = TableSchema(
    "paper_comparison",
    "The paper's figures next to this run's.",
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
        Column("comparable", pa.bool_(), "whether the two figures can be compared", derived_from=("metric",)),
        Column("note", STRING, "why, or why not", derived_from=("metric",)),
    ),
    key=("table", "row", "column"),
)

WITHDRAWN_CLIPS = TableSchema(
    "withdrawn_clips",
    "Clips that a checkpoint was trained on, and whose licence or preference does not permit a use any more, "
    "or which were removed since: because of one, or by their source.",
    (
        Column("model", STRING, "the checkpoint's model", derived_from=()),
        Column("setting", STRING, "the checkpoint's experiment", derived_from=()),
        CLIP_ID,
        SOURCE,
        Column("change", STRING, "`relicensed`, `preference_changed` or `removed`", derived_from=()),
        Column(
            "why", STRING, "of a removed clip: `licence`, `preference`, `gone` or `unknown`", nullable=True
        ),
        Column("before", STRING, "the licence or preference that it had", nullable=True, derived_from=()),
        Column("after", STRING, "the one that it has", nullable=True, derived_from=()),
        Column(
            "uses_lost",
            pa.list_(pa.string()),
            "the uses that are not permitted any more, such as `commercial`",
            derived_from=("licence_id", "gen_ai_preference"),
        ),
        Column(
            "split",
            STRING,
            "the part of the split that it was in; null: not known",
            nullable=True,
            derived_from=("split",),
        ),
        Column("set_version", STRING, "the version of the set that was trained on"),
        Column(
            "through",
            STRING,
            "the checkpoint that this one started from, which was trained on the clip; null: itself",
            nullable=True,
            derived_from=(),
        ),
        Column("detail", STRING, "what is known besides, for people", nullable=True, is_data=False),
    ),
    key=("model", "setting", "clip_id", "change"),
)

RETRIEVAL_SCORES_KEY = ("scores", "retrieval")
# The scores of an experiment that is not the one in the report: `scores/<model>/<setting>`.
SCORES_OF_EXPERIMENTS = "scores"
SEED_SCORES_KEY = ("scores", "seeds")
EMBEDDINGS_FOLDER = "audio_embeddings"
PAPER_COMPARISON_KEY = ("paper_comparison",)
WITHDRAWN_CLIPS_KEY = ("withdrawn_clips",)

register_schemas(
    {
        "checkpoint": CHECKPOINT,
        EMBEDDINGS_FOLDER: AUDIO_EMBEDDINGS,
        "/".join(RETRIEVAL_SCORES_KEY): RETRIEVAL_SCORES,
        SCORES_OF_EXPERIMENTS: RETRIEVAL_SCORES,
        "/".join(SEED_SCORES_KEY): SEED_SCORES,
        "/".join(PAPER_COMPARISON_KEY): PAPER_COMPARISON,
        "/".join(WITHDRAWN_CLIPS_KEY): WITHDRAWN_CLIPS,
    }
)
