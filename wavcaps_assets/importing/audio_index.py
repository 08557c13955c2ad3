"""The audio files of a set: in its folders, and in its zips. Found by a path, or by a clip's id."""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

from wavcaps_assets.checks.manifest_files import RELEASED_NAMES, walk
from wavcaps_assets.sources.folders import AUDIO_SUFFIXES
from wavcaps_assets.sources.packed_audio import of_zip
from wavcaps_assets.sources.zip_files import ZipError, members_of

logger = logging.getLogger(__name__)

# As FreeSound's site and its download tools name a file: `12345__author__name.wav`.
NUMBERED = re.compile(r"(\d+)__.+")


class AudioIndex:
    """The audio of a folder.

    Files of one name in the folders of two sources, such as 2215.flac of FreeSound and of SoundBible, belong
    to the source whose name their folder or archive has.

    Args:
        root: the folder.
        problems: counts files that are not used, by why.
    """

    def __init__(self, root: Path, problems: Counter[str]) -> None:
        self._root = root.resolve()
        self._problems = problems
        self._by_name: dict[tuple[str, str], str] = {}
        self._paths: set[str] = set()
        self._used: dict[str, str] = {}
        # Files that clips of two sources have the name of: it is not known whose they are.
        self.contested: set[str] = set()
        for file in walk(root):
            suffix = file.suffix.lower()
            if suffix in AUDIO_SUFFIXES:
                self._add_file(file)
            elif suffix == ".zip":
                self._add_zip(file)

    def find(self, source: str, paths: Sequence[str], names: Iterable[str]) -> tuple[str | None, str | None]:
        """The place of a clip's audio, and why there is none.

        Args:
            paths: of its audio in the folder, as its row says.
            names: of its file, without the suffix.
        """
        problem = None
        for path in paths:
            pure = PurePosixPath(path.replace("\\", "/"))
            if pure.is_relative_to(self._root):
                pure = pure.relative_to(self._root)
            if pure.is_absolute() or ".." in pure.parts or "\0" in path:
                problem = f"its path {path!r:.100} leads out of the set"
            elif pure.as_posix() in self._paths:
                return self._use(pure.as_posix(), source), None
        if problem:
            # A file of the same name is not used either: such a row is wrong, or hostile.
            return None, problem
        for name in names:
            for owner in (source, ""):
                if place := self._by_name.get((owner, name)):
                    return self._use(place, source), None
        return None, "no audio file of this name"

    @property
    def unused(self) -> int:
        """The audio files that no row asked for."""
        return len({*self._by_name.values()} - self._used.keys())

    def _use(self, place: str, source: str) -> str:
        if self._used.setdefault(place, source) != source:
            self.contested.add(place)
        return place

    def _add_file(self, file: Path) -> None:
        if not file.resolve().is_relative_to(self._root):
            self._problems["audio files that are links out of the folder"] += 1
        elif file.is_file():
            relative = file.relative_to(self._root).as_posix()
            self._paths.add(relative)
            self._add(relative, file.stem, _source_of(PurePosixPath(relative)))

    def _add_zip(self, archive: Path) -> None:
        relative = archive.relative_to(self._root).as_posix()
        if not archive.resolve().is_relative_to(self._root):
            self._problems["archives that are links out of the folder"] += 1
            return
        logger.info("reading the directory of %s", relative)
        owner = _source_of(PurePosixPath(relative))
        try:
            for member in members_of(archive):
                # Not a Path for each member: there are hundreds of thousands.
                stem, dot, suffix = member.name.rpartition("/")[2].rpartition(".")
                if f"{dot}{suffix}".lower() not in AUDIO_SUFFIXES:
                    continue
                if member.problem:
                    self._problems[f"{relative}: files of which {member.problem}"] += 1
                    continue
                self._add(of_zip(relative, member), stem, owner or _source_of(PurePosixPath(member.name)))
        except ZipError as error:
            self._problems[f"archives that cannot be read: {error}"] += 1

    def _add(self, place: str, stem: str, owner: str) -> None:
        self._by_name.setdefault((owner, stem), place)
        if numbered := NUMBERED.fullmatch(stem):
            self._by_name.setdefault((owner, numbered[1]), place)


def _source_of(path: PurePosixPath) -> str:
    """The released source that a path names; empty: none."""
    parts = (part.lower().removesuffix("_flac") for part in (path.stem, *reversed(path.parts[:-1])))
    return next((RELEASED_NAMES[part] for part in parts if part in RELEASED_NAMES), "")
