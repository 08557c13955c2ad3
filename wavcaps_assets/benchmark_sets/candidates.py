"""The clips that can have a key of a benchmark at all.

Most clips have none: their own id is no benchmark's, and their texts name no other sound. They are passed
over here, column by column, and only the others are looked at closely (`keys`). No clip that has a key of a
benchmark is passed over.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from wavcaps_assets.benchmark_sets.keys import AUDIOSET, FREESOUND, HINT, SOUND, VIDEO

VIDEO_ID_CHARS = 11
Mask = npt.NDArray[np.bool_]


def hinted(clips: pa.Table) -> pa.Table:
    """The clips whose texts may name a sound or a video of another set.

    Args:
        clips: `evidence.COMPARED`.
    """
    return clips.filter(pc.match_substring_regex(clips.column("texts"), HINT))


def own(clips: pa.Table, benchmark_clips: pa.Table, listed: pa.Table) -> pa.Table:
    """The clips whose own id may be a key of a benchmark's clip or of a list's entry, or have one in it.

    Args:
        clips: `evidence.COMPARED`.
        benchmark_clips: `tables.BENCHMARK_CLIPS` of any number of benchmarks.
        listed: `exclusion_lists.LISTED`.
    """
    clip_ids, ids_of = clips.column("clip_id"), clips.column("ids_of")
    no_file = pc.is_null(clips.column("file"))
    of_benchmark = pc.is_in(clips.column("source"), value_set=benchmark_clips.column("benchmark").unique())
    found = (
        # The id may be a file name, with an id in it.
        _mask(pc.and_(pc.is_null(ids_of), no_file))
        | _mask(pc.and_(of_benchmark, pc.invert(no_file)))
        | _mask(pc.is_in(clip_ids, value_set=benchmark_clips.column("clip_id").unique()))
    )
    for kind, ids, matches in (
        (FREESOUND, _ids(benchmark_clips, "freesound_id", listed, SOUND), _of_sounds),
        (AUDIOSET, _ids(benchmark_clips, "youtube_id", listed, VIDEO), _of_videos),
    ):
        of_kind = _mask(pc.equal(ids_of, kind))
        for source in clips.column("source").filter(pa.array(of_kind)).unique():
            rows = np.flatnonzero(of_kind & _mask(pc.equal(clips.column("source"), source)))
            names = pc.utf8_slice_codeunits(clip_ids.take(pa.array(rows)), start=len(source.as_py()) + 1)
            found[rows] |= matches(names, ids)
    return clips.drop_columns("texts").filter(pa.array(found))


def _of_sounds(own: pa.ChunkedArray, sounds: pa.Array) -> Mask:
    """Whether ids at FreeSound, with an ending or without, are among some sounds."""
    if _mask(pc.match_substring(own, ".")).any():
        own = pc.list_element(pc.split_pattern(own, ".", max_splits=1), 0)
    return _mask(pc.is_in(pc.utf8_ltrim(own, characters="0"), value_set=sounds))


def _of_videos(own: pa.ChunkedArray, videos: pa.Array) -> Mask:
    """Whether names that start with a YouTube id, or with Y and the id, are of some videos."""
    starts = (pc.utf8_slice_codeunits(own, start=at, stop=at + VIDEO_ID_CHARS) for at in (0, 1))
    first, second = (_mask(pc.is_in(one, value_set=videos)) for one in starts)
    return first | second


def _ids(benchmark_clips: pa.Table, column: str, listed: pa.Table, kind: str) -> pa.Array:
    """The ids of a kind that benchmarks and lists have, without leading zeros for sounds."""
    keys = listed.column("key")
    of_lists = pc.utf8_slice_codeunits(keys.filter(pc.starts_with(keys, kind)), start=len(kind))
    ids = pa.chunked_array([*benchmark_clips.column(column).chunks, *of_lists.chunks], pa.string())
    return (pc.utf8_ltrim(ids, characters="0") if kind == SOUND else ids).drop_null().unique()


def _mask(values: pa.ChunkedArray) -> Mask:
    """Booleans as an array, where null is false."""
    return np.asarray(values.fill_null(False).combine_chunks())
