"""Request quotas that several machines share, by a document in their bucket.

Each machine leases a share of each limit (`shares`) and spends it from its own file (`Quotas`), so that a
request writes nothing to the bucket. No times of different machines are compared. A machine changes its entry
while it sends requests; where others see the same entry for long enough, by their own clocks, they may use
its share. It stops using it long before that.
"""

from __future__ import annotations

import logging
import math
import threading
import uuid
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock, Timeout

from wavcaps_assets.clock import Moment
from wavcaps_assets.network.quotas import Limit, Quotas
from wavcaps_assets.network.share_exchange import EXPIRES_S, Exchange
from wavcaps_assets.network.share_records import Key, ShareRecords
from wavcaps_assets.network.shares import BLOCKS, LONG_SPAN_S, is_used_up
from wavcaps_assets.store.errors import StoreError
from wavcaps_assets.store.machines import OneMachine, has_conditional_writes
from wavcaps_assets.store.shared_state import SharedState
from wavcaps_assets.store.storage import Store

logger = logging.getLogger(__name__)

FOLDER, NAME = "log/quotas", "quotas"
# While requests are sent, the document is read this often, and changed no more often than this (s).
REFRESH_S, SHORTEST_S = 5.0, 1.0
# A machine does not use its share when its entry is older than this (s): half of what others wait.
USE_S = EXPIRES_S / 2
# A request waits this long for others to pass slots of a long span on (s). Then its crawl pauses; if none of
# its own slots becomes free, for `LATER_S`.
PATIENCE_S, LATER_S = 45.0, 3600.0
# After this long without the bucket, requests fail (s).
OUTAGE_S = 600.0
# While another process of this machine changes the share (s).
SOON_S = 0.1


def open_quotas(path: Path, store: Store | None, read_clock: Callable[[], Moment] | None = None) -> Quotas:
    """The quotas of this machine, or those of all machines where the store is a bucket that they share.

    Args:
        path: this machine's file.
        store: None: this machine works alone.

    Raises:
        StoreError: the bucket cannot be used, or another machine works with it and its server has no
            conditional writes.
    """
    if store is None or store.is_folder:
        return Quotas(path, read_clock)
    if has_conditional_writes(store, FOLDER):
        return SharedQuotas(path, store, read_clock)
    return LoneQuotas(path, store, read_clock)


class LoneQuotas(Quotas):
    """The quotas of the only machine that may work with a bucket without conditional writes now."""

    def __init__(self, path: Path, store: Store, read_clock: Callable[[], Moment] | None = None) -> None:
        super().__init__(path, read_clock)
        self._alone = OneMachine(store, FOLDER)
        self._alone.__enter__()

    def acquire(self, host: str, limits: tuple[Limit, ...]) -> tuple[int | None, float]:
        self._alone.require()
        return super().acquire(host, limits)

    def close(self) -> None:
        self._alone.__exit__(None, None, None)
        super().close()


class SharedQuotas(Quotas):
    """The share of one machine. Its threads and processes may use it at the same time.

    Args:
        path: this machine's file. A machine that loses it waits until its old share has expired.
        store: a bucket with conditional writes.
    """

    def __init__(self, path: Path, store: Store, read_clock: Callable[[], Moment] | None = None) -> None:
        super().__init__(path, read_clock)
        self._records = ShareRecords(self._database)
        # Requests go on for a while without the bucket, so nothing here waits for it.
        self._state = SharedState(store.without_waiting(), FOLDER, NAME)
        self._place = store.describe(FOLDER)
        self._exchanging = threading.Lock()
        self._file_lock = FileLock(path.with_name(f".{path.name}.lock"))
        # When this process last tried, and since when it has failed (s, since the start).
        self._tried_at, self._failing_since = -math.inf, math.inf
        self._error: StoreError | None = None
        # When each limit was last asked for, and since when requests have waited for it (s, since the start).
        self._asked: dict[Key, float] = {}
        self._waiting: dict[Key, float] = {}
        # The limits in the settings of the other machines.
        self._elsewhere: dict[Key, int] = {}

    def acquire(self, host: str, limits: tuple[Limit, ...]) -> tuple[int | None, float]:
        limits = self._with_those_elsewhere(host, limits)
        if self._until_due_s() <= 0:
            self._exchange(self._wanted(host, limits))
        request_id, wait = super().acquire(host, limits)
        if wait > 0 and self._up_s() - self._tried_at >= SHORTEST_S:
            long_ago = self._up_s() - REFRESH_S
            wanted = self._wanted(host, limits)
            if any(self._asked.get(key, -math.inf) <= long_ago for key in wanted):
                self._exchange(wanted)
                request_id, wait = super().acquire(host, limits)
        if wait > 0:
            self._require_store()
        return request_id, wait

    def pause(self, host: str, seconds: float) -> None:
        super().pause(host, seconds)
        self._exchange({})

    def close(self) -> None:
        """Gives back what this machine has not used."""
        if self._records.shares():
            self._exchange({}, closing=True)
        super().close()

    def _limit_s(self, host: str, limit: Limit, now: float) -> float:
        key = host, limit.seconds
        usable = min(self._records.held(key), limit.requests)
        if usable and now - self._records.wrote_at() >= USE_S:
            return max(self._until_due_s(), SOON_S)
        own = super()._limit_s(host, Limit(usable, limit.seconds), now) if usable else 0.0
        if usable == limit.requests or (usable and own <= 0):
            self._waiting.pop(key, None)
            return own
        # Another machine may pass slots on before one of this machine's is free again.
        since = self._waiting.setdefault(key, self._up_s())
        if limit.seconds <= LONG_SPAN_S or self._up_s() - since < PATIENCE_S or self._error:
            return min(own or REFRESH_S, max(self._until_due_s(), SOON_S))
        return own or LATER_S

    def _with_those_elsewhere(self, host: str, limits: tuple[Limit, ...]) -> tuple[Limit, ...]:
        """Adds the limits of other machines for spans for which this one has none in its settings."""
        own = {limit.seconds for limit in limits}
        more = sorted(
            (key, of) for key, of in self._elsewhere.items() if key[0] == host and key[1] not in own
        )
        return (*limits, *(Limit(of, seconds) for (_, seconds), of in more))

    def _wanted(self, host: str, limits: tuple[Limit, ...]) -> dict[Key, int]:
        """The limits, by key, of which this machine has used up its share, or soon will have."""
        with self._transaction() as now:
            if self._pause_s(host, now) > 0:
                return {}
            wanted = {}
            for limit in limits:
                key = host, limit.seconds
                # It may be another one than when this machine asked for its share.
                self._records.set_limit(key, limit.requests)
                held = self._records.held(key)
                ahead = limit.requests // BLOCKS // 4 if limit.seconds > LONG_SPAN_S else 0
                if held < limit.requests and is_used_up(held, self._records.used(key, now) + ahead):
                    wanted[key] = limit.requests
            return wanted

    def _up_s(self) -> float:
        return self._read_clock().up_s

    def _until_due_s(self) -> float:
        return self._tried_at + REFRESH_S - self._up_s()

    def _exchange(self, wanted: dict[Key, int], closing: bool = False) -> None:
        """Changes this machine's entry, if it must change, and learns what the others' say."""
        if not self._exchanging.acquire(blocking=closing):
            return
        try:
            with self._file_lock.acquire(timeout=REFRESH_S if closing else 0):
                self._tried_at = self._up_s()
                self._asked |= dict.fromkeys(wanted, self._tried_at)
                self._change(wanted, closing)
                self._error, self._failing_since = None, math.inf
        except Timeout:
            # Another process of this machine does it now.
            self._tried_at = self._up_s() - REFRESH_S + SOON_S
        except StoreError as error:
            self._error, self._failing_since = error, min(self._failing_since, self._up_s())
            logger.warning(
                "machines share the quotas of requests in %s, which cannot be used now (%s): requests go on "
                "with this machine's share for up to %.0f s, and then wait",
                self._place,
                error,
                USE_S,
            )
        finally:
            self._exchanging.release()

    def _change(self, wanted: dict[Key, int], closing: bool) -> None:
        exchange = Exchange(self._records, uuid.uuid4().hex, wanted, closing)
        with self._transaction() as now:
            exchange.begin(now)

        def edit(document: dict[str, object]) -> None:
            with self._transaction() as now:
                exchange.edit(document, now)

        self._state.change(edit)
        with self._transaction() as now:
            exchange.commit(now)
        self._elsewhere = exchange.limits_elsewhere

    def _require_store(self) -> None:
        """Raises StoreError if the bucket could not be used for long."""
        failing_s = self._up_s() - self._failing_since
        if self._error is not None and failing_s > OUTAGE_S:
            raise StoreError(
                f"machines share the quotas of requests in {self._place}, which could not be used for "
                f"{failing_s:.0f} s: {self._error}"
            ) from self._error
