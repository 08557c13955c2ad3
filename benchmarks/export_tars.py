"""The export of WebDataset tars beside plain `tar`, on clips of about ten seconds.

Both read the same FLAC files, which are in the page cache, and write one copy of them. Ours also writes a
record for each clip, hashes every byte, and syncs each tar to the disk; `tar` does none of these. They run
in turns; the best of each counts. `tar` with a sync at its end is printed too.

The limit: at least half the speed of plain `tar`.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import soundfile

from benchmarks.own_process import in_own_process
from benchmarks.result import own_peak_mb, report
from benchmarks.whole_set import manifest
from wavcaps_assets.exports.export import export
from wavcaps_assets.exports.exported_set import open_set
from wavcaps_assets.exports.formats import all_formats
from wavcaps_assets.publishing.publish_version import publish_version
from wavcaps_assets.store.storage import Store
from wavcaps_assets.tables import DROPPED
from wavcaps_assets.tables.asset_tables import TableStore
from wavcaps_assets.tables.stage import Stage

CLIPS, SECONDS, RATE = 2000, 10, 32_000
# Of different content, each copied many times: to encode 2,000 files would take a minute.
SOUNDS = 20
REPEATS = 5
LIMIT = 0.5
NOW = datetime(2026, 11, 28, tzinfo=UTC)


def write_store(root: Path) -> int:
    """Publishes a version whose clips have audio. Returns the size of the audio (bytes)."""
    folder = root / "audio" / "freesound" / "one"
    folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    sounds = []
    for _ in range(SOUNDS):
        # Quiet noise compresses about as well as field recordings do.
        soundfile.write(root / "one.flac", random.normal(0, 0.02, RATE * SECONDS), RATE, subtype="PCM_16")
        sounds.append((root / "one.flac").read_bytes())
    paths = [f"audio/freesound/one/{number:06d}.flac" for number in range(CLIPS)]
    for number, path in enumerate(paths):
        (root / path).write_bytes(sounds[number % SOUNDS])
    table = manifest(sizes={"freesound": CLIPS})
    place = table.column_names.index("audio_path")
    table = table.set_column(place, table.schema.field("audio_path"), pa.array(paths))
    tables = TableStore(Store(root))
    publish_version(tables, Stage(table, DROPPED.empty()), ["freesound"], "run", NOW)
    return sum(len(sounds[number % SOUNDS]) for number in range(CLIPS))


def ours(root: Path, to: Path) -> tuple[float, float]:
    """Seconds, and the peak memory (MB)."""
    fmt = all_formats()["webdataset"]
    started = time.perf_counter()
    done = export(open_set(Store(root)), fmt, fmt.settings(), NOW, to)
    assert done.description.clips == CLIPS
    return time.perf_counter() - started, own_peak_mb()


def tar(root: Path, to: Path) -> float:
    started = time.perf_counter()
    subprocess.run(["tar", "--create", "--file", to, "--directory", root, "audio"], check=True)
    return time.perf_counter() - started


def synced_tar(root: Path, to: Path) -> float:
    started = time.perf_counter()
    tar(root, to)
    subprocess.run(["sync", to], check=True)
    return time.perf_counter() - started


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        root = folder / "store"
        size = write_store(root) / 1e6
        seconds: dict[str, list[float]] = {"ours": [], "tar": [], "tar and sync": []}
        peak = 0.0
        for number in range(REPEATS):
            seconds["tar"].append(tar(root, folder / "plain.tar"))
            subprocess.run(["sync", folder / "plain.tar"], check=True)
            seconds["tar and sync"].append(synced_tar(root, folder / "synced.tar"))
            took, peak = in_own_process(ours, root, folder / f"ours-{number}")
            seconds["ours"].append(took)
        for side, took_s in seconds.items():
            print(f"{side}: {size / min(took_s):,.0f} MB/s ({', '.join(f'{s:.2f}' for s in took_s)} s)")  # noqa: T201
    value, peer = size / min(seconds["ours"]), size / min(seconds["tar"])
    report("export_tars", value, "MB/s", "tar", peer, peak)
    sys.exit(value < LIMIT * peer)


if __name__ == "__main__":
    main()
