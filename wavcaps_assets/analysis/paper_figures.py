"""The paper's figures of the data set, as data.

Source: X. Mei et al., "WavCaps: A ChatGPT-Assisted Weakly-Labelled Audio Captioning Dataset for
Audio-Language Multimodal Research" (https://arxiv.org/abs/2303.17395).
"""

from __future__ import annotations

from dataclasses import dataclass

WHOLE_SET = "wavcaps"
PAPER = "https://arxiv.org/abs/2303.17395"


@dataclass(frozen=True)
class SetStatistics:
    """Half a row of Table III: number of clips, mean duration (s), mean words of a text."""

    clips: int | None
    mean_duration_s: float | None
    mean_words: float | None

    @property
    def hours(self) -> float | None:
        """The total duration (h), as precise as the mean."""
        if self.clips is None or self.mean_duration_s is None:
            return None
        return self.clips * self.mean_duration_s / 3600


NOTHING = SetStatistics(None, None, None)


@dataclass(frozen=True)
class SourceStatistics:
    """A row of Table III.

    Attributes:
        source: the source's name in this project; `WHOLE_SET` for the row of all sources.
        row: its name in the table.
        before: the crawled raw data.
        after: the data after processing.
    """

    source: str
    row: str
    before: SetStatistics
    after: SetStatistics


@dataclass(frozen=True)
class UniqueCaptions:
    """Figures of section III.C about equal captions in the whole set; means are in words."""

    captions: int
    unique: int
    once: int
    recurring: int
    mean_words: float
    often_mean_words: float


@dataclass(frozen=True)
class DataSet:
    """The known figures of a data set.

    Attributes:
        clips: number of audio clips.
        approximate: whether `clips` is a round number ("about 50k").
        hours: hours of audio.
        mean_words: mean words of a caption.
        captions_by: who wrote the captions.
        provenance: where each figure comes from.
    """

    data_set: str
    clips: int | None
    approximate: bool
    hours: float | None
    mean_words: float | None
    captions_by: str
    provenance: str


# Table III: Statistics of harvested raw data and WavCaps dataset. A dash there is None here.
TABLE_III = (
    SourceStatistics(
        "freesound",
        "FreeSound",
        SetStatistics(567_078, 56.87, 17.74),
        SetStatistics(262_300, 85.98, 6.77),
    ),
    SourceStatistics(
        "bbc_sound_effects",
        "BBC Sound Effects",
        SetStatistics(33_064, 115.75, 15.91),
        SetStatistics(31_201, 115.04, 9.67),
    ),
    SourceStatistics(
        "soundbible",
        "SoundBible",
        SetStatistics(1_576, 11.20, 17.90),
        SetStatistics(1_232, 13.12, 5.87),
    ),
    SourceStatistics(
        "audioset_sl",
        "AudioSet SL subset",
        SetStatistics(108_317, 10.00, None),
        SetStatistics(108_317, 10.00, 9.79),
    ),
    SourceStatistics(WHOLE_SET, "WavCaps", NOTHING, SetStatistics(403_050, 67.59, 7.80)),
)

# Section III.C, and Table III for the number of captions.
UNIQUE_CAPTIONS = UniqueCaptions(403_050, 330_609, 311_242, 19_367, 7.8, 4.9)

# Table XI: clips of the official LAION-Audio-630K, by origin.
LAION_CLIPS = {
    "FreeSound": 515_581,
    "BBC Sound Effects": 15_973,
    "Free To Use Sounds": 6_370,
    "Sonniss Game Effects": 5_049,
    "We Sound Effects": 488,
    "Paramount Motion Sound Effects": 4_420,
    "Audiostock": 10_000,
    "Epidemic Sound": 75_645,
}

# Table IV was not available. These are the figures in the paper's text and in Tables III and XI. Other
# figures are None, and are shown as empty.
DATA_SETS = (
    DataSet(
        "AudioCaps",
        50_000,
        True,
        None,
        None,
        "people",
        "section II.B: “about 50k audio clips”; one caption a clip, or five for validation and test",
    ),
    DataSet(
        "Clotho",
        6_000,
        True,
        None,
        None,
        "people",
        "section II.B: “around 6k audio clips”, each with five captions",
    ),
    DataSet(
        "WavText5K",
        5_000,
        True,
        None,
        None,
        "the web, as found",
        "section II.B: “5k audio clips and their descriptions”",
    ),
    DataSet(
        "SoundDescs",
        None,
        False,
        None,
        None,
        "the web, as found",
        "sections II.B and III.C: from BBC Sound Effects, with “no processing applied”; no figure there",
    ),
    DataSet(
        "LAION-Audio-630K",
        sum(LAION_CLIPS.values()),
        False,
        None,
        None,
        "the web, as found",
        "Table XI (appendix A): the sum of the official set's eight sources, 515,581 of it from FreeSound; "
        "section III.C says “around 420k” of these",
    ),
    DataSet(
        "WavCaps (the paper's)",
        403_050,
        False,
        403_050 * 67.59 / 3600,
        7.80,
        "ChatGPT",
        "Table III; the hours are its count × its mean duration",
    ),
)
