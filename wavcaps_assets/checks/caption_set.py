"""The captions of a manifest, as the quality checks read them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import pyarrow as pa

from wavcaps_assets.checks.figures import EXAMPLES, Example
from wavcaps_assets.tables import EVENTS

COLUMNS = pa.schema(
    [
        *((name, pa.string()) for name in ("clip_id", "source", "caption", "text", "prompt_version")),
        ("events", EVENTS),
    ]
)
# The other sentences that a model was shown, by source and prompt version.
Shown = Mapping[tuple[str, str], tuple[str, ...]]


@dataclass
class Counted:
    """The number of rows with a fault, by source, and the first of them."""

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
        table: `COLUMNS`, one row a caption. `text` (the raw text), `prompt_version` and `events` are null if
            unknown.
        read: the number of captions of each source, readable or not.
        unreadable: captions that are not text.
        repeated: rows whose clip already had a row.
        dropped: the number of clips of each source that stages 2 and 3 dropped; None if unknown.
        shown: the other sentences of the known prompts.
    """

    table: pa.Table
    read: Mapping[str, int]
    unreadable: Counted = field(default_factory=Counted)
    repeated: Counted = field(default_factory=Counted)
    dropped: Mapping[str, int] | None = None
    shown: Shown = field(default_factory=dict)

    @property
    def sources(self) -> list[str]:
        return sorted(self.read)


def caption_set(table: pa.Table, dropped: Iterable[pa.Table] = (), shown: Shown | None = None) -> CaptionSet:
    """The captions of a table of this project.

    Args:
        table: the columns of `COLUMNS`, with or without `prompt_version` and `events`.
        dropped: `tables.DROPPED` of stages 2 and 3.
        shown: as in `CaptionSet`.
    """
    for name in ("prompt_version", "events"):
        if name not in table.column_names:
            table = table.append_column(name, pa.nulls(table.num_rows, COLUMNS.field(name).type))
    columns = table.select(COLUMNS.names).cast(COLUMNS)
    lost: Counter[str] = Counter()
    for one in dropped:
        lost.update(one.column("source").to_pylist())
    counts = columns.column("source").value_counts().to_pylist()
    read = {count["values"]: count["counts"] for count in counts}
    return CaptionSet(columns, dict.fromkeys(lost, 0) | read, dropped=lost, shown=shown or {})
