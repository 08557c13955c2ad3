"""The captions of a manifest as the quality checks look at them, wherever they come from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import pyarrow as pa

from wavcaps_assets.checks.figures import EXAMPLES, Example

COLUMNS = pa.schema(
    [(name, pa.string()) for name in ("clip_id", "source", "caption", "text", "prompt_version")]
)
# What a model was shown besides the texts, by source and version of the prompt.
Shown = Mapping[tuple[str, str], tuple[str, ...]]


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
        table: `COLUMNS`: one row a caption; `text` is the raw text and `prompt_version` the prompt's, null
            where they are not known.
        read: how many captions were there of each source, readable or not.
        unreadable: those that are no text.
        repeated: rows whose clip had a row already.
        dropped: how many clips stages 2 and 3 dropped of each source; None: not known.
        shown: of the prompts that are known.
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
        table: the columns of `COLUMNS`, with or without `prompt_version`.
        dropped: `tables.DROPPED` of stages 2 and 3.
        shown: of the prompts that are known.
    """
    if "prompt_version" not in table.column_names:
        table = table.append_column("prompt_version", pa.nulls(table.num_rows, pa.string()))
    columns = table.select(COLUMNS.names).cast(COLUMNS)
    lost: Counter[str] = Counter()
    for one in dropped:
        lost.update(one.column("source").to_pylist())
    counts = columns.column("source").value_counts().to_pylist()
    read = {count["values"]: count["counts"] for count in counts}
    return CaptionSet(columns, dict.fromkeys(lost, 0) | read, dropped=lost, shown=shown or {})
