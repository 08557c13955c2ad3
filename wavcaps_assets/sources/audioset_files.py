"""The audio files of AudioSet's clips in a folder, under the names that public tools write."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from wavcaps_assets.network.errors import NotThere
from wavcaps_assets.sources.folders import SUFFIXES, files_in

VIDEO_CHARS = 11
# Behind the id: the start of the clip, and possibly its end, in seconds or milliseconds.
SPAN = re.compile(r"_(?P<start>\d{1,9}(?:\.\d{1,6})?)(?:[-_](?P<end>\d{1,9}(?:\.\d{1,6})?))?")
PATTERNS = (
    "Y<id>.wav",
    "<id>.wav",
    "<id>_<start>.wav",
    "<id>_<start>-<end>.wav",
    "<id>_<start>_<end>.wav",
)
MAX_EXAMPLES = 3


@dataclass
class ClipFiles:
    """What a folder has for the clips of a split.

    Attributes:
        paths: by segment id, the path of its file, relative to the folder.
        audio_files: how many audio files the folder has.
        examples: paths of some of these files.
    """

    paths: dict[str, str] = field(default_factory=dict)
    audio_files: int = 0
    examples: list[str] = field(default_factory=list)


def require_clips(
    folder: Path,
    split: str,
    segments: Collection[str],
    least_found: float,
    others: Iterable[Collection[str]],
) -> tuple[Mapping[str, str], str]:
    """The files of a split's clips, by segment id, and how many clips have none, in words.

    Args:
        least_found: the share of the folder's files, or of the clips if they are fewer, that must match.
            Files of other splits' clips do not count.
        others: ids of the clips of the other splits, read only where too little matches.

    Raises:
        NotThere: there is no such folder, or it has other files than clips of AudioSet.
    """

    def is_enough(files: int) -> bool:
        return len(found.paths) >= least_found * min(files, len(segments))

    try:
        found = find_clips(folder, segments)
        enough = found.audio_files > 0 and is_enough(found.audio_files)
        if not enough and found.audio_files:
            of_others = sum(len(find_clips(folder, other).paths) for other in others)
            enough = bool(of_others) and is_enough(found.audio_files - of_others)
    except OSError as error:
        raise NotThere(
            f"WAVCAPS_AUDIOSET__CLIPS_URL is {folder}, which cannot be read as a folder of clips: "
            f"{error.strerror}"
        ) from error
    if segments and not enough:
        raise NotThere(
            f"WAVCAPS_AUDIOSET__CLIPS_URL is {folder}: it has {found.audio_files} audio files, and "
            f"{len(found.paths)} of the {len(segments)} clips of {split}. Expected are names such as "
            f"{', '.join(PATTERNS)}, with start and end in s or ms, and the suffixes "
            f"{', '.join(SUFFIXES)}, also in subfolders. The folder has "
            f"{', '.join(found.examples) or 'no audio'}. If you have no more of the clips, set "
            "WAVCAPS_AUDIOSET__LEAST_FOUND=0"
        )
    without = len(segments) - len(found.paths)
    return found.paths, f"{without} of {len(segments)} clips have no file in {folder}" if without else ""


def find_clips(folder: Path, segments: Collection[str]) -> ClipFiles:
    """Finds the files of clips in a folder and its subfolders.

    A name has the id of the video, with or without a `Y` before it; the start of the clip or not; and its
    end or not. A name with the start is preferred to one without; then the first of `SUFFIXES` is.

    Args:
        segments: ids of the clips, `<id>_<start in ms>`.

    Raises:
        OSError: the folder cannot be read.
    """
    starts: defaultdict[str, list[int]] = defaultdict(list)
    for segment in segments:
        video, _, start = segment.rpartition("_")
        starts[video].append(int(start))
    found = ClipFiles()
    best: dict[str, tuple[bool, int, str]] = {}
    for path in files_in(folder):
        name = path.rpartition(os.sep)[2]
        stem, _, suffix = name.rpartition(".")
        if suffix.lower() not in SUFFIXES:
            continue
        found.audio_files += 1
        if len(found.examples) < MAX_EXAMPLES:
            found.examples.append(path)
        for video, rest in _readings(stem):
            for start_ms in starts.get(video, ()):
                if not rest or _starts_at(rest, start_ms):
                    segment = f"{video}_{start_ms}"
                    choice = (not rest, SUFFIXES.index(suffix.lower()), path)
                    best[segment] = min(best.get(segment, choice), choice)
    found.paths = {segment: path for segment, (_, _, path) in best.items()}
    return found


def _readings(stem: str) -> Iterator[tuple[str, str]]:
    """How a name can be read: as a video's id and what follows it. An id may itself begin with `Y`."""
    for start in (0, 1) if stem.startswith("Y") else (0,):
        video, rest = stem[start : start + VIDEO_CHARS], stem[start + VIDEO_CHARS :]
        if len(video) == VIDEO_CHARS and (not rest or SPAN.fullmatch(rest)):
            yield video, rest


def _starts_at(rest: str, start_ms: int) -> bool:
    """Whether the part of a name behind the id says that the clip starts there."""
    match = SPAN.fullmatch(rest)
    if match is None:
        return False
    start = match["start"]
    # A whole number can be seconds or milliseconds.
    return round(float(start) * 1000) == start_ms or ("." not in start and int(start) == start_ms)
