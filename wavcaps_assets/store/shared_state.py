"""A small JSON document in a store, which several machines change one after the other.

The document is a series of numbered files, of which the last one counts. A change creates the next number if
nobody else has: this is all that the store must do in one step (`Store.create`). No clock of a machine
decides anything.
"""

from __future__ import annotations

import json
import logging
import random
import threading
import time
import uuid
from collections.abc import Callable
from copy import deepcopy
from itertools import pairwise
from typing import Any, TypeVar

from wavcaps_assets.store.errors import MissingFile, StoreError
from wavcaps_assets.store.storage import Store

logger = logging.getLogger(__name__)

T = TypeVar("T")
Document = dict[str, Any]

DIGITS = 12
SUFFIX = ".json"
# A version is removed when the next one is this much older than the newest, by the store's own times (s).
KEEP_S = 600.0
# A change that began longer ago than this looks again whether its number was free all along (s).
VERIFY_S = 60.0
# After this many changes without a listing, old versions are looked for.
LIST_EVERY = 500
LONGEST_WAIT_S = 1.0
FIRST_WAIT_S = 0.01


class SharedState:
    """A document that starts as `{}`. Threads may share it.

    Args:
        store: a folder, or a bucket with conditional writes.
        folder: where the document is, in the store.
        name: of the document; its files are hidden.
    """

    def __init__(self, store: Store, folder: str, name: str) -> None:
        self._store = store
        self._folder = folder
        self._start = f".{name}-"
        self._lock = threading.Lock()
        self._number = 0
        self._document: Document | None = None
        self._known_at = (0.0, 0.0)
        self._changes = 0

    def read(self) -> Document:
        """The document as it is now.

        Raises:
            StoreError: the store cannot be read.
        """
        with self._lock:
            return deepcopy(self._load())

    def change(self, edit: Callable[[Document], T]) -> T:
        """Changes the document. Returns what `edit` returns.

        Args:
            edit: changes the document in place; called again where another machine was faster. If it
                changes nothing, it has seen the newest document, and nothing is written.

        Raises:
            StoreError: the store cannot be read or written. The change may have been made.
        """
        with self._lock:
            wait = FIRST_WAIT_S
            fresh = self._document is None
            before = self._load() if self._document is None else self._document
            while True:
                document = deepcopy(before)
                result = edit(document)
                if document == before and fresh:
                    return result
                if document != before and self._created(document):
                    return result
                if document != before:
                    time.sleep(wait * random.uniform(0.5, 1.5))
                    wait = min(2 * wait, LONGEST_WAIT_S)
                before, fresh = self._load(), True

    def _created(self, document: Document) -> bool:
        """Writes the next version; False: it exists already."""
        number, known_at, began = self._number + 1, self._known_at, _times()
        data = json.dumps({"id": uuid.uuid4().hex, "document": document}).encode("ascii")
        if not self._store.create(self._path(number), data) and self._content(number) != data:
            # Equal content: the response to an earlier try of this request was lost.
            return False
        if _passed_s(known_at) > VERIFY_S and max(self._versions(), default=0) > number:
            # The number had been used and removed: this machine slept in between.
            return False
        self._number, self._document, self._known_at = number, document, began
        self._changes += 1
        if self._changes % LIST_EVERY == 0:
            self._versions()
        return True

    def _load(self) -> Document:
        while True:
            known_at = _times()
            number = max(self._versions(), default=0)
            content = self._content(number) if number else b'{"document": {}}'
            if content is not None:
                break
        try:
            document = json.loads(content)["document"]
        except (ValueError, KeyError, TypeError):
            raise StoreError(
                f"{self._store.describe(self._path(number))} is damaged: remove the files "
                f"{self._start}* next to it while no run works"
            ) from None
        self._number, self._document, self._known_at = number, document, known_at
        return document

    def _versions(self) -> list[int]:
        """The numbers of the versions. Removes old ones."""
        written = {
            int(name.removeprefix(self._start).removesuffix(SUFFIX)): at
            for name, at in self._store.hidden(self._folder, self._start).items()
            if name.endswith(SUFFIX)
        }
        numbers = sorted(written)
        newest = written[numbers[-1]] if numbers else 0.0
        old = [one for one, after in pairwise(numbers) if newest - written[after] > KEEP_S]
        if old:
            try:
                self._store.remove_files([self._path(number) for number in old])
            except StoreError as error:
                logger.warning("old versions of %s are not removed: %s", self._start, error)
        return numbers

    def _content(self, number: int) -> bytes | None:
        try:
            return self._store.read_bytes(self._path(number))
        except MissingFile:
            return None

    def _path(self, number: int) -> str:
        return f"{self._folder}/{self._start}{number:0{DIGITS}d}{SUFFIX}"


def _times() -> tuple[float, float]:
    return time.monotonic(), time.time()


def _passed_s(since: tuple[float, float]) -> float:
    # A machine that sleeps stops one of the two clocks; a clock that is set changes the other.
    return max(now - then for now, then in zip(_times(), since, strict=True))
