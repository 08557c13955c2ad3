"""A person's folder of sounds with a messy list, and what must become of each file of it."""

from __future__ import annotations

import csv
import io
import json
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile

from tests.support.paths import DATA

Samples = npt.NDArray[Any]

PUBLISHED = "published"
COLUMNS = ("file", "title", "description", "tags", "author", "licence", "recording")
LONG_RATE = 8_000
CUT_IN_TWO = 160
# ESC-10 fills short clips up with silence. A silent half sounds the same when it is played backwards.
QUIETEST = 0.01
# Folders of clips, some with umlauts and spaces, composed and decomposed as a Mac has them.
FOLDERS = ("", "day 1/", "Geräusche/Tür & Tor/", unicodedata.normalize("NFD", "Übung/"), "a/b/c/")
SENTENCES = {
    "Dog bark": "A dog barks",
    "Rain": "Rain falls steadily",
    "Sea waves": "Sea waves break on the shore",
    "Baby cry": "A baby cries",
    "Clock tick": "A clock ticks",
    "Person sneeze": "A person sneezes",
    "Helicopter": "A helicopter flies past",
    "Chainsaw": "A chainsaw cuts wood",
    "Rooster": "A rooster crows",
    "Fire crackling": "A fire crackles",
}
# Fewer than there are clips: descriptions are repeated.
PLACES = (
    *("while the wind blows", "while birds sing", "while people talk", "in the distance", "in a hall"),
    *("near a road", "in a forest", "behind a house", "at night", "on a farm", "in a garden", "by a lake"),
    "while music plays",
)


@dataclass(frozen=True)
class Clip:
    """A file, its row, and what must become of it.

    Attributes:
        file: path inside the folder, as on the disk.
        sound: samples and their rate (Hz), or the bytes of a file that is not a sound; None: no file.
        fate: `published`, or the reason code.
        in_list: whether the list has a row of it.
    """

    file: str
    sound: tuple[Samples, int] | bytes | None
    description: str = ""
    title: str = ""
    recording: str = ""
    fate: str = PUBLISHED
    in_list: bool = True


@dataclass
class OwnSounds:
    """The folder. Every change writes only the files that it is about.

    Attributes:
        clips: by file.
        lines: raw lines at the end of the list, each of which is not usable.
        bad_lines: the reason codes of these lines.
    """

    path: Path
    clips: dict[str, Clip] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)
    bad_lines: list[str] = field(default_factory=list)

    def put(self, clip: Clip) -> None:
        self.clips[clip.file] = clip
        target = self.path / clip.file
        target.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(clip.sound, bytes):
            target.write_bytes(clip.sound)
        elif clip.sound is not None:
            samples, rate = clip.sound
            soundfile.write(target, samples, rate)

    def replace_sound(self, file: str, *, same_size: bool) -> None:
        """Another sound in the same place: played backwards, and shorter unless the size must stay."""
        clip = self.clips[file]
        assert isinstance(clip.sound, tuple)
        samples, rate = clip.sound
        before = (self.path / file).stat().st_size
        other = samples[::-1] if same_size else samples[: -rate // 2][::-1]
        self.put(replace(clip, sound=(other, rate)))
        assert ((self.path / file).stat().st_size == before) is same_size

    def describe(self, file: str, description: str) -> None:
        self.clips[file] = replace(self.clips[file], description=description)

    def remove(self, file: str) -> None:
        (self.path / file).unlink()
        del self.clips[file]

    def write_list(self) -> None:
        """Writes the list as a spreadsheet program does: with a byte order mark and CRLF."""
        text = io.StringIO(newline="")
        writer = csv.writer(text)
        writer.writerow(COLUMNS)
        for clip in self.clips.values():
            if clip.in_list:
                # The list has composed characters, whatever the disk has.
                name = unicodedata.normalize("NFC", clip.file)
                row = (name, clip.title, clip.description, "field; test", "Zoë", "CC BY 4.0", clip.recording)
                writer.writerow(row)
        text.write("".join(f"{line}\r\n" for line in self.lines))
        (self.path / "clips.csv").write_bytes(text.getvalue().encode("utf-8-sig"))

    def files(self, fate: str = PUBLISHED) -> list[str]:
        """The files with a row that must have this fate."""
        return [clip.file for clip in self.clips.values() if clip.in_list and clip.fate == fate]


def noises() -> Iterator[Clip]:
    """Two seconds of noise each, with the descriptions of the real clips. Endless."""
    labels = list(SENTENCES)
    number = 0
    while True:
        rng = np.random.default_rng(number)
        noise = rng.normal(scale=0.1, size=64_000).astype(np.float32)
        yield _clip(number, labels[number % len(labels)], (noise, 32_000), "", f"take {number // 2}")
        number += 1


def real_clips() -> Iterator[Clip]:
    """The clips of ESC-10, the first ones cut in two, so that a recording has several clips."""
    folder = DATA / "esc10"
    number = 0
    rows = [json.loads(line) for line in (folder / "index.jsonl").read_text().splitlines()]
    # The index is in the order of the kinds of sound.
    for index, row in enumerate(sorted(rows, key=lambda row: row["freesound_id"])):
        samples, rate = soundfile.read(folder / row["audio"], dtype="float32")
        parts = np.array_split(samples, 2) if index < CUT_IN_TWO else [samples]
        for part in (part for part in parts if np.abs(part).max() > QUIETEST):
            yield _clip(number, row["label"], (part, rate), row["raw_text"], row["freesound_id"])
            number += 1


def _clip(number: int, label: str, sound: tuple[Samples, int], title: str, recording: str) -> Clip:
    suffix = ("wav", "flac", "ogg")[number // len(FOLDERS) % 3]
    name = f"{FOLDERS[number % len(FOLDERS)]}{label} {number}ß.{suffix}"
    place = PLACES[number % len(PLACES)]
    return Clip(name, sound, f"{SENTENCES[label]} {place}.", title, recording)


def messy_folder(path: Path, clips: Iterator[Clip], count: int, long_s: int) -> OwnSounds:
    """A folder with `count` short clips, a clip of `long_s` seconds, and what is wrong in real folders."""
    own = OwnSounds(path)
    for clip in islice(clips, count):
        own.put(clip)
    tone = np.sin(np.arange(long_s * LONG_RATE, dtype=np.float32) / 7) / 3
    short = (np.random.default_rng(99).normal(scale=0.1, size=32_000).astype(np.float32), 32_000)
    own.put(Clip("long.wav", (tone, LONG_RATE), "A machine hums while people talk."))
    own.put(Clip("nothing said.wav", short, fate="empty_text"))
    german = "Ein Hund bellt laut im Hof hinter dem alten Haus, und es regnet."
    own.put(Clip("Hund.wav", (short[0] / 2, short[1]), german, fate="foreign_text"))
    silence = (np.zeros(64_000, dtype=np.float32), 32_000)
    own.put(Clip("silence.flac", silence, "A room is quiet.", fate="silent"))
    own.put(
        Clip(
            "broken.wav",
            b"RIFF\0\0\0\0WAVE" + bytes(range(256)) * 20,
            "A door opens.",
            fate="unreadable_audio",
        )
    )
    own.put(Clip("not a sound.mp3", b"<html>404</html>" * 50, "A bell rings.", fate="not_audio"))
    own.put(Clip("never copied.wav", None, "A car passes.", fate="audio_gone"))
    own.put(Clip("no row/forgotten.wav", short, in_list=False))
    # Another number of cells, and a file that has a row already.
    own.lines = ["Hund.wav,only two cells", 'nothing said.wav,,"A second row of a file.",,,,']
    own.bad_lines = ["bad_record", "bad_record"]
    own.write_list()
    return own
