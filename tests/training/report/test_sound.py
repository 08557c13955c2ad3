"""The players of the report: what they play is the clip's beginning."""

from __future__ import annotations

import io
from base64 import b64decode
from pathlib import Path

import numpy as np
import soundfile

from wavcaps_assets.store.storage import Store
from wavcaps_training.report.sound import excerpt

RATE = 32_000


def stored(tmp_path: Path, seconds: float) -> tuple[Store, str]:
    time = np.arange(int(seconds * RATE)) / RATE
    # 1 kHz in the first ten seconds, 3 kHz afterwards.
    tone = 0.5 * np.sin(2 * np.pi * np.where(time < 10, 1_000, 3_000) * time)
    store = Store(str(tmp_path))
    with store.writing("audio/clip.flac") as path:
        soundfile.write(path, tone, RATE, format="FLAC")
    return store, "audio/clip.flac"


def test_a_long_clip_is_played_from_its_beginning(tmp_path: Path) -> None:
    sound = excerpt(*stored(tmp_path, 12.0))
    assert sound is not None
    assert (sound.seconds, sound.whole) == (10.0, False)
    kind, data = sound.uri.split(",")
    assert kind == "data:audio/mpeg;base64"
    played, rate = soundfile.read(io.BytesIO(b64decode(data)))
    assert rate == RATE
    # MP3 pads with parts of its frames of 1,152 samples.
    assert abs(len(played) - 10 * RATE) <= 2 * 1_152
    spectrum = np.abs(np.fft.rfft(played * np.hanning(len(played))))
    assert abs(np.argmax(spectrum) * RATE / len(played) - 1_000) < 1
    assert spectrum[round(3_000 * len(played) / RATE)] < spectrum.max() / 100


def test_a_short_clip_is_played_whole(tmp_path: Path) -> None:
    sound = excerpt(*stored(tmp_path, 0.6))
    assert sound is not None
    assert (sound.seconds, sound.whole) == (0.6, True)


def test_a_clip_without_its_file_has_no_player(tmp_path: Path) -> None:
    store, path = stored(tmp_path, 0.6)
    store.remove(path)
    assert excerpt(store, path) is None
    store.write_bytes(path, b"not a sound")
    assert excerpt(store, path) is None
