"""The training sets of the paper's experiments, as data."""

from __future__ import annotations

from dataclasses import dataclass, field

from wavcaps_assets.benchmark_sets.folders import AUDIOCAPS
from wavcaps_assets.benchmark_sets.presets import (
    CLOTHO,
    EVALUATED,
    PRE_TRAINING,
    ZERO_SHOT,
    ZERO_SHOT_CLASSIFICATION,
    Preset,
)

LAION = "laion"
FREESOUND = "freesound"


@dataclass(frozen=True)
class TrainingSet:
    """A training set.

    Attributes:
        name: the second part of its asset's key.
        description: for people.
        own: your own data sets whose train split it contains.
        pipeline: what it contains of this pipeline: `wavcaps`, or a stage of FreeSound; None for nothing.
        excluded: the benchmarks whose clips it must not contain; None: only those that it is evaluated on.
        evaluated_on: your own data sets whose validation and test splits it contains.
        upstream: keys of the assets that it reads.
    """

    name: str
    description: str
    own: tuple[str, ...] = ()
    pipeline: str | None = None
    excluded: Preset | None = None
    evaluated_on: tuple[str, ...] = (AUDIOCAPS, CLOTHO)
    upstream: tuple[tuple[str, ...], ...] = field(default=())

    @property
    def compared_with(self) -> tuple[str, ...]:
        """The benchmarks that its train split must be free of."""
        excluded = () if self.excluded is None else self.excluded.excluded
        return tuple(dict.fromkeys((*self.evaluated_on, *excluded)))

    def excluded_splits(self, benchmark: str) -> frozenset[str]:
        """The splits of a benchmark whose clips its train split must not contain."""
        excluded = (
            frozenset() if self.excluded is None else self.excluded.excluded.get(benchmark, frozenset())
        )
        return excluded | EVALUATED if benchmark in self.evaluated_on else excluded


BEFORE_STAGE_1, AFTER_STAGE_1, AFTER_STAGE_3 = (
    "freesound_before_stage_1",
    "freesound_after_stage_1",
    "freesound_after_stage_3",
)
AUDIO = (FREESOUND, "audio")
SETS = {
    training_set.name: training_set
    for training_set in (
        TrainingSet("audiocaps_clotho", "AudioCaps and Clotho, merged: the baselines", (AUDIOCAPS, CLOTHO)),
        TrainingSet("audiocaps", "AudioCaps alone: fine-tuning", (AUDIOCAPS,), evaluated_on=(AUDIOCAPS,)),
        TrainingSet("clotho", "Clotho alone: fine-tuning", (CLOTHO,), evaluated_on=(CLOTHO,)),
        TrainingSet(
            "wavcaps_zero_shot",
            "WavCaps without any clip of AudioCaps and Clotho: zero-shot",
            pipeline="wavcaps",
            excluded=ZERO_SHOT,
            upstream=(("wavcaps",),),
        ),
        TrainingSet(
            "wavcaps_audiocaps_clotho",
            "WavCaps, AudioCaps and Clotho, without the evaluation clips of the two: pre-training",
            (AUDIOCAPS, CLOTHO),
            "wavcaps",
            PRE_TRAINING,
            upstream=(("wavcaps",),),
        ),
        TrainingSet(
            "wavcaps_classification",
            "WavCaps, AudioCaps and Clotho, without ESC-50, UrbanSound8K and VGGSound's test set: zero-shot "
            "classification (Table VII)",
            (AUDIOCAPS, CLOTHO),
            "wavcaps",
            ZERO_SHOT_CLASSIFICATION,
            upstream=(("wavcaps",),),
        ),
        TrainingSet(
            "laion_zero_shot", "LAION-Audio-630K instead of WavCaps: zero-shot", (LAION,), excluded=ZERO_SHOT
        ),
        TrainingSet(
            "laion_audiocaps_clotho",
            "LAION-Audio-630K instead of WavCaps: pre-training",
            (LAION, AUDIOCAPS, CLOTHO),
            excluded=PRE_TRAINING,
        ),
        TrainingSet(
            BEFORE_STAGE_1,
            "FreeSound's raw descriptions, before stage 1 (Table IX)",
            pipeline=BEFORE_STAGE_1,
            excluded=ZERO_SHOT,
            upstream=((FREESOUND, "raw_clips"), AUDIO),
        ),
        TrainingSet(
            AFTER_STAGE_1,
            "FreeSound's raw descriptions, after stage 1 (Tables IX and X)",
            pipeline=AFTER_STAGE_1,
            excluded=ZERO_SHOT,
            upstream=(("filtered_clips",), AUDIO),
        ),
        TrainingSet(
            AFTER_STAGE_3,
            "FreeSound's captions, after stage 3 (Tables IX and X)",
            pipeline=AFTER_STAGE_3,
            excluded=ZERO_SHOT,
            upstream=(("manifest",),),
        ),
    )
}
