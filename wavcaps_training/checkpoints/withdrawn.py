"""Clips that models were trained on, and whose use was restricted since.

A checkpoint names the version of the set that it was trained on. What later versions changed says which of
its clips have another licence or preference now, or left the set because of one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from wavcaps_assets.publishing.compare_versions import compare_versions
from wavcaps_assets.publishing.splits import ASSIGNMENTS_KEY
from wavcaps_assets.slices.lost_uses import uses_lost
from wavcaps_assets.tables.asset_tables import WHOLE, TableStore
from wavcaps_assets.tables.set_versions import SetVersion, SetVersions
from wavcaps_training.tables import WITHDRAWN_CLIPS

Key = tuple[str, ...]
# A clip that its source does not have any more was taken back by its author, or by the site. If it is not
# known why, it may have been.
REMOVED_BECAUSE = ("licence", "preference", "gone", "unknown")
CHANGED = ("relicensed", "preference_changed")


@dataclass(frozen=True)
class TrainedModel:
    """A checkpoint asset.

    Attributes:
        key: of the asset.
        own_split: whether its training manifest has the split of the set, and not all clips to train on.
        start: key of the checkpoint that it started from; None: fresh weights.
    """

    key: Key
    own_split: bool
    start: Key | None = None


def find_withdrawn(tables: TableStore, models: Sequence[TrainedModel]) -> pa.Table:
    """The withdrawn clips of each stored checkpoint, and of those that it started from.

    Returns:
        `tables.WITHDRAWN_CLIPS`.

    Raises:
        StoreError: a version that a checkpoint names is missing or damaged.
    """
    versions = SetVersions(tables.store)
    latest = versions.latest()
    if latest is None:
        return WITHDRAWN_CLIPS.empty()
    by_key = {model.key: model for model in models if tables.exists(model.key, None)}
    trained_on = {key: _version_of(tables, key) for key in by_key}
    changes = {name: _restrictions(versions, name, latest) for name in set(trained_on.values()) if name}
    split = _split(tables)
    found = [WITHDRAWN_CLIPS.empty()]
    for model in by_key.values():
        own: pa.Array | None = None
        for part in _chain(model, by_key):
            name = trained_on[part.key]
            if name is None:
                continue
            changes_of = changes[name]
            if own is not None:
                # What the model's own training has is not said again of the one that it started from.
                changes_of = changes_of.filter(pc.invert(pc.is_in(_keys(changes_of), value_set=own)))
            found.append(_rows(changes_of, model, part, name, split))
            own = _keys(changes_of) if own is None else pa.concat_arrays([own, _keys(changes_of)])
    return WITHDRAWN_CLIPS.check(pa.concat_tables(found))


def by_checkpoint(withdrawn: pa.Table) -> dict[str, int]:
    """The number of withdrawn clips of each checkpoint, in the train split or in an unknown part of it.

    Args:
        withdrawn: `tables.WITHDRAWN_CLIPS`.
    """
    used = withdrawn.filter(pc.equal(pc.fill_null(withdrawn.column("split"), "train"), "train"))
    counted = used.group_by(["model", "setting"]).aggregate([("clip_id", "count_distinct")])
    return {
        f"{row['model']}/{row['setting']}": row["clip_id_count_distinct"]
        for row in counted.sort_by([("model", "ascending"), ("setting", "ascending")]).to_pylist()
    }


def _rows(
    changes: pa.Table, model: TrainedModel, part: TrainedModel, version: str, split: pa.Table
) -> pa.Table:
    """Rows of `tables.WITHDRAWN_CLIPS`: of a model, what it or a checkpoint before it was trained on."""
    place = pc.index_in(changes.column("clip_id"), value_set=split.column("clip_id").combine_chunks())
    constant = {
        "model": model.key[-2],
        "setting": model.key[-1],
        "set_version": version,
        "through": None if part is model else "/".join(part.key[1:]),
    }
    columns = {
        **{name: changes.column(name) for name in changes.column_names},
        **{name: pa.repeat(pa.scalar(value, pa.string()), len(changes)) for name, value in constant.items()},
        "split": split.column("split").take(place) if part.own_split else pa.repeat("train", len(changes)),
    }
    return pa.table([columns[name] for name in WITHDRAWN_CLIPS.arrow.names], schema=WITHDRAWN_CLIPS.arrow)


def _chain(model: TrainedModel, by_key: dict[Key, TrainedModel]) -> Iterator[TrainedModel]:
    """A model, the one that it started from, and so on."""
    part: TrainedModel | None = model
    while part is not None:
        yield part
        part = by_key.get(part.start) if part.start is not None else None


def _keys(changes: pa.Table) -> pa.Array:
    joined = pc.binary_join_element_wise(changes.column("change"), changes.column("clip_id"), " ")
    return joined.combine_chunks()


def _version_of(tables: TableStore, key: Key) -> str | None:
    """The version of the set that a checkpoint was trained on; None: not known, or of no set."""
    stored = tables.read(key, [WHOLE], ["set_version"]).column("set_version").to_pylist()
    return stored[0] if stored else None


def _split(tables: TableStore) -> pa.Table:
    """`clip_id` and `split`; no rows: there is no split, or one for each of several seeds."""
    nothing = pa.table({"clip_id": pa.array([], pa.string()), "split": pa.array([], pa.string())})
    if not tables.exists(ASSIGNMENTS_KEY, None):
        return nothing
    known = tables.read(ASSIGNMENTS_KEY, [WHOLE], ["clip_id", "seed", "split"])
    return known if pc.count_distinct(known.column("seed")).as_py() == 1 else nothing


def _restrictions(versions: SetVersions, name: str, latest: SetVersion) -> pa.Table:
    """The changes since a version by which a use of a clip is not permitted any more.

    Returns:
        Columns of `tables.SET_CHANGES`, and `uses_lost`.
    """
    changes = compare_versions(versions, versions.find(name), latest)
    is_removed = pc.equal(changes.column("change"), "removed")
    # Versions in between that were pruned took the reasons with them.
    why = pc.if_else(is_removed, pc.fill_null(changes.column("why"), "unknown"), changes.column("why"))
    changes = changes.set_column(changes.column_names.index("why"), changes.schema.field("why"), why)
    removed = pc.is_in(why, value_set=pa.array(REMOVED_BECAUSE))
    changed = pc.is_in(changes.column("change"), value_set=pa.array(CHANGED))
    changes = changes.filter(pc.or_(removed, changed))
    # A caption is no licence.
    for column in ("before", "after"):
        own = pc.if_else(
            pc.equal(changes.column("change"), "removed"),
            pa.scalar(None, pa.string()),
            changes.column(column),
        )
        changes = changes.set_column(changes.column_names.index(column), column, own)
    kinds = changes.group_by(["change", "before", "after"]).aggregate([]).to_pylist()
    lost = {(row["change"], row["before"], row["after"]): uses_lost(**row) for row in kinds}
    each = zip(*(changes.column(column).to_pylist() for column in ("change", "before", "after")), strict=True)
    uses = pa.array([lost[kind] for kind in each], pa.list_(pa.string()))
    return changes.append_column("uses_lost", uses).filter(pc.greater(pc.list_value_length(uses), 0))
