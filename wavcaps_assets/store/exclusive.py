"""Work that only one process does at a time, on any machine that uses the store."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from wavcaps_assets.store.errors import StoreError
from wavcaps_assets.store.machines import OneMachine, has_conditional_writes
from wavcaps_assets.store.shared_leases import EXPIRES_S, SharedLeases, lease_held
from wavcaps_assets.store.storage import Store

LEASES = "leases"
# In a bucket, the lease of a killed process is seen to be dead after `EXPIRES_S`.
WAIT_S = EXPIRES_S + 30

# Raises StoreError if another process has taken over since, or may have. It may be called often.
StillAlone = Callable[[], None]


@contextmanager
def alone(store: Store, folder: str, key: str, lock: str, wait_s: float = 0.0) -> Iterator[StillAlone]:
    """Holds a key that other processes hold too: by the lock of a file in a folder, by a lease in a bucket.

    Args:
        folder: of the leases, in a bucket.
        key: in a bucket, where a lease is waited for until that of a killed process has expired.
        lock: the file that is locked, in a folder.
        wait_s: how long to wait for another process, in a folder.

    Raises:
        TimeoutError: another process holds it.
        StoreError: the store cannot be used.
    """
    if store.is_folder:
        with _locked(store.path(lock), wait_s) as still_alone:
            yield still_alone
    else:
        with _in_bucket(store, folder, key) as still_alone:
            yield still_alone


@contextmanager
def _in_bucket(store: Store, folder: str, key: str) -> Iterator[StillAlone]:
    with ExitStack() as held:
        if not has_conditional_writes(store, folder):
            machine = held.enter_context(OneMachine(store, folder))
            name = hashlib.sha256(f"{store.describe(folder)}\n{key}".encode()).hexdigest()[:16]
            held.enter_context(_locked(Path(tempfile.gettempdir()) / f"wavcaps-{name}.lock"))
            yield machine.require
            return
        leases = SharedLeases(store, folder, LEASES)
        held.callback(leases.close)
        held.enter_context(lease_held(leases, key, WAIT_S))
        yield lambda: leases.require(key)


@contextmanager
def _locked(path: Path, wait_s: float = 0.0) -> Iterator[StillAlone]:
    """Holds the lock of a file, which the system releases when the process ends."""
    held = FileLock(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        held.acquire(timeout=wait_s)
    except Timeout:
        raise TimeoutError(f"another process holds {path}") from None
    except OSError as error:
        raise StoreError(f"cannot lock {path}: {error}") from error
    try:
        yield _always
    finally:
        held.release()


def _always() -> None:
    """A lock of the file system ends with its process only."""
