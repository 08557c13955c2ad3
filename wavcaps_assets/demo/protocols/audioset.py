"""The files of the AudioSet strong labels (https://research.google.com/audioset/download_strong.html)
and a folder of their clips."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from wavcaps_assets.demo.clips import Corpus, Source
from wavcaps_assets.demo.media import Format, Media

HEADER = ("segment_id", "start_time_seconds", "end_time_seconds", "label")


class Audioset:
    """Serves the corpus' scenes as AudioSet's label files and as `Y<id>.wav`."""

    def __init__(self, corpus: Corpus, media: Media) -> None:
        self._media = media
        self._scenes = corpus.of(Source.AUDIOSET)
        self._by_video = {clip.source_id.rpartition("_")[0]: clip for clip in self._scenes}

    def label_routes(self) -> list[BaseRoute]:
        return [
            Route("/audioset_{split}_strong.tsv", self.labels),
            Route("/mid_to_display_name.tsv", self.names),
        ]

    def clip_routes(self) -> list[BaseRoute]:
        return [Route("/Y{video}.wav", self.clip)]

    def labels(self, request: Request) -> Response:
        split = request.path_params["split"]
        if split not in {"train", "eval"}:
            raise HTTPException(404)
        rows = [
            (clip.source_id, f"{event.onset_s:.3f}", f"{event.offset_s:.3f}", event.mid)
            for clip in self._scenes
            if clip.split == split
            for event in clip.events
        ]
        return _tab_separated([HEADER, *rows])

    def names(self, request: Request) -> Response:
        return _tab_separated(
            sorted({(event.mid, event.label) for clip in self._scenes for event in clip.events})
        )

    def clip(self, request: Request) -> Response:
        clip = self._by_video.get(request.path_params["video"])
        if clip is None:
            raise HTTPException(404)
        return self._media.answer(clip, Format.WAV)


def _tab_separated(rows: Sequence[tuple[str, ...]]) -> Response:
    text = "".join("\t".join(row) + "\n" for row in rows)
    return PlainTextResponse(text, media_type="text/tab-separated-values")
