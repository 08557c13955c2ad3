"""What a set shares with a benchmark by sound, as rows of `tables.OVERLAPS`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from wavcaps_assets.benchmark_sets.heard import audio_hash
from wavcaps_assets.fingerprints.extraction import in_batches, landmarks_of
from wavcaps_assets.fingerprints.index import HashIndex
from wavcaps_assets.fingerprints.matching import Match, MatchSettings, matches
from wavcaps_assets.show.progress import NoProgress, Progress
from wavcaps_assets.tables import DROPPED, OVERLAPS
from wavcaps_assets.tables.asset_tables import set_version_of, with_compared_with, with_set_version
from wavcaps_assets.tables.stage import Stage

AUDIO = "audio"
STAGE = "audio_overlaps"
NO_FINGERPRINT, TOO_LITTLE_SOUND = "no_fingerprint", "too_little_sound"
CLIPS_AT_A_TIME = 2000
# A hash needs three peaks, and a match several hashes: with fewer peaks, a clip is never found.
FEWEST_PEAKS = 10
SILENT = NoProgress()


@dataclass(frozen=True)
class AudioOverlaps:
    """What was found.

    Attributes:
        stage: `tables.OVERLAPS`, best first; and the clips of both sides that could not be compared, with
            the reason.
        clips: of the set.
        unchecked: those of them that could not be compared.
        benchmark_clips: of the benchmark.
        benchmark_unchecked: those of them that could not be compared.
    """

    stage: Stage
    clips: int
    unchecked: int
    benchmark_clips: int
    benchmark_unchecked: int


def audio_overlaps(
    wanted: pa.Table,
    fingerprints: Iterable[pa.Table],
    benchmark: pa.Table,
    benchmark_fingerprints: pa.Table,
    settings: MatchSettings,
    progress: Progress = SILENT,
) -> AudioOverlaps:
    """Compares the clips of a set with those of a benchmark.

    Memory holds the benchmark's index and one table of fingerprints at a time.

    Args:
        wanted: the clips of the set, with `clip_id` and `source`. Its version of the set is kept.
        fingerprints: tables of `tables.FINGERPRINTS`, also of other clips, which are not compared.
        benchmark: `tables.BENCHMARK_CLIPS`.
        benchmark_fingerprints: `tables.FINGERPRINTS` of those that have audio.
    """
    other = benchmark_fingerprints.filter(_among(benchmark_fingerprints, benchmark))
    indexed = landmarks_of(other)
    index = HashIndex(indexed[at : at + CLIPS_AT_A_TIME] for at in range(0, len(indexed), CLIPS_AT_A_TIME))
    found, seen = [], [_peaks(other.slice(0, 0))]
    done = 0
    for table in fingerprints:
        for batch in in_batches(table.filter(_among(table, wanted)), CLIPS_AT_A_TIME):
            clips = landmarks_of(batch)
            found.append(_rows(batch, other, list(matches(clips, index, indexed, settings))))
            seen.append(_peaks(batch))
            done += len(batch)
            progress.update(done, len(wanted), f"{sum(map(len, found))} pairs")
    pairs = _with_benchmark(pa.concat_tables([_rows(other, other, []), *found]), benchmark)
    unchecked = _unchecked(wanted, pa.concat_tables(seen))
    sources = benchmark.select(["clip_id", "benchmark"]).rename_columns(["clip_id", "source"])
    benchmark_unchecked = _unchecked(sources, _peaks(other))
    # A clip has one row in a table of dropped clips, also if the benchmark itself is in the set.
    only_there = benchmark_unchecked.filter(pc.invert(_among(benchmark_unchecked, unchecked)))
    order = [("verdict", "descending"), ("score", "descending"), ("clip_id", "ascending")]
    dropped = pa.concat_tables([unchecked, only_there])
    # Clips that join the set later were not compared.
    pairs = with_set_version(pairs.sort_by(order), set_version_of(wanted))
    # A benchmark's audio that joins or changes later was not compared, either.
    pairs = with_compared_with(pairs, audio_hash(benchmark_fingerprints))
    stage = Stage(pairs, dropped, settings=settings.model_dump_json())
    return AudioOverlaps(stage, len(wanted), len(unchecked), len(benchmark), len(benchmark_unchecked))


def _among(table: pa.Table, clips: pa.Table) -> pa.ChunkedArray:
    return pc.is_in(table.column("clip_id"), value_set=clips.column("clip_id").combine_chunks())


def _peaks(fingerprints: pa.Table) -> pa.Table:
    """`clip_id`, and the number of its peaks."""
    number = pc.list_value_length(fingerprints.column("landmarks"))
    return pa.table({"clip_id": fingerprints.column("clip_id"), "peaks": number})


def _rows(clips: pa.Table, benchmark: pa.Table, found: list[Match]) -> pa.Table:
    """The matches of a batch, without what only the benchmark's own table knows."""
    own, other = (pa.array([getattr(one, side) for one in found], pa.int64()) for side in ("clip", "indexed"))
    keys = [
        f"the sound ({one.agreement:.0%} of the spectral peaks; elsewhere at most {one.elsewhere:.0%})"
        for one in found
    ]
    return pa.table(
        {
            "clip_id": clips.column("clip_id").take(own),
            "source": clips.column("source").take(own),
            "benchmark_clip_id": benchmark.column("clip_id").take(other),
            "key": pa.array(keys, pa.string()),
            "score": pa.array([float(one.score) for one in found], pa.float64()),
            "offset_s": pa.array([one.offset_s for one in found], pa.float64()),
            "verdict": pa.array([one.verdict for one in found], pa.string()),
        }
    )


def _with_benchmark(pairs: pa.Table, benchmark: pa.Table) -> pa.Table:
    place = pc.index_in(
        pairs.column("benchmark_clip_id"), value_set=benchmark.column("clip_id").combine_chunks()
    )
    pairs = pairs.append_column("benchmark", benchmark.column("benchmark").take(place))
    pairs = pairs.append_column("benchmark_split", benchmark.column("split").take(place))
    pairs = pairs.append_column("evidence", pa.repeat(AUDIO, len(pairs)))
    return pairs.select(OVERLAPS.arrow.names).cast(OVERLAPS.arrow)


def _unchecked(clips: pa.Table, peaks: pa.Table) -> pa.Table:
    """`tables.DROPPED` of the clips without a fingerprint, or with too few peaks."""
    place = pc.index_in(clips.column("clip_id"), value_set=peaks.column("clip_id").combine_chunks())
    number = np.asarray(pc.fill_null(peaks.column("peaks").take(place), -1))
    chosen = np.flatnonzero(number < FEWEST_PEAKS)
    return pa.table(
        [
            clips.column("clip_id").take(chosen),
            clips.column("source").take(chosen),
            pa.repeat(STAGE, len(chosen)),
            pa.array(
                [NO_FINGERPRINT if number[one] < 0 else TOO_LITTLE_SOUND for one in chosen], pa.string()
            ),
            pa.array(list(_details(number[chosen])), pa.string()),
        ],
        schema=DROPPED.arrow,
    )


def _details(numbers: np.typing.NDArray[np.int64]) -> Iterator[str]:
    for number in numbers.tolist():
        yield "there is no fingerprint of it" if number < 0 else f"it has only {number} spectral peaks"
