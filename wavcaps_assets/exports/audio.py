"""The audio of the clips of an export: which of it is there, and its content."""

from __future__ import annotations

import hashlib
import io
from collections import deque
from collections.abc import Collection, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice

import pyarrow as pa
import pyarrow.compute as pc

from wavcaps_assets.exports.description import LeftOut
from wavcaps_assets.exports.export_folder import ExportFolder, Part
from wavcaps_assets.exports.exported_set import ExportedSet
from wavcaps_assets.exports.journal import Journal
from wavcaps_assets.store.storage import MissingFile, OutsideStore, Store
from wavcaps_assets.tables import AUDIO
from wavcaps_assets.tables.asset_tables import TableStore

GONE, DAMAGED, CHANGED = "audio_gone", "audio_damaged", "audio_changed"
# Found when the file is read.
UNREADABLE = "audio_unreadable"
BYTES = "audio_bytes"
PLAN = "audio.parquet"
PLAN_PART = "audio"
# Downloads of a bucket at the same time, and how many more are waiting.
THREADS, AHEAD = 8, 16
# Of a table, only this many rows are Python objects at any time.
ROWS_AT_ONCE = 10_000
CHECKED = """
    select published.clip_id, published.source, published.audio_path, sizes.bytes as audio_bytes,
        case when sizes.bytes is null then 'audio_gone'
            when stored.bytes <> sizes.bytes then 'audio_damaged'
            when stored.sha <> published.samples_sha256 then 'audio_changed' end as reason,
        stored.bytes as stored_bytes
    from published
    left join sizes on sizes.path = published.audio_path
    left join (
        select audio_path, any_value(stored_bytes) as bytes, any_value(samples_sha256) as sha
        from stored group by audio_path
    ) as stored on stored.audio_path = published.audio_path
    order by published.clip_id
"""


@dataclass(frozen=True)
class Clip:
    """What is needed to read a clip's audio.

    Attributes:
        size: of the file when the export began (bytes).
        samples_sha256: of its samples, as published.
    """

    clip_id: str
    source: str
    audio_path: str
    size: int
    samples_sha256: str


def with_audio(exported: ExportedSet, folder: ExportFolder) -> pa.Table:
    """The clips whose audio is there, in their order. The others become clips that are left out.

    The choice is made once: a run that goes on after a kill has the same clips.

    Returns:
        `tables.MANIFEST`, and the column `audio_bytes` (int64).

    Raises:
        StoreError: the store cannot be read.
    """
    journal = folder.journal
    folder.add(PLAN_PART, lambda part: _choose(exported, folder, part))
    sizes = folder.store.read_table(journal.path(PLAN))
    positions = pc.index_in(exported.table.column("clip_id"), sizes.column("clip_id").combine_chunks())
    table = exported.table.append_column(BYTES, sizes.column(BYTES).combine_chunks().take(positions))
    return table.filter(positions.is_valid()) if positions.null_count else table


def is_outdated(exported: ExportedSet, left_out: Collection[LeftOut]) -> bool:
    """Whether some of the clips that an export left out have their audio again."""
    ids = {one.clip_id for one in left_out if one.reason in (GONE, DAMAGED, CHANGED)}
    rows = exported.table.filter(pc.is_in(exported.table.column("clip_id"), pa.array(ids, pa.string())))
    checked = _checked_files(replace(exported, table=rows)) if ids else None
    return checked is not None and checked.column("reason").null_count > 0


def clips_of(table: pa.Table) -> Iterator[Clip]:
    """The clips of a table that `with_audio` gave."""
    columns = ["clip_id", "source", "audio_path", BYTES, "samples_sha256"]
    for batch in table.select(columns).to_batches(ROWS_AT_ONCE):
        for row in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            yield Clip(*row)


def read_audio(
    store: Store, clips: Iterable[Clip], part: Part, check_samples: bool
) -> Iterator[bytes | None]:
    """The FLAC file of each clip; None: it cannot be exported, and the part says so.

    Files of a bucket are downloaded ahead, by several threads.
    """
    if store.is_folder:
        for clip in clips:
            yield _checked(clip, _read(store, clip), part, check_samples)
        return
    with ThreadPoolExecutor(THREADS) as threads:
        remaining = iter(clips)
        ahead: deque[tuple[Clip, Future[bytes | None]]] = deque()

        def request(number: int) -> None:
            for clip in islice(remaining, number):
                ahead.append((clip, threads.submit(_read, store, clip)))

        request(AHEAD)
        while ahead:
            clip, download = ahead.popleft()
            yield _checked(clip, download.result(), part, check_samples)
            request(1)


def _read(store: Store, clip: Clip) -> bytes | None:
    try:
        return store.read_bytes(clip.audio_path)
    except MissingFile:
        return None


def _checked(clip: Clip, data: bytes | None, part: Part, check_samples: bool) -> bytes | None:
    if data is None:
        part.leave_out(clip.clip_id, clip.source, GONE, f"{clip.audio_path} disappeared during the export")
        return None
    if len(data) != clip.size or not data.startswith(b"fLaC"):
        what = "is not a FLAC file" if len(data) == clip.size else "changed during the export"
        part.leave_out(clip.clip_id, clip.source, UNREADABLE, f"{clip.audio_path} {what}")
        return None
    if check_samples and (fault := _fault(clip, data)):
        part.leave_out(clip.clip_id, clip.source, UNREADABLE, f"{clip.audio_path} {fault}")
        return None
    return data


def _fault(clip: Clip, data: bytes) -> str | None:
    import soundfile

    try:
        samples, _ = soundfile.read(io.BytesIO(data), dtype="int16")
    except soundfile.LibsndfileError as error:
        return f"cannot be decoded ({error})"
    other = hashlib.sha256(samples.astype("<i2").tobytes()).hexdigest() != clip.samples_sha256
    return "has other samples than the published version" if other else None


def _choose(exported: ExportedSet, folder: ExportFolder, part: Part) -> None:
    """Writes down which clips have their audio, and how large it is."""
    checked = _checked_files(exported)
    there = pc.is_null(checked.column("reason"))
    for row in checked.filter(pc.invert(there)).to_pylist():
        path, size = row["audio_path"], row[BYTES]
        detail = {
            GONE: f"there is no file {path}",
            DAMAGED: f"{path} has {size} bytes, and {row['stored_bytes']} were stored",
            CHANGED: f"{path} has newer audio than the published version",
        }[row["reason"]]
        part.leave_out(row["clip_id"], row["source"], row["reason"], detail)
    plan = checked.filter(there).select(["clip_id", BYTES])
    _write_plan(folder.store, folder.journal, plan)


def _checked_files(exported: ExportedSet) -> pa.Table:
    """Each clip with the size of its file, and why it cannot be exported, if it cannot."""
    import duckdb

    columns = ["clip_id", "source", "audio_path", "samples_sha256"]
    with duckdb.connect() as database:
        database.register("published", exported.table.select(columns))
        database.register("sizes", _sizes(exported))
        database.register("stored", _stored(exported))
        return database.sql(CHECKED).to_arrow_table()


def _write_plan(store: Store, journal: Journal, plan: pa.Table) -> None:
    import pyarrow.parquet as pq

    with store.writing(journal.path(PLAN)) as path:
        pq.write_table(plan, path, compression="zstd")


def _sizes(exported: ExportedSet) -> pa.Table:
    """The files in the folders of the clips, by one listing for each folder: `path`, `bytes`."""
    folders = pc.replace_substring_regex(exported.table.column("audio_path"), "/[^/]*$", "")
    tables = [pa.table({"path": pa.array([], pa.string()), "bytes": pa.array([], pa.int64())})]
    for folder in sorted(pc.unique(folders).to_pylist()):
        try:
            files = exported.store.sizes(folder)
        except OutsideStore:
            continue
        names = pa.array(files, pa.string())
        paths = pc.binary_join_element_wise(pa.repeat(folder, len(names)), names, "/")
        tables.append(pa.table({"path": paths, "bytes": pa.array(files.values(), pa.int64())}))
    return pa.concat_tables(tables)


def _stored(exported: ExportedSet) -> pa.Table:
    """What the tables of audio know about the files today."""
    tables = TableStore(exported.store)
    names = ["audio_path", "stored_bytes", "samples_sha256"]
    sources = pc.unique(exported.table.column("source")).to_pylist()
    stored = [tables.read([source, "audio"], None, names) for source in sources]
    return pa.concat_tables([AUDIO.empty().select(names), *stored])
