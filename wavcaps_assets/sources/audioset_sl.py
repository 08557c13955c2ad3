"""The AudioSet strong labels (https://research.google.com/audioset/download_strong.html).

Labels are read from the published files, audio from a folder of ten-second clips, local or served.
The start time of a clip is part of its id, and is never lost.
"""

from __future__ import annotations

import re
from array import array
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import numpy as np
from pydantic import Field

from wavcaps_assets.network.errors import BadAnswer, NetworkError, NotAllowed
from wavcaps_assets.sources.audioset_files import require_clips
from wavcaps_assets.sources.base import Note, Record, Source, clean, seconds
from wavcaps_assets.sources.settings import SourceSettings

if TYPE_CHECKING:
    from wavcaps_assets.network.client import Network
    from wavcaps_assets.settings import Settings

CLIP_SECONDS = 10.0
HEADER = ["segment_id", "start_time_seconds", "end_time_seconds", "label"]
NAMES = "mid_to_display_name.tsv"
# A YouTube id has 11 characters, which may include `_`. The start time follows the last `_`.
SEGMENT = re.compile(r"([A-Za-z0-9_-]{11})_([0-9]{1,9})")
# The larger of the two files has about a million lines and 40 MB.
MAX_FILE_BYTES = 256 * 2**20
# With more malformed rows than this, the file is not damaged but another one.
MAX_BAD_ROWS = 1_000
# The licence of AudioSet's labels. The licence of the audio is its uploader's, and is not published.
LICENCE = "CC BY 4.0 (labels)"


class AudiosetSettings(SourceSettings):
    """The AudioSet strong labels (https://research.google.com/audioset/download_strong.html)."""

    key = "audioset"

    labels_url: str = Field("", description="folder of the label files; empty: by `sources`")
    clips_url: str = Field(
        "",
        description="folder (path or URL) of the ten-second clips, named such as `Y<id>.wav` or "
        "`<id>_<start>.flac`; empty: by `sources`",
    )
    least_found: float = Field(
        0.1,
        ge=0,
        le=1,
        description="share of the folder's audio files, or of the split's clips if they are fewer, that must "
        "match; a crawl with fewer fails",
    )
    watch_url: str = Field("", description="page of a video, for links to a clip; empty: by `sources`")

    def defaults(self, demo_url: str | None) -> Mapping[str, object]:
        if demo_url:
            return {"labels_url": f"{demo_url}/audioset/labels", "clips_url": f"{demo_url}/audioset/clips"}
        return {
            "labels_url": "https://storage.googleapis.com/us_audioset/youtube_corpus/strong",
            "watch_url": "https://www.youtube.com/watch",
        }


class AudiosetStrongLabels(Source):
    """The crawl of the AudioSet strong labels. A partition is a split, `train` or `eval`."""

    name = "audioset_sl"
    title = "AudioSet SL"

    def __init__(self, settings: AudiosetSettings) -> None:
        self._settings = settings

    @property
    def folder(self) -> Path | None:
        root = self._settings.clips_url
        return Path(root) if root and "://" not in root else None

    def audio_headers(self, network: Network) -> Mapping[str, str]:
        if not self._settings.clips_url:
            raise NotAllowed(
                "AudioSet's audio is not published: put your copies of the ten-second clips into a folder "
                "and set WAVCAPS_AUDIOSET__CLIPS_URL to that folder"
            )
        return {}

    def needs(self, settings: Settings) -> str:
        return "" if self._settings.clips_url else "WAVCAPS_AUDIOSET__CLIPS_URL: your folder of its clips"

    def partitions(self) -> list[str]:
        return ["train", "eval"]

    def records(self, network: Network, partition: str) -> Iterator[Record | Note]:
        labels = Labels()
        yield from labels.read_names(self._rows(network, NAMES))
        events = f"audioset_{partition}_strong.tsv"
        yield from labels.read_events(events, self._rows(network, events))
        files, missing = self._find_clips(network, partition, labels.segments)
        if missing:
            yield Note(missing)
        for segment, labelled, mids in labels.clips():
            match = SEGMENT.fullmatch(segment)
            assert match is not None
            video, start_ms = match[1], int(match[2])
            yield Record(
                source_id=segment,
                audio_url=self._audio_url(files, segment, video),
                events=labelled,
                event_mids=mids,
                start_s=start_ms / 1000,
                licence=LICENCE,
                page_url=self._page_url(video, start_ms),
                claimed_duration_s=CLIP_SECONDS,
            )

    def _rows(self, network: Network, name: str) -> Iterator[tuple[int, list[str]]]:
        """The lines of a file, numbered from 1, split at tabs."""
        text = network.get_text(f"{self._settings.labels_url}/{name}", most_bytes=MAX_FILE_BYTES)
        start, number = 0, 0
        # One line at a time: a list of a million strings needs ten times the memory of the file.
        while start < len(text):
            end = text.find("\n", start)
            end = len(text) if end < 0 else end
            number += 1
            line = text[start:end].removesuffix("\r")
            start = end + 1
            if line:
                yield number, line.split("\t")

    def _page_url(self, video: str, start_ms: int) -> str | None:
        root = self._settings.watch_url
        return f"{root}?v={quote(video)}&t={start_ms // 1000}" if root else None

    def _audio_url(self, files: Mapping[str, str], segment: str, video: str) -> str:
        root = self._settings.clips_url
        # A missing file gets the usual name, which the fetch reports.
        usual = f"Y{video}.wav"
        return f"{root}/{quote(usual)}" if "://" in root else files.get(segment, usual)

    def _find_clips(
        self, network: Network, partition: str, segments: Collection[str]
    ) -> tuple[Mapping[str, str], str]:
        """The files of a split's clips, by segment id, and how many clips have none, in words."""
        if self.folder is None:
            return {}, ""
        # The folder may hold the clips of the other split only.
        others = (self._segments_of(network, other) for other in self.partitions() if other != partition)
        return require_clips(self.folder, partition, segments, self._settings.least_found, others)

    def _segments_of(self, network: Network, partition: str) -> set[str]:
        """The ids of a split's clips, as far as they can be read."""
        try:
            rows = self._rows(network, f"audioset_{partition}_strong.tsv")
            return {row[0] for _, row in rows if SEGMENT.fullmatch(row[0])}
        except NotAllowed:
            raise
        except NetworkError:
            return set()


def configured(demo_url: str | None, state: Path) -> AudiosetStrongLabels:
    return AudiosetStrongLabels(AudiosetSettings.read(demo_url))


class Labels:
    """The events of a split, in little memory: four numbers per event."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        self._segments: dict[str, int] = {}
        self._segment, self._label = array("l"), array("l")
        self._onset, self._offset = array("d"), array("d")
        self._bad_rows = 0

    @property
    def segments(self) -> Collection[str]:
        """The ids of the clips."""
        return self._segments.keys()

    def read_names(self, rows: Iterator[tuple[int, list[str]]]) -> Iterator[Record]:
        """Reads the name of each MID. Yields malformed rows as records.

        Raises:
            BadAnswer: too many rows are malformed, or there are no others.
        """
        for number, row in rows:
            name = clean(row[1].strip()) if len(row) == 2 else None
            if name and row[0]:
                self._names[row[0]] = name
            else:
                yield self._bad(NAMES, number, "", f"{len(row)} columns, not a MID and its name")
        if not self._names:
            raise BadAnswer(f"{NAMES} names no labels; has the file moved?")

    def read_events(self, file: str, rows: Iterator[tuple[int, list[str]]]) -> Iterator[Record]:
        """Reads the events of a split. Yields malformed rows, and MIDs without a name, as records.

        A segment keeps its other events.

        Raises:
            BadAnswer: the file has another header, or too many rows are malformed.
        """
        if next(rows, (0, []))[1] != HEADER:
            raise BadAnswer(f"{file} does not start with {' '.join(HEADER)}; has the format changed?")
        numbers = {mid: number for number, mid in enumerate(self._names)}
        unnamed: list[tuple[str, str, int]] = []
        for line, row in rows:
            if len(row) != len(HEADER):
                yield self._bad(file, line, row[0], f"{len(row)} columns instead of {len(HEADER)}")
                continue
            segment, onset, offset, mid = row
            start, end = seconds(onset), seconds(offset)
            if not SEGMENT.fullmatch(segment):
                yield self._bad(file, line, "", f"{segment!r:.100} is not <id>_<start in ms>")
            elif start is None or end is None or end < start:
                yield self._bad(
                    file, line, segment, f"{onset!r:.50} to {offset!r:.50} is not a span of seconds"
                )
            elif mid not in numbers:
                unnamed.append((segment, mid, line))
            else:
                self._segment.append(self._segments.setdefault(segment, len(self._segments)))
                self._onset.append(start)
                self._offset.append(end)
                self._label.append(numbers[mid])
        yield from self._without_names(file, unnamed)

    def _without_names(self, file: str, events: list[tuple[str, str, int]]) -> Iterator[Record]:
        """A record for each segment that has no named event at all, and for each other MID without a name."""
        left_out: Counter[str] = Counter()
        reported: set[str] = set()
        first_line: dict[str, int] = {}
        for segment, mid, line in events:
            first_line.setdefault(mid, line)
            if segment in self._segments:
                left_out[mid] += 1
            elif segment not in reported:
                reported.add(segment)
                yield Record(segment, "", problem=f"{file}, line {line}: {NAMES} has no name for {mid!r:.50}")
        for mid, count in left_out.items():
            where = f"{file}, line {first_line[mid]}"
            yield Record(
                "", "", problem=f"{where}: {NAMES} has no name for {mid!r:.50}; {count} events left out"
            )

    def clips(self) -> Iterator[tuple[str, tuple[Mapping[str, Any], ...], tuple[str, ...]]]:
        """All segments, each with its events in order of onset, and with the MIDs of these."""
        mids, names = list(self._names), list(self._names.values())
        segment, onset = np.asarray(self._segment), np.asarray(self._onset)
        offset, label = np.asarray(self._offset), np.asarray(self._label)
        order = np.lexsort((offset, onset, segment))
        bounds = np.searchsorted(segment[order], np.arange(len(self._segments) + 1))
        for number, name in enumerate(self._segments):
            rows = order[bounds[number] : bounds[number + 1]]
            yield (
                name,
                tuple(
                    {"onset_s": float(onset[row]), "offset_s": float(offset[row]), "label": names[label[row]]}
                    for row in rows
                ),
                tuple(mids[label[row]] for row in rows),
            )

    def _bad(self, file: str, line: int, segment: str, what: str) -> Record:
        self._bad_rows += 1
        if self._bad_rows > MAX_BAD_ROWS:
            raise BadAnswer(f"{file}, line {line}: {what}; {MAX_BAD_ROWS} earlier rows are malformed too")
        return Record(
            segment if SEGMENT.fullmatch(segment) else "", "", problem=f"{file}, line {line}: {what}"
        )
