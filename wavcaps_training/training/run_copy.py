"""The copy of a run in a bucket, from which another machine resumes it."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from wavcaps_assets.store.storage import MissingFile, Store, StoreError
from wavcaps_training.training.result import RESULT, TENSORBOARD
from wavcaps_training.training.state import STATE, saved_step

logger = logging.getLogger(__name__)


class RunCopy:
    """Copies what a run has written to a bucket, and back from there.

    Args:
        store: the bucket.
        folder: the run's folder in it.
        here: the run's folder on this machine.
    """

    def __init__(self, store: Store, folder: str, here: Path) -> None:
        self._store = store
        self._folder = folder
        self._here = here
        self._sent: dict[str, tuple[int, int]] = {}

    def fetch(self) -> None:
        """Fetches the copy if it is further than what is on this machine.

        Raises:
            StoreError: the bucket cannot be read, or the disk of this machine is full.
        """
        if (self._here / RESULT).exists():
            return
        with ExitStack() as stack:
            try:
                state = stack.enter_context(self._store.reading(f"{self._folder}/{STATE}"))
            except MissingFile:
                return
            if saved_step(state) <= saved_step(self._here / STATE):
                return
            logger.info("fetching what an earlier run saved in %s", self._store.describe(self._folder))
            here = Store(self._here)
            for name in self._names_there():
                with self._store.reading(f"{self._folder}/{name}") as source, here.writing(name) as target:
                    shutil.copyfile(source, target)
            # Last, because it refers to the others.
            with here.writing(STATE) as target:
                shutil.copyfile(state, target)

    def save(self) -> None:
        """Copies what was written since the last call; what cannot be copied now is copied the next time."""
        try:
            self._send()
        except StoreError as error:
            logger.warning("the run's state was saved on this machine only: %s", error)

    def finish(self) -> None:
        """Copies the rest of a run that is done, and then deletes it on this machine.

        Raises:
            StoreError: the bucket cannot be written; nothing on this machine is deleted.
        """
        self._send()
        self._store.remove(f"{self._folder}/{STATE}")
        shutil.rmtree(self._here)

    def _send(self) -> None:
        for path in self._files_here():
            name = path.relative_to(self._here).as_posix()
            try:
                status = path.stat()
                version = (status.st_mtime_ns, status.st_size)
                if self._sent.get(name) != version:
                    with self._store.writing(f"{self._folder}/{name}") as target:
                        shutil.copyfile(path, target)
                    self._sent[name] = version
            except FileNotFoundError:
                # TensorBoard and other writers may rename or remove a file at any time.
                logger.info("%s disappeared before it was copied", path)

    def _files_here(self) -> list[Path]:
        """What to copy: the state after what it refers to, and the result last."""
        files = [path for path in self._here.rglob("*") if path.is_file() and not path.name.startswith(".")]
        return sorted(files, key=lambda path: (path.name == RESULT, path.name == STATE, path))

    def _names_there(self) -> Iterator[str]:
        yield from (name for name in self._store.sizes(self._folder) if name != STATE)
        yield from (f"{TENSORBOARD}/{name}" for name in self._store.sizes(f"{self._folder}/{TENSORBOARD}"))
