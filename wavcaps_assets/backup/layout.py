"""What is in a backup: its first and its last member, and the names between them.

A backup is a tar, compressed with zstd. `about.json` comes first, `complete.json` last: a file without it is
not a backup that was written to its end.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum

from pydantic import BaseModel, ConfigDict

ABOUT, COMPLETE = "about.json", "complete.json"
STORE, STATE, INSTANCE = "store", "state", "instance"
SPENT = "spent.json"
# The shares of machines in the quotas of hosts.
SHARES = "shares.json"
# The version of this layout.
LAYOUT = 1


class BackupError(Exception):
    """A backup cannot be made or restored. Says what to do."""


class DamagedBackup(BackupError):
    """A file is no backup, was not written to its end, or was changed."""


class InstanceKind(StrEnum):
    """Where an instance of Dagster keeps its runs and events."""

    NONE = "none"
    SQLITE = "sqlite"
    POSTGRES = "postgres"


class Size(BaseModel):
    """How many files there are of a kind, and their size in bytes."""

    files: int = 0
    bytes: int = 0

    def add(self, bytes: int) -> None:
        self.files += 1
        self.bytes += bytes

    def __str__(self) -> str:
        return f"{self.files:,} files, {self.bytes / 1e6:,.1f} MB"


class About(BaseModel):
    """The first member: what the backup is of.

    Attributes:
        layout: the version of the layout.
        id: of this backup.
        made: when it was begun.
        version: of the project.
        store: where the store was.
        home: the folder of the instance.
        instance: what the instance is kept in.
        included: the kinds of large files that are in it.
    """

    model_config = ConfigDict(frozen=True)

    layout: int = LAYOUT
    id: str
    made: datetime
    version: str
    store: str
    home: str
    instance: InstanceKind
    included: tuple[str, ...] = ()


class Member(BaseModel):
    """A file of a backup.

    Attributes:
        number: of the member of the tar that counts; an earlier one of this name does not.
        size: in bytes.
        sha256: of its content.
    """

    number: int
    size: int
    sha256: str


class Complete(BaseModel):
    """The last member.

    Attributes:
        files: what belongs to the backup, by name.
        left_out: what of the store does not, by kind.
    """

    files: Mapping[str, Member]
    left_out: Mapping[str, Size]


class Spent(BaseModel):
    """What the language models of a store have cost or may cost in a month (10^-12 USD).

    It counts the requests that were on their way, and the batches in progress.
    """

    month: str
    pico: int
