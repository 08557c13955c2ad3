"""Automated audio captioning (section IV.B, Tables VI and X)."""

from __future__ import annotations

from pathlib import Path

from wavcaps_assets.store.storage import Store
from wavcaps_training.scoring.scored_part import ScoredPart
from wavcaps_training.scoring.task import Scored, ScoringTask
from wavcaps_training.tables import BENCHMARK_CAPTIONING


class CaptioningScoring(ScoringTask):
    """Describing a clip in a sentence."""

    name = "captioning"
    title = "Audio captioning: BLEU, ROUGE-L, METEOR, CIDEr-D, SPICE, SPIDEr, FENSE"
    models = "captioning"
    benchmarks = ("audiocaps", "clotho")
    demo_benchmarks = ("demo_sounds",)
    # Which part of a longer clip is heard (`evaluation.protocols`).
    protocols = ("paper", "released", "middle")
    schema = BENCHMARK_CAPTIONING

    def score(self, weights: Path, part: ScoredPart, store: Store, device: str, protocol: str) -> Scored:
        from wavcaps_training.scoring.captioning import score_captioning

        return score_captioning(weights, part, store, device, protocol)


TASK = CaptioningScoring()
