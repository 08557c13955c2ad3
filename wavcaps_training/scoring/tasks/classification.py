"""Zero-shot classification (section IV.C, Table VII)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from wavcaps_assets.store.storage import Store
from wavcaps_training.evaluation.prompts import PromptProtocolName
from wavcaps_training.scoring.scored_part import ScoredPart
from wavcaps_training.scoring.task import Scored, ScoringTask
from wavcaps_training.tables import CLASSIFICATION_SCORES

ALL = "all"


class ClassificationScoring(ScoringTask):
    """The class of a clip, by the names of the classes."""

    name = "classification"
    title = "Zero-shot classification: accuracy overall, of each fold and of each class"
    models = "retrieval"
    benchmarks = ("esc50", "urbansound8k", "vggsound")
    # The clips are embedded once, so that all of them cost little more than one.
    protocols = (ALL, *(name.value for name in PromptProtocolName))
    schema = CLASSIFICATION_SCORES

    def score(self, weights: Path, part: ScoredPart, store: Store, device: str, protocol: str) -> Scored:
        from wavcaps_training.scoring.classification import score_classification

        return score_classification(weights, part, store, device, "" if protocol == ALL else protocol)

    def shown_name(self, row: Mapping[str, Any]) -> str:
        return f"{row['metric']}, {row['protocol_name']} (%)" if row["scope"] == "overall" else ""


TASK = ClassificationScoring()
