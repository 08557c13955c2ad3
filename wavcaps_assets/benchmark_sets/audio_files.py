"""The audio files of a set, found by the names that its lists and download tools give them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cached_property
from pathlib import PurePosixPath

from wavcaps_assets.store.storage import Store

ENDINGS = frozenset(
    {".wav", ".flac", ".ogg", ".opus", ".mp3", ".m4a", ".aac", ".mp4", ".webm", ".mkv", ".aif", ".aiff"}
)
VIDEO_ID_CHARS = 11
# AudioCaps' files are `Y<id>.wav`; download tools also write `<id>.wav` and `<id>_<start>.wav`.
# An id may start with Y, too.
VIDEO_FILE = re.compile(r"(?:Y(?=[A-Za-z0-9_-]{11}(?:[._]|$)))?([A-Za-z0-9_-]{11})(?:[._].*)?")
# What stands after the id: nothing, or `_` and a time, as in `<id>_30.flac` or `<id>_30_40.wav`.
AFTER_VIDEO_ID = re.compile(r"(_.*)?")


class AudioFiles:
    """The audio files of some folders. Of one name in two folders, the later folder's is taken.

    Args:
        store: the store that contains the folders.
        folders: their paths; those that do not exist are empty.
    """

    def __init__(self, store: Store, folders: Iterable[str]) -> None:
        there = {name: f"{folder}/{name}" for folder in folders for name in store.names(folder)}
        # Lists are read without spaces around a name. A file of Clotho is ` e ieio ieai.wav`.
        self._by_name = {name.strip(): path for name, path in there.items()} | there

    def with_names(self, files: Iterable[str]) -> dict[str, str]:
        """The paths of the listed files that are there by exactly their names."""
        return {file: self._by_name[file] for file in files if file in self._by_name}

    def find(self, file: str) -> str | None:
        """The path of a listed file, or of one with the same name and another audio format's ending."""
        return self._by_name.get(file) or self._by_stem.get(_stem(file))

    def find_video(self, video: str) -> str | None:
        """The path of a clip of a YouTube video: `Y<id>.wav`, `<id>_<start>.flac` and the like."""
        return self._by_video.get(video)

    @cached_property
    def _by_stem(self) -> dict[str, str]:
        return {
            _stem(name): path
            for name, path in self._by_name.items()
            if PurePosixPath(name).suffix.lower() in ENDINGS
        }

    @cached_property
    def _by_video(self) -> dict[str, str]:
        found = {}
        for stem, path in self._by_stem.items():
            # An id may start with Y, too: both readings are kept, and only one is a listed id.
            for start in (0, 1) if stem.startswith("Y") else (0,):
                end = start + VIDEO_ID_CHARS
                if len(stem) >= end and AFTER_VIDEO_ID.fullmatch(stem[end:]):
                    found[stem[start:end]] = path
        return found


def video_of(file: str) -> str | None:
    """The id of the YouTube video that a file of AudioCaps is named after; None: its name has no id."""
    match = VIDEO_FILE.fullmatch(file)
    return match[1] if match else None


def _stem(name: str) -> str:
    return PurePosixPath(name).stem if PurePosixPath(name).suffix.lower() in ENDINGS else name
