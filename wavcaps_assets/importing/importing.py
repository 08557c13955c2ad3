"""Makes the sources of a set: one table of clips for each, which the crawl of the source then reads."""

from __future__ import annotations

import json
import logging
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from wavcaps_assets.checks.manifest_files import MOST_SOURCES
from wavcaps_assets.importing.lasting import ends_with_its_pod
from wavcaps_assets.importing.reading import Notes, SetFiles, UnusableSet, find_set, read_clips, source_name
from wavcaps_assets.importing.settings import ImportSettings
from wavcaps_assets.sources.imported import (
    IMPORTED_FROM,
    PARTITION,
    ImportedSet,
    imported_sets,
    index_path,
    table_path,
    write_index,
)
from wavcaps_assets.store.migration import SCHEMA_VERSION
from wavcaps_assets.store.shared_leases import SharedLeases, lease_held
from wavcaps_assets.store.storage import Store
from wavcaps_assets.tables.asset_tables import TableStore, path_of
from wavcaps_assets.tables.imported import IMPORTED_CLIPS, IMPORTED_SETS

logger = logging.getLogger(__name__)

ROWS_AT_ONCE = 10_000
TITLES = {
    "freesound": "FreeSound",
    "bbc_sound_effects": "BBC Sound Effects",
    "soundbible": "SoundBible",
    "audioset_sl": "AudioSet strong labels",
}
# The tables of a source that a crawl makes, by the partition.
CRAWLED = ("raw_clips", "audio", "ledger")
# In the folder of the state: one import at a time changes the list of imported sources.
LEASES = "leases"
# An import writes its tables in seconds; the lease of a killed one expires after two minutes.
LONGEST_WAIT_S = 300.0


class CannotImport(ValueError):
    """A set cannot be imported as it is asked. The message says what to do."""


@dataclass
class SetTables:
    """The clips of a set.

    Attributes:
        tables: `tables.IMPORTED_CLIPS` by source.
        repeated: how many rows of each source have the id of an earlier one; they are left out.
        notes: what else a person should know.
    """

    tables: dict[str, pa.Table]
    repeated: Counter[str] = field(default_factory=Counter)
    notes: Notes = field(default_factory=Notes)

    @property
    def clips(self) -> int:
        return sum(table.num_rows for table in self.tables.values())

    def without_audio(self, source: str) -> int:
        return int(self.tables[source].column("audio").null_count)


def import_from(
    chosen: ImportSettings, tables: TableStore, state: Path, *, dry_run: bool = False
) -> tuple[SetTables, pa.Table]:
    """Imports a set: its sources are there when the definitions are loaded the next time.

    Args:
        tables: of the store, whose clips no imported source may repeat.
        state: the folder of the list of imported sources.
        dry_run: only read the set.

    Returns:
        The clips, and `tables.IMPORTED_SETS`.

    Raises:
        UnusableSet: the set cannot be read.
        CannotImport: its sources would repeat ids, or cannot be written, or would be gone with their pod.
        StoreError: the folder of the state cannot be used.
    """
    folder = index_path(state).parent
    if not dry_run and ends_with_its_pod(folder):
        raise CannotImport(
            f"{folder} ends with this pod, and no other pod would see what is imported: mount a volume "
            "there, in the code server and in its runs (docs/executor.md, Kubernetes)"
        )
    if not chosen.path:
        raise UnusableSet("no set is named: set `path` to its folder, or to one list")
    renames = {source_name(old): source_name(new) for old, new in chosen.rename.items()}
    files = find_set(Path(chosen.path), Path(chosen.audio) if chosen.audio else None, chosen.source or None)
    built = build_tables(files, renames)
    replaces = frozenset(built.tables) if chosen.replace else frozenset[str]()
    if dry_run:
        require_names(built, files, tables, state, replaces)
    else:
        with _alone(state):
            require_names(built, files, tables, state, replaces)
            write_import(built, files, state, renames)
    rows = [
        {
            "source": name,
            "path": str(files.root),
            "clips": table.num_rows,
            "without_audio": built.without_audio(name),
            "repeated": built.repeated[name],
        }
        for name, table in built.tables.items()
    ]
    return built, IMPORTED_SETS.from_rows(rows)


def build_tables(
    files: SetFiles, renames: Mapping[str, str] | None = None, *, with_audio: bool = True
) -> SetTables:
    """Reads a set.

    Args:
        renames: other names for its sources.
        with_audio: whether the clips' audio is looked for.

    Raises:
        UnusableSet: it cannot be read, or has no clips; or a rename is of a source that it does not have, or
            would make two sources one.
    """
    renames, built = renames or {}, SetTables({})
    originals: dict[str, str] = {}
    pending: dict[str, list[dict[str, Any]]] = {}
    pieces: dict[str, list[pa.Table]] = {}
    known: set[str] = set()
    for clip in read_clips(files, built.notes, with_audio=with_audio):
        name = renames.get(clip["source"], clip["source"])
        if (other := originals.setdefault(name, clip["source"])) != clip["source"]:
            raise UnusableSet(
                f"{other} and {clip['source']} would both be {name}, and clips with one id would be lost: "
                "give each source a name of its own (--rename)"
            )
        clip |= {"source": name, "clip_id": f"{name}-{clip['source_id']}"}
        if clip["clip_id"] in known:
            built.repeated[name] += 1
            continue
        known.add(clip["clip_id"])
        rows = pending.setdefault(name, [])
        if len(pending) > MOST_SOURCES:
            raise UnusableSet(
                f"the set has more than {MOST_SOURCES} sources, such as {name}: the column `source` says "
                "from which site a clip is, such as freesound. Name it otherwise, and give one by --source"
            )
        rows.append(clip)
        if len(rows) == ROWS_AT_ONCE:
            pieces.setdefault(name, []).append(IMPORTED_CLIPS.from_rows(rows))
            rows.clear()
    for name, rows in pending.items():
        table = pa.concat_tables([*pieces.get(name, []), IMPORTED_CLIPS.from_rows(rows)])
        built.tables[name] = _without_contested(table, built.notes.contested)
    if not built.clips:
        named = files.lists[0][0] if len(files.lists) == 1 else files.root
        raise UnusableSet(f"{named} has no clips{_first_problem(built.notes)}")
    if unknown := sorted(renames.keys() - {*originals.values()}):
        raise UnusableSet(
            f"{', '.join(unknown)} cannot be renamed: the sources of the set are "
            f"{', '.join(sorted(originals.values()))}"
        )
    return built


def require_names(
    built: SetTables, files: SetFiles, tables: TableStore, state: Path, replaces: frozenset[str]
) -> None:
    """Checks that no clip id would have two sources.

    Args:
        tables: of the store.
        state: the folder of the list of imported sources.
        replaces: sources whose earlier import may be of another folder.

    Raises:
        CannotImport: a source was crawled, or imported from another folder.
    """
    there = imported_sets(state)
    for name in built.tables:
        crawled = [part for part in tables.partitions([name, CRAWLED[0]]) if part != PARTITION]
        if crawled:
            raise CannotImport(
                f"the store has clips of {name} that were crawled ({len(crawled)} partitions, such as "
                f"{crawled[0]}): a clip id would have two sources. Import it under another name (--rename "
                f"{name}=imported_{name}), or into another store (WAVCAPS_STORE, WAVCAPS_STATE)"
            )
        if name in there and there[name].path != str(files.root) and name not in replaces:
            raise CannotImport(
                f"{name} is already imported from {there[name].path}: a clip id would have two sources. "
                f"Import it under another name (--rename {name}=other_{name}), or take its place (--replace)"
            )


def write_import(
    built: SetTables, files: SetFiles, state: Path, renames: Mapping[str, str] | None = None
) -> dict[str, ImportedSet]:
    """Writes the tables of a set, and then its sources into the list, while no other import does.

    If it is killed in between, a source whose table is already of another folder than the list says cannot be
    read until the import is run again.

    Args:
        state: the folder of the list of imported sources.
        renames: as for `build_tables`.

    Returns:
        What was imported, by source.

    Raises:
        CannotImport: it cannot be written.
    """
    originals = {new: old for old, new in (renames or {}).items()}
    imported = {
        name: ImportedSet(
            path=str(files.root),
            title=_title(originals.get(name, name)),
            clips=table.num_rows,
            without_audio=built.without_audio(name),
            ids_of=originals.get(name),
        )
        for name, table in built.tables.items()
    }
    folder = index_path(state).parent
    partial = {name: folder / f".{name}.{os.getpid()}.part" for name in built.tables}
    about = {SCHEMA_VERSION: str(IMPORTED_CLIPS.version), IMPORTED_FROM: json.dumps(str(files.root))}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, table in built.tables.items():
            checked = IMPORTED_CLIPS.check(table).replace_schema_metadata(about)
            pq.write_table(checked, partial[name], compression="zstd")
        for name, path in partial.items():
            path.replace(table_path(state, name))
        write_index(state, {**imported_sets(state), **imported})
    except OSError as error:
        raise CannotImport(f"the import cannot be written into {folder}: {error}") from error
    finally:
        for path in partial.values():
            path.unlink(missing_ok=True)
    return imported


def forget(names: list[str], state: Path, tables: TableStore) -> None:
    """Takes sources from the list of imported ones, and removes what their crawl wrote.

    Their captions, published versions and stored audio stay.

    Raises:
        CannotImport: there is no such imported source.
        StoreError: the store, or the folder of the state, cannot be used.
    """
    with _alone(state):
        there = imported_sets(state)
        unknown = [name for name in names if name not in there]
        if unknown:
            raise CannotImport(
                f"{', '.join(unknown)} is not imported; imported are {', '.join(there) or 'no sources'}"
            )
        write_index(state, {name: about for name, about in there.items() if name not in names})
        for name in names:
            table_path(state, name).unlink(missing_ok=True)
            for crawled in CRAWLED:
                for dropped in (False, True):
                    tables.store.remove(path_of([name, crawled], PARTITION, dropped=dropped))


@contextmanager
def _alone(state: Path) -> Iterator[None]:
    """Only one process, on any machine that shares the state, changes the imported sources at a time."""
    leases = SharedLeases(Store(state), LEASES, "imports")
    with ExitStack() as held:
        held.callback(leases.close)
        try:
            held.enter_context(lease_held(leases, index_path(state).name, LONGEST_WAIT_S))
        except TimeoutError as error:
            raise CannotImport(
                f"another import has been writing into {index_path(state).parent} for "
                f"{LONGEST_WAIT_S / 60:.0f} minutes: wait for it, and import the set again"
            ) from error
        yield


def _without_contested(table: pa.Table, contested: set[str]) -> pa.Table:
    """The table, without audio that two sources claim."""
    if not contested:
        return table
    doubtful = pc.is_in(table.column("audio"), value_set=pa.array(sorted(contested), pa.string()))
    changed = {
        "audio": pa.scalar(None, pa.string()),
        "problem": pa.scalar("clips of two sources have the name of the file", pa.string()),
    }
    for name, value in changed.items():
        field = table.schema.field(name)
        column = pc.if_else(doubtful, value, table.column(name))
        table = table.set_column(table.schema.get_field_index(name), field, column)
    return table


def _title(name: str) -> str:
    return TITLES.get(name, name.replace("_", " "))


def _first_problem(notes: Notes) -> str:
    first = next(iter(notes.examples.items()), None)
    return f": {first[0]}, such as {first[1][0]}" if first else ""
