"""The AudioSet strong labels (https://research.google.com/audioset/download_strong.html).

Labels come from the published files; audio from a folder of ten-second clips, on disk or served.
The start time of a clip is part of its id, so it is never lost.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from wavcaps_assets.network_errors import BadAnswer
from wavcaps_assets.settings import AudiosetSettings
from wavcaps_assets.sources.base import Record, host_of, seconds

if TYPE_CHECKING:
    from wavcaps_assets.network import Network

CLIP_SECONDS = 10.0
HEADER = ["segment_id", "start_time_seconds", "end_time_seconds", "label"]


class AudiosetStrongLabels:
    """The crawl of the AudioSet strong labels. A partition is a split, `train` or `eval`."""

    name = "audioset_sl"
    title = "AudioSet SL"

    def __init__(self, settings: AudiosetSettings) -> None:
        self._settings = settings

    @property
    def hosts(self) -> frozenset[str]:
        urls = (self._settings.labels_url, self._settings.clips_url)
        return frozenset(host_of(url) for url in urls if "://" in url)

    def partitions(self) -> list[str]:
        return ["train", "eval"]

    def records(self, network: Network, partition: str) -> Iterator[Record]:
        names = dict(self._rows(network, "mid_to_display_name.tsv"))
        events: dict[str, list[dict[str, Any]]] = {}
        rows = self._rows(network, f"audioset_{partition}_strong.tsv")
        if next(rows, None) != HEADER:
            raise BadAnswer(f"audioset_{partition}_strong.tsv does not start with {' '.join(HEADER)}")
        for segment, onset, offset, mid in rows:
            start, end = seconds(onset), seconds(offset)
            if start is None or end is None:
                raise BadAnswer(f"audioset_{partition}_strong.tsv: {onset!r} to {offset!r} in {segment!r}")
            event = {"onset_s": start, "offset_s": end, "label": names.get(mid, mid)}
            events.setdefault(segment, []).append(event)
        for segment, labelled in events.items():
            # A YouTube id may itself hold an underscore: the start time stands behind the last one.
            youtube_id, _, start_ms = segment.rpartition("_")
            start_s = int(start_ms) // 1000 if start_ms.isdecimal() else None
            yield Record(
                source_id=segment,
                audio_url=self._audio_url(youtube_id),
                events=tuple(sorted(labelled, key=lambda event: (event["onset_s"], event["offset_s"]))),
                licence="CC BY 4.0 (labels)",
                page_url=self._page_url(youtube_id, start_s),
                claimed_duration_s=CLIP_SECONDS,
                problem=None
                if youtube_id and start_s is not None
                else f"{segment!r} is no <id>_<start in ms>",
            )

    def _page_url(self, youtube_id: str, start_s: int | None) -> str | None:
        if not self._settings.watch_url:
            return None
        return f"{self._settings.watch_url}?v={quote(youtube_id)}&t={start_s or 0}"

    def _audio_url(self, youtube_id: str) -> str:
        root = self._settings.clips_url
        name = f"Y{youtube_id}.wav"
        return f"{root}/{quote(name)}" if "://" in root else str(Path(root) / name)

    def _rows(self, network: Network, name: str) -> Iterator[list[str]]:
        text = network.get_text(f"{self._settings.labels_url}/{name}")
        for number, row in enumerate(
            csv.reader(io.StringIO(text), delimiter="\t", quoting=csv.QUOTE_NONE), 1
        ):
            if len(row) not in {2, 4}:
                raise BadAnswer(f"{name}, line {number}: {len(row)} columns")
            yield row
