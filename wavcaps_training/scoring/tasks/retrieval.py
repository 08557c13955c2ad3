"""Audio-language retrieval (section IV.A, Tables V and IX)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from wavcaps_assets.store.storage import Store
from wavcaps_training.evaluation.directions import DIRECTIONS
from wavcaps_training.scoring.scored_part import ScoredPart
from wavcaps_training.scoring.task import Scored, ScoringTask
from wavcaps_training.tables import BENCHMARK_RETRIEVAL


class RetrievalScoring(ScoringTask):
    """Finding a clip by its caption, and a caption by its clip."""

    name = "retrieval"
    title = "Audio-language retrieval, both ways: R@k, mAP@10 and the median rank"
    models = "retrieval"
    benchmarks = ("audiocaps", "clotho")
    demo_benchmarks = ("demo_sounds",)
    # The first is the paper's (`evaluation.protocols`).
    protocols = ("paper", "released", "windows", "middle")
    schema = BENCHMARK_RETRIEVAL

    def score(self, weights: Path, part: ScoredPart, store: Store, device: str, protocol: str) -> Scored:
        from wavcaps_training.scoring.retrieval import score_retrieval

        return score_retrieval(weights, part, store, device, protocol)

    def shown_name(self, row: Mapping[str, Any]) -> str:
        return f"{row['metric']}, {DIRECTIONS[row['direction']]}"


TASK = RetrievalScoring()
