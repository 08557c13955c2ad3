"""Files of the store that nothing refers to: audio of clips that are gone, what was replaced of training.

A table refers to a file by a column whose name ends with `_path`, and to a version of the set by one of the
columns `VERSION_COLUMNS`, or by its metadata. Old versions that nothing refers to are unused too. So are the
trained seeds of comparisons of `worth`, when they are old: the table and the page have what they say, and the
same comparison would train them again. Tables and logs never are.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Iterator
from pathlib import PurePosixPath

import pyarrow as pa

from wavcaps_assets.retention.settings import KEPT_VERSIONS
from wavcaps_assets.store.storage import Store, StoredFile
from wavcaps_assets.tables.asset_tables import SET_VERSION, path_of
from wavcaps_assets.tables.set_versions import ABOUT, FOLDER, NAME, TABLE, number_of, paths_of

AUDIO = "audio"
# Copies of the originals have the structure of `audio`, in folders with these names. Other folders are not
# the project's, whatever is in them.
COPIES = ("audio_original", "audio_flac_")
CHECKPOINTS = "checkpoints"
# A file of a training run is inside its folder: what lies next to the runs is a person's.
PARTS_OF_RUN = 4
# The seeds of comparisons: `worth/runs/<32 digits>.npz`.
WORTH_RUN = re.compile(r"worth/runs/[0-9a-f]{32}\.npz")
# What latent diffusion models are trained on, some 13 GB for AudioCaps: `latents/<16 digits>.safetensors`.
LATENTS = re.compile(r"latents/[0-9a-f]{16}\.safetensors")
TABLES = "tables"
VERSION_FILE = re.compile(rf"{FOLDER}/(?P<name>{NAME.pattern})\..+")
REFERENCE = "_path"
VERSION_COLUMNS = frozenset({"set_version", "trained_on_version", "scored_on_version"})


def find_unused(
    store: Store, files: Iterable[StoredFile], written_before: float, keep_versions: int = KEPT_VERSIONS
) -> list[StoredFile]:
    """The files that nothing refers to, in the order in which they are to be removed.

    Audio is never unused while its partition has no table of audio, or one that is older than the file:
    a fetch that was paused will use it. Of a checkpoint, all files or none are unused.

    Args:
        store: the store.
        files: its files; list them before this reads the tables, so that a file that is written
            in between is not judged.
        written_before: files that were written later (s since the epoch) are kept.
        keep_versions: how many of the newest versions of the set are kept.

    Raises:
        StoreError: a table cannot be read. Nothing is known about the files then.
    """
    listed = {file.path: file for file in files}
    clips: set[tuple[str, ...]] = set()
    runs: set[str] = set()
    latents: set[str] = set()
    tables = [path for path in listed if path.startswith(f"{TABLES}/") and path.endswith(".parquet")]
    named = {name for path in tables for name in _named_versions(store, path)}
    old_versions = _old_versions(listed.values(), named, keep_versions, written_before)
    # What only an old version refers to is unused with it. What is incomplete is no version.
    complete = {
        path.removesuffix(ABOUT) for path in listed if VERSION_FILE.fullmatch(path) and path.endswith(ABOUT)
    }
    kept = [f"{path}{TABLE}" for path in complete if f"{path}{ABOUT}" not in old_versions]
    for path in _references(store, [*tables, *kept]):
        if _is_audio(path):
            clips.add(_clip(path))
        elif path.startswith(f"{CHECKPOINTS}/"):
            runs.add(_run(path))
        elif LATENTS.fullmatch(path):
            latents.add(path)
    newest: dict[str, float] = {}
    for path, file in listed.items():
        if file.folder == CHECKPOINTS:
            newest[_run(path)] = max(newest.get(_run(path), 0.0), file.modified)

    def is_unused(file: StoredFile) -> bool:
        if file.folder == CHECKPOINTS:
            run = _run(file.path)
            return run != file.path and run not in runs and newest[run] < written_before
        if WORTH_RUN.fullmatch(file.path):
            return file.modified < written_before
        if LATENTS.fullmatch(file.path):
            return file.path not in latents and file.modified < written_before
        if not _is_audio(file.path) or _clip(file.path) in clips or file.modified >= written_before:
            return False
        table = listed.get(_table_of(file.path))
        return table is not None and file.modified < table.modified

    others = [file for _, file in sorted(listed.items()) if is_unused(file)]
    return [*(listed[path] for path in old_versions), *others]


def _named_versions(store: Store, path: str) -> Iterator[str]:
    """The versions of the set that a table names."""
    with store.opening_table(path) as table:
        named = (table.schema_arrow.metadata or {}).get(SET_VERSION.encode())
        if named is not None:
            yield named.decode()
        columns = [name for name in table.schema_arrow.names if name in VERSION_COLUMNS]
        for column in table.read(columns).columns if columns else ():
            yield from (name for name in column.unique().to_pylist() if name)


def _old_versions(
    files: Iterable[StoredFile], named: Container[str], keep: int, written_before: float
) -> list[str]:
    """The paths of the versions that are not kept, and of what killed runs left of others.

    The description of a version comes before its other files: without it, there is no such version.
    """
    by_name: dict[str, list[StoredFile]] = {}
    for file in files:
        if match := VERSION_FILE.fullmatch(file.path):
            by_name.setdefault(match["name"], []).append(file)
    complete = {name for name, parts in by_name.items() if any(part.path.endswith(ABOUT) for part in parts)}
    kept = {*sorted(complete, key=number_of)[-keep:], *(name for name in complete if name in named)}
    old = [
        name
        for name, parts in by_name.items()
        if name not in kept and max(part.modified for part in parts) < written_before
    ]
    there = {part.path for name in old for part in by_name[name]}
    return [path for name in sorted(old, key=number_of) for path in paths_of(name) if path in there]


def _references(store: Store, tables: Iterable[str]) -> Iterator[str]:
    """The paths in these tables, each as often as it occurs."""
    for path in tables:
        with store.opening_table(path) as table:
            columns = [
                field.name
                for field in table.schema_arrow
                if field.name.endswith(REFERENCE) and pa.types.is_string(field.type)
            ]
            for batch in table.iter_batches(columns=columns) if columns else ():
                for column in batch.columns:
                    yield from (value for value in column.unique().to_pylist() if value)


def _is_audio(path: str) -> bool:
    folder = path.partition("/")[0]
    return folder == AUDIO or folder.startswith(COPIES)


def _clip(path: str) -> tuple[str, ...]:
    """The source, partition and clip of a path of audio, the same for the FLAC and its copies."""
    *folders, name = PurePosixPath(path).parts[1:]
    return (*folders, name.rpartition(".")[0])


def _table_of(path: str) -> str:
    """The table of audio that lists a file of `audio/<source>/<partition>/`."""
    parts = PurePosixPath(path).parts
    return path_of([parts[1], AUDIO], parts[2]) if len(parts) == 4 else ""


def _run(path: str) -> str:
    """The folder of one training run, `checkpoints/<model>/<setting>/<version>`."""
    return "/".join(PurePosixPath(path).parts[:PARTS_OF_RUN])
