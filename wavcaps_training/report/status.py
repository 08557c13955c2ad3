"""The state of the sources, as the report shows it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from wavcaps_assets.status.table import SHARED, lines
from wavcaps_assets.tables.asset_tables import TableStore

KEY = ("status",)


@dataclass(frozen=True)
class SourceStates:
    """The state of each source when the asset `status` was made last.

    Attributes:
        lines: of each source, in words, by the names in `status.table.HEADS`.
        as_of: when this was so (UTC); None: no source takes part.
    """

    lines: tuple[Mapping[str, str], ...]
    as_of: datetime | None

    @property
    def shared(self) -> Mapping[str, str]:
        """What all sources share."""
        return {name: self.lines[0][name] for name in SHARED} if self.lines else {}


def read_status(tables: TableStore) -> SourceStates | None:
    """The state of the sources; None: it was not made yet.

    Raises:
        StoreError: the table exists and cannot be read.
    """
    if not tables.exists(KEY, None):
        return None
    table = tables.read(KEY)
    return SourceStates(tuple(lines(table)), table.column("as_of")[0].as_py() if table.num_rows else None)
