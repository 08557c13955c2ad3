"""One process at a time crawls a partition, or fetches its audio, on any machine that uses the store.

Dagster's pools see to it as well, for the runs of one instance.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta

from wavcaps_assets.clock import utc_now
from wavcaps_assets.network.errors import Paused
from wavcaps_assets.store.exclusive import StillAlone, alone
from wavcaps_assets.store.storage import Store

FOLDER = "log/clips"
# Until a run that found another process at work tries again (s).
LATER_S = 600.0


@contextmanager
def one_process(store: Store, source: str, partition: str) -> Iterator[StillAlone]:
    """Keeps other processes from the partition, until the context ends.

    Call what it yields before each write. In a bucket, a process that slept for longer than a lease lasts, as
    in a suspended machine, gets an error then: another one may work on the partition.

    Raises:
        Paused: another process works on it. In a bucket, one that was killed is seen to be dead after two
            minutes, and is waited for.
        StoreError: the store cannot be used.
    """
    lock = f"{FOLDER}/{source}/.{partition}.lock"
    with ExitStack() as held:
        try:
            still_alone = held.enter_context(alone(store, FOLDER, f"{source}/{partition}", lock))
        except TimeoutError:
            raise Paused(
                f"another process works on the partition {partition} of {source}",
                utc_now() + timedelta(seconds=LATER_S),
            ) from None
        yield still_alone
