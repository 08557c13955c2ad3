"""The files of a store in a backup, taken while runs are writing.

They are read in the reverse of the order in which a run writes them: tables first, then logs, then audio. So
a backup is like the store of a run that was killed at some moment: a log may have more than its table, and
never less. The next run makes the table from the log, and repeats no request.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from wavcaps_assets.backup.archive import ArchiveWriter
from wavcaps_assets.backup.kinds import Kind, kind_of
from wavcaps_assets.backup.layout import SPENT, STORE, BackupError, Size, Spent
from wavcaps_assets.clock import utc_now
from wavcaps_assets.llm import spending_totals
from wavcaps_assets.llm.batch.log import BATCHES, BatchLog
from wavcaps_assets.llm.budget import open_totals
from wavcaps_assets.llm.ledger import ANSWERS
from wavcaps_assets.store.append_log import SUFFIX
from wavcaps_assets.store.storage import MissingFile, Store, StoredFile
from wavcaps_assets.tables.set_versions import ABOUT as VERSION_ABOUT
from wavcaps_assets.tables.set_versions import FOLDER as VERSIONS

TABLES, LOG = "tables", "log"
# What happened to clips is written after the pages that said so.
CLIPS = f"{LOG}/clips"
# How long a run may submit or collect batches before a backup gives up (s).
LONGEST_WAIT_S = 600.0
# A log of which parts disappear again and again, this often in a row.
MAX_PASSES = 100
BLOCK = 1 << 16


@dataclass(frozen=True)
class Place:
    """The folder of a store where a month's spending is counted."""

    store: Store
    folder: str


def back_up_store(store: Store, archive: ArchiveWriter, included: Collection[Kind]) -> dict[str, Size]:
    """Adds a store's files to a backup. Returns how much of each kind is left out.

    Raises:
        BackupError: a run submits or collects batches all the time.
        StoreError: the store cannot be read.
    """
    _copy(store, archive, _newest_first(store.files(TABLES)))
    left_out: dict[str, Size] = {}
    others = []
    for file in store.files():
        kind = kind_of(file.path)
        if kind is not None and kind not in included:
            left_out.setdefault(kind.value, Size()).add(file.size)
        elif kind is None and file.folder not in (TABLES, LOG):
            others.append(file)
    # A version exists once its description does; it is written last and removed first.
    others = _newest_first(others)
    _copy(store, archive, sorted(others, key=_is_description))
    folders = {_folder(file.path) for file in store.files(LOG)}
    free = [one for one in folders if not one.startswith((BATCHES, ANSWERS))]
    for folder in sorted(free, key=lambda one: (not one.startswith(CLIPS), one)):
        _copy_log(store, archive, folder)
    _copy_paid(store, archive)
    if included:
        kept = (file for file in store.files() if kind_of(file.path) in included)
        _copy(store, archive, kept)
    return left_out


def _copy_paid(store: Store, archive: ArchiveWriter) -> None:
    """The answers, the batches in progress, and what they cost, all of one moment where there are batches."""
    with _no_batches_sent(store):
        for folder in (BATCHES, f"{BATCHES}/asked", ANSWERS):
            _copy_log(store, archive, folder)
        month = f"{utc_now():%Y-%m}"
        if spending_totals.are_there(Place(store, ANSWERS)):
            totals = open_totals(Place(store, ANSWERS), "")
            try:
                spent = Spent(month=month, pico=totals.get(spending_totals.month(month)))
            finally:
                totals.close()
            archive.add_bytes(SPENT, spent.model_dump_json().encode())


@contextmanager
def _no_batches_sent(store: Store) -> Iterator[None]:
    """While the context lasts, no process submits or collects a batch."""
    with BatchLog(store, BATCHES) as log:
        if log.is_empty():
            yield
            return
        try:
            with log.locked(LONGEST_WAIT_S):
                yield
        except TimeoutError:
            raise BackupError(
                f"a run has submitted or collected batches for {LONGEST_WAIT_S / 60:.0f} minutes: start the "
                "backup again"
            ) from None


def _copy(store: Store, archive: ArchiveWriter, files: Iterable[StoredFile]) -> None:
    for file in files:
        # A run may have removed it since the listing.
        _add(store, archive, file.path)


def _copy_log(store: Store, archive: ArchiveWriter, folder: str) -> None:
    """One log. Its segments may be merged, and it may be removed and started again, in the meantime."""
    copied: set[str] = set()
    for _ in range(MAX_PASSES):
        there = {f"{folder}/{name}" for name in store.names(folder)}
        for gone in copied - there:
            archive.discard(f"{STORE}/{gone}")
        copied &= there
        complete = True
        for path in sorted(there - copied):
            if _add(store, archive, path):
                copied.add(path)
            else:
                complete = False
        if complete:
            return
    raise BackupError(f"the log {store.describe(folder)} changes too fast: start the backup again")


def _add(store: Store, archive: ArchiveWriter, path: str) -> bool:
    """Adds one file; False: it is not there any more."""
    try:
        with store.reading(path) as local, local.open("rb") as source:
            size = os.fstat(source.fileno()).st_size
            if path.startswith(f"{LOG}/") and path.endswith(SUFFIX):
                size = _whole_lines(source, size)
            archive.add(f"{STORE}/{path}", source, size)
    except (MissingFile, FileNotFoundError):
        return False
    return True


def _whole_lines(source: BinaryIO, size: int) -> int:
    """The size of a segment without a last line that is still being written. Goes back to its start."""
    end = size
    while end > 0:
        start = max(0, end - BLOCK)
        source.seek(start)
        newline = source.read(end - start).rfind(b"\n")
        if newline >= 0:
            end = start + newline + 1
            break
        end = start
    source.seek(0)
    return end


def _newest_first(files: Iterable[StoredFile]) -> list[StoredFile]:
    """A table is written after those that it is made from."""
    return sorted(files, key=lambda file: (-file.modified, file.path))


def _is_description(file: StoredFile) -> bool:
    return file.path.startswith(f"{VERSIONS}/") and file.path.endswith(VERSION_ABOUT)


def _folder(path: str) -> str:
    return Path(path).parent.as_posix()
