"""The mark of a store into which a backup is being restored: what it lacks would be paid for again."""

from __future__ import annotations

from wavcaps_assets.store.errors import StoreError
from wavcaps_assets.store.storage import Store

MARKER = ".restoring"


def require_whole(store: Store) -> None:
    """Refuses a store whose restoration goes on, or was stopped.

    Raises:
        StoreError: says what to do.
    """
    if store.exists(MARKER):
        raise StoreError(
            f"a backup is being restored into {store.describe_root()}, or was when that was stopped: wait "
            "for `wavcaps restore`, or start it again with the same file, before anything else"
        )
