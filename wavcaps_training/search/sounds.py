"""A person's own sound as a query: decoded as crawled files are, and not kept."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from wavcaps_assets.audio.limits import AudioLimits, EmptyAudio, TooLong, UnreadableAudio
from wavcaps_assets.audio.normalise import normalise
from wavcaps_training.data import AudioReadError
from wavcaps_training.evaluation.encoder import Encoder, QueryError

LONGEST_S = 600.0


@dataclass(frozen=True)
class Sound:
    """A sound that can be searched with.

    Attributes:
        sha256: of its samples, as 16-bit mono at 32 kHz.
        duration_s: its duration (s).
        vector: (width,) its unit vector.
    """

    sha256: str
    duration_s: float
    vector: np.ndarray


def read_sound(path: Path, encoder: Encoder) -> Sound:
    """Reads a sound file of any format.

    Raises:
        QueryError: it cannot be decoded, is silent, or is longer than `LONGEST_S`.
        OSError: it cannot be read.
    """
    with tempfile.TemporaryDirectory(prefix="wavcaps-search-") as folder:
        flac = Path(folder) / "sound.flac"
        try:
            facts = normalise(path, flac, AudioLimits(longest_s=LONGEST_S))
            vector = encoder.sound(flac, facts.duration_s)
        except TooLong as error:
            raise QueryError(f"the sound is longer than {LONGEST_S / 60:g} minutes") from error
        except (UnreadableAudio, EmptyAudio) as error:
            raise QueryError(f"the sound cannot be read: {error}") from error
        except AudioReadError as error:
            # Its message names the temporary file.
            raise QueryError("the sound cannot be searched with: it is silent, or has no samples") from error
    return Sound(facts.samples_sha256, facts.duration_s, vector)
