"""What a run has finished of an export, so that a run after it goes on where it was killed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from wavcaps_assets.exports.description import ExportedFile, LeftOut
from wavcaps_assets.store.storage import MissingFile, Store

# In the export's folder, until the export is complete.
UNFINISHED = ".unfinished"
BEGUN, PARTS = "begun.json", "parts"


class PartRecord(BaseModel):
    """A finished part of an export.

    Attributes:
        files: those of the part.
        clips: how many it has.
        left_out: the clips that it could not get.
        notes: see `ExportDescription.notes`.
    """

    model_config = ConfigDict(frozen=True)

    files: tuple[ExportedFile, ...] = ()
    clips: int = 0
    left_out: tuple[LeftOut, ...] = ()
    notes: Mapping[str, int] = {}


class Journal:
    """The finished parts of an export, in the order in which they were finished or read.

    Args:
        store: where the export is written.
        folder: of the export, in it.
        identity: what is exported: the version, the format, its settings.
    """

    def __init__(self, store: Store, folder: str, identity: Mapping[str, Any]) -> None:
        self._store = store
        self._export = folder
        self._folder = f"{folder}/{UNFINISHED}"
        self.identity = identity
        self.parts: dict[str, PartRecord] = {}

    @property
    def is_of_this(self) -> bool:
        """Whether a run has begun an export of the same set with the same settings here."""
        try:
            return self._store.read_bytes(f"{self._folder}/{BEGUN}") == self._content()
        except MissingFile:
            return False

    def resume(self) -> bool:
        """Reads the finished parts. False: there is no unfinished export of the same set and settings."""
        if not self.is_of_this:
            return False
        records = {}
        for name in sorted(self._store.sizes(f"{self._folder}/{PARTS}")):
            content = self._store.read_bytes(f"{self._folder}/{PARTS}/{name}")
            # A part that cannot be read is written again.
            with suppress(ValidationError):
                records[name.removesuffix(".json")] = PartRecord.model_validate_json(content)
        files = (file for record in records.values() for file in record.files)
        lost = frozenset(missing_files(self._store, self._export, files))
        self.parts = {
            name: record
            for name, record in records.items()
            if lost.isdisjoint(file.name for file in record.files)
        }
        return True

    def begin(self) -> None:
        self._store.write_bytes(f"{self._folder}/{BEGUN}", self._content())

    def add(self, part: str, record: PartRecord) -> None:
        content = record.model_dump_json().encode()
        self._store.write_bytes(f"{self._folder}/{PARTS}/{part}.json", content)
        self.parts[part] = record

    def path(self, name: str) -> str:
        """The path of a file that is only needed until the export is complete."""
        return f"{self._folder}/{name}"

    def remove(self) -> None:
        # Without its first file there is no journal, so that goes last.
        self._store.remove(f"{self._folder}/{PARTS}")
        self._store.remove(self._folder)

    def _content(self) -> bytes:
        return json.dumps(self.identity, sort_keys=True).encode()


def missing_files(store: Store, folder: str, files: Iterable[ExportedFile]) -> list[str]:
    """The names of the files of an export that are not there, or have another size; a listing a folder."""
    sizes: dict[str, dict[str, int]] = {}
    missing = []
    for file in files:
        parent, _, name = f"{folder}/{file.name}".rpartition("/")
        if parent not in sizes:
            sizes[parent] = store.sizes(parent)
        if sizes[parent].get(name) != file.bytes:
            missing.append(file.name)
    return missing
