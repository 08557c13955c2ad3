"""The local state in a backup: request quotas, and the list of imported sets. Tokens and caches stay out.

Machines that share a bucket share quotas by a document there, which is hidden. It belongs to the state too.
"""

from __future__ import annotations

import json
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from wavcaps_assets.backup.archive import ArchiveWriter
from wavcaps_assets.backup.layout import SHARES, STATE, BackupError
from wavcaps_assets.network.client import QUOTAS_FILE
from wavcaps_assets.network.shared_quotas import FOLDER, NAME
from wavcaps_assets.sources.imported import FOLDER as IMPORTED
from wavcaps_assets.store.machines import has_conditional_writes
from wavcaps_assets.store.shared_state import SharedState
from wavcaps_assets.store.storage import Store

# What is restored, and nothing else.
NAMES = (QUOTAS_FILE, f"{IMPORTED}/")
PART = ".part"


def back_up_state(state: Path, store: Store, archive: ArchiveWriter) -> list[str]:
    """Adds the state to a backup. Returns the names of the files and folders that are left out.

    Args:
        store: machines may share quotas in it.
    """
    for path in sorted((state / IMPORTED).glob("*")):
        if path.is_file() and path.suffix != PART and not path.name.startswith("."):
            archive.add_file(f"{STATE}/{IMPORTED}/{path.name}", path)
    if (state / QUOTAS_FILE).exists():
        add_sqlite(archive, f"{STATE}/{QUOTAS_FILE}", state / QUOTAS_FILE)
    if not store.is_folder and store.hidden(FOLDER, f".{NAME}-"):
        archive.add_bytes(SHARES, json.dumps(SharedState(store, FOLDER, NAME).read()).encode())
    return sorted(_left_out(state))


def restore_shares(store: Store, data: bytes) -> None:
    """Tells the machines of a bucket what those of the backup had used. They wait until that has expired."""
    if not store.is_folder and has_conditional_writes(store, FOLDER):
        SharedState(store, FOLDER, NAME).change(lambda document: document.update(json.loads(data)))


def _left_out(state: Path) -> Iterator[str]:
    for path in state.iterdir() if state.is_dir() else ():
        # SQLite's own files have names that begin with that of their database.
        if not path.name.startswith((QUOTAS_FILE, ".")) and path.name != IMPORTED:
            yield path.name


def add_sqlite(archive: ArchiveWriter, name: str, path: Path) -> None:
    """Adds a database as it is at one moment, while others write to it.

    Raises:
        BackupError: it cannot be read.
    """
    with tempfile.TemporaryDirectory(dir=archive.folder) as folder:
        copy = Path(folder) / "copy.db"
        try:
            with (
                closing(
                    sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=60)
                ) as source,
                closing(sqlite3.connect(copy)) as target,
            ):
                source.backup(target)
        except sqlite3.Error as error:
            raise BackupError(f"the database {path} cannot be read: {error}") from error
        archive.add_file(name, copy)
