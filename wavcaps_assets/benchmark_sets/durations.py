"""Durations of a benchmark's audio files, read from their headers."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import soundfile

from wavcaps_assets.benchmark_sets.tars import MEMBER
from wavcaps_assets.show.progress import NoProgress, Progress
from wavcaps_assets.store.storage import Store

# A progress bar need not move for every file.
REPORTED_EVERY = 100
SILENT = NoProgress()


def with_durations(store: Store, clips: pa.Table, progress: Progress = SILENT) -> tuple[pa.Table, list[str]]:
    """Measures the duration of every clip whose audio is there.

    Args:
        store: the store with the audio.
        clips: `tables.BENCHMARK_CLIPS`. A duration that a list has is replaced by the measured one.

    Returns:
        The clips; and the paths of the files that cannot be read.
    """
    paths, durations = clips.column("audio_path").to_pylist(), clips.column("duration_s").to_pylist()
    unreadable = []
    # A clip in a tar has its duration from there.
    files = [place for place, path in enumerate(paths) if path is not None and not MEMBER.fullmatch(path)]
    for done, place in enumerate(files):
        seconds = _duration(store, paths[place])
        if seconds is None:
            unreadable.append(paths[place])
        else:
            durations[place] = seconds
        if done % REPORTED_EVERY == 0:
            progress.update(done, len(files), "headers of audio files")
    index = clips.column_names.index("duration_s")
    return clips.set_column(index, clips.schema.field(index), pa.array(durations, pa.float64())), unreadable


def _duration(store: Store, path: str) -> float | None:
    with store.reading(path) as file:
        try:
            return float(soundfile.info(file).duration)
        except soundfile.LibsndfileError:
            return _duration_of_video(file)


def _duration_of_video(file: Path) -> float | None:
    """The duration of a video, or of audio with a codec that libsndfile does not know."""
    import av

    try:
        with av.open(str(file)) as container:
            return None if container.duration is None else container.duration / av.time_base
    except (av.FFmpegError, OSError):
        return None
