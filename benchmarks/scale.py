"""The path from `raw_clips` to the exports on 400,000 synthetic clips, next to a tenth of them.

    python -m benchmarks.scale 4000000

takes 4 million next to 400,000, and

    python -m benchmarks.scale 4000000 FOLDER

keeps the tables in a folder, with the figures of each stage as it ends: a run that was stopped goes on there
with the next stage. Each stage runs in a process of its own, one source after another as the
assets do it, with the time and the peak memory of reading, working and writing. It calls what the assets
call.

Left out, because it costs the same for each clip, and has benchmarks of its own: the crawl and the audio
(`crawl_metadata`, `audio_normalise`), requests to a model and their ledger (`captioning`, `ledger`), and
rules that parse a caption (`stage3_rules`). Clips keep the captions that they come with (the captioning
method `given`). Clips share files, so that the audio is a few thousand files. Exports are those without
audio. Training sets and decontamination are `training_sets` and `decontamination`.

The limits: no stage above 8 GB, and the CPU time and the memory of ten times the clips at most 13 times those
of the tenth (3 s and 300 MB are always allowed: of a few clips, a process needs most for itself).
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import astuple, dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa

from benchmarks.own_process import in_own_process
from benchmarks.result import own_peak_mb
from benchmarks.scale_world import GIVEN, PARTITION, sizes_of, write_source
from wavcaps_assets.captioning.engine import caption_clips
from wavcaps_assets.captioning.presets import choose_rules, choose_settings, rules_of_given
from wavcaps_assets.captioning.refining import refine_captions
from wavcaps_assets.captioning.settings import CaptioningChoice, Method
from wavcaps_assets.checks.assessment import UnfitSet, require_quality
from wavcaps_assets.checks.baseline import Baseline
from wavcaps_assets.exports.export import export
from wavcaps_assets.exports.exported_set import open_set
from wavcaps_assets.exports.formats import all_formats
from wavcaps_assets.filtering import FilterSettings, filter_clips
from wavcaps_assets.filtering.inputs import read_inputs
from wavcaps_assets.publishing.manifests import combine, make_manifest
from wavcaps_assets.publishing.publish_version import publish_version
from wavcaps_assets.publishing.recordings import all_recordings
from wavcaps_assets.publishing.same_sounds import publish_each_sound_once
from wavcaps_assets.publishing.splits import (
    ASSIGNMENTS_KEY,
    SplitSettings,
    read_assignments,
    split_by_recording,
)
from wavcaps_assets.rules.settings import RuleChoice
from wavcaps_assets.store.storage import Store
from wavcaps_assets.tables import RECORDINGS
from wavcaps_assets.tables.asset_tables import WHOLE, TableStore, with_set_version

ROWS, TENTH = 400_000, 10
MOST_MB, MOST_RATIO, LEAST_S, LEAST_MB = 8_000.0, 13.0, 3.0, 300.0
# The argument with the folder that keeps the tables, and the file of figures in it.
KEPT, FIGURES = 2, "figures.jsonl"
NOW = datetime(2026, 11, 28, tzinfo=UTC)
Stage = Callable[[TableStore, list[str]], None]


def stage_1(tables: TableStore, sources: list[str]) -> None:
    for source in sources:
        settings = FilterSettings()
        stage = filter_clips(*read_inputs(tables, source, settings), settings)
        tables.write(["filtered_clips"], source, stage)


def stage_2(tables: TableStore, sources: list[str]) -> None:
    for source in sources:
        settings = choose_settings(source, False, CaptioningChoice(method=Method.GIVEN))
        clips = tables.read(["filtered_clips"], [source])
        given = tables.store.read_table(f"{GIVEN}/{source}.parquet")
        tables.write(["llm_captions"], source, caption_clips(clips, source, settings, given=given).stage)


def stage_3(tables: TableStore, sources: list[str]) -> None:
    for source in sources:
        settings = choose_settings(source, False, CaptioningChoice(method=Method.GIVEN))
        rules = choose_rules(rules_of_given(RuleChoice(), settings), False)
        tables.write(
            ["captions"], source, refine_captions(tables.read(["llm_captions"], [source]), rules).stage
        )


def manifest(tables: TableStore, sources: list[str]) -> None:
    for source in sources:
        captions, llm = (tables.read([key], [source]) for key in ("captions", "llm_captions"))
        raw, audio = tables.read([source, "raw_clips"]), tables.read([source, "audio"])
        tables.write(["manifest"], source, make_manifest(captions, llm, raw, audio))


def wavcaps(tables: TableStore, sources: list[str]) -> None:
    stage = publish_each_sound_once(tables.read(["manifest"], sources), {})
    published = publish_version(tables, stage, sources, "run", NOW)
    whole = combine(stage.kept, sources, tables)
    tables.write(["wavcaps"], None, with_set_version(whole.table, published.version.name))


def split(tables: TableStore, sources: list[str]) -> None:
    whole, settings = tables.read(["wavcaps"], [WHOLE]), SplitSettings()
    recordings = all_recordings(RECORDINGS.empty(), whole)
    tables.write(["recordings"], None, recordings)
    parts = split_by_recording(whole, recordings, settings, read_assignments(tables, settings.seed), NOW)
    tables.write(ASSIGNMENTS_KEY, None, parts.assignments)
    tables.write(["training_manifest"], None, parts.manifest)


def duckdb_file(tables: TableStore, sources: list[str]) -> None:
    _export(tables, "duckdb_file")


def wavcaps_json(tables: TableStore, sources: list[str]) -> None:
    _export(tables, "wavcaps_json", audio_files="in_store")


def _export(tables: TableStore, name: str, **settings: str) -> None:
    fmt = all_formats()[name]
    export(open_set(tables.store), fmt, fmt.settings(**settings), NOW)


def quality(tables: TableStore, sources: list[str]) -> None:
    """The verdict on made-up words is that they are no captions; the work is the same.

    The set is compared with an earlier one, in which every tenth clip has the caption of the clip before it.
    """
    captions = tables.read(["manifest"], sources)
    rows = np.arange(len(captions))
    rows[10::10] -= 1
    earlier = captions.select(["clip_id", "source"]).append_column(
        "caption", captions.column("caption").take(pa.array(rows))
    )
    Baseline(tables.store, ["wavcaps"], None, "before").keep(earlier)
    del earlier
    try:
        require_quality(tables, captions, "run", "", sources)
    except UnfitSet:
        return
    raise AssertionError("made-up words passed the quality checks")


STAGES: tuple[Stage, ...] = (
    stage_1,
    stage_2,
    stage_3,
    manifest,
    wavcaps,
    split,
    duckdb_file,
    wavcaps_json,
    # Last, because it takes the longest, and no other stage needs it.
    quality,
)


@dataclass(frozen=True)
class Figures:
    """Of a stage: seconds, seconds of CPU in all threads, and the peak memory (MB)."""

    seconds: float
    cpu_s: float
    mb: float


def run(stage: Stage, root: Path, sources: list[str]) -> Figures:
    started, cpu = time.perf_counter(), time.process_time()
    stage(TableStore(Store(root)), sources)
    return Figures(time.perf_counter() - started, time.process_time() - cpu, own_peak_mb())


def measured(root: Path, clips: int) -> dict[str, Figures]:
    """The figures of each stage; of those that an earlier run has finished in this folder, its figures."""
    sizes, noted = sizes_of(clips), root / FIGURES
    root.mkdir(parents=True, exist_ok=True)
    found = {}
    for line in noted.read_text().splitlines() if noted.exists() else []:
        name, seconds, cpu_s, mb = json.loads(line)
        found[name] = Figures(seconds, cpu_s, mb)
    for source, number in sizes.items():
        if not found and not TableStore(Store(root)).exists([source, "audio"], PARTITION):
            in_own_process(write_source, root, source, number)
    for stage in STAGES:
        name = stage.__name__
        if name not in found:
            found[name] = in_own_process(run, stage, root, list(sizes))
            with noted.open("a") as file:
                file.write(json.dumps([name, *astuple(found[name])]) + "\n")
        of = found[name]
        print(  # noqa: T201
            f"{clips:,} clips, {name}: {of.seconds:.1f} s, {of.cpu_s:.1f} s of CPU, {of.mb:,.0f} MB",
            flush=True,
        )
    return found


def faults(few: dict[str, Figures], many: dict[str, Figures]) -> list[str]:
    """What is beyond the limits, in words."""
    found = []
    for name, of in many.items():
        if of.mb > MOST_MB:
            found.append(f"{name} needs {of.mb:,.0f} MB, and {MOST_MB:,.0f} are allowed")
        for value, before, least, unit in (
            (of.cpu_s, few[name].cpu_s, LEAST_S, "s of CPU"),
            (of.mb, few[name].mb, LEAST_MB, "MB"),
        ):
            if value > max(MOST_RATIO * before, least):
                found.append(
                    f"{name} grows faster: {before:,.1f} {unit}, and {value:,.1f} for {TENTH} times the clips"
                )
    return found


def both(folder: Path, clips: int) -> list[dict[str, Figures]]:
    return [measured(folder / str(number), number) for number in (clips // TENTH, clips)]


def main() -> None:
    clips = int(sys.argv[1]) if len(sys.argv) > 1 else ROWS
    if len(sys.argv) > KEPT:
        few, many = both(Path(sys.argv[KEPT]), clips)
    else:
        with tempfile.TemporaryDirectory() as name:
            few, many = both(Path(name), clips)
    seconds, before = (sum(of.seconds for of in side.values()) for side in (many, few))
    line = {
        "name": "scale",
        "value": round(seconds, 1),
        "unit": "s",
        "peer": f"{clips // TENTH} clips",
        "peer_value": round(before, 1),
        "ratio": round(seconds / before, 2),
        "peak_mb": round(max(of.mb for of in many.values()), 1),
        "clips": clips,
        "stages": {
            name: {"s": round(of.seconds, 1), "cpu_s": round(of.cpu_s, 1), "mb": round(of.mb)}
            for name, of in many.items()
        },
    }
    print(json.dumps(line))  # noqa: T201
    if found := faults(few, many):
        sys.exit("; ".join(found))


if __name__ == "__main__":
    main()
