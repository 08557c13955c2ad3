"""The sound of the report's examples, inside the page: it plays offline, and from any store."""

from __future__ import annotations

import io
from base64 import b64encode
from dataclasses import dataclass

import numpy as np
import soundfile

from wavcaps_assets.store.storage import MissingFile, Store

# Of a long clip, the page has the beginning: a BBC clip can last an hour.
EXCERPT_S = 10.0
# libsndfile's scale from 0 (best) to 1 (smallest); noise then takes 7 kB a second, other sound less.
COMPRESSION = 0.9


@dataclass(frozen=True)
class Sound:
    """The sound of a clip.

    Attributes:
        uri: an MP3 file as a `data:` URI.
        seconds: its duration (s).
        whole: whether it is the whole clip, not its beginning.
    """

    uri: str
    seconds: float
    whole: bool


def excerpt(store: Store, audio_path: str) -> Sound | None:
    """The first ten seconds of a clip; None if its file is missing or cannot be read.

    Args:
        audio_path: its FLAC file, relative to the store.

    Raises:
        StoreError: the store cannot be reached.
    """
    try:
        with store.reading(audio_path) as path, soundfile.SoundFile(path) as file:
            frames = int(EXCERPT_S * file.samplerate)
            samples, rate, whole = file.read(frames, dtype="float32"), file.samplerate, file.frames <= frames
    except (MissingFile, soundfile.LibsndfileError):
        return None
    if not len(samples):
        return None
    # A decoded MP3 can exceed full scale a little; the encoder needs no louder input.
    encoded = io.BytesIO()
    soundfile.write(encoded, np.clip(samples, -1, 1), rate, format="MP3", compression_level=COMPRESSION)
    uri = f"data:audio/mpeg;base64,{b64encode(encoded.getvalue()).decode()}"
    return Sound(uri, len(samples) / rate, whole)
