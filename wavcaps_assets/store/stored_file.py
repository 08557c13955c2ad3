"""A file of a store, as a listing shows it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class StoredFile:
    """A file of a store.

    Attributes:
        path: relative to the store, with forward slashes.
        size: in bytes.
        modified: when it was written (s since the epoch).
    """

    path: str
    size: int
    modified: float

    @property
    def folder(self) -> str:
        """The top-level folder; empty for a file outside folders."""
        return self.path.partition("/")[0] if "/" in self.path else ""


def usage_of(files: Iterable[StoredFile]) -> dict[str, tuple[int, int]]:
    """The top-level folders of files, by name: number of files under each, and their total size (bytes)."""
    usage: dict[str, tuple[int, int]] = {}
    for file in files:
        if file.folder:
            count, size = usage.get(file.folder, (0, 0))
            usage[file.folder] = (count + 1, size + file.size)
    return dict(sorted(usage.items()))
