"""Sources that have another name in the set that a manifest is compared with."""

from __future__ import annotations

from functools import cache, partial

import pyarrow as pa

# The share of the smaller source's clips that both must have, to be the same source.
MOSTLY = 0.5


def with_names_of(before: pa.Table, now: pa.Table) -> pa.Table:
    """The earlier set with the names and ids of today's sources.

    A source that only the earlier set has may be named differently there, or after a file without a column
    `source`. It is the source of today that only today's set has and that has most of its clips. Ids are
    compared without the source's name before them: `soundbible-12` is `sb-12` and `12`.

    Args:
        before, now: with `clip_id`, `source` and `caption`.
    """
    before = before.select(["clip_id", "source", "caption"])
    mine, theirs = _sources(before), _sources(now)
    # Millions of ids as Python objects: only where a source may have another name.
    new = cache(partial(_bare_ids, now))
    names: dict[str, str] = {}
    for source in sorted(mine):
        if source in theirs and _shares_ids(before, now, source):
            continue
        old = _bare_ids(before, source)
        free = theirs - mine - set(names.values())
        name = source if source in theirs else _most_alike(old, {name: new(name) for name in sorted(free)})
        if name is not None and (name != source or set(old.values()).isdisjoint(new(name).values())):
            names[source] = name
    if not names:
        return before
    rows = before.to_pylist()
    for row in rows:
        if (name := names.get(row["source"])) is not None:
            bare = _bare(row["clip_id"], row["source"])
            row |= {"source": name, "clip_id": new(name).get(bare, row["clip_id"])}
    return pa.Table.from_pylist(rows, before.schema)


def _shares_ids(before: pa.Table, now: pa.Table, source: str) -> bool:
    """Whether both sets have a clip of a source, by the same id."""
    # Slow to import, and not needed to load the definitions.
    import pyarrow.compute as pc

    mine, theirs = (
        table.filter(pc.equal(table.column("source"), source)).column("clip_id") for table in (before, now)
    )
    return bool(pc.any(pc.is_in(mine, value_set=theirs)).as_py())


def _most_alike(old: dict[str, str], new: dict[str, dict[str, str]]) -> str | None:
    """The source that has most of these clips."""
    shares = {
        name: len(old.keys() & ids.keys()) / max(min(len(old), len(ids)), 1) for name, ids in new.items()
    }
    best = max(shares, key=lambda name: shares[name], default=None)
    return best if best is not None and shares[best] >= MOSTLY else None


def _sources(table: pa.Table) -> set[str]:
    return set(table.column("source").unique().to_pylist())


def _bare_ids(table: pa.Table, source: str) -> dict[str, str]:
    """The ids of a source, by what follows the source's name in them."""
    # Slow to import, and not needed to load the definitions.
    import pyarrow.compute as pc

    ids = table.filter(pc.equal(table.column("source"), source)).column("clip_id").to_pylist()
    return {_bare(clip_id, source): clip_id for clip_id in ids}


def _bare(clip_id: str, source: str) -> str:
    """What follows the source's name in an id, or another name and a hyphen before a number."""
    bare = clip_id.removeprefix(f"{source}-")
    head, hyphen, number = bare.rpartition("-")
    return number if hyphen and head.isidentifier() and number.isdecimal() else bare
