"""Restores a backup into an empty store and an empty home.

A marker in each is written first and removed last, so that a restore that was killed can be started again.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from wavcaps_assets.backup import postgres
from wavcaps_assets.backup.archive import BLOCK, Archive
from wavcaps_assets.backup.instance import DUMP, Place, end_runs, is_there, place_of
from wavcaps_assets.backup.layout import (
    ABOUT,
    INSTANCE,
    SHARES,
    SPENT,
    STATE,
    STORE,
    BackupError,
    DamagedBackup,
    InstanceKind,
    Spent,
)
from wavcaps_assets.backup.state_files import NAMES, restore_shares
from wavcaps_assets.backup.store_files import Place as SpentPlace
from wavcaps_assets.llm import spending_totals
from wavcaps_assets.llm.budget import open_totals
from wavcaps_assets.llm.ledger import ANSWERS
from wavcaps_assets.store.restoring import MARKER
from wavcaps_assets.store.storage import MissingFile, OutsideStore, Store


@dataclass(frozen=True)
class Target:
    """Where a backup is restored to.

    Attributes:
        store: a folder or a bucket.
        state: the folder of local state; None: it is not restored.
        home: the folder of the instance; None: as above.
    """

    store: Store
    state: Path | None = None
    home: Path | None = None


@dataclass(frozen=True)
class Restored:
    """What was restored.

    Attributes:
        files: how many.
        ended_runs: the runs that were in progress.
    """

    files: int
    ended_runs: list[str]


def restore(archive: Archive, target: Target) -> Restored:
    """Writes the files of a backup. The archive has been read to its end before.

    Raises:
        BackupError: the store or the home is not empty, or does not fit; nothing was written.
        StoreError: the store cannot be written. Start the restore again.
    """
    if target.home is not None:
        target.home.mkdir(parents=True, exist_ok=True)
    place = None if target.home is None else place_of(target.home)
    with_instance = archive.about.instance is not InstanceKind.NONE and place is not None
    _require_names(archive, target.store)
    _require_room(archive, target, place)
    marked = _marked_folders(target, place)
    target.store.write_bytes(MARKER, archive.about.id.encode())
    for folder in marked:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / MARKER).write_text(archive.about.id)
    files = _write(archive, target, place)
    ended = []
    if with_instance and target.home is not None:
        made = f"{archive.about.made:%Y-%m-%d %H:%M} UTC"
        ended = end_runs(
            target.home,
            f"It was in progress when the backup of {made} was made, and ended with it; its work until then "
            "is kept.",
        )
    for folder in marked:
        (folder / MARKER).unlink(missing_ok=True)
    target.store.remove_files([MARKER])
    return Restored(files, ended)


def _require_names(archive: Archive, store: Store) -> None:
    """Checks that each file has its place, before any is written."""
    for name in archive.complete.files:
        part, _, rest = name.partition("/")
        # Dagster's database of events without a run has no name before its suffix.
        visible = not PurePosixPath(rest).name.startswith(".") or part == INSTANCE
        known = visible and (part in (STORE, INSTANCE) or (part == STATE and rest.startswith(NAMES)))
        if name not in (ABOUT, SPENT, SHARES) and not (known and _is_plain(rest, store)):
            raise DamagedBackup(f"the backup has {name!r}, which belongs to no part of it")


def _is_plain(path: str, store: Store) -> bool:
    """Whether a path stays inside its folder."""
    try:
        store.describe(path)
    except OutsideStore:
        return False
    return True


def _require_room(archive: Archive, target: Target, place: Place | None) -> None:
    """Checks that nothing would be replaced, and that the instance fits.

    Raises:
        BackupError: what is in the way.
    """
    about = archive.about
    begun = _store_marker(target.store) == about.id
    if not begun and next(iter(target.store.files()), None) is not None:
        raise BackupError(
            f"the store {target.store.describe_root()} is not empty: set WAVCAPS_STORE to an empty place, or "
            "move what is there away"
        )
    if target.state is not None:
        _require_no_state(archive, target.state)
    if place is None or about.instance is InstanceKind.NONE:
        return
    if about.instance is not place.kind:
        raise BackupError(
            f"the backup's instance is in {about.instance}, and the one of {place.home} is configured for "
            f"{place.kind}: change its dagster.yaml, or restore the store only, with --store-only"
        )
    if place.kind is InstanceKind.POSTGRES:
        postgres.require_program("pg_restore")
    if any(_is_marked(folder, about.id) for folder in _marked_folders(target, place)):
        return
    empty = postgres.is_empty(place.home) if place.kind is InstanceKind.POSTGRES else not is_there(place)
    if not empty:
        raise BackupError(
            f"the instance of {place.home} is not empty: stop what uses it, and move its folders `history` "
            "and `schedules` away (Postgres: name an empty database), or set DAGSTER_HOME to another folder"
        )


def _require_no_state(archive: Archive, state: Path) -> None:
    in_the_way = [
        rest
        for name in archive.complete.files
        if (rest := name.removeprefix(f"{STATE}/")) != name and (state / rest).exists()
    ]
    if in_the_way and not _is_marked(state, archive.about.id):
        raise BackupError(
            f"{state} has {', '.join(in_the_way[:5])} already: set WAVCAPS_STATE to an empty folder, or move "
            "what is there away"
        )


def _write(archive: Archive, target: Target, place: Place | None) -> int:
    there = {file.path: file.size for file in target.store.files()}
    files = 0
    for name, size, content in archive.members():
        part, _, rest = name.partition("/")
        if part == STORE:
            # A file has its name once it is complete.
            if there.get(rest) != size:
                with target.store.writing(rest) as path:
                    _copy(content, path)
        elif part == STATE and target.state is not None:
            with _replacing(target.state / rest) as path:
                _copy(content, path)
        elif name == SPENT:
            _restore_spent(target.store, Spent.model_validate_json(content.read()))
        elif name == SHARES and target.state is not None:
            restore_shares(target.store, content.read())
        elif name == DUMP and place is not None and place.kind is InstanceKind.POSTGRES:
            with tempfile.TemporaryDirectory(dir=target.state) as folder:
                _copy(content, Path(folder) / "dump")
                postgres.load(place.home, Path(folder) / "dump")
        elif place is not None and (to := place.target(name)) is not None:
            with _replacing(to) as path:
                _copy(content, path)
        else:
            continue
        files += 1
    return files


def _restore_spent(store: Store, spent: Spent) -> None:
    totals = open_totals(SpentPlace(store, ANSWERS), "")
    try:
        totals.at_least(spending_totals.month(spent.month), spent.pico)
    finally:
        totals.close()


def _copy(content: BinaryIO, path: Path) -> None:
    with path.open("wb") as file:
        shutil.copyfileobj(content, file, BLOCK)


@contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """Gives a temporary path, which then becomes `path` in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.part")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _marked_folders(target: Target, place: Place | None) -> list[Path]:
    """Where markers are, besides the store. The home of an instance in Postgres may be read-only."""
    folders = [] if target.state is None else [target.state]
    return [*folders, place.home] if place is not None and place.kind is InstanceKind.SQLITE else folders


def _store_marker(store: Store) -> str:
    try:
        return store.read_bytes(MARKER).decode("utf-8", "replace")
    except MissingFile:
        return ""


def _is_marked(folder: Path, id: str) -> bool:
    path = folder / MARKER
    return path.exists() and path.read_text() == id
