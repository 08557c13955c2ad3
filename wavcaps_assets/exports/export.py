"""Exports a set in a format: complete or absent, and resumable after a kill."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from wavcaps_assets.exports.alone import FOLDER, LOCK, alone
from wavcaps_assets.exports.audio import is_outdated
from wavcaps_assets.exports.checksums import SUMS, checksum_lines
from wavcaps_assets.exports.description import DESCRIPTION, ExportDescription, read_description
from wavcaps_assets.exports.export_folder import ExportFolder
from wavcaps_assets.exports.exported_set import ExportedSet
from wavcaps_assets.exports.format import ExportFormat, FormatSettings
from wavcaps_assets.exports.journal import UNFINISHED, Journal, missing_files
from wavcaps_assets.show.progress import NoProgress, Progress
from wavcaps_assets.store.storage import Store, StoreError

logger = logging.getLogger(__name__)

# Of clips or files that something is said about.
NAMED = 5


class NotEmpty(StoreError):
    """The folder of an export has something else."""


@dataclass(frozen=True)
class Export:
    """The outcome of an export.

    Attributes:
        description: of the export.
        store: where it is.
        folder: its path in that store.
        new: whether something was written; false: it was complete before.
    """

    description: ExportDescription
    store: Store
    folder: str
    new: bool

    @property
    def place(self) -> str:
        return self.store.describe(self.folder)


def folder_of(exported: ExportedSet, format_name: str) -> str:
    """Where an export is in the store, `exports/<version>[-<slice>]/<format>`."""
    return f"{FOLDER}/{exported.name}/{format_name}"


def export(
    exported: ExportedSet,
    fmt: ExportFormat[Any],
    settings: FormatSettings,
    now: datetime,
    to: Path | None = None,
    progress: Progress | None = None,
) -> Export:
    """Exports a set, unless the same export is there and complete, and no clip that it left out is back.

    An unfinished export of the same set with the same settings is completed: its finished parts are not
    written again. In the store, an export with other settings is replaced.

    Args:
        fmt: the format.
        settings: of the format, an instance of `fmt.settings`.
        now: the time, for the description.
        to: a folder, outside of the store or in it; None: `folder_of` in the set's store.
        progress: receives the number of clips.

    Raises:
        NotEmpty: `to` has something else than this export.
        NotEnoughSpace: the disk has too little space.
        StoreError: a file cannot be read or written, or another process writes this export.
    """
    store, path = (exported.store, folder_of(exported, fmt.name)) if to is None else _outside(to)
    identity = {
        "format": fmt.name,
        "version": exported.version.name,
        "content_hash": exported.version.content_hash,
        "slice": exported.slice,
        "slice_settings": dict(exported.slice_settings),
        "slice_hash": exported.slice_hash,
        "settings": settings.model_dump(mode="json"),
    }
    with alone(store, path, own_folder=to is not None) as still_alone:
        journal = Journal(store, path, identity)
        there = read_description(store, path)
        if (
            there is not None
            and _is_complete(there, identity, store, path)
            and not is_outdated(exported, there.left_out)
        ):
            journal.remove()
            return Export(there, store, path, new=False)
        if there is not None:
            # It was complete, so there is nothing to go on with.
            journal.remove()
        if to is not None:
            _require_free(there, journal, store, path)
        if journal.resume():
            logger.info("going on with %s: %d parts are finished", store.describe(path), len(journal.parts))
        else:
            journal.remove()
            if to is None:
                # What is there is of other settings, or of an export that was complete once.
                store.remove(f"{path}/{DESCRIPTION}")
                store.remove(path)
            journal.begin()
        store.remove(f"{path}/{DESCRIPTION}")
        store.sweep(path)
        folder = ExportFolder(store, path, journal, progress or NoProgress(), exported.table.num_rows)
        folder.before_part = still_alone
        fmt.write(exported, settings, folder)
        description = _describe(journal, identity, now)
        folder.add(SUMS, lambda part: part.write(SUMS, checksum_lines(description.files)))
        description = _describe(journal, identity, now)
        still_alone()
        store.write_bytes(f"{path}/{DESCRIPTION}", description.model_dump_json(indent=1).encode())
        journal.remove()
    _log(description, store.describe(path))
    return Export(description, store, path, new=True)


def _describe(journal: Journal, identity: dict[str, Any], now: datetime) -> ExportDescription:
    parts = [record for _, record in sorted(journal.parts.items())]
    files = sorted((file for part in parts for file in part.files), key=lambda file: file.name)
    notes: Counter[str] = Counter()
    for part in parts:
        notes.update(part.notes)
    return ExportDescription(
        **identity,
        created=now,
        clips=sum(part.clips for part in parts),
        bytes=sum(file.bytes for file in files),
        files=tuple(files),
        left_out=tuple(sorted((one for part in parts for one in part.left_out), key=lambda one: one.clip_id)),
        notes=dict(sorted(notes.items())),
    )


def _is_same(there: ExportDescription, identity: Mapping[str, Any]) -> bool:
    return there.model_dump(mode="json", include=set(identity)) == identity


def _is_complete(there: ExportDescription, identity: dict[str, Any], store: Store, path: str) -> bool:
    """Whether an export is the one that is wanted, and all of its files are there."""
    if not _is_same(there, identity):
        return False
    lost = missing_files(store, path, there.files)
    for name in lost[:NAMED]:
        logger.warning("%s is missing or changed: the export is made again", store.describe(f"{path}/{name}"))
    return not lost


def _outside(to: Path) -> tuple[Store, str]:
    """A folder as a store and a path in it."""
    whole = to.resolve()
    if whole.exists() and not whole.is_dir():
        raise NotEmpty(f"{whole} is a file: name a folder")
    if whole == whole.parent:
        raise NotEmpty(f"{whole} is the root of the file system: name a folder in it")
    return Store(whole.parent), whole.name


def _require_free(there: ExportDescription | None, journal: Journal, store: Store, path: str) -> None:
    """Refuses a person's folder with files that are not of this export, finished or not."""
    same = journal.is_of_this if there is None else _is_same(there, journal.identity)
    has = [entry.name for entry in store.path(path).iterdir() if entry.name not in (LOCK, UNFINISHED)]
    if has and not same:
        what = f"the export {there.format} of {there.version}" if there is not None else min(has)
        raise NotEmpty(f"{store.describe(path)} has {what}: name a new or empty folder")


def _log(description: ExportDescription, place: str) -> None:
    logger.info(
        "exported %d clips of %s as %s, %.1f MB: %s",
        description.clips,
        description.version,
        description.format,
        description.bytes / 1e6,
        place,
    )
    for reason, number in description.reasons.items():
        clips = [one.clip_id for one in description.left_out if one.reason == reason]
        some = ", ".join(clips[:NAMED])
        logger.warning("%d clips are left out (%s), first %s", number, reason, some)
