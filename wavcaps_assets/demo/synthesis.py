"""Synthesised clips: the whole corpus where no real one is available, and a few bad ones on purpose."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile

from wavcaps_assets.demo.clips import CC0, DEMO_AUTHOR, Corpus, DemoClip, Source
from wavcaps_assets.demo.opensfx import created_date
from wavcaps_assets.demo.scenes import SAMPLE_RATE, Component, decibels, make_scenes

Samples = npt.NDArray[np.float64]

FIRST_ID = {Source.FREESOUND: 9_500_001, Source.SOUNDBIBLE: 9501, Source.BBC: 99500001}
FIRST_ADDITION_ID = 9_900_001
SYNTHESISER = "wavcaps synthesiser"
FADE_S = 0.02
SYNTHESIS_PEAK_DB = -6.0
# Kinds of sound as AudioSet names them.
SINE, CHIRP, NOISE = (
    ("Sine wave", "/m/01v_m0"),
    ("Chirp tone", "/m/0hdsk"),
    ("White noise, pink noise", "/m/0chx_"),
)
CLICK, BEEP, HUM = ("Clicking", "/m/07qc9xj"), ("Beep, bleep", "/m/02fs_r"), ("Hum", "/m/07rcgpl")
PULSE, WOBBLE = ("Pulse", "/m/07pt_g0"), ("Wobble", "/m/07pk7mg")


def _times(duration_s: float) -> Samples:
    return np.arange(round(duration_s * SAMPLE_RATE)) / SAMPLE_RATE


def _tone(t: Samples, hz: float, _: np.random.Generator) -> Samples:
    return np.sin(2 * np.pi * hz * t)


def _rising(t: Samples, hz: float, _: np.random.Generator) -> Samples:
    return np.sin(2 * np.pi * hz * (t + 1.5 * t**2 / t[-1]))


def _falling(t: Samples, hz: float, rng: np.random.Generator) -> Samples:
    return _rising(t, hz, rng)[::-1]


def _noise(t: Samples, _: float, rng: np.random.Generator) -> Samples:
    return rng.normal(size=t.size)


def _clicks(t: Samples, hz: float, rng: np.random.Generator) -> Samples:
    return _noise(t, hz, rng) * (t % 0.25 < 0.004)


def _beeps(t: Samples, hz: float, rng: np.random.Generator) -> Samples:
    return _tone(t, hz, rng) * (t % 0.5 < 0.2)


def _hum(t: Samples, hz: float, rng: np.random.Generator) -> Samples:
    return sum((_tone(t, hz / 8 * k, rng) / k for k in (1, 2, 3, 5)), start=np.zeros_like(t))


def _pulses(t: Samples, hz: float, rng: np.random.Generator) -> Samples:
    return _tone(t, hz / 4, rng) * np.exp(-8 * (t % 0.6))


def _wobble(t: Samples, hz: float, _: np.random.Generator) -> Samples:
    return np.sin(2 * np.pi * hz * t + 20 * np.sin(2 * np.pi * 3 * t))


Voice = Callable[[Samples, float, np.random.Generator], Samples]
# The function, the description, and the AudioSet label.
KINDS: tuple[tuple[Voice, str, tuple[str, str]], ...] = (
    (_tone, "tone humming steadily", SINE),
    (_rising, "tone rising", CHIRP),
    (_noise, "noise hissing", NOISE),
    (_clicks, "clicks ticking fast", CLICK),
    (_beeps, "alarm beeping", BEEP),
    (_hum, "machine humming", HUM),
    (_falling, "tone falling", CHIRP),
    (_pulses, "tone pulsing slowly", PULSE),
    (_wobble, "siren wailing", WOBBLE),
)
PITCHES = (("Deep", 220.0), ("Low", 440.0), ("High", 880.0), ("Very high", 1760.0), ("Shrill", 2640.0))
NOT_PITCHED = (_noise, _clicks)


def synthesise(index: int) -> tuple[str, tuple[str, str], Samples]:
    """The index-th sound: its description, its AudioSet name and MID, and mono samples at 32 kHz."""
    voice, described, label = KINDS[index % len(KINDS)]
    pitch, hz = PITCHES[index // len(KINDS) % len(PITCHES)]
    duration_s = 1.0 + 0.25 * (index % 8)
    t = _times(duration_s)
    samples = voice(t, hz, np.random.default_rng(index))
    envelope = np.minimum(1, np.minimum(t, t[::-1]) / FADE_S)
    samples = samples * envelope
    named = described.capitalize() if voice in NOT_PITCHED else f"{pitch} {described}"
    return (
        f"{named}. {duration_s:g} seconds.",
        label,
        samples * (decibels(SYNTHESIS_PEAK_DB) / np.abs(samples).max()),
    )


def synthesised_corpus(
    folder: Path, *, clips: int = 40, scenes: int = 60, seed: int = 0, reason: str = ""
) -> Corpus:
    """Makes a corpus of synthesised sounds with true texts, dealt to the sources in turn.

    Args:
        folder: the corpus is written there; created if absent.
        clips: clips of FreeSound, SoundBible and the BBC together, without the bad ones.
        scenes: clips of the AudioSet-like source.
        seed: of the scenes.
        reason: why there is no real corpus.
    """
    (folder / "clips").mkdir(parents=True, exist_ok=True)
    made, components = [], []
    turns = (Source.FREESOUND, Source.SOUNDBIBLE, Source.BBC)
    for index in range(clips):
        text, (name, mid), samples = synthesise(index)
        source = turns[index % len(turns)]
        audio = f"clips/synthesised-{index:03d}.wav"
        soundfile.write(folder / audio, samples, SAMPLE_RATE, subtype="PCM_16")
        clip = DemoClip(
            source=source,
            source_id=str(FIRST_ID[source] + index),
            origin=f"synthesised/{index:03d}",
            audio=audio,
            duration_s=samples.size / SAMPLE_RATE,
            title=text.partition(".")[0],
            text=f"{text} License: Creative Commons Zero 1.0." if source is Source.FREESOUND else text,
            category="Synthesised",
            author=SYNTHESISER,
            licence=CC0,
            created=created_date(index, clips),
            recordings=(f"synthesised-{index:03d}",),
        )
        made.append(clip)
        components.append(Component(clip, folder / audio, name, mid))
    made += bad_input(folder)
    made += make_scenes(components, made, folder, scenes, seed)
    corpus = Corpus(root=folder, clips=tuple(made), synthesised=True, reason=reason)
    corpus.save()
    return corpus


def bad_input(folder: Path) -> list[DemoClip]:
    """Three FreeSound uploads that a pipeline must drop: no audio, another language, no text."""
    (folder / "clips").mkdir(parents=True, exist_ok=True)
    cases = (
        ("audio that is missing", "lost-tone.wav", "A quiet tone that the server has lost.", False),
        (
            "text in German",
            "ton.wav",
            "Ein leiser Ton, der langsam lauter wird und dann wieder verklingt. Für die Vorführung gemacht.",
            True,
        ),
        # A file name of a recorder, which describes nothing either.
        ("no text", "20220917_0012.wav", "", True),
    )
    clips = []
    for index, (what, title, text, has_audio) in enumerate(cases):
        audio = f"clips/bad-input-{index}.wav"
        samples = np.sin(2 * np.pi * 330 * (index + 1) * _times(2.0)) * np.hanning(2 * SAMPLE_RATE)
        if has_audio:
            soundfile.write(
                folder / audio, decibels(SYNTHESIS_PEAK_DB) * samples, SAMPLE_RATE, subtype="PCM_16"
            )
        clips.append(
            DemoClip(
                source=Source.FREESOUND,
                source_id=str(FIRST_ADDITION_ID + index),
                origin=f"{DEMO_AUTHOR}/{what}",
                audio=audio if has_audio else None,
                duration_s=samples.size / SAMPLE_RATE,
                title=title,
                text=text,
                category=DEMO_AUTHOR,
                author=DEMO_AUTHOR,
                licence=CC0,
                created=created_date(index, 2 * len(cases)),
                recordings=(f"{DEMO_AUTHOR}-{index}",),
            )
        )
    return clips
