"""What changed between two published versions."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from wavcaps_assets.publishing.version_diff import diff
from wavcaps_assets.tables.set_versions import TABLE, SetVersion, SetVersions, path_of


def compare_versions(versions: SetVersions, before: SetVersion, after: SetVersion) -> pa.Table:
    """The changes from one version to another, whichever is the newer one.

    If the second is newer, it says why clips were removed: each version in between has written that down. If
    versions in between were pruned, the reasons that they had are not known.

    Returns:
        `tables.SET_CHANGES`.

    Raises:
        DamagedSetVersion, StoreError: a version cannot be read.
    """
    if after.previous == before.name:
        return versions.changes(after)
    store = versions.store
    with (
        store.reading(path_of(before.name, TABLE)) as one,
        store.reading(path_of(after.name, TABLE)) as other,
    ):
        changes = diff(one, other)
    removals = [
        found.filter(pc.equal(found.column("change"), "removed"))
        for version in reversed(versions.all())
        if before.number < version.number <= after.number
        for found in [versions.changes(version)]
    ]
    if not removals:
        return changes
    # The newest removal of a clip comes first, and the first place is found.
    known = pa.concat_tables(removals)
    place = pc.index_in(changes.column("clip_id"), value_set=known.column("clip_id").combine_chunks())
    removed = pc.equal(changes.column("change"), "removed")
    for name in ("why", "detail"):
        new = pc.if_else(removed, known.column(name).take(place), changes.column(name))
        changes = changes.set_column(changes.column_names.index(name), changes.schema.field(name), new)
    return changes
