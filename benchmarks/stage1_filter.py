"""How fast stage 1 filters all of FreeSound: 567,078 clips (Table III), compared with the same in pandas.

Each side reads the same Parquet files in a separate process and writes the same two tables: the clips that it
keeps, and those that it drops with a reason. The benchmark asserts that they are the same.
Descriptions are as long as real ones (17.74 words on average, Table III) and are repeated as uploaders repeat
theirs: few very often, most never.

The limits: 3 s, 1 GB, and at least three times as fast as pandas with its defaults. Pandas with Arrow's
types (`dtype_backend="pyarrow"`) is measured and reported too, with no limit.
"""

from __future__ import annotations

import hashlib
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.own_process import in_own_process
from benchmarks.result import own_peak_mb, report
from wavcaps_assets.filtering import FilterSettings, filter_clips
from wavcaps_assets.filtering.stage1 import RAW_COLUMNS, audio_columns
from wavcaps_assets.tables import AUDIO, DROPPED, FILTERED_CLIPS, RAW_CLIPS
from wavcaps_assets.tables.stage import Stage

CLIPS = 567_078
ROUNDS = 5
MEAN_WORDS = 17.74
# Of the clips: those that share their description, with a Zipf tail; those that say nothing; those without
# audio; those of less than a second.
SHARED, SILENT, GONE = 0.5, 0.01, 0.02
ZIPF = 1.3
LIMIT_S, LIMIT_MB, LIMIT_RATIO = 3.0, 1000.0, 3.0
VOCABULARY = 20_000
RAW_FILE, AUDIO_FILE, AUDIO_DROPPED = "raw_clips.parquet", "audio.parquet", "audio.dropped.parquet"
Filter = Callable[[Path], Stage]


def descriptions(rng: np.random.Generator) -> list[str | None]:
    """Log-normal in length; half of them drawn from a common stock."""
    words = np.array([f"w{number:x}" + "aeiou"[number % 5] * (number % 6) for number in range(VOCABULARY)])
    # The mean of a log-normal is exp(mu + sigma ** 2 / 2).
    lengths = rng.lognormal(np.log(MEAN_WORDS) - 0.5, 1.0, CLIPS).astype(int) + 1
    drawn = words[np.minimum(rng.zipf(ZIPF, int(lengths.sum())), VOCABULARY) - 1].tolist()
    ends = np.cumsum(lengths)
    texts = [" ".join(drawn[end - length : end]) for end, length in zip(ends, lengths, strict=True)]
    # Texts of a word or two would be the same by chance: every text has its own name.
    named: list[str | None] = [f"{text} {number:x}" for number, text in enumerate(texts)]
    shared = np.flatnonzero(rng.random(CLIPS) < SHARED)
    stock = np.minimum(rng.zipf(ZIPF, len(shared)), CLIPS) - 1
    for place, choice in zip(shared.tolist(), stock.tolist(), strict=True):
        named[place] = f"{texts[choice]} of stock {choice}"
    for place in np.flatnonzero(rng.random(CLIPS) < SILENT).tolist():
        named[place] = None
    return named


def write(folder: Path) -> None:
    """The three tables, as wide as they are, as the store writes them."""
    rng = np.random.default_rng(5)
    ids = [f"freesound-{number}" for number in rng.permutation(CLIPS * 2)[:CLIPS].tolist()]
    hashes = [hashlib.sha256(name.encode()).hexdigest() for name in ids]
    seconds = rng.lognormal(2.0, 2.0, CLIPS)
    crawled = np.full(CLIPS, 1_670_000_000_000_000)
    values: dict[str, object] = {
        "clip_id": ids,
        "source": ["freesound"] * CLIPS,
        "title": [f"{name}.wav" for name in ids],
        "description": descriptions(rng),
        "tags": [["field-recording", "ambience", f"tag-{number % 997}"] for number in range(CLIPS)],
        "events": [[]] * CLIPS,
        "claimed_duration_s": seconds,
        "licence_class": ["BY"] * CLIPS,
        "record_sha256": hashes,
        "attribution": [f"“{name}.wav” by someone (FreeSound, https://freesound.org), CC BY" for name in ids],
        "page_url": [f"https://freesound.org/people/someone/sounds/{name}/" for name in ids],
        "audio_url": [f"https://freesound.org/data/previews/{name}-hq.ogg" for name in ids],
        "first_crawled_at": crawled,
        "crawled_at": crawled,
        "version": np.ones(CLIPS, dtype=np.int32),
    }
    store(folder / RAW_FILE, RAW_CLIPS.arrow, values, CLIPS)
    gone = set(np.flatnonzero(rng.random(CLIPS) < GONE).tolist())
    there = [number for number in range(CLIPS) if number not in gone]
    measured = {
        "clip_id": [ids[number] for number in there],
        "source": ["freesound"] * len(there),
        "audio_path": [f"audio/freesound/{ids[number]}.flac" for number in there],
        "duration_s": seconds[there] + 0.02,
        "claimed_duration_s": seconds[there],
        "clipped_share": rng.random(len(there)),
        "silence_share": rng.random(len(there)),
        "bandwidth_hz": rng.random(len(there)) * 16_000,
        "samples_sha256": [hashes[number] for number in there],
        "original_sha256": [hashes[number] for number in there],
    }
    store(folder / AUDIO_FILE, AUDIO.arrow, measured, len(there))
    lost = {
        "clip_id": [ids[number] for number in sorted(gone)],
        "source": ["freesound"] * len(gone),
        "stage": ["audio"] * len(gone),
        "reason": ["audio_gone"] * len(gone),
        "detail": ["404"] * len(gone),
    }
    store(folder / AUDIO_DROPPED, DROPPED.arrow, lost, len(gone))


def store(path: Path, schema: pa.Schema, values: Mapping[str, object], rows: int) -> None:
    filled = [
        pa.array(values[field.name], type=field.type) if field.name in values else filler(field.type, rows)
        for field in schema
    ]
    pq.write_table(pa.table(filled, names=schema.names), path, compression="zstd")


def filler(kind: pa.DataType, rows: int) -> pa.Array:
    return pa.nulls(rows, kind) if not pa.types.is_string(kind) else pa.array(["x"] * rows)


def ours(folder: Path) -> Stage:
    raw = read(folder / RAW_FILE, RAW_COLUMNS)
    audio = read(folder / AUDIO_FILE, audio_columns(FilterSettings()))
    lost = read(folder / AUDIO_DROPPED, DROPPED.arrow.names)
    return filter_clips(raw, Stage(audio, lost), FilterSettings())


def read(path: Path, columns: Sequence[str]) -> pa.Table:
    with pq.ParquetFile(path) as file:
        return file.read(list(columns))


def pandas(folder: Path) -> Stage:
    """As pandas reads Parquet where nothing else is said."""
    return in_pandas(folder, {})


def pandas_on_arrow(folder: Path) -> Stage:
    """With Arrow's types underneath, which spares it an object a list."""
    return in_pandas(folder, {"dtype_backend": "pyarrow"})


PEERS: tuple[Filter, ...] = (pandas, pandas_on_arrow)


def in_pandas(folder: Path, types: Mapping[str, Any]) -> Stage:
    import pandas as pd

    settings = FilterSettings()
    raw = pd.read_parquet(folder / RAW_FILE, columns=list(RAW_COLUMNS[:-1]), **types)
    audio = pd.read_parquet(folder / AUDIO_FILE, columns=["clip_id", "duration_s"], **types)
    lost = pd.read_parquet(folder / AUDIO_DROPPED, columns=["clip_id", "reason", "detail"], **types)
    clips = raw.merge(audio, on="clip_id", how="left").merge(lost, on="clip_id", how="left")
    origin = clips["duration_s"].isna().map({True: "claimed", False: "measured"})
    clips["duration_s"] = clips["duration_s"].fillna(clips["claimed_duration_s"])
    sharing = clips.groupby("description")["clip_id"].transform("size")
    undecided = clips["reason"].isna()
    short = undecided & (clips["duration_s"] < settings.min_duration_s)
    frequent = undecided & ~short & (sharing > settings.max_clips_per_description)
    frequent &= clips["source"].isin(settings.frequency_filtered_sources)
    frequent &= clips["description"].notna()
    clips.loc[short, "reason"] = "too_short"
    clips.loc[short, "detail"] = (
        clips.loc[short, "duration_s"].astype(str)
        + " s "
        + origin[short]
        + f", minimum {settings.min_duration_s} s"
    )
    clips.loc[frequent, "reason"] = "frequent_description"
    clips.loc[frequent, "detail"] = (
        sharing[frequent].astype(int).astype(str)
        + f" clips share it, maximum {settings.max_clips_per_description}"
    )
    clips["stage"] = "filtered_clips"
    kept = clips.loc[clips["reason"].isna(), FILTERED_CLIPS.arrow.names]
    dropped = clips.loc[clips["reason"].notna(), DROPPED.arrow.names]
    return Stage(
        pa.Table.from_pandas(kept, FILTERED_CLIPS.arrow, preserve_index=False),
        pa.Table.from_pandas(dropped, DROPPED.arrow, preserve_index=False),
    )


def run(side: Filter, folder: Path, out: Path) -> tuple[float, float]:
    times = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        stage = side(folder)
        times.append(time.perf_counter() - started)
    peak_mb = own_peak_mb()
    pq.write_table(stage.kept, out / "kept.parquet")
    pq.write_table(stage.dropped, out / "dropped.parquet")
    return min(times), peak_mb


def measure(side: Filter, folder: Path) -> tuple[float, float]:
    """Seconds (the fastest of some rounds) and MB in a separate process; its tables stay."""
    out = folder / side.__name__
    out.mkdir()
    seconds, peak_mb = in_own_process(run, side, folder, out)
    print(f"{side.__name__}: {seconds:.2f} s, {peak_mb:.0f} MB")  # noqa: T201
    return seconds, peak_mb


def same(folder: Path, name: str) -> pa.Table:
    mine = pq.read_table(folder / ours.__name__ / name)
    for peer in PEERS:
        theirs = pq.read_table(folder / peer.__name__ / name)
        assert mine.equals(theirs), f"ours and {peer.__name__} differ in {name}"
    return mine


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # Not in this process: what it holds at its largest would count as its children's.
        in_own_process(write, folder)
        seconds, peak_mb = measure(ours, folder)
        peers = {peer.__name__: measure(peer, folder)[0] for peer in PEERS}
        kept, dropped = same(folder, "kept.parquet"), same(folder, "dropped.parquet")
        counts = dropped.group_by("reason").aggregate([([], "count_all")]).to_pylist()
        print(f"{CLIPS} in, {kept.num_rows} kept, {counts}")  # noqa: T201
    report("stage1_filter", seconds, "s", pandas_on_arrow.__name__, peers[pandas_on_arrow.__name__], peak_mb)
    report("stage1_filter", seconds, "s", pandas.__name__, peers[pandas.__name__], peak_mb)
    if seconds > LIMIT_S or peak_mb > LIMIT_MB or peers[pandas.__name__] < LIMIT_RATIO * seconds:
        sys.exit(f"the limits: {LIMIT_S} s, {LIMIT_MB:.0f} MB, {LIMIT_RATIO} times as fast as pandas")


if __name__ == "__main__":
    main()
