"""Makes a backup of a store, an instance and the local state."""

from __future__ import annotations

import uuid
from collections.abc import Collection
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from wavcaps_assets.backup.archive import writing_archive
from wavcaps_assets.backup.instance import back_up_instance, is_there, place_of
from wavcaps_assets.backup.kinds import Kind
from wavcaps_assets.backup.layout import About, BackupError, InstanceKind, Size
from wavcaps_assets.backup.state_files import back_up_state
from wavcaps_assets.backup.store_files import back_up_store
from wavcaps_assets.clock import utc_now
from wavcaps_assets.store.restoring import require_whole
from wavcaps_assets.store.storage import Store

PACKAGE = "wavcaps-on-dagster"


@dataclass(frozen=True)
class BackedUp:
    """What a backup has, and what it does not.

    Attributes:
        about: its description.
        files: its files.
        left_out: of the store, by kind.
        state_left_out: names in the folder of local state.
    """

    about: About
    files: Size
    left_out: dict[str, Size]
    state_left_out: list[str]


def back_up(path: Path, store: Store, state: Path, home: Path, included: Collection[Kind] = ()) -> BackedUp:
    """Writes a backup. Runs may be at work.

    The instance is read before the store, and local state last: so an asset is never shown as newer than it
    is, and no request is missing from a quota.

    Args:
        path: the file, which must not exist, and is not in the store.
        store: a folder or a bucket.
        state: the folder of local state.
        home: the folder of the instance.
        included: the kinds of large files that are in it, too.

    Raises:
        BackupError: it cannot be made, or the store is empty; nothing is left of it.
        StoreError: the store cannot be read, or is being restored.
    """
    _require_store(store, path)
    place = place_of(home) if home.is_dir() else None
    has_instance = place is not None and is_there(place)
    about = About(
        id=uuid.uuid4().hex,
        made=utc_now(),
        version=version(PACKAGE),
        store=store.describe_root(),
        home=str(home),
        instance=place.kind if place is not None and has_instance else InstanceKind.NONE,
        included=tuple(sorted(included)),
    )
    left_out: dict[str, Size] = {}
    with writing_archive(path, about, left_out) as archive:
        if place is not None and has_instance:
            back_up_instance(place, archive)
        left_out.update(back_up_store(store, archive, included))
        state_left_out = back_up_state(state, store, archive)
    members = archive.files.values()
    files = Size(files=len(members), bytes=sum(member.size for member in members))
    return BackedUp(about, files, left_out, state_left_out)


def _require_store(store: Store, path: Path) -> None:
    """Checks that there is something to keep, and that a backup is not a part of the next one."""
    if store.is_folder and path.resolve().is_relative_to(store.root.resolve()):
        raise BackupError(f"{path} is in the store, and would be in the next backup: choose another place")
    require_whole(store)
    if next(iter(store.files()), None) is None:
        raise BackupError(
            f"the store {store.describe_root()} has no files: set WAVCAPS_STORE to the one to back up"
        )
