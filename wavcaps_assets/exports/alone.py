"""Only one process writes an export at a time, on any machine that uses the store."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from wavcaps_assets.store import exclusive
from wavcaps_assets.store.exclusive import StillAlone
from wavcaps_assets.store.storage import Store, StoreError

FOLDER = "exports"
LOCK = ".export.lock"


@contextmanager
def alone(store: Store, path: str, own_folder: bool) -> Iterator[StillAlone]:
    """Keeps other processes from writing an export, until the context ends.

    Args:
        store: where the export is written.
        path: of the export, in it.
        own_folder: whether it is a person's folder, and not one of the store's exports.

    Raises:
        StoreError: another process writes it, or the store cannot be used.
    """
    lock = _lock_of(path, own_folder)
    with ExitStack() as held:
        try:
            still_alone = held.enter_context(exclusive.alone(store, FOLDER, path, lock))
        except TimeoutError as error:
            raise StoreError(
                f"another process writes an export in {store.describe(path)}: wait for it"
            ) from error
        if store.is_folder:
            held.callback(store.path(lock).unlink, missing_ok=True)
        yield still_alone


def _lock_of(path: str, own_folder: bool) -> str:
    if own_folder:
        return f"{path}/{LOCK}"
    # An export of the store may be removed as a whole, so the lock is beside it.
    parent, _, name = path.rpartition("/")
    return f"{parent}/.{name}{LOCK}"
