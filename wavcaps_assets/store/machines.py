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
from contextlib import ExitStack, suppress
from types import TracebackType

from wavcaps_assets.clock import moment
from wavcaps_assets.store.errors import MissingFile, StoreError
from wavcaps_assets.store.outages import Outages
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
            # The response to a first request that succeeded may be lost.
            created = store.create(probe, b"1") or store.exists(probe)
            KNOWN[place] = created and not store.create(probe, b"2")
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
        self._store = store.without_waiting()
        self._outages = Outages(store.outages.waits)
        self._guards = store.outages
        self._folder = folder
        self._name = f"{PREFIX}{uuid.uuid4().hex}.json"
        self._done = threading.Event()
        self._guarding = ExitStack()
        self._shown_at = -math.inf

    def __enter__(self) -> OneMachine:
        try:
            self._outages.sit_out(self._come)
        except BaseException:
            self._leave()
            raise
        self._thread = threading.Thread(target=self._keep_showing, daemon=True)
        self._thread.start()
        self._guarding.enter_context(self._guards.guarded(self.require))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._guarding.close()
        self._done.set()
        self._thread.join()
        self._leave()

    def _come(self) -> None:
        self._show()
        self._check()

    def _come_again(self) -> None:
        if self._name not in self._store.hidden(self._folder, PREFIX):
            raise StoreError(
                "this machine could not show in time that it works with "
                f"{self._store.describe(self._folder)}, and another one has worked with it since: start the "
                "run again"
            )
        self._come()

    def _is_late(self) -> bool:
        """Whether other machines may think that this one is gone."""
        return moment().up_s - self._shown_at > EXPIRES_S - BEAT_S

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
        """Checks that other machines still see this one. If they may not, as after it slept, it comes again.

        Raises:
            StoreError: another machine has come meanwhile; or the store cannot be used.
        """
        if self._is_late():
            self._outages.sit_out(self._come_again)

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
                if self._is_late():
                    self._come_again()
                else:
                    self._show()
            except StoreError as error:
                logger.warning("%s", error)
