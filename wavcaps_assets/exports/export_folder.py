"""The folder of an export while it is written: in parts, each complete or absent."""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from wavcaps_assets.exports.description import ExportedFile, LeftOut
from wavcaps_assets.exports.hashing import HashingFile
from wavcaps_assets.exports.journal import Journal, PartRecord
from wavcaps_assets.show.progress import Progress
from wavcaps_assets.store.storage import Store, StoreError

logger = logging.getLogger(__name__)

BUFFER_BYTES = 1 << 20
# Kept free on a disk besides what is written.
SPARE_BYTES = 50_000_000
# How often a run says how far it is.
LOG_EVERY_S = 60.0


class NotEnoughSpace(StoreError):
    """An export needs more space than its disk has."""


class Part:
    """A part of an export while it is written: some files, and the clips in them.

    Attributes:
        clips: how many it has; the format counts them.
    """

    def __init__(self, folder: ExportFolder) -> None:
        self._folder = folder
        self._files: list[ExportedFile] = []
        self._left_out: list[LeftOut] = []
        self._notes: Counter[str] = Counter()
        self.clips = 0

    @contextmanager
    def file(self, name: str) -> Iterator[Path]:
        """Gives a temporary path; on success it becomes the file `name` of the export in one step."""
        with self._folder.writing(name) as path:
            yield path
            size, digest = path.stat().st_size, hashlib.sha256()
            with path.open("rb") as written:
                while block := written.read(BUFFER_BYTES):
                    digest.update(block)
        self._files.append(ExportedFile(name=name, bytes=size, sha256=digest.hexdigest()))

    @contextmanager
    def stream(self, name: str) -> Iterator[HashingFile]:
        """Gives a file to write to from start to end; on success it becomes `name` in one step."""
        with self._folder.writing(name) as path, path.open("wb") as file, HashingFile(file) as hashing:
            yield hashing
        self._files.append(ExportedFile(name=name, bytes=hashing.size, sha256=hashing.sha256()))

    def write(self, name: str, content: bytes) -> None:
        """Writes a small file."""
        with self.stream(name) as file:
            file.write(content)

    def leave_out(self, clip_id: str, source: str, reason: str, detail: str) -> None:
        """A clip that the export does not have, and why."""
        logger.debug("%s is left out: %s", clip_id, detail)
        self._left_out.append(LeftOut(clip_id=clip_id, source=source, reason=reason, detail=detail))

    def count(self, what: str, number: int = 1) -> None:
        """Something that people should know about the export, such as replaced characters."""
        if number:
            self._notes[what] += number

    def record(self) -> PartRecord:
        return PartRecord(
            files=tuple(self._files),
            clips=self.clips,
            left_out=tuple(self._left_out),
            notes=dict(sorted(self._notes.items())),
        )


class ExportFolder:
    """Where a format writes its files.

    Args:
        store: the store or folder of the export.
        path: of the export, in it.
        journal: of its finished parts.
        progress: receives the number of clips.
        total: the number of clips of the set.

    Attributes:
        before_part: is called before a part is written; an error in it ends the export.
    """

    def __init__(self, store: Store, path: str, journal: Journal, progress: Progress, total: int) -> None:
        self.store = store
        self.path = path
        self.journal = journal
        self._progress = progress
        self._total = total
        self.before_part: Callable[[], None] = lambda: None
        self._swept: set[str] = set()
        self._logged_at = time.monotonic()

    def add(self, name: str, write: Callable[[Part], None]) -> PartRecord:
        """Writes a part, unless a run before this one has finished it.

        Args:
            name: of the part, a plain file name; the same in every run.
            write: writes the part's files.

        Raises:
            StoreError: a file cannot be written. The parts before this one are kept for the next run.
        """
        if name not in self.journal.parts:
            self.before_part()
            part = Part(self)
            write(part)
            self.journal.add(name, part.record())
        done = sum(record.clips + len(record.left_out) for record in self.journal.parts.values())
        done = min(done, self._total)
        self._progress.update(done, self._total, name)
        if time.monotonic() - self._logged_at >= LOG_EVERY_S:
            self._logged_at = time.monotonic()
            size = sum(file.bytes for part in self.journal.parts.values() for file in part.files)
            logger.info("exported %d of %d clips, %.1f MB", done, self._total, size / 1e6)
        return self.journal.parts[name]

    @property
    def left_out(self) -> frozenset[str]:
        """The ids of the clips that the finished parts have left out."""
        parts = self.journal.parts.values()
        return frozenset(clip.clip_id for record in parts for clip in record.left_out)

    def require_space(self, needed: int, largest: int = 0) -> None:
        """Checks that the disk has room for the export.

        Args:
            needed: the size of all files (bytes).
            largest: that of the largest one, which is made on this machine before it is sent to a bucket.

        Raises:
            NotEnoughSpace: says how much is needed, how much there is, and what to do.
        """
        if self.store.is_folder:
            written = sum(file.bytes for part in self.journal.parts.values() for file in part.files)
            place, needed = _existing(self.store.path(self.path)), needed - written
        else:
            place, needed = Path(tempfile.gettempdir()), largest
        free = shutil.disk_usage(place).free
        needed += SPARE_BYTES
        if needed > free:
            where = "free some space, or export to a folder of another disk (wavcaps export … --to FOLDER)"
            advice = where if self.store.is_folder else "free some space there, or set TMPDIR"
            raise NotEnoughSpace(
                f"the export needs {needed / 1e9:,.2f} GB, and {place} has {free / 1e9:,.2f} GB free: "
                f"{advice}"
            )

    @contextmanager
    def writing(self, name: str) -> Iterator[Path]:
        relative = f"{self.path}/{name}"
        folder = str(PurePosixPath(relative).parent)
        if folder not in self._swept:
            self.store.sweep(folder)
            self._swept.add(folder)
        with self.store.writing(relative) as path:
            yield path


def _existing(path: Path) -> Path:
    """The path, or the nearest folder above it that exists."""
    return path if os.path.lexists(path) else _existing(path.parent)
