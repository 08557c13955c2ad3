"""The differences between a set of captions and the previous set."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from wavcaps_assets.checks.content_words import normalised
from wavcaps_assets.checks.figures import EXAMPLES, WHOLE, Example, Figure, exact
from wavcaps_assets.checks.measures import BATCH, scopes
from wavcaps_assets.checks.renaming import with_names_of
from wavcaps_assets.rules.reading import words_of


def drift(before: pa.Table, now: pa.Table) -> dict[str, dict[str, Figure]]:
    """The differences, by scope and measure: `mean_words`, `unique`, `vocabulary`, `changed`, `moved`.

    A source that only one set has is not compared; a source may have another name in the earlier set
    (`renaming.with_names_of`). `changed` and `moved` are shares of the clips that are in both sets, matched
    by `clip_id`.

    Args:
        before, now: tables with at least `clip_id`, `source` and `caption`.
    """
    # Slow to import, and not needed to load the definitions.
    import pyarrow.compute as pc

    before = with_names_of(before, now)
    common = sorted(_sources(now) & _sources(before))
    kept = pa.array(common, pa.string())
    # A new source is left out of the whole too: there is nothing to compare it with.
    before, now = (table.filter(pc.is_in(table.column("source"), kept)) for table in (before, now))
    summaries: list[tuple[Summary, Summary]] = []
    found = {}
    for scope in reversed(scopes(common)):
        if scope == WHOLE:
            olds, news = zip(*summaries, strict=True)
            found[scope] = _between(_merged(olds), _merged(news)) | _by_clip(before, now)
            continue
        parts = [table.filter(pc.equal(table.column("source"), scope)) for table in (before, now)]
        summaries.append((_summary(parts[0]), _summary(parts[1])))
        found[scope] = _between(*summaries[-1]) | _by_clip(*parts)
    return found


@dataclass(frozen=True)
class Summary:
    """What is compared of the captions of a scope.

    Attributes:
        captions: without the differences that do not count.
        length: words in all of them.
        counts: how often each word occurs.
    """

    captions: pa.ChunkedArray
    length: int
    counts: Counter[str]

    @property
    def mean_words(self) -> float:
        return self.length / len(self.captions)

    @property
    def unique(self) -> float:
        return len(self.captions.unique()) / len(self.captions)


def _sources(table: pa.Table) -> set[str]:
    return set(table.column("source").unique().to_pylist())


def _between(before: Summary, now: Summary) -> dict[str, Figure]:
    rows = len(now.captions)
    examples = [
        Example("", word, f"{before.counts[word]} times before, {now.counts[word]} now")
        for word, _ in _most_different(before.counts, now.counts)
    ]
    return {
        "mean_words": exact(abs(now.mean_words - before.mean_words), rows),
        "unique": exact(abs(now.unique - before.unique), rows),
        "vocabulary": exact(word_distance(before.counts, now.counts), rows, examples),
    }


def _summary(table: pa.Table) -> Summary:
    counts: Counter[str] = Counter()
    plain, length = [], 0
    for batch in table.select(["caption"]).to_batches(max_chunksize=BATCH):
        captions = batch.column(0).to_pylist()
        for caption in captions:
            counts.update(words_of(caption))
            length += len(caption.split())
        plain.append(pa.array([normalised(caption) for caption in captions], pa.string()))
    return Summary(pa.chunked_array(plain, pa.string()), length, counts)


def _merged(parts: Sequence[Summary]) -> Summary:
    counts: Counter[str] = Counter()
    for part in parts:
        counts.update(part.counts)
    chunks = [chunk for part in parts for chunk in part.captions.chunks]
    return Summary(pa.chunked_array(chunks, pa.string()), sum(part.length for part in parts), counts)


def word_distance(one: Counter[str], other: Counter[str]) -> float:
    """The Jensen-Shannon distance (base 2) of two word distributions, 0 (the same) to 1 (no common word)."""
    totals = one.total(), other.total()
    if not all(totals):
        return float(any(totals))
    divergence = 0.0
    for word in one.keys() | other.keys():
        shares = one[word] / totals[0], other[word] / totals[1]
        middle = sum(shares) / 2
        divergence += sum(share * math.log2(share / middle) for share in shares if share) / 2
    return math.sqrt(min(1.0, max(0.0, divergence)))


def _most_different(one: Counter[str], other: Counter[str]) -> list[tuple[str, float]]:
    totals = max(one.total(), 1), max(other.total(), 1)
    gaps = {word: abs(one[word] / totals[0] - other[word] / totals[1]) for word in one.keys() | other.keys()}
    ranked = sorted(gaps.items(), key=lambda item: (-item[1], item[0]))[:EXAMPLES]
    return [(word, gap) for word, gap in ranked if gap]


def _by_clip(before: pa.Table, now: pa.Table) -> dict[str, Figure]:
    # Slow to import, and not needed to load the definitions.
    import pyarrow.compute as pc

    before = _last_of_each(before)
    ids, captions = before.column("clip_id").combine_chunks(), before.column("caption").combine_chunks()
    places = pc.index_in(now.column("clip_id"), value_set=ids)
    both = len(places) - places.null_count
    if not both:
        return {}
    was = captions.take(places.combine_chunks())
    differs = pc.fill_null(pc.not_equal(now.column("caption"), pa.chunked_array([was])), False)
    changed = now.select(["clip_id", "caption"]).filter(differs)
    counted = captions.value_counts()
    # A caption that many clips had proves nothing: a model writes "A dog is barking." every day.
    once = counted.field("values").filter(pc.equal(counted.field("counts"), 1))
    moved = changed.filter(pc.is_in(changed.column("caption"), value_set=once))
    first_changed, first_moved = (table.slice(0, EXAMPLES) for table in (changed, moved))
    owners = ids.take(pc.index_in(first_moved.column("caption").combine_chunks(), value_set=captions))
    first_was = was.filter(differs.combine_chunks()).slice(0, EXAMPLES)
    return {
        "changed": exact(len(changed) / both, both, _examples(first_changed, "before: ", first_was)),
        "moved": exact(len(moved) / both, both, _examples(first_moved, "before: the caption of ", owners)),
    }


def _examples(table: pa.Table, detail: str, values: pa.Array) -> list[Example]:
    return [
        Example(row["clip_id"], row["caption"], f"{detail}{value}")
        for row, value in zip(table.to_pylist(), values.to_pylist(), strict=True)
    ]


def _last_of_each(table: pa.Table) -> pa.Table:
    """One row for each clip. Of clips with two names in an earlier set, the last one counts."""
    if len(table.column("clip_id").unique()) == len(table):
        return table
    rows = {row["clip_id"]: row for row in table.to_pylist()}
    return pa.Table.from_pylist(list(rows.values()), table.schema)
