"""What three simulated sites have on each day. Made from a seed, and known to the sites alone."""

from __future__ import annotations

import io
import random
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cache

import numpy as np
import soundfile

RATE = 32_000
FREESOUND, BBC, SOUNDBIBLE = "freesound", "bbc_sound_effects", "soundbible"
SITES = (FREESOUND, BBC, SOUNDBIBLE)
LICENCES = {
    FREESOUND: (
        "http://creativecommons.org/publicdomain/zero/1.0/",
        "https://creativecommons.org/licenses/by/4.0/",
        "https://creativecommons.org/licenses/by-nc/4.0/",
    ),
    BBC: ("RemArc",),
    SOUNDBIBLE: ("Public Domain", "Attribution 3.0", "Personal Use Only"),
}
PREFERENCES = ("no-additional-preferences", "open-source-models", "no-gen-ai")
WORDS = ("rain", "thunder", "a dog", "an engine", "a door", "footsteps", "a river", "a bell", "birds", "wind")


class Block(StrEnum):
    """How a site refuses everything for a day."""

    FORBIDDEN = "403"
    CAPTCHA = "captcha"
    BUSY = "503"


class Fault(StrEnum):
    """What happens to the first request of a day for the audio of a sound."""

    CUT = "cut"
    OTHER_VERSION = "206 with another ETag"
    ERROR = "500"


@dataclass(frozen=True)
class Sound:
    """A sound as its site has it on a day.

    Attributes:
        take: which recording it is; another one after the author has replaced the file.
    """

    site: str
    number: int
    created: str
    title: str
    text: str
    author: str
    licence: str
    preference: str | None
    take: int = 1

    @property
    def month(self) -> str:
        return self.created[:7] if self.site == FREESOUND else "catalogue"

    @property
    def audio(self) -> bytes:
        return _audio(self.site, self.number, self.take)


@cache
def _audio(site: str, number: int, take: int) -> bytes:
    """A file of 0.3 to 0.5 s whose sound and length belong to one recording only."""
    draw = random.Random(f"{site} {number} {take}")
    seconds = draw.uniform(0.3, 0.5)
    time = np.arange(int(RATE * seconds)) / RATE
    samples = sum(0.2 * np.sin(2 * np.pi * draw.uniform(200, 4_000) * time) for _ in range(3))
    file = io.BytesIO()
    kind = ("OGG", "VORBIS") if site == FREESOUND else ("WAV", "PCM_16")
    soundfile.write(file, samples, RATE, format=kind[0], subtype=kind[1])
    return file.getvalue()


@dataclass
class World:
    """The sites over some days.

    Attributes:
        sounds: for each day, the sounds of each site, by number.
        blocks: by site and day.
        blanks: the sounds that FreeSound's listing shows as null, by day.
        faults: by site, day and number.
    """

    days: int
    sounds: list[dict[str, dict[int, Sound]]] = field(default_factory=list)
    blocks: dict[tuple[str, int], Block] = field(default_factory=dict)
    blanks: dict[int, set[int]] = field(default_factory=dict)
    faults: dict[tuple[str, int, int], Fault] = field(default_factory=dict)


def make_world(seed: int, days: int, months: list[str], sounds: int) -> World:
    """A world in which every kind of change and fault happens. Nothing happens on the last two days.

    Args:
        sounds: how many a site, or a month of FreeSound, starts with.
    """
    draw = random.Random(seed)
    world = World(days)
    now = {site: _first_sounds(draw, site, months, sounds) for site in SITES}
    used = {site: max(now[site]) for site in SITES}
    calm = days - 2
    # Each site is blocked in another way, and possibly from the first day.
    for site, block in zip(draw.sample(SITES, 3), Block, strict=True):
        world.blocks[site, draw.randrange(calm)] = block
    for day in range(days):
        if 0 < day < calm:
            for site in SITES:
                _change(draw, now[site], used, site, months)
        world.sounds.append({site: dict(now[site]) for site in SITES})
        if day < calm:
            world.blanks[day] = set(draw.sample(sorted(now[FREESOUND]), 2)) if day % 2 else set()
            for site in SITES:
                # Old audio is not requested again, so the faults are mostly seen with new sounds.
                for number in now[site]:
                    if draw.random() < 0.3:
                        world.faults[site, day, number] = draw.choice(list(Fault))
    return world


def _first_sounds(draw: random.Random, site: str, months: list[str], count: int) -> dict[int, Sound]:
    places = months if site == FREESOUND else ["2009-07"]
    made: dict[int, Sound] = {}
    for month in places:
        for _ in range(count):
            number = len(made) + 100
            made[number] = _new(draw, site, number, month)
    return made


def _new(draw: random.Random, site: str, number: int, month: str) -> Sound:
    author = f"{draw.choice(['ann', 'bo', 'cy'])}{number % 3}"
    return Sound(
        site=site,
        number=number,
        created=f"{month}-{draw.randint(1, 28):02d}T12:{draw.randint(10, 59)}:00",
        title=f"{draw.choice(WORDS).title()} {number}",
        text=f"{draw.choice(WORDS)} and {draw.choice(WORDS)}, recording {number}",
        author="BBC" if site == BBC else author,
        licence=draw.choice(LICENCES[site]),
        preference=draw.choice(PREFERENCES) if site == FREESOUND else None,
    )


def _change(
    draw: random.Random, sounds: dict[int, Sound], used: dict[str, int], site: str, months: list[str]
) -> None:
    """A day's changes: one sound leaves, one or two appear, and some are changed."""
    if len(sounds) > 3:
        del sounds[draw.choice(sorted(sounds))]
    for _ in range(draw.randint(1, 2)):
        used[site] += 1
        sounds[used[site]] = _new(
            draw, site, used[site], draw.choice(months) if site == FREESOUND else "2009-07"
        )
    relicensed, reworded, replaced = (draw.choice(sorted(sounds)) for _ in range(3))
    sounds[relicensed] = replace(sounds[relicensed], licence=draw.choice(LICENCES[site]))
    sounds[reworded] = replace(sounds[reworded], text=f"{draw.choice(WORDS)}, new words {draw.randrange(99)}")
    # SoundBible's pages do not say that a file was replaced.
    if site != SOUNDBIBLE:
        sounds[replaced] = replace(sounds[replaced], take=sounds[replaced].take + 1)
    if site == FREESOUND:
        # A preference belongs to the author's account: it changes for all sounds of the author.
        author, preference = draw.choice(list(sounds.values())).author, draw.choice(PREFERENCES)
        for number, sound in sounds.items():
            if sound.author == author:
                sounds[number] = replace(sound, preference=preference)
