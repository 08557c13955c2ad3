"""The differences between a set of captions and the previous set."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator

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
    sources = set(now.column("source").to_pylist())
    common = sorted(sources & set(before.column("source").to_pylist()))
    found = {}
    for scope in scopes(common):
        # A new source is left out of the whole too: there is nothing to compare it with.
        kept = pa.array(common if scope == WHOLE else [scope])
        parts = [table.filter(pc.is_in(table.column("source"), kept)) for table in (before, now)]
        found[scope] = _between(parts[0], parts[1])
    return found


def _between(before: pa.Table, now: pa.Table) -> dict[str, Figure]:
    words_before, unique_before, counts_before = _summary(before)
    words_now, unique_now, counts_now = _summary(now)
    rows = now.num_rows
    examples = [
        Example("", word, f"{counts_before[word]} times before, {counts_now[word]} now")
        for word, _ in _most_different(counts_before, counts_now)
    ]
    return {
        "mean_words": exact(abs(words_now - words_before), rows),
        "unique": exact(abs(unique_now - unique_before), rows),
        "vocabulary": exact(word_distance(counts_before, counts_now), rows, examples),
        **_by_clip(before, now),
    }


def _summary(table: pa.Table) -> tuple[float, float, Counter[str]]:
    counts: Counter[str] = Counter()
    texts: set[str] = set()
    length = 0
    for _, caption in _captions(table):
        counts.update(words_of(caption))
        texts.add(normalised(caption))
        length += len(caption.split())
    return length / table.num_rows, len(texts) / table.num_rows, counts


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
    known = dict(_captions(before))
    owners: defaultdict[str, list[str]] = defaultdict(list)
    for clip_id, caption in known.items():
        owners[caption].append(clip_id)
    both = changed = moved = 0
    examples: dict[str, list[Example]] = {"changed": [], "moved": []}
    for clip_id, caption in _captions(now):
        if clip_id not in known:
            continue
        both += 1
        if caption == known[clip_id]:
            continue
        changed += 1
        if len(examples["changed"]) < EXAMPLES:
            examples["changed"].append(Example(clip_id, caption, f"before: {known[clip_id]}"))
        # A caption that many clips had proves nothing: a model writes "A dog is barking." every day.
        if len(owners.get(caption, ())) == 1:
            moved += 1
            if len(examples["moved"]) < EXAMPLES:
                examples["moved"].append(
                    Example(clip_id, caption, f"before: the caption of {owners[caption][0]}")
                )
    if not both:
        return {}
    return {
        "changed": exact(changed / both, both, examples["changed"]),
        "moved": exact(moved / both, both, examples["moved"]),
    }


def _captions(table: pa.Table) -> Iterator[tuple[str, str]]:
    for batch in table.select(["clip_id", "caption"]).to_batches(max_chunksize=BATCH):
        yield from zip(batch.column(0).to_pylist(), batch.column(1).to_pylist(), strict=True)
