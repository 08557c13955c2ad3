"""Which clips of which benchmarks a training set must not contain: the paper's three presets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from wavcaps_assets.benchmark_sets.exclusion_lists import ALL, CLASSIFICATION, EVALUATION
from wavcaps_assets.benchmark_sets.folders import AUDIOCAPS

CLOTHO = "clotho"
EVERY_SPLIT = frozenset({"train", "validation", "test", "none"})
EVALUATED = frozenset({"validation", "test"})


@dataclass(frozen=True)
class Preset:
    """What is excluded.

    Attributes:
        name: for people.
        excluded: by benchmark, the splits whose clips are excluded. Entries of a released list that does not
            say which split they are of have the split `none`.
        released_list: the released list for it, which must be there.
    """

    name: str
    excluded: Mapping[str, frozenset[str]]
    released_list: str


# Sections IV.A and IV.B: zero-shot models have heard no clip of AudioCaps and Clotho, and pre-trained ones no
# clip that they are evaluated on.
ZERO_SHOT = Preset("zero-shot", {AUDIOCAPS: EVERY_SPLIT, CLOTHO: EVERY_SPLIT}, ALL)
PRE_TRAINING = Preset("pre-training", {AUDIOCAPS: EVALUATED, CLOTHO: EVALUATED}, EVALUATION)
# Section IV.C: all clips of ESC-50 and UrbanSound8K, and the test set of VGGSound.
ZERO_SHOT_CLASSIFICATION = Preset(
    "classification",
    {"esc50": EVERY_SPLIT, "urbansound8k": EVERY_SPLIT, "vggsound": frozenset({"test", "none"})},
    CLASSIFICATION,
)
