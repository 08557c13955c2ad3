"""FreeSound's API v2: text search, previews, and originals for clients with an access token
(https://freesound.org/docs/api/resources_apiv2.html)."""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, urlencode

import soundfile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from wavcaps_assets.demo.clips import Corpus, DemoClip, Source
from wavcaps_assets.demo.media import Format, Media
from wavcaps_assets.demo.protocols.freesound_tokens import TOKEN_LIFE_S, TokenRefused, Tokens

DEFAULT_FIELDS = "id,name,tags,username,license"
DEFAULT_PAGE_SIZE = 15
MAXIMUM_PAGE_SIZE = 150
PREVIEWS = {
    "preview-hq-mp3": ("hq.mp3", Format.HQ_MP3),
    "preview-hq-ogg": ("hq.ogg", Format.HQ_OGG),
    "preview-lq-mp3": ("lq.mp3", Format.LQ_MP3),
    "preview-lq-ogg": ("lq.ogg", Format.LQ_OGG),
}
FILTER = re.compile(r'created:\[\s*"?([^\s"]+)"?\s+TO\s+"?([^\s"\]]+)"?\s*\]')
SORTS = {"created_asc": False, "created_desc": True}
# Words of a title, and the subcategory of "Sound effects" that they tell of.
SUBCATEGORIES = {
    "Vehicles": {"train", "engine", "car", "truck", "bus", "ship", "plane", "helicopter", "departure"},
    "Animals": {"animal", "bird", "cow", "dog", "horse", "rooster", "sheep"},
}
SERVED_PARAMETERS = ("query", "filter", "sort", "group_by_pack", "page_size", "fields")


class Freesound:
    """Answers as FreeSound does, for the corpus' FreeSound clips.

    Every API key is valid, and so is every authorization code, once: nobody has to log in. Requests that
    the demo does not support (a query, a filter on anything but `created`) get a 400 that says so.
    """

    def __init__(self, corpus: Corpus, media: Media, token_life_s: int = TOKEN_LIFE_S) -> None:
        self._corpus = corpus
        self._media = media
        self._tokens = Tokens(token_life_s)
        self._clips = {clip.source_id: clip for clip in corpus.of(Source.FREESOUND)}

    def routes(self) -> list[BaseRoute]:
        return [
            Route("/apiv2/search/", self.search),
            # The deprecated path of the same search.
            Route("/apiv2/search/text/", self.search),
            Route("/apiv2/oauth2/access_token/", self.access_token, methods=["POST"]),
            Route("/apiv2/sounds/{number}/download/", self.download),
            Route("/data/previews/{folder}/{name}", self.preview),
        ]

    def search(self, request: Request) -> Response:
        problem = _credentials_problem(request)
        if problem:
            return JSONResponse({"detail": problem}, status_code=401)
        asked = request.query_params
        try:
            page = _whole_number(asked.get("page", "1"), "page")
            size = min(
                _whole_number(asked.get("page_size", str(DEFAULT_PAGE_SIZE)), "page_size"), MAXIMUM_PAGE_SIZE
            )
            found = self._select(asked.get("query", ""), asked.get("filter", ""), asked.get("sort", ""))
        except ValueError as error:
            return JSONResponse({"detail": str(error)}, status_code=400)
        start = (page - 1) * size
        if start >= len(found) and page > 1:
            return JSONResponse({"detail": "Invalid page."}, status_code=404)
        fields = (asked.get("fields") or DEFAULT_FIELDS).split(",")
        return JSONResponse(
            {
                "count": len(found),
                "next": _page_url(request, page + 1) if start + size < len(found) else None,
                "results": [self._sound(request, clip, fields) for clip in found[start : start + size]],
                "previous": _page_url(request, page - 1) if page > 1 else None,
            }
        )

    def _select(self, query: str, wanted: str, sort: str) -> list[DemoClip]:
        if query.strip():
            raise ValueError("The demo's FreeSound supports only the empty query, which finds everything.")
        if sort and sort not in SORTS:
            raise ValueError(f"The demo's FreeSound sorts by {' or '.join(SORTS)}, not by {sort!r}.")
        clips = list(self._clips.values())
        if wanted:
            match = FILTER.fullmatch(wanted.strip())
            if match is None:
                raise ValueError(f"The demo's FreeSound filters by created:[A TO B] only, not by {wanted!r}.")
            first, last = (_instant(bound) for bound in match.groups())
            clips = [
                clip
                for clip in clips
                if (created := _instant(clip.created))
                and (first is None or first <= created)
                and (last is None or created <= last)
            ]
        if sort:
            clips.sort(key=lambda clip: (clip.created, clip.source_id), reverse=SORTS[sort])
        return clips

    def _sound(self, request: Request, clip: DemoClip, fields: list[str]) -> dict[str, Any]:
        root = _root(request)
        user = int(hashlib.sha256(clip.author.encode()).hexdigest()[:6], 16)
        stem = f"{root}/data/previews/{int(clip.source_id) // 1000}/{clip.source_id}_{user}"
        path = self._corpus.path(clip)
        about = soundfile.info(path) if path else None
        sound = {
            "id": int(clip.source_id),
            "url": f"{root}/people/{clip.author.replace(' ', '_')}/sounds/{clip.source_id}/",
            "name": clip.title,
            "tags": sorted(set(re.findall(r"[a-z]{3,}", clip.title.lower()))),
            "description": clip.text,
            "geotag": None,
            "created": clip.created,
            "license": clip.licence,
            "type": "wav",
            "channels": about.channels if about else 1,
            "filesize": path.stat().st_size if path else 0,
            "bitdepth": 16,
            "duration": clip.duration_s,
            "samplerate": float(about.samplerate) if about else 0.0,
            "username": clip.author,
            "pack": None,
            "md5": hashlib.md5(path.read_bytes() if path else b"", usedforsecurity=False).hexdigest(),
            "previews": {name: f"{stem}-{suffix}" for name, (suffix, _) in PREVIEWS.items()},
            **_fields_of_2026(clip),
        }
        return {name: sound[name] for name in fields if name in sound}

    def preview(self, request: Request) -> Response:
        name = request.path_params["name"]
        match = re.fullmatch(r"(\d+)_\d+-([a-z0-9.]+)", name)
        clip = self._clips.get(match[1]) if match else None
        wanted = next((kind for suffix, kind in PREVIEWS.values() if match and suffix == match[2]), None)
        if clip is None or wanted is None:
            raise HTTPException(404, "no such preview")
        return self._media.answer(clip, wanted)

    async def access_token(self, request: Request) -> Response:
        asked = dict(parse_qsl((await request.body()).decode("utf-8", errors="replace")))
        try:
            return JSONResponse(self._tokens.answer(asked))
        except TokenRefused as error:
            return JSONResponse({"error": str(error)}, status_code=error.status)

    def download(self, request: Request) -> Response:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme != "Bearer":
            return JSONResponse({"detail": "Authentication credentials were not provided."}, status_code=401)
        problem = self._tokens.problem(token)
        if problem:
            return JSONResponse({"detail": problem}, status_code=401)
        clip = self._clips.get(request.path_params["number"])
        if clip is None:
            return JSONResponse({"detail": "Not found."}, status_code=404)
        answer = self._media.answer(clip, Format.WAV)
        answer.headers["content-disposition"] = f'attachment; filename="{clip.source_id}.wav"'
        return answer


def _fields_of_2026(clip: DemoClip) -> dict[str, Any]:
    """The fields that FreeSound added in 2026. One sound in five has none of them, and one has nulls.

    Nobody asked the authors of the real recordings for their preference: they have the default of every
    account, and only the demo's own sounds have another one. No sound of the demo is AI-made.
    """
    if int(clip.source_id) % 5 == 0:
        return {}
    words = set(re.findall(r"[a-z]+", f"{clip.title} {clip.text}".lower()))
    subcategory = next((name for name, some in SUBCATEGORIES.items() if some & words), None)
    without_category = int(clip.source_id) % 5 == 1
    return {
        "gen_ai_preference": "no-gen-ai" if clip.made_for_demo else "no-additional-preferences",
        "category": None if without_category else "Sound effects",
        "subcategory": None if without_category else subcategory,
        "category_is_user_provided": None if without_category else False,
        "is_explicit": False,
        "is_remix": False,
    }


def _credentials_problem(request: Request) -> str | None:
    """Why the request's credentials are not valid, in FreeSound's words; None if they are."""
    header = request.headers.get("authorization", "")
    if not header and not request.query_params.get("token"):
        return "Authentication credentials were not provided."
    scheme, _, key = header.partition(" ")
    if header and (scheme not in {"Token", "Bearer"} or not key.strip()):
        return "Invalid token header. No credentials provided."
    return None


def _whole_number(text: str, name: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise ValueError(f"{name} must be a whole number from 1, not {text!r}.")
    return int(text)


def _instant(text: str) -> datetime | None:
    """A point in time, UTC; None for an open end."""
    if text == "*":
        return None
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a date; Solr requires 2005-04-01T00:00:00Z.") from None
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)


def _root(request: Request) -> str:
    """FreeSound's root as the client reaches it."""
    return f"{request.url.scheme}://{request.url.netloc}{request.scope['root_path']}"


def _page_url(request: Request, page: int) -> str:
    """A page's address as FreeSound gives it: with http and without the token, whatever the request had."""
    asked = {name: request.query_params[name] for name in SERVED_PARAMETERS if name in request.query_params}
    path = f"{request.url.netloc}{request.url.path}"
    return f"http://{path}?{urlencode({'query': '', **asked, 'page': page})}"
