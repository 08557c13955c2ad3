"""Text-based sound generation (section IV.D, Table VIII)."""

from __future__ import annotations

from pathlib import Path

from wavcaps_assets.store.storage import Store
from wavcaps_training.scoring.scored_part import ScoredPart
from wavcaps_training.scoring.task import Scored, ScoringTask
from wavcaps_training.tables import BENCHMARK_GENERATION


class GenerationScoring(ScoringTask):
    """Making sounds from texts."""

    name = "generation"
    title = "Text to sound: FAD, FD, IS, KL, CLAP score, Fréchet distance"
    models = "generation"
    benchmarks = ("audiocaps",)
    demo_benchmarks = ("demo_sounds",)
    # Which checkpoint of the run samples, and how (`scoring.generation`).
    protocols = ("validation", "paper", "quick")
    schema = BENCHMARK_GENERATION

    def score(self, weights: Path, part: ScoredPart, store: Store, device: str, protocol: str) -> Scored:
        from wavcaps_training.scoring.generation import score_generation

        return score_generation(weights, part, store, device, protocol)


TASK = GenerationScoring()
