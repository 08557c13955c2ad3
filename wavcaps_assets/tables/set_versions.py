"""The published versions of the set: each is immutable, and is complete or absent.

A version has four files in `versions/wavcaps/`: the set as it was (`<name>.parquet`), what it changed
(`<name>.changes.parquet`, `<name>.changelog.md`), and its description (`<name>.json`), which is written last
and removed first. Without it, the other files are what a killed run left, and the version does not exist.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, ValidationError

from wavcaps_assets.store.migration import UnknownLayout, read_columns
from wavcaps_assets.store.row_hash import rows_hash
from wavcaps_assets.store.storage import Store, StoreError
from wavcaps_assets.tables import MANIFEST, SET_CHANGES

FOLDER = "versions/wavcaps"
ABOUT = ".json"
TABLE, CHANGES, CHANGELOG = ".parquet", ".changes.parquet", ".changelog.md"
NAME = re.compile(r"v(?P<number>[1-9]\d*)-[0-9a-f]{8}")
SHOWN_NAMES = 8


class UnknownSetVersion(StoreError):
    """There is no such version of the set."""


class DamagedSetVersion(StoreError):
    """The files of a version are not what its description says."""


class SetVersion(BaseModel):
    """The description of a version.

    Attributes:
        name: such as `v3-1a2b3c4d`: its number, and the beginning of its hash.
        content_hash: of all rows; two versions with the same hash have the same rows.
        created: when it was published.
        run_id: the run that published it.
        clips: how many it has.
        sources: those that it is made of.
        previous: the version that its changes are relative to; None: it is the first.
        changes: the number of changes of each kind.
        removed: the number of removed clips, by the reason.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: str
    content_hash: str
    created: datetime
    run_id: str
    clips: int
    sources: tuple[str, ...] = ()
    previous: str | None = None
    changes: Mapping[str, int] = {}
    removed: Mapping[str, int] = {}

    @property
    def number(self) -> int:
        return number_of(self.name)


class SetVersions:
    """The published versions in a store."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def names(self) -> list[str]:
        """The names of all versions, the oldest first."""
        names = [file.removesuffix(ABOUT) for file in self.store.sizes(FOLDER) if file.endswith(ABOUT)]
        return sorted(
            (name for name in names if NAME.fullmatch(name)), key=lambda name: (number_of(name), name)
        )

    def all(self) -> list[SetVersion]:
        """The descriptions of all versions, the oldest first."""
        return [self.about(name) for name in self.names()]

    def latest(self) -> SetVersion | None:
        """The newest version; None: nothing was published yet."""
        names = self.names()
        return self.about(names[-1]) if names else None

    def find(self, wanted: str) -> SetVersion:
        """A version by its name, its number with or without `v`, or `latest`.

        Raises:
            UnknownSetVersion: there is no such version, or there are several; names those that exist.
        """
        names = self.names()
        if wanted == "latest" and names:
            return self.about(names[-1])
        found = [name for name in names if wanted in (name, f"v{number_of(name)}", str(number_of(name)))]
        if len(found) != 1:
            place = self.store.describe_root()
            there = ", ".join(names[-SHOWN_NAMES:]) or f"none in {place}: materialize wavcaps"
            raise UnknownSetVersion(
                f"{'several versions' if found else 'no version'} {wanted!r} of the set; there are {there}"
            )
        return self.about(found[0])

    def about(self, name: str) -> SetVersion:
        """A version's description.

        Raises:
            UnknownSetVersion, DamagedSetVersion: it is missing, or not a description.
        """
        if not NAME.fullmatch(name) or not self.store.exists(path_of(name, ABOUT)):
            raise UnknownSetVersion(f"no version {name!r} of the set")
        try:
            return SetVersion.model_validate_json(self.store.read_bytes(path_of(name, ABOUT)))
        except ValidationError as error:
            raise DamagedSetVersion(
                f"{self.store.describe(path_of(name, ABOUT))} is not the description of a version: {error}"
            ) from error

    def read(self, version: SetVersion, columns: Sequence[str] | None = None) -> pa.Table:
        """The set as it was, `tables.MANIFEST`.

        Args:
            columns: the columns to read; None: all, checked against the version's hash. Columns that were
                added to the table since the version was published are null.

        Raises:
            DamagedSetVersion: the table is missing, or not the one that was published.
        """
        path = path_of(version.name, TABLE)
        try:
            with self.store.opening_table(path) as file:
                table = read_columns(file, MANIFEST, columns)
        except (StoreError, UnknownLayout) as error:
            raise DamagedSetVersion(f"the set {version.name} cannot be read: {error}") from error
        same = columns is not None or content_hash(table) == version.content_hash
        if table.num_rows != version.clips or not same:
            raise DamagedSetVersion(
                f"{self.store.describe(path)} is not the table that was published as {version.name}"
            )
        return table

    def changes(self, version: SetVersion) -> pa.Table:
        """What the version changed, compared with the previous one: `tables.SET_CHANGES`."""
        try:
            with self.store.opening_table(path_of(version.name, CHANGES)) as file:
                return read_columns(file, SET_CHANGES)
        except (StoreError, UnknownLayout) as error:
            raise DamagedSetVersion(f"the changes of {version.name} cannot be read: {error}") from error

    def write(self, version: SetVersion, table: pa.Table, changes: pa.Table, changelog: str) -> None:
        """Publishes a version. It exists when this returns, and does not if this raises.

        Raises:
            StoreError: it cannot be written, or there is a version with this name.
        """
        if self.store.exists(path_of(version.name, ABOUT)):
            raise StoreError(f"there is a version {version.name} of the set, and a version never changes")
        try:
            self.store.write_table(path_of(version.name, TABLE), table, MANIFEST)
            self.store.write_table(path_of(version.name, CHANGES), changes, SET_CHANGES)
            self.store.write_bytes(path_of(version.name, CHANGELOG), changelog.encode())
            self.store.write_bytes(path_of(version.name, ABOUT), version.model_dump_json(indent=2).encode())
        except BaseException:
            self.store.remove_files(paths_of(version.name))
            raise


def content_hash(table: pa.Table) -> str:
    """A hash of the rows of a set, whatever their order.

    Args:
        table: `tables.MANIFEST`.
    """
    # Slow to import, and not needed to load the definitions.
    import pyarrow.compute as pc

    return rows_hash(table, MANIFEST, pc.sort_indices(table, sort_keys=[("clip_id", "ascending")]))


def name_of(number: int, hashed: str) -> str:
    return f"v{number}-{hashed[:8]}"


def number_of(name: str) -> int:
    match = NAME.fullmatch(name)
    return int(match["number"]) if match else 0


def path_of(name: str, ending: str) -> str:
    """Where a file of a version is in the store."""
    return f"{FOLDER}/{name}{ending}"


def paths_of(name: str) -> list[str]:
    """All files of a version, in the order in which they are to be removed."""
    return [path_of(name, ending) for ending in (ABOUT, CHANGELOG, CHANGES, TABLE)]
