"""Files of the store that no table refers to: audio of clips that are gone, checkpoints that were replaced.

A table refers to a file by a column whose name ends with `_path`. Only audio and checkpoints are judged;
tables and logs are never unused.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath

import pyarrow as pa

from wavcaps_assets.store.storage import Store, StoredFile
from wavcaps_assets.tables.asset_tables import path_of

AUDIO = "audio"
# Copies of the originals have the structure of `audio`, in folders with these names. Other folders are not
# the project's, whatever is in them.
COPIES = ("audio_original", "audio_flac_")
CHECKPOINTS = "checkpoints"
# A file of a training run is inside its folder: what lies next to the runs is a person's.
PARTS_OF_RUN = 4
TABLES = "tables"
REFERENCE = "_path"


def find_unused(store: Store, files: Iterable[StoredFile], written_before: float) -> list[StoredFile]:
    """The files that nothing refers to, in the order of their paths.

    Audio is never unused while its partition has no table of audio, or one that is older than the file:
    a fetch that was paused will use it. Of a checkpoint, all files or none are unused.

    Args:
        store: the store.
        files: its files; list them before this reads the tables, so that a file that is written
            in between is not judged.
        written_before: files that were written later (s since the epoch) are kept.

    Raises:
        StoreError: a table cannot be read. Nothing is known about the files then.
    """
    listed = {file.path: file for file in files}
    clips: set[tuple[str, ...]] = set()
    runs: set[str] = set()
    for path in _references(store, listed):
        if _is_audio(path):
            clips.add(_clip(path))
        elif path.startswith(f"{CHECKPOINTS}/"):
            runs.add(_run(path))
    newest: dict[str, float] = {}
    for path, file in listed.items():
        if file.folder == CHECKPOINTS:
            newest[_run(path)] = max(newest.get(_run(path), 0.0), file.modified)

    def is_unused(file: StoredFile) -> bool:
        if file.folder == CHECKPOINTS:
            run = _run(file.path)
            return run != file.path and run not in runs and newest[run] < written_before
        if not _is_audio(file.path) or _clip(file.path) in clips or file.modified >= written_before:
            return False
        table = listed.get(_table_of(file.path))
        return table is not None and file.modified < table.modified

    return [file for _, file in sorted(listed.items()) if is_unused(file)]


def _references(store: Store, listed: Iterable[str]) -> Iterator[str]:
    """The paths in all tables, each as often as it occurs."""
    for path in listed:
        if not path.startswith(f"{TABLES}/") or not path.endswith(".parquet"):
            continue
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
