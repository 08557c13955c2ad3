"""Captions that belong to the clips next to theirs: the test of stage 2, over a whole table.

Rows are compared with the rows one and two places away, in the order of the table and in the order of their
ids: captions are shifted in the order in which a model was asked, and a table may have been sorted since.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain

import pyarrow as pa

from wavcaps_assets.captioning.alignment import MOST_WORDS, SHIFTS, content_stems
from wavcaps_assets.checks.figures import EXAMPLES, Example

BATCH = 10_000
# Adjacent captions are misplaced if this many more of their words are in the text beside theirs than in their
# own. In 17,000 captions by people, by ChatGPT and by rules, none of which is misplaced, the most is 4.
MISPLACED_WORDS = 6
FARTHEST = max(SHIFTS)
NONE = frozenset[str]()
Stems = tuple[frozenset[str], frozenset[str]]


@dataclass
class Run:
    """Adjacent captions that fit the text some places away better than their own.

    Attributes:
        shift: how many places.
        found: the first and last place of each run that is long enough.
    """

    shift: int
    found: list[tuple[int, int]] = field(default_factory=list)
    _sum: int = 0
    _most: int = 0
    _first: int = 0
    _last: int = 0

    def add(self, place: int, more: int) -> None:
        """The next caption has this many words more in the other text than in its own."""
        if not self._sum:
            self._first = place
        self._sum = max(0, self._sum + max(-MOST_WORDS, min(MOST_WORDS, more)))
        if self._sum > self._most:
            self._most, self._last = self._sum, place
        if not self._sum or self._sum <= self._most - MISPLACED_WORDS:
            self.close()

    def close(self) -> None:
        if self._most >= MISPLACED_WORDS:
            self.found.append((self._first, self._last))
        self._sum = self._most = 0


@dataclass(frozen=True)
class Misplaced:
    """How many captions of a table seem to belong to the clips next to theirs, and the first of them."""

    rows: int
    examples: list[Example]


def misplaced(table: pa.Table) -> Misplaced:
    """Counts the captions of one source that fit the texts of the rows next to theirs.

    Args:
        table: with `clip_id`, `caption` and `text`.
    """
    orders = [None, by_id(table)]
    marked = bytearray(table.num_rows)
    examples: list[Example] = []
    for order in orders[: 1 if orders[1] is None else 2]:
        ordered = table if order is None else table.take(order)
        for run in _runs(_stems(ordered)):
            for first, last in run.found:
                for place in range(first, last + 1):
                    row = place if order is None else order[place].as_py()
                    if not marked[row] and len(examples) < EXAMPLES:
                        examples.append(_example(ordered, place, run.shift))
                    marked[row] = 1
    return Misplaced(sum(marked), examples)


def by_id(table: pa.Table) -> pa.Array | None:
    """The order of the ids, by the first number in them if all have one; None: the table has it already."""
    # Slow to import, and not needed to load the definitions.
    import pyarrow.compute as pc

    ids = table.column("clip_id").combine_chunks()
    numbers = pc.struct_field(pc.extract_regex(ids, r"(?P<number>\d{1,18})"), "number")
    key = ids if numbers.null_count else pc.cast(numbers, pa.int64())
    order = pc.sort_indices(
        pa.table({"key": key, "place": pa.array(range(len(ids)))}), [("key", "ascending")]
    )
    places = pa.array(range(len(order)), order.type)
    return None if order.equals(places) or order.equals(places[::-1]) else order


def _runs(pairs: Iterable[Stems]) -> list[Run]:
    runs = [Run(shift) for shift in SHIFTS]
    window: deque[Stems] = deque([(NONE, NONE)] * FARTHEST, 2 * FARTHEST + 1)
    for place, pair in enumerate(chain(pairs, [(NONE, NONE)] * FARTHEST), -FARTHEST):
        window.append(pair)
        if place < 0:
            continue
        text, caption = window[FARTHEST]
        own = len(caption & text)
        for run in runs:
            run.add(place, len(caption & window[FARTHEST + run.shift][0]) - own)
    for run in runs:
        run.close()
    return runs


def _stems(table: pa.Table) -> Iterator[Stems]:
    for batch in table.select(["text", "caption"]).to_batches(max_chunksize=BATCH):
        for text, caption in zip(batch.column(0).to_pylist(), batch.column(1).to_pylist(), strict=True):
            yield content_stems(text or ""), content_stems(caption or "")


def _example(table: pa.Table, place: int, shift: int) -> Example:
    rows = table.slice(min(place, place + shift), abs(shift) + 1).to_pylist()
    own, other = (rows[0], rows[-1]) if shift > 0 else (rows[-1], rows[0])
    detail = f"fits {other['clip_id']}: {other['text']}; its own text: {own['text']}"
    return Example(own["clip_id"], own["caption"], detail)
