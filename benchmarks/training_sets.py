"""Composes the training sets of the paper's experiments, at the paper's sizes.

The set has 403,050 clips; FreeSound has 567,078 raw records; AudioCaps and Clotho have the lengths of their
official lists, and LAION is a list of 100,000 clips. Each set is written as its asset writes it, in one
process, as a run of all ten assets does it.

The limits: ten sets in 10 s, and 1.5 GB. Next to them stands the time to read and write the same rows.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from benchmarks.own_process import in_own_process
from benchmarks.result import own_peak_mb, report
from benchmarks.whole_set import SOURCES, filled, manifest, sentences, titles
from wavcaps_assets.benchmark_sets.compose import compose
from wavcaps_assets.benchmark_sets.exclusion_lists import RELEASED
from wavcaps_assets.benchmark_sets.inputs import SetInputs
from wavcaps_assets.benchmark_sets.sets import SETS
from wavcaps_assets.store.storage import Store
from wavcaps_assets.tables import AUDIO, FILTERED_CLIPS, RAW_CLIPS
from wavcaps_assets.tables.asset_tables import WHOLE, TableStore

FREESOUND_RAW = 567_078
LISTS = {
    "audiocaps": {"train": (49_838, 1), "val": (495, 5), "test": (975, 5)},
    "clotho": {"train": (3_839, 5), "val": (1_045, 5), "test": (1_045, 5)},
    "laion": {"train": (100_000, 1)},
}
LIMIT_S, LIMIT_MB = 10.0, 1_500.0


def write(folder: Path) -> None:
    """The tables and the lists, as a store has them."""
    tables, rng = TableStore(Store(folder)), np.random.default_rng(7)
    whole = manifest()
    tables.write(["wavcaps"], None, whole)
    freesound = whole.slice(SOURCES["audioset_sl"] + SOURCES["bbc_sound_effects"], SOURCES["freesound"])
    tables.write(["manifest"], "freesound", freesound)
    ids = [f"freesound-{number}" for number in range(FREESOUND_RAW)]
    texts = sentences(rng, FREESOUND_RAW, 17.74)
    common: dict[str, Sequence[str | None]] = {
        "clip_id": ids,
        "source": ["freesound"] * FREESOUND_RAW,
        "title": titles(rng, "freesound", FREESOUND_RAW),
        "description": texts,
    }
    tables.write(["freesound", "raw_clips"], "2022-11", filled(RAW_CLIPS, FREESOUND_RAW, common))
    paths = {"audio_path": [f"audio/freesound/2022-11/{name}.flac" for name in ids]}
    audio = filled(AUDIO, FREESOUND_RAW, common | paths)
    tables.write(["freesound", "audio"], "2022-11", audio)
    kept = {name: values[: FREESOUND_RAW // 2] for name, values in common.items()}
    tables.write(["filtered_clips"], "freesound", filled(FILTERED_CLIPS, FREESOUND_RAW // 2, kept))
    for name, splits in LISTS.items():
        for split, (clips, captions) in splits.items():
            _write_list(folder / "sets" / name, split, clips, captions)
    for name in RELEASED:
        lists = {"AudioSet": [f"Y{n:011x}.wav" for n in range(20_000)], "FreeSound": list(range(5_905))}
        (folder / "sets" / f"{name}.json").write_text(json.dumps(lists))


def _write_list(folder: Path, split: str, clips: int, captions: int) -> None:
    (folder / split).mkdir(parents=True)
    names = [f"Y{split[:2]}{number:09d}.wav" for number in range(clips)]
    columns = ["caption"] if captions == 1 else [f"caption_{number + 1}" for number in range(captions)]
    data = [
        {"audio": name, "duration": 10.0, **{column: f"{column} of {name}." for column in columns}}
        for name in names
    ]
    (folder / f"{split}.json").write_text(json.dumps({"data": data}))
    for name in names:
        (folder / split / name).touch()


def ten_sets(folder: Path) -> float:
    """Seconds for all ten."""
    tables, total = TableStore(Store(folder)), 0.0
    inputs = SetInputs(tables)
    # The first array that Arrow makes of a list imports pandas, half a second, if it is there: only
    # development has it.
    pa.array([""])
    for name, training_set in SETS.items():
        started = time.perf_counter()
        stage = compose(training_set, inputs).stage
        tables.write(["training_manifest", name], None, stage)
        seconds = time.perf_counter() - started
        print(f"{name}: {stage.kept.num_rows:,} rows in {seconds:.2f} s")  # noqa: T201
        total += seconds
    return total


def copies(folder: Path) -> float:
    """Seconds to read and write tables with the same rows, with nothing in between."""
    tables, total = TableStore(Store(folder)), 0.0
    for name in SETS:
        started = time.perf_counter()
        table = tables.read(["training_manifest", name], [WHOLE])
        tables.write(["training_manifest", "copy"], None, table)
        total += time.perf_counter() - started
    return total


def run(measure: Callable[[Path], float], folder: Path) -> tuple[float, float]:
    return measure(folder), own_peak_mb()


def measured(measure: Callable[[Path], float], folder: Path) -> tuple[float, float]:
    """Seconds and MB, in a process of its own."""
    return in_own_process(run, measure, folder)


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # Not in this process: what it holds at its largest would count as its children's.
        in_own_process(write, folder)
        seconds, peak_mb = measured(ten_sets, folder)
        copying, _ = measured(copies, folder)
    report("training_sets", seconds, "s", "reading and writing the same rows", copying, peak_mb)
    if seconds > LIMIT_S or peak_mb > LIMIT_MB:
        sys.exit(f"the limits: {LIMIT_S:.0f} s, {LIMIT_MB:.0f} MB")


if __name__ == "__main__":
    main()
