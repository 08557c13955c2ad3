"""What is exported: a published version of the set, or a slice of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from wavcaps_assets.slices.select import make_slice, measures_of
from wavcaps_assets.slices.settings import SliceSettings
from wavcaps_assets.slices.uses import USES
from wavcaps_assets.store.storage import Store, StoreError
from wavcaps_assets.tables import DROPPED
from wavcaps_assets.tables.asset_tables import WHOLE, TableStore, with_set_version
from wavcaps_assets.tables.set_versions import SetVersion, SetVersions

CURRENT = "latest"


class UnknownSlice(StoreError):
    """There is no such slice."""


@dataclass(frozen=True)
class ExportedSet:
    """The clips to export.

    Attributes:
        store: where the version and its audio are.
        version: the published version.
        table: `tables.MANIFEST`: all clips of the version, in its order, or those of the slice.
        slice: the name of the slice, a plain file name; empty: the whole version.
        slice_settings: the settings of the slice, without its defaults.
        left_out: the other clips of the version, `tables.DROPPED`.
    """

    store: Store
    version: SetVersion
    table: pa.Table
    slice: str = ""
    slice_settings: Mapping[str, Any] = field(default_factory=dict)
    left_out: pa.Table = field(default_factory=DROPPED.empty)

    @property
    def name(self) -> str:
        """Such as `v3-1a2b3c4d`, or `v3-1a2b3c4d-commercial` for a slice."""
        return f"{self.version.name}-{self.slice}" if self.slice else self.version.name

    @property
    def slice_hash(self) -> str:
        """SHA-256 of the ids of the slice's clips; empty: the whole version.

        The same settings choose other clips of a version once its audio is measured again, or a rule changes.
        """
        if not self.slice:
            return ""
        return hashlib.sha256("\n".join(self.table.column("clip_id").to_pylist()).encode()).hexdigest()


def open_set(store: Store, version: str = CURRENT, use: str = "") -> ExportedSet:
    """A published version of the set, or the slice of it for a use.

    A slice has the settings that the asset `slice/<use>` was made with the last time, else the defaults.

    Args:
        version: a name such as `v3-1a2b3c4d`, a number, with or without `v`, or `latest`.
        use: the name of an intended use, such as `commercial`; empty: the whole version.

    Raises:
        UnknownSetVersion, DamagedSetVersion: there is no such version, or it cannot be read.
        UnknownSlice: there is no such use.
        EmptySlice: no clip of the version may be used for it.
    """
    if use and use not in USES:
        raise UnknownSlice(f"there is no slice {use!r}: the slices are {', '.join(USES)}")
    versions = SetVersions(store)
    found = versions.find(version)
    table = with_set_version(versions.read(found), found.name)
    if not use:
        return ExportedSet(store, found, table)
    tables = TableStore(store)
    settings = SliceSettings.model_validate(json.loads(tables.settings_of(["slice", use], WHOLE) or "{}"))
    measures = measures_of(tables, found.sources) if settings.needs_measures else None
    stage = make_slice(table, USES[use], settings, measures)
    chosen = settings.model_dump(mode="json", exclude_defaults=True)
    return ExportedSet(store, found, stage.kept, use, chosen, stage.dropped)
