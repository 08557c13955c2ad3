"""Real clips, and what is done to them to see whether they are found again.

Encoded as Ogg Vorbis (64 kbit/s on average), at 16 kHz, 12 dB louder (and clipped) and quieter, a random half
of the clip, mixed into 15 s of other clips that are 10 dB quieter, and at another speed (1 %).
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile
import soxr

from wavcaps_assets.audio.blocks import Samples
from wavcaps_assets.fingerprints.landmarks import Landmarks, landmarks

RATE = 44_100
# Recordings that ESC-10 has under two numbers.
TWINS = ({"30322", "28314"}, {"151085", "151080"}, {"142605", "142601"})
# Of libsndfile, from 0 to 1: 64 kbit/s on average for these clips.
VORBIS_LEVEL = 0.7
# A half is silence if it is 60 dB below the clip's peak, which is where FFmpeg's `silencedetect` begins.
SILENCE = 1e-6
MIXED = "mixed"


class Clips:
    """Real clips of some folds, and what is done to them.

    Args:
        folder: has `index.jsonl`: on each line `audio`, a path in the folder, `fold`, and `freesound_id`.
        folds: those that are read.
    """

    def __init__(self, folder: Path, folds: tuple[int, ...]) -> None:
        lines = (folder / "index.jsonl").read_text(encoding="utf-8").splitlines()
        rows = [row for row in map(json.loads, lines) if row["fold"] in folds]
        self.recordings = [str(row["freesound_id"]) for row in rows]
        self.sounds = [soundfile.read(folder / row["audio"], dtype="float32")[0] for row in rows]
        self.rng = np.random.default_rng(7)

    def related(self, one: int, other: int) -> bool:
        pair = {self.recordings[one], self.recordings[other]}
        return len(pair) == 1 or pair in TWINS

    def others(self, number: int, seconds: float) -> Samples:
        """Other clips, one after another."""
        order = [one for one in self.rng.permutation(len(self.sounds)) if not self.related(one, number)]
        joined = np.concatenate([self.sounds[one] for one in order])
        wanted = int(seconds * RATE)
        return np.tile(joined, -(-wanted // len(joined)))[:wanted]

    def ogg(self, number: int) -> Landmarks:
        file = io.BytesIO()
        soundfile.write(
            file, self.sounds[number], RATE, format="OGG", subtype="VORBIS", compression_level=VORBIS_LEVEL
        )
        file.seek(0)
        return landmarks([soundfile.read(file, dtype="float32")[0]], RATE)

    def narrow(self, number: int) -> Landmarks:
        return landmarks([in_16_bits(soxr.resample(self.sounds[number], RATE, 16_000))], 16_000)

    def gain(self, number: int, decibels: float) -> Landmarks:
        return landmarks([in_16_bits(self.sounds[number] * 10 ** (decibels / 20))], RATE)

    def half(self, number: int) -> Landmarks:
        sound = self.sounds[number]
        start = self.rng.integers(0, len(sound) // 2)
        cut = sound[start : start + len(sound) // 2]
        if np.mean(cut**2) < np.max(sound**2) * SILENCE:
            return np.zeros(0, np.uint32)
        return landmarks([cut], RATE)

    def mixed(self, number: int) -> Landmarks:
        sound, around = self.sounds[number], self.others(number, 15)
        level = float(np.mean(sound**2)) / 10 / max(float(np.mean(around**2)), 1e-12)
        whole = around * np.float32(level**0.5)
        start = self.rng.integers(0, len(whole) - len(sound))
        whole[start : start + len(sound)] += sound
        return landmarks([in_16_bits(whole / max(1.0, float(np.abs(whole).max())))], RATE)

    def at_speed(self, number: int, faster: float) -> Samples:
        """The clip, played faster by a share of its speed; negative: slower."""
        return np.asarray(soxr.resample(self.sounds[number], RATE * (1 + faster), RATE), np.float32)


def in_16_bits(sound: Samples) -> Samples:
    return (np.round(np.clip(sound, -1, 1) * 32_767) / 32_768).astype(np.float32)


CHANGES: dict[str, Callable[[Clips, int], Landmarks]] = {
    "ogg": Clips.ogg,
    "16 kHz": Clips.narrow,
    "+12 dB": lambda clips, number: clips.gain(number, 12),
    "-12 dB": lambda clips, number: clips.gain(number, -12),
    "half": Clips.half,
    MIXED: Clips.mixed,
    "1 % faster": lambda clips, number: landmarks([clips.at_speed(number, 0.01)], RATE),
    "1 % slower": lambda clips, number: landmarks([clips.at_speed(number, -0.01)], RATE),
}
