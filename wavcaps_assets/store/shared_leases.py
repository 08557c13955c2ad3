"""Leases of keys that several machines see, and that expire when their owner is dead.

No times of different machines are compared. An owner changes its entry again and again while it lives;
another owner that looks all the while and sees the same entry for long enough, by its own clock, may take
what it needs of it. An owner that could not change its entry for long, as while the store was gone, goes on
with what nobody took.
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
from wavcaps_assets.store.outages import OUTAGE_S, Outages
from wavcaps_assets.store.shared_state import Document, SharedState
from wavcaps_assets.store.storage import Store

logger = logging.getLogger(__name__)

# How often an owner changes its entry (s).
BEAT_S = 20.0
# After this long without a change, seen by another owner, an owner is dead (s).
EXPIRES_S = 120.0
# Another owner that did not look for this long starts to count again: the store may have been gone. In what
# is left of `EXPIRES_S`, the owner can renew its entry (s).
LOOK_S = EXPIRES_S / 2
# After this long without a change, what is left of a dead owner's entry is removed (s).
FORGET_S = OUTAGE_S + EXPIRES_S
POLL_S = 1.0
# In the document: the entries by owner, and how many owners have left.
OWNERS, GONE = "owners", "gone"


class LostLease(StoreError):
    """Another process has taken a lease of this one, which it thought dead."""


class SharedLeases:
    """The leases of one owner, in a bucket with conditional writes or in a folder. Threads may share it.

    Args:
        store: holds the leases. While its server does not answer, what waits in it waits here too.
        folder: in the store.
        name: of the file of leases.
    """

    def __init__(self, store: Store, folder: str, name: str) -> None:
        self._store = store
        # A change is made again after each wait, with the time at which it begins then.
        self._state = SharedState(store.without_waiting(), folder, name)
        self._outages = Outages(store.outages.waits)
        self._owner = uuid.uuid4().hex
        self._lock = threading.Lock()
        self._held: set[str] = set()
        # What others have taken, as the change under way sees it.
        self._lost: set[str] = set()
        # By other owner: the number of its last change, and since when it is the last (s).
        self._entries: dict[str, tuple[int, float]] = {}
        self._others: object = None
        self._changed = False
        # When this owner's entry last changed, and whether the exchange under way changes it.
        self._beat_at = -math.inf
        self._beating = False
        # When the store was last read.
        self._looked_at = -math.inf

    def exchange(self, wanted: Collection[str] = (), released: Collection[str] = ()) -> set[str]:
        """Releases leases, renews the others, and acquires more. Returns those acquired.

        Raises:
            LostLease: others have taken some. The rest is renewed, and nothing is acquired.
            StoreError: the store cannot be used.
        """
        return self._outages.sit_out(lambda: self._exchange(wanted, released))

    def require(self, key: str) -> None:
        """Checks that this owner still holds a lease, and renews it. The store is asked only now and then.

        Raises:
            LostLease: it was thought dead, as after this process or its machine slept, and another owner has
                taken the lease.
            StoreError: the store cannot be used.
        """
        if not self.is_fresh() or _up_s() - self._looked_at >= BEAT_S / 4:
            self.exchange()
        if not self.holds(key):
            raise _lost_lease([key])

    def is_fresh(self) -> bool:
        """Whether no other owner may think this one dead yet, nor soon: what is done next takes its time."""
        return _up_s() - self._beat_at < EXPIRES_S - BEAT_S

    def holds(self, key: str) -> bool:
        """Whether this owner had a lease when it last looked."""
        return key in self._held

    def release(self, key: str) -> None:
        """Gives a lease back. If the store cannot be used now, it expires."""
        with self._lock, suppress(StoreError):
            self._held.discard(key)
            self._change((), (key,))

    def others_changed(self) -> bool:
        """Whether another owner was there or changed something since the last call."""
        changed, self._changed = self._changed, False
        return changed

    def beat(self) -> None:
        """Shows that this owner lives, if it is time. Call it often while leases are held. It never waits.

        Raises:
            StoreError: as `exchange`.
        """
        if self._held and _up_s() - self._beat_at >= BEAT_S:
            self._exchange((), ())

    def close(self) -> None:
        """Releases everything."""
        with self._lock, suppress(StoreError):
            self._held.clear()
            if self._beat_at > -math.inf:
                self._state.change(lambda document: _remove(document, self._owner))

    @contextmanager
    def guarding(self, key: str) -> Iterator[None]:
        """Until the context ends, no request to the store that had to wait is made without the lease."""
        with self._store.outages.guarded(lambda: self.require(key)):
            yield

    def _exchange(self, wanted: Collection[str], released: Collection[str]) -> set[str]:
        with self._lock:
            got = self._change(wanted, released)
            if self._lost:
                raise _lost_lease(self._lost)
            return got

    def _change(self, wanted: Collection[str], released: Collection[str]) -> set[str]:
        began = _up_s()
        got = self._state.change(lambda document: self._edit(document, wanted, released))
        self._looked_at = began
        self._held = (self._held - set(released) - self._lost) | got
        if self._beating:
            self._beat_at = began
        return got

    def _edit(self, document: Document, wanted: Collection[str], released: Collection[str]) -> set[str]:
        now = _up_s()
        owners: Document = document.setdefault(OWNERS, {})
        mine = owners.pop(self._owner, None)
        held = self._held - set(released)
        self._lost = held - set(mine["keys"] if mine else ())
        held -= self._lost
        if self._lost:
            wanted = ()
        self._watch(document, wanted, now)
        taken = {key for entry in owners.values() for key in entry["keys"]}
        got = {key for key in wanted if key not in taken and key not in held}
        keys = sorted(held | got)
        self._beating = bool(keys) and now - self._beat_at >= BEAT_S
        if mine is None and not keys:
            return got
        beat = 0 if mine is None else mine["beat"]
        self._beating = self._beating or mine is None or keys != mine["keys"]
        owners[self._owner] = {"host": socket.gethostname(), "beat": beat + self._beating, "keys": keys}
        return got

    def _watch(self, document: Document, wanted: Collection[str], now: float) -> None:
        """Notes since when each other owner has its entry, and takes what is wanted from the dead ones."""
        owners: Document = document[OWNERS]
        seen = self._entries if now - self._looked_at <= LOOK_S else {}
        self._entries = {
            owner: seen[owner] if owner in seen and seen[owner][0] == entry["beat"] else (entry["beat"], now)
            for owner, entry in owners.items()
        }
        for owner, (_, since) in self._entries.items():
            entry = owners[owner]
            if now - since > EXPIRES_S and not set(wanted).isdisjoint(entry["keys"]):
                logger.warning("the leases of a process at %s have expired", entry.get("host"))
                entry["keys"] = [key for key in entry["keys"] if key not in wanted]
            if now - since > (FORGET_S if entry["keys"] else EXPIRES_S):
                _remove(document, owner)
        # An owner may have come and gone in between.
        others = (document.get(GONE, 0), deepcopy(owners))
        if others != self._others:
            self._others, self._changed = others, True


def _up_s() -> float:
    """A clock that also goes on while the machine is asleep (s)."""
    return moment().up_s


def _lost_lease(keys: Collection[str]) -> LostLease:
    shown = ", ".join(repr(key) for key in sorted(keys)[:3])
    return LostLease(
        f"the lease of {shown} could not be renewed in time, and another process may have taken it: "
        "start the run again"
    )


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
    left_s, waiting = timeout_s, False
    while not leases.exchange([key]):
        if not waiting:
            logger.info("another process holds %r, or was killed: waiting for up to %.0f s", key, timeout_s)
            waiting = True
        if left_s <= 0:
            raise TimeoutError(f"another process holds {key!r}")
        # Not counting the time in which the store was gone.
        pause_s = min(POLL_S, timeout_s)
        time.sleep(pause_s)
        left_s -= pause_s
    done = threading.Event()
    renewing = threading.Thread(target=_renew, args=(leases, done), daemon=True)
    renewing.start()
    try:
        with leases.guarding(key):
            yield
    finally:
        done.set()
        renewing.join()
        leases.release(key)


def _renew(leases: SharedLeases, done: threading.Event) -> None:
    while not done.wait(BEAT_S / 4):
        try:
            leases.beat()
        except LostLease as error:
            logger.warning("%s", error)
            return
        except StoreError as error:
            # `require` tries it again, and says whether another one has taken it.
            logger.warning("a lease cannot be renewed now: %s", error)
