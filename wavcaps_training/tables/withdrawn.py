"""The table of clips that a checkpoint was trained on and that were withdrawn since."""

from __future__ import annotations

import pyarrow as pa

from wavcaps_assets.store.schema import Column, TableSchema
from wavcaps_assets.tables.columns import CLIP_ID, SOURCE, STRING

WITHDRAWN_CLIPS_KEY = ("withdrawn_clips",)

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
