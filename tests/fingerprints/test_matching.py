"""The same recording is found again; two recordings of one beep are for people to look at."""

from __future__ import annotations

import numpy as np
import soxr

from tests.fingerprints.test_landmarks import noise
from wavcaps_assets.audio.blocks import Samples
from wavcaps_assets.fingerprints.index import HashIndex
from wavcaps_assets.fingerprints.landmarks import RATE, Landmarks, landmarks
from wavcaps_assets.fingerprints.matching import Match, MatchSettings, matches


def of(signal: Samples, rate: int = RATE) -> Landmarks:
    return landmarks([signal], rate)


def found(clips: list[Landmarks], indexed: list[Landmarks]) -> list[Match]:
    return list(matches(clips, HashIndex([indexed]), indexed, MatchSettings()))


def alarm(seconds: float, late_s: float) -> Samples:
    """An alarm clock: tones of seven pitches, eight a second, with pauses."""
    time_s = np.arange(int(seconds * RATE)) / RATE + late_s
    pitch = 1500 + 300 * ((time_s * 8).astype(int) * 5 % 7)
    sounds = ((time_s * 8) % 1 < 0.6) & (time_s % 2 < 1.2)
    return (np.sin(2 * np.pi * pitch * time_s) * sounds).astype(np.float32)


def test_what_is_done_to_a_recording() -> None:
    benchmark = [noise(5, seed=seed) for seed in range(8)]
    background = noise(20, seed=50)
    changed = [
        benchmark[0] * 0.25,
        soxr.resample(benchmark[1], RATE, 44_100),
        benchmark[2][37_123:],
        np.concatenate(
            [background[: 7 * RATE], benchmark[3] + 0.1 * noise(5, seed=51), background[7 * RATE :]]
        ),
        noise(5, seed=52),
    ]
    rates = [RATE, 44_100, RATE, RATE, RATE]
    clips = [of(signal, rate) for signal, rate in zip(changed, rates, strict=True)]
    pairs = found(clips, [of(signal) for signal in benchmark])
    assert [(match.clip, match.indexed, match.verdict) for match in pairs] == [
        (number, number, "same") for number in range(4)
    ]
    assert np.allclose([match.offset_s for match in pairs], [0, 0, -37_123 / RATE, 7], atol=0.02)


def test_two_recordings_of_one_alarm_clock_are_for_review() -> None:
    one, two = (alarm(8, late) + 0.02 * noise(8, seed=seed) for late, seed in ((0.0, 60), (0.5, 61)))
    pairs = found([of(one)], [of(two)])
    assert [match.verdict for match in pairs] == ["review"]
    # With what is around the beeps, the same recording is recognized.
    again = found([of(one[20_000:])], [of(one)])
    assert [match.verdict for match in again] == ["same"]


def test_steady_sounds_are_not_each_other() -> None:
    time_s = np.arange(6 * RATE) / RATE
    tones = [
        of((np.sin(2 * np.pi * 440 * time_s + phase) + 0.001 * noise(6, seed=seed)).astype(np.float32))
        for phase, seed in ((0.0, 1), (1.0, 2))
    ]
    silence, pure = of(np.zeros(RATE, np.float32)), of(np.sin(2 * np.pi * 440 * time_s).astype(np.float32))
    pairs = found([tones[0], silence, pure], [tones[1], silence, pure[:-1]])
    assert not [match for match in pairs if match.verdict == "same" and (match.clip, match.indexed) != (2, 2)]
