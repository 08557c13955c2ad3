"""What goes wrong with a store, whether it is a folder or a bucket."""


class StoreError(OSError):
    """A file cannot be kept, or is not there."""


class MissingFile(StoreError):
    """There is no such file in the store."""
