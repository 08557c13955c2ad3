"""The copy of a run in a bucket: another machine goes on with it where this one stopped."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

from wavcaps_assets.store.storage import MissingFile, Store, StoreError
from wavcaps_training.training.result import RESULT, TENSORBOARD
from wavcaps_training.training.state import STATE, saved_step


class RunCopy:
    """Sends what a run has written to a bucket, and fetches it from there.

    Args:
        store: the bucket.
        folder: the run's folder in it.
        here: the run's folder on this machine.
        say: told what is fetched, and what could not be sent.
    """

    def __init__(self, store: Store, folder: str, here: Path, say: Callable[[str], object]) -> None:
        self._store = store
        self._folder = folder
        self._here = here
        self._say = say
        self._sent: dict[str, tuple[int, int]] = {}

    def fetch(self) -> None:
        """Takes over what was sent, if that run had got further than what is here.

        Raises:
            StoreError: the bucket cannot be read, or there is no room here.
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
            self._say(f"fetches what an earlier run saved in {self._store.describe(self._folder)}")
            here = Store(self._here)
            for name in self._names_there():
                with self._store.reading(f"{self._folder}/{name}") as source, here.writing(name) as target:
                    shutil.copyfile(source, target)
            # The last, since it speaks of the others.
            with here.writing(STATE) as target:
                shutil.copyfile(state, target)

    def save(self) -> None:
        """Sends what has been written since the last time; what cannot be sent now is sent the next time."""
        try:
            self._send()
        except StoreError as error:
            self._say(f"where the run is was saved on this machine only: {error}")

    def finish(self) -> None:
        """Sends all that is left of a run that is done, and then forgets it here.

        Raises:
            StoreError: the bucket cannot be written; what was made stays where it is.
        """
        self._send()
        self._store.remove(f"{self._folder}/{STATE}")
        shutil.rmtree(self._here)

    def _send(self) -> None:
        for path in self._files_here():
            name, status = path.relative_to(self._here).as_posix(), path.stat()
            version = (status.st_mtime_ns, status.st_size)
            if self._sent.get(name) != version:
                with self._store.writing(f"{self._folder}/{name}") as target:
                    shutil.copyfile(path, target)
                self._sent[name] = version

    def _files_here(self) -> list[Path]:
        """What is to be sent; the state comes after what it speaks of, and the result after all."""
        files = [path for path in self._here.rglob("*") if path.is_file() and not path.name.startswith(".")]
        return sorted(files, key=lambda path: (path.name == RESULT, path.name == STATE, path))

    def _names_there(self) -> Iterator[str]:
        yield from (name for name in self._store.sizes(self._folder) if name != STATE)
        yield from (f"{TENSORBOARD}/{name}" for name in self._store.sizes(f"{self._folder}/{TENSORBOARD}"))
