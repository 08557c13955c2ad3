"""Whether several machines may share a bucket.

Their leases and totals need conditional writes: a PUT with `If-None-Match: *` must fail where the object
exists. Where a server ignores the header, only one machine may work at a time.
"""

from __future__ import annotations

import logging
import math
import socket
import threading
import time
import uuid
from contextlib import suppress
from types import TracebackType

from wavcaps_assets.clock import moment
from wavcaps_assets.store.errors import MissingFile, StoreError
from wavcaps_assets.store.shared_leases import BEAT_S, EXPIRES_S
from wavcaps_assets.store.storage import Store

logger = logging.getLogger(__name__)

PREFIX = ".machine-"
# By address: whether a store's server honours conditions. It is asked once in a process.
KNOWN: dict[str, bool] = {}


def has_conditional_writes(store: Store, folder: str) -> bool:
    """Whether `Store.create` never replaces a file. Writes a file twice to find out.

    Args:
        folder: where the file may be written.

    Raises:
        StoreError: the store cannot be written.
    """
    place = store.describe(folder)
    if store.is_folder:
        return True
    if place not in KNOWN:
        probe = f"{folder}/.probe-{uuid.uuid4().hex}.json"
        try:
            KNOWN[place] = store.create(probe, b"1") and not store.create(probe, b"2")
        finally:
            with suppress(StoreError):
                store.remove_files([probe])
        if not KNOWN[place]:
            logger.warning(
                "the server of %s ignores `If-None-Match`: only one machine may work with this store at a "
                "time, runs that it makes at the same time may send a request twice, and the month's "
                "budget ends with each run",
                place,
            )
    return KNOWN[place]


class OneMachine:
    """Shows that this machine works with a bucket without conditional writes. Use as a context manager.

    Ages are differences between the server's own times, so that the machines' clocks do not matter.

    Raises:
        StoreError: another machine works with it now.
    """

    def __init__(self, store: Store, folder: str) -> None:
        self._store = store
        self._folder = folder
        self._name = f"{PREFIX}{uuid.uuid4().hex}.json"
        self._done = threading.Event()
        self._shown_at = -math.inf

    def __enter__(self) -> OneMachine:
        self._show()
        try:
            self._check()
        except BaseException:
            self._leave()
            raise
        self._thread = threading.Thread(target=self._keep_showing, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()
        self._leave()

    def _check(self) -> None:
        shown = self._store.hidden(self._folder, PREFIX)
        now = shown.get(self._name, time.time())
        for name, at in shown.items():
            if name == self._name:
                continue
            if now - at > EXPIRES_S:
                self._store.remove_files([f"{self._folder}/{name}"])
                continue
            with suppress(MissingFile):
                host = self._store.read_bytes(f"{self._folder}/{name}").decode("utf-8", "replace")
                if host != socket.gethostname():
                    raise StoreError(
                        f"the machine {host[:80]!r} works with {self._store.describe(self._folder)}, or did "
                        f"{EXPIRES_S:.0f} s ago, and the bucket's server ignores `If-None-Match`: run one "
                        "machine at a time, or use a server with conditional writes (docs/captioning.md)"
                    )

    def require(self) -> None:
        """Checks that other machines still see this one.

        Raises:
            StoreError: they may think that it is gone, as after it slept.
        """
        if moment().up_s - self._shown_at > EXPIRES_S - BEAT_S:
            raise StoreError(
                "this machine could not show in time that it works with "
                f"{self._store.describe(self._folder)}, and another one may work with it: start the run again"
            )

    def _show(self) -> None:
        began = moment().up_s
        self._store.write_bytes(f"{self._folder}/{self._name}", socket.gethostname().encode())
        self._shown_at = began

    def _leave(self) -> None:
        with suppress(StoreError):
            self._store.remove_files([f"{self._folder}/{self._name}"])

    def _keep_showing(self) -> None:
        while not self._done.wait(BEAT_S):
            try:
                self._show()
            except StoreError as error:
                logger.warning("%s", error)
