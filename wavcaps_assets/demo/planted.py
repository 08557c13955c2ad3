"""The demo's benchmark: some of the demo's own clips, changed, and sounds that are only like them.

What was done is known: the demo says which of them decontamination by sound has found, and which it missed.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import soundfile
import soxr

from wavcaps_assets.audio.blocks import SAMPLE_RATE, Samples
from wavcaps_assets.benchmark_sets.benchmarks.demo_sounds import BENCHMARK
from wavcaps_assets.benchmark_sets.heard import AUDIO_OVERLAPS, alike
from wavcaps_assets.store.storage import Store
from wavcaps_assets.tables.asset_tables import WHOLE, TableStore

REPORT = "decontamination.md"
# Of each change.
CLIPS_EACH = 3
FOR_REVIEW = " (for review by its embedding)"
SHORTEST_S, LONGEST_S = 2.0, 30.0


@dataclass(frozen=True)
class Change:
    """What is done to a clip.

    Attributes:
        name: for people, and the label in the benchmark.
        make: gets the clip, another clip, and a random generator; returns samples at 32 kHz.
        same: whether the result is the same recording.
    """

    name: str
    make: Callable[[Samples, Samples, np.random.Generator], Samples]
    same: bool = True


def _compressed(clip: Samples, _: Samples, __: np.random.Generator) -> Samples:
    file = io.BytesIO()
    soundfile.write(file, clip, SAMPLE_RATE, format="OGG", subtype="VORBIS", compression_level=0.7)
    file.seek(0)
    return np.asarray(soundfile.read(file, dtype="float32")[0])


def _half(clip: Samples, _: Samples, rng: np.random.Generator) -> Samples:
    start = int(rng.integers(0, len(clip) // 2))
    return clip[start : start + len(clip) // 2]


def _mixed(clip: Samples, other: Samples, _: np.random.Generator) -> Samples:
    around = np.resize(other, 3 * len(clip))
    quiet = around * np.sqrt(np.mean(clip**2) / 10 / max(float(np.mean(around**2)), 1e-9))
    quiet[len(clip) : 2 * len(clip)] += clip
    return (quiet / max(1.0, float(np.abs(quiet).max()))).astype(np.float32)


def _quieter(clip: Samples, _: Samples, __: np.random.Generator) -> Samples:
    return np.asarray(soxr.resample(clip, SAMPLE_RATE, 16_000).repeat(2) * np.float32(0.25))


def _faster(clip: Samples, _: Samples, __: np.random.Generator) -> Samples:
    return np.asarray(soxr.resample(clip, SAMPLE_RATE, SAMPLE_RATE * 0.95))


def _backwards(clip: Samples, _: Samples, __: np.random.Generator) -> Samples:
    return clip[::-1]


CHANGES = (
    Change("encoded as Ogg Vorbis", _compressed),
    Change("half of it", _half),
    Change("mixed into a longer clip", _mixed),
    Change("quieter, at half the sample rate", _quieter),
    Change("5 % faster", _faster),
    Change("backwards: like it, and another sound", _backwards, same=False),
)


def plant(tables: TableStore) -> None:
    """Makes the benchmark's list and audio from the published clips; the same ones give the same files."""
    store, rng = tables.store, np.random.default_rng(1)
    clips = tables.read(["wavcaps"], [WHOLE], ["clip_id", "caption", "audio_path", "duration_s"]).sort_by(
        "clip_id"
    )
    length = clips.column("duration_s")
    clips = clips.filter(pc.and_(pc.greater_equal(length, SHORTEST_S), pc.less_equal(length, LONGEST_S)))
    wanted = min(CLIPS_EACH * len(CHANGES), len(clips))
    chosen = clips.take(np.linspace(0, len(clips) - 1, wanted).astype(int)).to_pylist() if wanted else []
    sounds = [_read(store, row["audio_path"]) for row in chosen]
    lines = [["file", "split", "change", "made_of", "caption"]]
    for number, (row, sound) in enumerate(zip(chosen, sounds, strict=True)):
        change = CHANGES[number % len(CHANGES)]
        file = f"{number:02}.flac"
        with store.writing(f"{BENCHMARK.folder}/audio/{file}") as path:
            soundfile.write(path, change.make(sound, sounds[number - 1], rng), SAMPLE_RATE, format="FLAC")
        lines.append([file, "test", change.name, row["clip_id"], row["caption"]])
    text = io.StringIO()
    csv.writer(text).writerows(lines)
    store.write_bytes(f"{BENCHMARK.folder}/clips.csv", text.getvalue().encode())


def planted_lines(tables: TableStore) -> list[str]:
    """What was found of the planted clips, as sentences; also written to the store."""
    store = tables.store
    listed = list(csv.DictReader(io.StringIO(store.read_bytes(f"{BENCHMARK.folder}/clips.csv").decode())))
    found = tables.read([AUDIO_OVERLAPS, BENCHMARK.name], [WHOLE])
    same = found.filter(pc.equal(found.column("verdict"), "same"))
    pairs, similar = _pairs(same), _pairs(alike(tables, BENCHMARK.name))
    are_same = {change.name for change in CHANGES if change.same}
    planted = [row for row in listed if row["change"] in are_same]
    missed = [row for row in planted if (row["made_of"], _clip_id(row)) not in pairs]
    unlike = [row for row in listed if row not in planted]
    wrong = [row for row in unlike if any(other == _clip_id(row) for _, other in pairs)]
    reviewed = [row for row in missed if (row["made_of"], _clip_id(row)) in similar]
    named = {row["file"]: FOR_REVIEW if row in reviewed else "" for row in missed}
    lines = [
        f"{len(planted) - len(missed)} of {len(planted)} changed clips were found by their sound, and "
        f"{len(wrong)} of {len(unlike)} that are only like clips of the set were taken for them; of "
        f"{len(missed)} missed, {len(reviewed)} are for review by their embeddings",
        *(f"missed: {row['made_of']}, {row['change']}{named[row['file']]}" for row in missed),
        *(f"wrong: {row['made_of']}, {row['change']}" for row in wrong),
    ]
    outcome = dict.fromkeys((row["file"] for row in listed), "right")
    outcome |= {file: f"**missed**{review}" for file, review in named.items()}
    outcome |= {row["file"]: "**wrong**" for row in wrong}
    store.write_bytes(REPORT, _report(lines, listed, outcome).encode())
    return lines


def _pairs(overlaps: pa.Table) -> set[tuple[str, str]]:
    """The pairs of a clip of the set and one of the benchmark."""
    return set(
        zip(*(overlaps.column(name).to_pylist() for name in ("clip_id", "benchmark_clip_id")), strict=True)
    )


def _report(lines: Sequence[str], listed: Sequence[dict[str, str]], outcome: Mapping[str, str]) -> str:
    rows = [
        f"| {row['file']} | {row['made_of']} | {row['change']} | {outcome[row['file']]} |" for row in listed
    ]
    table = ["| file | made of | change | |", "| --- | --- | --- | --- |", *rows]
    return "\n".join(["# Decontamination of the demo", "", *(f"- {line}" for line in lines), "", *table, ""])


def _clip_id(row: dict[str, str]) -> str:
    return f"{BENCHMARK.name}-{row['file']}"


def _read(store: Store, path: str) -> Samples:
    with store.reading(path) as file:
        return np.asarray(soundfile.read(file, dtype="float32")[0])
