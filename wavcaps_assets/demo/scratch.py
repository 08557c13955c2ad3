"""Scratch 1.4: the sounds that came with the programming environment, in folders, with short names."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import soundfile

from wavcaps_assets.demo.clips import CC_BY_SA, DemoClip, Source, safe_name

PACKAGE = "scratch"
SOUNDS_PATH = "usr/share/scratch/Media/Sounds"
AUTHOR = "Massachusetts Institute of Technology (Scratch 1.4)"
# Higher than the ids of the real SoundBible, and unlike any of the BBC.
FIRST_SOUNDBIBLE_ID = 9001
FIRST_BBC_ID = 99000001
# The kind of sound in each folder.
FOLDERS = {
    "Animal": "animal sound",
    "Effects": "sound effect",
    "Electronic": "electronic sound effect",
    "Human": "human sound",
    "Instruments": "musical instrument",
    "Music Loops": "music loop",
    "Percussion": "percussion instrument",
    "Vocals": "vocals",
}


def title_of(stem: str) -> str:
    """A title from a file's name: `HorseGallop` is Horse Gallop, `Laugh-male2` is Laugh Male 2."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z0-9])|[-_]+", " ", stem)
    return " ".join(word[:1].upper() + word[1:] for word in spaced.split())


def text_of(stem: str, folder: str) -> str:
    """A sentence of a file's name and folder: `Laugh, male, human sound.`"""
    spaced = re.sub(r"-(?=(?:fe)?male\b)", ", ", stem.rstrip("0123456789").rstrip("-"))
    words = re.sub(r"(?<=[a-z])(?=[A-Z])|-+", " ", spaced).lower()
    return f"{words[:1].upper()}{words[1:]}, {FOLDERS.get(folder, folder.lower())}."


def soundbible_and_bbc_clips(sounds: Path, folder: Path) -> list[DemoClip]:
    """Copies the sounds into the folder and gives them in turn to SoundBible and to the BBC.

    Raises:
        FileNotFoundError: there is no such folder of sounds.
    """
    files = sorted(path for path in sounds.rglob("*") if path.suffix.lower() in (".wav", ".mp3"))
    if not files:
        raise FileNotFoundError(f"no sounds in {sounds}")
    clips = []
    for index, file in enumerate(files):
        category = file.parent.name
        origin = f"scratch/{category}/{file.stem}"
        audio = f"clips/{safe_name(origin)}{file.suffix.lower()}"
        target = folder / audio
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)
        # Decoded, because the length in an mp3 file's header includes its tags.
        samples, rate = soundfile.read(target)
        turn, is_bbc = divmod(index, 2)
        clips.append(
            DemoClip(
                source=Source.BBC if is_bbc else Source.SOUNDBIBLE,
                source_id=str(turn + (FIRST_BBC_ID if is_bbc else FIRST_SOUNDBIBLE_ID)),
                origin=origin,
                audio=audio,
                duration_s=len(samples) / rate,
                title=title_of(file.stem),
                text=text_of(file.stem, category),
                category=category,
                author=AUTHOR,
                licence=CC_BY_SA,
                recordings=(safe_name(origin),),
            )
        )
    return clips
