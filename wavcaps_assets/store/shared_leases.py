"""Leases of keys that several machines see, and that expire when their owner is dead.

No times of different machines are compared. An owner changes its entry again and again while it lives;
another owner that sees the same entry for long enough, by its own clock, removes it.
"""

from __future__ import annotations

import logging
import math
import socket
import threading
import time
import uuid
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from copy import deepcopy

from wavcaps_assets.clock import moment
from wavcaps_assets.store.errors import StoreError
from wavcaps_assets.store.shared_state import Document, SharedState
from wavcaps_assets.store.storage import Store

logger = logging.getLogger(__name__)

# How often an owner changes its entry (s).
BEAT_S = 20.0
# After this long without a change, seen by another owner, an owner is dead (s).
EXPIRES_S = 120.0
POLL_S = 1.0
# In the document: the entries by owner, and how many owners have left.
OWNERS, GONE = "owners", "gone"


class SharedLeases:
    """The leases of one owner, in a bucket with conditional writes or in a folder. Threads may share it.

    Args:
        store: holds the leases.
        folder: in the store.
        name: of the file of leases.
    """

    def __init__(self, store: Store, folder: str, name: str) -> None:
        self._state = SharedState(store, folder, name)
        self._owner = uuid.uuid4().hex
        self._lock = threading.Lock()
        self._held: set[str] = set()
        self._entries: dict[str, tuple[object, float]] = {}
        self._others: object = None
        self._changed = False
        # When this owner's entry last changed, and whether the exchange under way changes it.
        self._beat_at = -math.inf
        # When the store was last seen to have the lease that is required.
        self._seen_at = -math.inf
        self._beating = False

    def exchange(self, wanted: Collection[str] = (), released: Collection[str] = ()) -> set[str]:
        """Releases leases, and acquires others. Returns those acquired.

        Raises:
            StoreError: the store cannot be used, or this owner was thought dead.
        """
        with self._lock:
            began = _up_s()
            if self._held and began - self._beat_at > EXPIRES_S:
                self._held.clear()
                raise StoreError(
                    f"the leases could not be renewed for {began - self._beat_at:.0f} s, and others may have "
                    "taken them: start the run again"
                )
            got = self._state.change(lambda document: self._edit(document, wanted, released))
            self._held = (self._held - set(released)) | got
            if self._beating:
                self._beat_at = began
            return got

    def require(self, key: str) -> None:
        """Checks that this owner still holds a lease. The store is asked only now and then.

        Raises:
            StoreError: it was thought dead, as after this process or its machine slept, and another owner may
                have taken the lease; or the store cannot be read.
        """
        now = _up_s()
        # A little before others may take it: what is written next takes its time.
        held = now - self._beat_at < EXPIRES_S - BEAT_S
        if held and now - self._seen_at < BEAT_S / 4:
            return
        if held:
            owners = self._state.read().get(OWNERS, {})
            held = key in owners.get(self._owner, {}).get("keys", ())
            self._seen_at = now
        if not held:
            raise StoreError(
                f"the lease of {key!r} could not be renewed in time, and another process may have taken it: "
                "start the run again"
            )

    def others_changed(self) -> bool:
        """Whether another owner was there or changed something since the last call."""
        changed, self._changed = self._changed, False
        return changed

    def beat(self) -> None:
        """Shows that this owner lives, if it is time. Call it often while leases are held."""
        if self._held and _up_s() - self._beat_at >= BEAT_S:
            try:
                self.exchange()
            except StoreError as error:
                if _up_s() - self._beat_at > EXPIRES_S / 2:
                    raise
                logger.warning("leases cannot be renewed now: %s", error)

    def close(self) -> None:
        """Releases everything."""
        with self._lock, suppress(StoreError):
            self._held.clear()
            if self._beat_at > -math.inf:
                self._state.change(lambda document: _remove(document, self._owner))

    def _edit(self, document: Document, wanted: Collection[str], released: Collection[str]) -> set[str]:
        now = _up_s()
        owners: Document = document.setdefault(OWNERS, {})
        mine = owners.pop(self._owner, None)
        self._watch(document, now)
        taken = {key for entry in owners.values() for key in entry["keys"]}
        held = self._held - set(released)
        got = {key for key in wanted if key not in taken and key not in held}
        keys = sorted((held - taken) | got)
        self._beating = bool(keys) and now - self._beat_at >= BEAT_S
        if mine is None and not keys:
            return got
        beat = 0 if mine is None else mine["beat"]
        self._beating = self._beating or mine is None or keys != mine["keys"]
        owners[self._owner] = {"host": socket.gethostname(), "beat": beat + self._beating, "keys": keys}
        return got

    def _watch(self, document: Document, now: float) -> None:
        """Notes since when each other owner has its entry, and removes the dead ones."""
        owners: Document = document[OWNERS]
        seen = self._entries
        self._entries = {
            owner: seen[owner] if owner in seen and seen[owner][0] == entry else (deepcopy(entry), now)
            for owner, entry in owners.items()
        }
        for owner, (_, since) in self._entries.items():
            if now - since > EXPIRES_S:
                logger.warning("the leases of a process at %s have expired", owners[owner].get("host"))
                _remove(document, owner)
        # An owner may have come and gone in between.
        others = (document.get(GONE, 0), deepcopy(owners))
        if others != self._others:
            self._others, self._changed = others, True


def _up_s() -> float:
    """A clock that also goes on while the machine is asleep (s)."""
    return moment().up_s


def _remove(document: Document, owner: str) -> None:
    if document.get(OWNERS, {}).pop(owner, None) is not None:
        document[GONE] = document.get(GONE, 0) + 1


@contextmanager
def lease_held(leases: SharedLeases, key: str, timeout_s: float) -> Iterator[None]:
    """Holds one lease, and renews it meanwhile.

    Raises:
        TimeoutError: another owner held it for this long.
        StoreError: as `SharedLeases.exchange`.
    """
    until, waiting = time.monotonic() + timeout_s, False
    while not leases.exchange([key]):
        if not waiting:
            logger.info("another process holds %r, or was killed: waiting for up to %.0f s", key, timeout_s)
            waiting = True
        if time.monotonic() >= until:
            raise TimeoutError(f"another process holds {key!r}")
        time.sleep(min(POLL_S, timeout_s))
    done = threading.Event()
    renewing = threading.Thread(target=_renew, args=(leases, done), daemon=True)
    renewing.start()
    try:
        yield
    finally:
        done.set()
        renewing.join()
        # If it cannot be released, it expires.
        with suppress(StoreError):
            leases.exchange(released=[key])


def _renew(leases: SharedLeases, done: threading.Event) -> None:
    while not done.wait(BEAT_S / 4):
        try:
            leases.beat()
        except StoreError as error:
            logger.warning("a lease cannot be renewed: %s", error)
            return
