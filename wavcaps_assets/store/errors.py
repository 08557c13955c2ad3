"""Errors of a store, whether it is a folder or a bucket."""


class StoreError(OSError):
    """A file cannot be stored or read."""


class MissingFile(StoreError):
    """The store has no such file."""
