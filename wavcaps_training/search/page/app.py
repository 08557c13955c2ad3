"""The search page as a web application: results by templates, audio from the store, ratings.

It is for the person at this machine. It answers only under the names of the loopback address, so no other
site can reach it by a name of its own (DNS rebinding). What changes something needs a token that only the
page has.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from importlib.resources import files
from typing import Any
from urllib.parse import parse_qs, urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined
from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from wavcaps_assets.show.style import base_style
from wavcaps_assets.show.text import shown
from wavcaps_assets.store.storage import Store
from wavcaps_assets.tables.asset_tables import TableStore
from wavcaps_training.evaluation.encoder import LONGEST_QUERY, QueryError
from wavcaps_training.search.generated import GeneratedSounds, MadeSound
from wavcaps_training.search.index import SearchIndex
from wavcaps_training.search.page.audio import audio_response
from wavcaps_training.search.page.guards import HOSTS, SecurityHeaders, TooLarge, limited_body, refuse_foreign
from wavcaps_training.search.page.results import Results, results_for, web_link
from wavcaps_training.search.page.uploads import LARGEST_UPLOAD, read_upload
from wavcaps_training.search.ratings import QueryKind, Rating, Ratings
from wavcaps_training.search.sounds import Sound

RESULTS = 10
GENERATED_SHOWN = 3
# Vectors of uploaded sounds that are remembered, so that a page of results can be loaded again.
REMEMBERED = 50
LARGEST_FORM = 16_384
OUTDATED = (
    "The set, the index or the checkpoint was stored again after this page's server had started, and the "
    "results are of before. Start `wavcaps search --page` again."
)
STATIC = {"page.css": "text/css", "page.js": "text/javascript"}


def build_app(index: SearchIndex, store: Store, ratings: Ratings, results: int = RESULTS) -> Starlette:
    """The application.

    Args:
        index: what is searched.
        store: where the audio is.
        ratings: where thumbs are written.
        results: how many are shown.

    Raises:
        StoreError: the generated sounds cannot be read.
    """
    page = SearchPage(index, store, ratings, results)
    return Starlette(
        routes=[
            Route("/", page.show),
            Route("/audio", page.audio),
            Route("/rate", page.rate, methods=["POST"]),
            Route("/sounds", page.upload, methods=["POST"]),
            Route("/{name}", page.static),
        ],
        middleware=[
            Middleware(SecurityHeaders),
            Middleware(TrustedHostMiddleware, HOSTS, www_redirect=False),
        ],
        exception_handlers={HTTPException: page.problem},
    )


class SearchPage:
    """The handlers of the application; see `build_app`."""

    def __init__(self, index: SearchIndex, store: Store, ratings: Ratings, results: int) -> None:
        self.index, self.store, self.ratings, self.results = index, store, ratings, results
        self.generated = GeneratedSounds(TableStore(store), index.encoder)
        self.token = secrets.token_urlsafe(32)
        self.sounds: OrderedDict[str, Sound] = OrderedDict()
        self.environment = Environment(
            loader=PackageLoader("wavcaps_training", "search/page"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self.environment.filters |= {"shown": shown, "web_link": web_link, "parameters": urlencode}

    def show(self, request: Request) -> Response:
        """The page, with the results of `q` (a text), `like` (a clip) or `sound` (one that was uploaded)."""
        asked = request.query_params
        try:
            found = results_for(self.index, asked, self.sounds, self.results)
        except QueryError as error:
            return self._page(asked.get("q", ""), problem=str(error), status=400)
        by_text = found is not None and found.kind is QueryKind.TEXT
        made = self.generated.by_text(found.query, GENERATED_SHOWN) if found and by_text else []
        return self._page(asked.get("q", ""), found, made)

    def audio(self, request: Request) -> Response:
        """The audio of the clip `clip` or of the sound `generated`, or the range of it that is requested."""
        made = self.generated.of_id(request.query_params.get("generated", ""))
        if made is not None:
            return audio_response(self.store, made, request.headers)
        try:
            clip = self.index.clip(self.index.row_of(request.query_params.get("clip", "")))
        except QueryError as error:
            raise HTTPException(404, str(error)) from error
        return audio_response(self.store, clip, request.headers)

    async def rate(self, request: Request) -> Response:
        """Writes a thumb down. A browser without JavaScript is sent back to the results."""
        refuse_foreign(request)
        try:
            body = await limited_body(request, LARGEST_FORM)
            form = {name: values[0] for name, values in parse_qs(body.decode()).items()}
        except (TooLarge, ValueError) as error:
            raise HTTPException(400, "this is no rating") from error
        self._check(form.get("token", ""))
        try:
            rating = Rating.model_validate(
                {
                    **{name: form.get(name) for name in ("query_kind", "query", "clip_id", "thumb")},
                    "rank": form.get("rank"),
                    "score": form.get("score"),
                    "checkpoint": self.index.name,
                    "weights_sha256": self.index.encoder.weights_sha256,
                    "searched_version": self.index.freshness.published,
                }
            )
            self.index.row_of(rating.clip_id)
        except (ValidationError, QueryError) as error:
            raise HTTPException(400, "this is no rating of a result") from error
        await run_in_threadpool(self.ratings.add, rating)
        if "application/json" in request.headers.get("accept", ""):
            return JSONResponse({"thumb": self.ratings.thumb(rating.subject)})
        name = {"text": "q", "clip": "like", "sound": "sound"}[rating.query_kind]
        return RedirectResponse(f"/?{urlencode({name: rating.query})}", 303)

    async def upload(self, request: Request) -> Response:
        """Reads an uploaded sound, of which only the vector is kept, and says where its results are."""
        refuse_foreign(request)
        self._check(request.headers.get("x-token", ""))
        try:
            sound = await read_upload(request, self.index.encoder)
        except (TooLarge, QueryError) as error:
            status = 413 if isinstance(error, TooLarge) else 400
            return JSONResponse({"problem": str(error)}, status)
        self.sounds[sound.sha256] = sound
        while len(self.sounds) > REMEMBERED:
            self.sounds.popitem(last=False)
        return JSONResponse({"location": f"/?{urlencode({'sound': sound.sha256})}"})

    def static(self, request: Request) -> Response:
        """The script and the style."""
        name = request.path_params["name"]
        if name not in STATIC:
            raise HTTPException(404, "there is no such page")
        content = files("wavcaps_training.search.page").joinpath(name).read_text(encoding="utf-8")
        style = base_style() if name == "page.css" else ""
        return Response(style + content, media_type=STATIC[name])

    def problem(self, request: Request, error: Exception) -> Response:
        """An error as a page."""
        status = error.status_code if isinstance(error, HTTPException) else 500
        detail = error.detail if isinstance(error, HTTPException) else "the server failed"
        return self._page("", problem=detail, status=status)

    def _check(self, token: str) -> None:
        if not secrets.compare_digest(token.encode(), self.token.encode()):
            raise HTTPException(403, "the page is of an earlier start of the server: load it again")

    def _page(
        self,
        text: str,
        found: Results | None = None,
        made: Sequence[MadeSound] = (),
        problem: str = "",
        status: int = 200,
    ) -> HTMLResponse:
        freshness = self.index.freshness
        content = self.environment.get_template("page.html").render(
            text=text[:LONGEST_QUERY],
            found=found,
            made=made,
            nearest=self._nearest(made),
            problem=shown(problem),
            token=self.token,
            index=self.index,
            version=freshness.published or "not known",
            notes=[*freshness.notes(self.index.asset), *([OUTDATED] if self.index.is_outdated() else [])],
            thumbs=self._thumbs(found) if found else {},
            longest_query=LONGEST_QUERY,
            largest_upload_mb=LARGEST_UPLOAD // 1_000_000,
        )
        return HTMLResponse(content, status)

    def _nearest(self, made: Sequence[MadeSound]) -> dict[str, dict[str, Any]]:
        """The clips next to generated sounds that are published now, by their ids."""
        found = {}
        for one in made:
            clip_id = one.sound["nearest_clip_id"]
            with suppress(QueryError):
                found[clip_id] = self.index.clip(self.index.row_of(clip_id))
        return found

    def _thumbs(self, found: Results) -> dict[str, str]:
        """The thumbs that the results have, by clip id."""
        sha256 = self.index.encoder.weights_sha256
        return {
            hit.clip["clip_id"]: str(
                self.ratings.thumb((sha256, found.kind, found.query, hit.clip["clip_id"]))
            )
            for hit in found.hits
        }
