"""The BBC's sound-effects search API and its audio files.

The API has no published documentation. This is the part that its clients use.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import soundfile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from wavcaps_assets.demo.clips import Corpus, DemoClip, Source
from wavcaps_assets.demo.media import Format, Media

# Ranges (s) in which durations are counted; the lower bound is included. The real ranges and their unit
# are not known: a client sends back the names of the aggregation.
DURATION_RANGES = ((0, 2), (2, 5), (5, 10), (10, 60), (60, 3600))
# The number of results of a search without `size`.
DEFAULT_SIZE = 50
# What a search index allows by default; the real limit is not known.
RESULT_WINDOW = 10_000
WAV_HEADER_BYTES = 44
UNSUPPORTED = ("query", "tags", "source", "recordist", "habitat")
MISSING_FILE = (
    '<?xml version="1.0" encoding="UTF-8"?>\n'
    "<Error><Code>NoSuchKey</Code><Message>The specified key does not exist.</Message></Error>"
)


class Bbc:
    """Answers as the BBC's servers do, for the corpus' BBC clips.

    Attributes:
        result_window: the last result that paging reaches; a request beyond it is an error.
    """

    def __init__(self, corpus: Corpus, media: Media, result_window: int = RESULT_WINDOW) -> None:
        self._corpus = corpus
        self._media = media
        self._clips = {clip.source_id: clip for clip in corpus.of(Source.BBC)}
        self.result_window = result_window

    def api_routes(self) -> list[BaseRoute]:
        return [
            Route("/api/sfx/search", self.search, methods=["POST"]),
            Route("/api/sfx/{what}Aggregations", self.aggregations, methods=["POST"]),
        ]

    def media_routes(self) -> list[BaseRoute]:
        return [Route("/{folder}/{name}", self.file)]

    async def search(self, request: Request) -> Response:
        try:
            criteria = _criteria(await request.body())
            start, size = (
                _count(criteria, name, default) for name, default in (("from", 0), ("size", DEFAULT_SIZE))
            )
            if start + size > self.result_window:
                raise ValueError(
                    f"Result window is too large: from + size must be at most {self.result_window}."
                )
            found = self._select(criteria)
        except ValueError as error:
            return JSONResponse({"message": str(error)}, status_code=400)
        results = [self._sound(clip) for clip in found[start : start + size]]
        return JSONResponse({"total": len(found), "results": results})

    async def aggregations(self, request: Request) -> Response:
        try:
            found = self._select(_criteria(await request.body()))
        except ValueError as error:
            return JSONResponse({"message": str(error)}, status_code=400)
        what = request.path_params["what"]
        if what == "category":
            counts = Counter(name for clip in found for name in _categories(clip))
        elif what == "duration":
            counts = Counter(
                f"{low}-{high}"
                for low, high in DURATION_RANGES
                for clip in found
                if low <= clip.duration_s < high
            )
        elif what == "continent":
            counts = Counter(clip.continent for clip in found if clip.continent)
        else:
            raise HTTPException(404)
        return JSONResponse({"aggregations": {name: {"doc_count": count} for name, count in counts.items()}})

    def _select(self, criteria: dict[str, Any]) -> list[DemoClip]:
        unsupported = [name for name in UNSUPPORTED if criteria.get(name)]
        if unsupported:
            raise ValueError(f"The demo's BBC does not search by {', '.join(unsupported)}.")
        categories, continents = criteria.get("categories"), criteria.get("continents")
        ranges = _ranges(criteria.get("durations"))
        return [
            clip
            for clip in self._clips.values()
            if (not categories or not set(categories).isdisjoint(_categories(clip)))
            and (not continents or clip.continent in continents)
            and (not ranges or any(low <= clip.duration_s < high for low, high in ranges))
        ]

    def _sound(self, clip: DemoClip) -> dict[str, Any]:
        path = self._corpus.path(clip)
        about = soundfile.info(path) if path else None
        return {
            "id": clip.source_id,
            "description": clip.text,
            "duration": round(clip.duration_s * 1000),
            "categories": [{"className": name} for name in _categories(clip)],
            "tags": [],
            "source": "Scratch",
            "technicalMetadata": {
                "sample_rate": str(about.samplerate),
                "channels": str(about.channels),
                "bits_per_sample": "16",
            }
            if about
            else {},
            # The real archive has one licence and does not name it. These clips have another.
            "additionalMetadata": {"recordist": clip.author, "licence": clip.licence},
            "fileSizes": _file_sizes(clip, path, about) if path else {},
        }

    def file(self, request: Request) -> Response:
        folder = request.path_params["folder"]
        source_id, _, suffix = request.path_params["name"].rpartition(".")
        wanted = {"wav": Format.WAV, "mp3": Format.MP3}.get(folder)
        clip = self._clips.get(source_id)
        if clip is None or clip.audio is None or wanted is None or suffix != folder:
            return Response(MISSING_FILE, status_code=404, media_type="application/xml")
        return self._media.answer(clip, wanted)


def _categories(clip: DemoClip) -> list[str]:
    return [name for name in clip.category.split(";") if name]


def _file_sizes(clip: DemoClip, path: Path, about: Any) -> dict[str, int]:
    """The sizes (bytes) that are known without encoding: PCM has 16 bits a sample."""
    if path.suffix == ".wav":
        return {"wavFileSize": path.stat().st_size}
    return {
        "wavFileSize": WAV_HEADER_BYTES + 2 * round(clip.duration_s * about.samplerate) * about.channels,
        "mp3FileSize": path.stat().st_size,
    }


def _criteria(body: bytes) -> dict[str, Any]:
    try:
        criteria = json.loads(body)["criteria"]
    except (ValueError, KeyError, TypeError):
        raise ValueError('The body must be JSON: {"criteria": {...}}.') from None
    if not isinstance(criteria, dict):
        raise ValueError('"criteria" must be an object.')
    return criteria


def _ranges(durations: Any) -> list[tuple[float, float]]:
    try:
        return [(float(asked["min"]), float(asked["max"])) for asked in durations or ()]
    except (KeyError, TypeError, ValueError):
        raise ValueError('"durations" must be like [{"min": 0, "max": 5}].') from None


def _count(criteria: dict[str, Any], name: str, default: int) -> int:
    value = criteria.get(name, default)
    if not isinstance(value, int) or value < 0:
        raise ValueError(f"{name!r} must be a whole number from 0, not {value!r}.")
    return value
