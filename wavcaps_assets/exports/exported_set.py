"""What is exported: a published version of the set, or a slice of it."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from wavcaps_assets.store.storage import Store
from wavcaps_assets.tables.set_versions import SetVersion, SetVersions

CURRENT = "latest"


@dataclass(frozen=True)
class ExportedSet:
    """The clips to export.

    Attributes:
        store: where the version and its audio are.
        version: the published version.
        table: `tables.MANIFEST`, by clip_id: all clips of the version, or those of the slice.
        slice: the name of the slice, a plain file name; empty: the whole version.
    """

    store: Store
    version: SetVersion
    table: pa.Table
    slice: str = ""

    @property
    def name(self) -> str:
        """Such as `v3-1a2b3c4d`, or `v3-1a2b3c4d-commercial` for a slice."""
        return f"{self.version.name}-{self.slice}" if self.slice else self.version.name


def open_set(store: Store, version: str = CURRENT) -> ExportedSet:
    """A published version of the set.

    Args:
        version: a name such as `v3-1a2b3c4d`, a number, with or without `v`, or `latest`.

    Raises:
        UnknownSetVersion, DamagedSetVersion: there is no such version, or it cannot be read.
    """
    versions = SetVersions(store)
    found = versions.find(version)
    return ExportedSet(store, found, versions.read(found).sort_by("clip_id"))
