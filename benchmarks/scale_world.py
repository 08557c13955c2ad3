"""A crawl of any size, for the benchmark of scale: raw clips, audio and captions of four sources.

Made of columns, so that it needs less memory than what it measures. Texts are as long as the paper's, and
file names among the titles as frequent as real ones (`whole_set`). One clip in ten shares its recording with
another, one in fifty has no audio, and half of the descriptions are of a common stock, as uploaders repeat
theirs.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from benchmarks.whole_set import (
    CAPTION_WORDS,
    CLIPS,
    LICENCES,
    SOURCES,
    TEXT_WORDS,
    filled,
    sentences,
    titles,
)
from wavcaps_assets.store.storage import Store
from wavcaps_assets.tables import AUDIO, DROPPED, RAW_CLIPS
from wavcaps_assets.tables.asset_tables import TableStore
from wavcaps_assets.tables.imported import IMPORTED_CLIPS
from wavcaps_assets.tables.stage import Stage

PARTITION, GIVEN = "2022-11", "given"
# Distinct sentences; a text that is not shared has its own number, too.
POOL = 50_000
SHARED, WITHOUT_AUDIO, SHARED_CAPTIONS = 0.5, 0.02, 0.18
# The clips of a source share these files: millions of files would measure the file system.
FILES = 1_000


def sizes_of(clips: int) -> dict[str, int]:
    """The raw clips of each source, in the proportion of Table III."""
    return {source: max(number * clips // CLIPS, 50) for source, number in SOURCES.items()}


def write_source(root: Path, source: str, number: int) -> None:
    """Writes `raw_clips` and `audio` of a source, and the captions that its clips come with."""
    rng, tables = np.random.default_rng(5), TableStore(Store(root))
    numbers = pa.array(np.arange(number)).cast(pa.string())
    own = pc.binary_join_element_wise(pc.utf8_lpad(numbers, 11, "0"), "30000", "_")
    ids = own if source == "audioset_sl" else numbers
    clip_ids = pc.binary_join_element_wise(source, ids, "-")
    pool = pa.array(sentences(rng, POOL, TEXT_WORDS - 1))
    own_number = pc.if_else(pa.array(rng.random(number) < SHARED), "again", numbers)
    texts = pc.binary_join_element_wise(_drawn(rng, pool, number), own_number, " ")
    tags = [["field-recording", "ambience", f"tag-{place}"] for place in range(997)]
    licences = _drawn(rng, pa.array(LICENCES), number)
    common = {
        "clip_id": clip_ids,
        "source": pa.repeat(source, number),
        "source_id": ids,
        "title": _drawn(rng, pa.array(titles(rng, source, POOL), pa.string()), number),
        "description": texts,
        "tags": _drawn(rng, pa.array(tags), number),
        "events": pa.array([[]], RAW_CLIPS.arrow.field("events").type).take(pa.array(np.zeros(number, int))),
        "author": _drawn(rng, pa.array([f"author {place}" for place in range(20_011)]), number),
        "licence": licences,
        "page_url": pc.binary_join_element_wise("https://example.org/sounds", ids, "/"),
    }
    seconds = pa.array(rng.lognormal(2.0, 1.0, number))
    shares = rng.integers(0, 10 * number, number)
    recording = pc.if_else(pa.array(shares < number), pa.array(shares).cast(pa.string()), None)
    raw = {
        "licence_id": licences,
        "licence_class": pa.repeat("BY", number),
        "attribution": pc.binary_join_element_wise(clip_ids, common["author"], " by "),
        "claimed_duration_s": seconds,
        "recording": recording,
    }
    tables.write([source, "raw_clips"], PARTITION, filled(RAW_CLIPS, number, common | raw))
    captions = _captions(rng, number)
    listed = pa.ListArray.from_arrays(pa.array(np.arange(number + 1), pa.int32()), captions)
    given = {"captions": listed, "model": pa.repeat("gpt-4o-mini", number)}
    tables.store.write_table(
        f"{GIVEN}/{source}.parquet", filled(IMPORTED_CLIPS, number, common | given), IMPORTED_CLIPS
    )
    _write_audio(tables, rng, clip_ids, source, seconds)


def _write_audio(
    tables: TableStore, rng: np.random.Generator, clip_ids: pa.Array, source: str, seconds: pa.Array
) -> None:
    folder = f"audio/{source}/{PARTITION}"
    paths = [f"{folder}/{place}.flac" for place in range(FILES)]
    for path in paths:
        tables.store.write_bytes(path, b"fLaC")
    number = len(clip_ids)
    columns = {
        "clip_id": clip_ids,
        "source": pa.repeat(source, number),
        "audio_path": pa.array(paths).take(pa.array(np.arange(number) % FILES)),
        "duration_s": seconds,
        "stored_bytes": pa.repeat(len(b"fLaC"), number),
        "samples_sha256": pa.array(paths).take(pa.array(np.arange(number) % FILES)),
    }
    there = pa.array(rng.random(number) >= WITHOUT_AUDIO)
    kept = filled(AUDIO, number, columns).filter(there)
    tables.write([source, "audio"], PARTITION, Stage(kept, DROPPED.empty()))


def _captions(rng: np.random.Generator, number: int) -> pa.Array:
    """Of two drawn halves, of which there are millions of pairs; some are of a common stock."""
    whole = _drawn(rng, pa.array(sentences(rng, POOL // 10, CAPTION_WORDS)), number)
    halves = [_drawn(rng, pa.array(sentences(rng, POOL, CAPTION_WORDS / 2)), number) for _ in range(2)]
    own = pc.binary_join_element_wise(*halves, " ")
    return pc.if_else(pa.array(rng.random(number) < SHARED_CAPTIONS), whole, own).combine_chunks()


def _drawn(rng: np.random.Generator, pool: pa.Array, number: int) -> pa.ChunkedArray:
    """Values of a pool, drawn at random."""
    # In parts: an array of strings has at most 2 GB.
    parts = range(0, number, 500_000)
    return pa.chunked_array(
        [pool.take(pa.array(rng.integers(0, len(pool), min(500_000, number - start)))) for start in parts]
    )
