"""The description of an export, `export.json`: it is written last, so an export is complete or absent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, ValidationError

from wavcaps_assets.store.storage import MissingFile, Store, StoreError
from wavcaps_assets.tables import DROPPED
from wavcaps_assets.tables.stage import drop

DESCRIPTION = "export.json"
STAGE = "export"


class DamagedExport(StoreError):
    """A file named `export.json` is not the description of an export."""


class ExportedFile(BaseModel):
    """A file of an export.

    Attributes:
        name: its path in the export's folder, with forward slashes.
        bytes: its size.
        sha256: of its content, in hexadecimal.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    bytes: int
    sha256: str


class LeftOut(BaseModel):
    """A clip of the version that the export does not have.

    Attributes:
        reason: a code, such as `audio_gone`.
        detail: what is known, for people.
    """

    model_config = ConfigDict(frozen=True)

    clip_id: str
    source: str
    reason: str
    detail: str


class ExportDescription(BaseModel):
    """What an export is.

    Attributes:
        format: the name of its format.
        version: the published version that it was made from.
        content_hash: of that version's rows.
        slice: the part of the version; empty: all of it.
        slice_settings: those of the slice that are not the defaults.
        slice_hash: of the ids of the slice's clips; empty: all of the version.
        settings: of the format.
        created: when it was complete.
        clips: how many it has.
        bytes: the size of all files.
        files: all files but the description.
        left_out: the clips of the version or slice that it does not have.
        notes: what else happened, counted, such as characters that were replaced.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    format: str
    version: str
    content_hash: str
    slice: str = ""
    slice_settings: Mapping[str, Any] = {}
    slice_hash: str = ""
    settings: Mapping[str, Any] = {}
    created: datetime
    clips: int
    bytes: int
    files: tuple[ExportedFile, ...]
    left_out: tuple[LeftOut, ...] = ()
    notes: Mapping[str, int] = {}

    @property
    def reasons(self) -> dict[str, int]:
        """The number of clips that were left out, by reason."""
        return dict(Counter(one.reason for one in self.left_out).most_common())

    def left_out_table(self) -> pa.Table:
        """The clips that were left out, as `tables.DROPPED`."""
        return DROPPED.from_rows(
            drop(one.clip_id, one.source, STAGE, one.reason, one.detail) for one in self.left_out
        )


def read_description(store: Store, folder: str) -> ExportDescription | None:
    """The description of the export in a folder; None: there is no complete export.

    Raises:
        DamagedExport: there is a file of that name, and it is something else.
    """
    path = f"{folder}/{DESCRIPTION}"
    try:
        return ExportDescription.model_validate_json(store.read_bytes(path))
    except MissingFile:
        return None
    except ValidationError as error:
        raise DamagedExport(
            f"{store.describe(path)} is not the description of an export ({error.error_count()} faults): "
            "remove it, and export again"
        ) from error
