"""The captions of a manifest as the quality checks look at them, wherever they come from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import pyarrow as pa

from wavcaps_assets.checks.figures import EXAMPLES, Example

COLUMNS = pa.schema(
    [("clip_id", pa.string()), ("source", pa.string()), ("caption", pa.string()), ("text", pa.string())]
)


@dataclass
class Counted:
    """How many rows of each source have a certain fault, with the first of them."""

    rows: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[Example]] = field(default_factory=dict)

    def add(self, source: str, example: Example) -> None:
        self.rows[source] += 1
        shown = self.examples.setdefault(source, [])
        if len(shown) < EXAMPLES:
            shown.append(example)


@dataclass(frozen=True)
class CaptionSet:
    """Captions by clip.

    Attributes:
        table: `COLUMNS`: one row a caption; `text` is the raw text, null where it is not known.
        read: how many captions were there of each source, readable or not.
        unreadable: those that are no text.
        repeated: rows whose clip had a row already.
        dropped: how many clips stages 2 and 3 dropped of each source; None: not known.
    """

    table: pa.Table
    read: Mapping[str, int]
    unreadable: Counted = field(default_factory=Counted)
    repeated: Counted = field(default_factory=Counted)
    dropped: Mapping[str, int] | None = None

    @property
    def sources(self) -> list[str]:
        return sorted(self.read)


def caption_set(table: pa.Table, dropped: Iterable[pa.Table] = ()) -> CaptionSet:
    """The captions of a table of this project.

    Args:
        table: `schemas.CAPTIONS` or `schemas.MANIFEST`.
        dropped: `schemas.DROPPED` of stages 2 and 3.
    """
    columns = table.select(COLUMNS.names).cast(COLUMNS)
    lost: Counter[str] = Counter()
    for one in dropped:
        lost.update(one.column("source").to_pylist())
    counts = columns.column("source").value_counts().to_pylist()
    read = {count["values"]: count["counts"] for count in counts}
    return CaptionSet(columns, dict.fromkeys(lost, 0) | read, dropped=lost)
