"""The table of scores of checkpoints that were scored by their paths."""

from __future__ import annotations

from wavcaps_assets.store.schema import Column
from wavcaps_assets.tables.columns import STRING
from wavcaps_training.tables.score_columns import benchmark_scores

FILE_SCORES_KEY = ("scores", "files")

FILE_SCORES = benchmark_scores(
    "file_scores",
    "Checkpoints that were scored by the paths of their files, at all tasks that they are for.",
    own=(
        Column("task", STRING, "the task, such as `retrieval`", derived_from=()),
        Column("score", STRING, "the score, with its direction or class, as people see it", derived_from=()),
    ),
    key=("weights_sha256", "task", "benchmark", "protocol_name", "score"),
)
