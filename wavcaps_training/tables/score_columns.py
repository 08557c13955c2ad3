"""The columns that tables of scores have in common."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa

from wavcaps_assets.store.schema import Column, TableSchema
from wavcaps_assets.tables.columns import STRING

DIRECTION = Column("direction", STRING, "`text_to_audio` or `audio_to_text`", derived_from=())
# What a score is computed from, of upstream tables.
OF_SCORE = ("weights_path", "audio_path", "caption", "split")
OF_BENCHMARK = ("weights_path", "audio_path", "captions", "label", "split")


def interval(
    low: str, high: str, *, derived_from: tuple[str, ...] = OF_SCORE, added_in: int = 1
) -> tuple[Column, Column]:
    """The two ends of a score's interval.

    Args:
        low: a description, like `high`.
    """
    return (
        Column("low", pa.float64(), low, nullable=True, derived_from=derived_from, added_in=added_in),
        Column("high", pa.float64(), high, nullable=True, derived_from=derived_from, added_in=added_in),
    )


def benchmark_scores(
    name: str,
    description: str,
    own: tuple[Column, ...] = (),
    more: tuple[Column, ...] = (),
    key: tuple[str, ...] | None = None,
) -> TableSchema:
    """The table of a task's scores on a benchmark: `scores/<task>/<benchmark>/<model>/<setting>`.

    Args:
        own: what distinguishes the task's rows, beside `model` and `metric`, such as a direction or a class.
        more: other columns of the task.
        key: the columns that identify a row; None: `model`, `own` and `metric`.
    """
    whose = (Column("model", STRING, "`trained`: the checkpoint; or `chance`", derived_from=()),)
    columns = (*whose, *own, *_SCORE, *more, *_CHECKPOINT, *_TRAINED_ON, *_SCORED_ON, *_HOW)
    by_default = ("model", *(column.name for column in own), "metric")
    return TableSchema(name, description, columns, key or by_default)


_SCORE = (
    Column("metric", STRING, "the name of the score, such as `R@1`", derived_from=()),
    Column("value", pa.float64(), "the score; null: not measured", nullable=True, derived_from=OF_BENCHMARK),
    *interval(
        "lower end of the 95 % bootstrap interval over recordings; null: not computed, or chance",
        "upper end of that interval",
        derived_from=OF_BENCHMARK,
    ),
)
_CHECKPOINT = (
    Column(
        "checkpoint",
        STRING,
        "the checkpoint: its model and its setting, such as `htsat_bert/zero_shot`, or the path of its file; "
        "null for chance, like all that is about it",
        nullable=True,
        derived_from=("model", "setting"),
    ),
    Column(
        "weights_sha256",
        STRING,
        "a hash of the weights that were scored",
        nullable=True,
        derived_from=("weights_path",),
    ),
)
_TRAINED_ON = (
    Column(
        "trained_on_sha256",
        STRING,
        "version of the training manifest that the checkpoint was trained on; null: not known",
        nullable=True,
        derived_from=("manifest_sha256",),
    ),
    Column(
        "trained_on_version",
        STRING,
        "the published version of the set that it was trained on; null: of no set, or not known",
        nullable=True,
        derived_from=("set_version",),
        is_data=False,
    ),
    Column(
        "trained_on_benchmark",
        pa.bool_(),
        "whether it, or a checkpoint that it started from, was trained on clips of this benchmark's train "
        "split (of any, if the benchmark has no splits); null: not known",
        nullable=True,
        derived_from=("manifest_sha256",),
    ),
    Column(
        "trained_on_benchmark_why",
        STRING,
        "how that is known, or why it is not",
        nullable=True,
        derived_from=("manifest_sha256",),
        is_data=False,
    ),
    Column(
        "scored_clips_trained_on",
        pa.int32(),
        "how many of the benchmark's scored clips are known to be in its training data; null: not known",
        nullable=True,
        derived_from=("manifest_sha256", "clip_id"),
    ),
)
_SCORED_ON = (
    Column("benchmark", STRING, "the benchmark's name, such as `clotho`"),
    Column("benchmark_version", STRING, "the version of its lists", derived_from=("version",)),
    Column(
        "scored_on_sha256",
        STRING,
        "a hash of the ids, labels and captions of the clips that were scored",
        derived_from=("clip_id", "captions", "label"),
    ),
    Column(
        "listed_sha256",
        STRING,
        "a hash of the ids, labels and captions of all clips that its lists have to score, also of those "
        "without audio; null: older versions did not write it",
        nullable=True,
        derived_from=("clip_id", "captions", "label"),
        added_in=2,
    ),
    Column("clips", pa.int32(), "clips that were scored", derived_from=("clip_id",)),
    Column("unreadable", pa.int32(), "clips whose audio could not be read", derived_from=("audio_path",)),
    Column("missing", pa.int32(), "listed clips whose audio is not there", derived_from=("audio_path",)),
    Column(
        "official_clips",
        pa.int32(),
        "how many clips the benchmark has to score, by its authors; null: not known",
        nullable=True,
        derived_from=(),
    ),
)
_HOW = (
    Column("protocol_name", STRING, "the name of the protocol", nullable=True, derived_from=()),
    Column("protocol", STRING, "how the score was made", nullable=True, derived_from=()),
    Column(
        "device",
        STRING,
        "the device that computed the score",
        nullable=True,
        derived_from=(),
        is_data=False,
    ),
)
_BY_NAME = {column.name: column for column in (*_CHECKPOINT, *_TRAINED_ON, *_HOW)}


def shared_since(added_in: int, *names: str) -> tuple[Column, ...]:
    """Columns of all tables of scores, in a table that got them with a version of its own."""
    return tuple(replace(_BY_NAME[name], added_in=added_in) for name in names)
