"""Only one process writes an export at a time, on any machine that uses the store."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from wavcaps_assets.store.machines import OneMachine, has_conditional_writes
from wavcaps_assets.store.shared_leases import EXPIRES_S, SharedLeases, lease_held
from wavcaps_assets.store.storage import Store, StoreError

FOLDER = "exports"
LOCK = ".export.lock"
LEASES = "leases"
# In a bucket, the lease of a killed process is seen to be dead after `EXPIRES_S`.
WAIT_S = EXPIRES_S + 30

# Raises StoreError if another process has taken over since.
StillAlone = Callable[[], None]


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
    if not store.is_folder:
        with _in_bucket(store, path) as still_alone:
            yield still_alone
        return
    if own_folder:
        lock = f"{path}/{LOCK}"
    else:
        # An export of the store may be removed as a whole, so the lock is beside it.
        parent, _, name = path.rpartition("/")
        lock = f"{parent}/.{name}{LOCK}"
    with _locked(store.path(lock), store.describe(path)):
        yield _always


@contextmanager
def _in_bucket(store: Store, path: str) -> Iterator[StillAlone]:
    place = store.describe(path)
    with ExitStack() as held:
        if not has_conditional_writes(store, FOLDER):
            held.enter_context(OneMachine(store, FOLDER))
            name = hashlib.sha256(place.encode()).hexdigest()[:16]
            held.enter_context(_locked(Path(tempfile.gettempdir()) / f"wavcaps-export-{name}.lock", place))
            yield _always
            return
        leases = SharedLeases(store, FOLDER, LEASES)
        held.callback(leases.close)
        try:
            held.enter_context(lease_held(leases, path, WAIT_S))
        except TimeoutError as error:
            raise _busy(place) from error
        yield lambda: leases.require(path)


@contextmanager
def _locked(path: Path, place: str) -> Iterator[None]:
    held = FileLock(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        held.acquire(timeout=0)
    except Timeout as error:
        raise _busy(place) from error
    except OSError as error:
        raise StoreError(f"cannot write an export in {place}: {error}") from error
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        held.release()


def _always() -> None:
    """A lock of the file system ends with its process only."""


def _busy(place: str) -> StoreError:
    return StoreError(f"another process writes an export in {place}: wait for it")
