"""A file of a store, as a listing shows it."""

from __future__ import annotations

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
