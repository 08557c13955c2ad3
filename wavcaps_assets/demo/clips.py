"""The demo's corpus: clips with their texts, their authors and the recordings that they contain."""

from __future__ import annotations

import json
import re
from enum import StrEnum
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

MANIFEST_NAME = "corpus.json"
CC0 = "http://creativecommons.org/publicdomain/zero/1.0/"
CC_BY = "http://creativecommons.org/licenses/by/3.0/"
CC_BY_SA = "http://creativecommons.org/licenses/by-sa/3.0/"
DEMO_AUTHOR = "wavcaps-demo"


class Source(StrEnum):
    """The four sources, by the names that start a `clip_id`."""

    FREESOUND = "freesound"
    BBC = "bbc_sound_effects"
    SOUNDBIBLE = "soundbible"
    AUDIOSET = "audioset_sl"


class Event(BaseModel):
    """A labelled sound event of a scene; times in seconds from the scene's start."""

    model_config = ConfigDict(frozen=True)

    onset_s: float
    offset_s: float
    label: str = Field(description="AudioSet display name")
    mid: str = Field(description="AudioSet machine identifier")


class DemoClip(BaseModel):
    """One clip of the corpus, as its source will serve it."""

    model_config = ConfigDict(frozen=True)

    source: Source
    source_id: str = Field(description="the clip's id at its source")
    origin: str = Field(description="the clip's name in its package, such as `scratch/Animal/Bird`")
    audio: str | None = Field(description="audio file, relative to the corpus; none: the source answers 404")
    duration_s: float = Field(description="duration (s), as the source claims it")
    title: str
    text: str = Field(description="the raw description")
    category: str = Field("", description="category at its source; several with semicolons between them")
    continent: str = ""
    author: str
    licence: str = Field(description="URL of the licence")
    created: str = Field("", description="when published: ISO 8601 without a zone, as FreeSound writes it")
    recordings: tuple[str, ...] = Field(description="the recordings that the clip contains")
    events: tuple[Event, ...] = ()
    split: str = Field("", description="`train` or `eval`; scenes only")

    @property
    def clip_id(self) -> str:
        return f"{self.source}-{self.source_id}"

    @property
    def made_for_demo(self) -> bool:
        """Whether the clip was added to show how bad input is handled."""
        return self.author == DEMO_AUTHOR and self.source is not Source.AUDIOSET


class Corpus(BaseModel):
    """A folder of audio and the clips that it holds.

    Attributes:
        root: the folder.
        clips: all clips, of all sources.
        synthesised: whether the audio is synthesised because real audio is not available.
        reason: why it is synthesised.
    """

    root: Path = Field(exclude=True)
    clips: tuple[DemoClip, ...]
    synthesised: bool = False
    reason: str = ""

    @property
    def note(self) -> str:
        """A sentence for the report: where the audio comes from."""
        if self.synthesised:
            return f"The audio is synthesised, because {self.reason}."
        return (
            "The audio and its texts are real: Debian's packages openttd-opensfx (as FreeSound's) and "
            "scratch (as SoundBible's and the BBC's), and ten-second scenes mixed from both (as AudioSet's)."
        )

    def of(self, source: Source) -> list[DemoClip]:
        """The clips of one source, in order."""
        return [clip for clip in self.clips if clip.source is source]

    def path(self, clip: DemoClip) -> Path | None:
        """The clip's audio file; none where it has none."""
        return None if clip.audio is None else self.root / clip.audio

    def save(self) -> None:
        """Writes the list of clips, the last step of building: a corpus with the list is complete."""
        (self.root / MANIFEST_NAME).write_text(self.model_dump_json(indent=1), encoding="utf-8")

    @classmethod
    def load(cls, root: Path) -> Corpus:
        """Reads a corpus that `save` wrote.

        Raises:
            FileNotFoundError: the folder has no corpus.
            ValueError: another version wrote the list of clips.
        """
        manifest = root / MANIFEST_NAME
        if not manifest.is_file():
            raise FileNotFoundError(f"no corpus in {root}: a complete corpus has a {MANIFEST_NAME}")
        listed = json.loads(manifest.read_text(encoding="utf-8"))
        return cls.model_validate({**listed, "root": root})


def safe_name(text: str) -> str:
    """Lower-case letters, digits, dots and hyphens only: a name that is safe in a csv file or a path."""
    return re.sub(r"[^a-z0-9.]+", "-", text.lower()).strip("-.")
