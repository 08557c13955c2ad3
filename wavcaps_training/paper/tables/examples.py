"""Table II: examples of raw descriptions and what ChatGPT made of them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ExampleTexts:
    """A pair of texts of Table II.

    Attributes:
        source: the source's name in this project.
        row: its name in the table.
        text: the raw description; of AudioSet, the labels.
        caption: the answer.
    """

    source: str
    row: str
    text: str
    caption: str


TABLE_II = (
    ExampleTexts(
        "freesound",
        "FreeSound",
        "This sound is of a book falling down the staircase in the Stanford University library west stacks.",
        "A book is falling down a staircase.",
    ),
    ExampleTexts("freesound", "FreeSound", "After 2h and 15min. Excerpt.", "Failure."),
    ExampleTexts(
        "bbc_sound_effects",
        "BBC Sound Effects",
        "Timber & Wood - Rip saw, carpenters’ workshop.",
        "Someone is using a rip saw in a carpenter’s workshop.",
    ),
    ExampleTexts(
        "bbc_sound_effects",
        "BBC Sound Effects",
        "Motor Car: Ford Escort 1300 (Automatic) - Ford Escort 1300, exterior, passing with horn. (1300cc "
        "engine, automatic transmission.)",
        "A car is passing with its horn.",
    ),
    ExampleTexts(
        "soundbible",
        "SoundBible",
        "Tasmanian Devil growling screaming hissing. Warning sounds from a Tasmanian Devil in Zoo.",
        "An animal is growling, screaming, and hissing.",
    ),
    ExampleTexts(
        "soundbible",
        "SoundBible",
        "Large Tibetan Bells ringing in a temple. Could also use for Monastery or Monks.",
        "Bells are ringing.",
    ),
    ExampleTexts(
        "audioset_sl",
        "AudioSet SL",
        "['Accelerating, revving, vroom', 'Race car, auto racing']",
        "A race car is accelerating and revving.",
    ),
    ExampleTexts(
        "audioset_sl",
        "AudioSet SL",
        "['Female speech, woman speaking', 'Whoosh, swoosh, swish']",
        "A woman is speaking while something whooshes.",
    ),
)
