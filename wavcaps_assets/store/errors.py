"""Errors of a store, whether it is a folder or a bucket."""

from wavcaps_assets.masking import masked


class StoreError(OSError):
    """A file cannot be stored or read. The message may quote a server, so secrets in it are masked."""

    def __init__(self, message: str) -> None:
        super().__init__(masked(message))


class MissingFile(StoreError):
    """The store has no such file."""


class OutsideStore(StoreError):
    """A path is not one inside the store."""


class DamagedTable(StoreError):
    """A file is not a Parquet table, or not one that can be read to its end."""
