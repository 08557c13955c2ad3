"""Servers that speak the protocols of FreeSound, BBC Sound Effects and SoundBible, each on its own port."""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from html import escape

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from tests.simulation.world import BBC, FREESOUND, SITES, SOUNDBIBLE, Block, Fault, Sound, World
from tests.support.servers import running

CAPTCHA = "<!DOCTYPE html><html><title>Just a moment...</title><body><h1>Are you human?</h1></body></html>"
LISTED_A_PAGE = 4


@dataclass
class Sites:
    """The running sites, and what they noted: their truth about what they sent.

    Attributes:
        day: today; the test moves it on.
        listed: the states of each sound that a listing or page showed, in order, without repetitions.
        sent: complete files, by the sound's site, number and take.
        requests: by site and day.
        blocked: requests that were refused because of a block, by site and day.
        faulty: audio requests that got a fault, by its kind.
    """

    world: World
    day: int = 0
    urls: dict[str, str] = field(default_factory=dict)
    listed: dict[tuple[str, int], list[Sound]] = field(default_factory=dict)
    sent: Counter[tuple[str, int, int]] = field(default_factory=Counter)
    requests: Counter[tuple[str, int]] = field(default_factory=Counter)
    blocked: Counter[tuple[str, int]] = field(default_factory=Counter)
    faulty: Counter[Fault] = field(default_factory=Counter)
    _audio_requests: Counter[tuple[str, int, int]] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def sounds(self, site: str) -> dict[int, Sound]:
        return self.world.sounds[self.day][site]

    def show(self, sound: Sound) -> Sound:
        """Notes that a listing shows a sound."""
        with self._lock:
            states = self.listed.setdefault((sound.site, sound.number), [])
            if not states or states[-1] != sound:
                states.append(sound)
        return sound

    def audio(self, request: Request, site: str, number: int) -> Response:
        """A sound's file, or a part of it, or today's fault."""
        sound = self.sounds(site).get(number)
        if sound is None:
            return PlainTextResponse("no such sound", 404)
        data, tag = sound.audio, f'"{site}-{number}-{sound.take}"'
        with self._lock:
            self._audio_requests[site, self.day, number] += 1
            time = self._audio_requests[site, self.day, number]
            fault = self.world.faults.get((site, self.day, number))
            asked = re.fullmatch(r"bytes=(\d+)-", request.headers.get("range", ""))
            if time == 1 and fault:
                self.faulty[fault] += 1
                if fault is Fault.ERROR:
                    return PlainTextResponse("oh", 500)
                return _cut(data, tag)
            if time == 2 and fault is Fault.OTHER_VERSION and asked:
                # A proxy that ignores If-Range, and has another version of the file.
                start, other = int(asked[1]), bytes(len(data) + 100)
                headers = {
                    "ETag": '"another"',
                    "Content-Range": f"bytes {start}-{len(other) - 1}/{len(other)}",
                }
                return Response(other[start:], 206, headers)
            self.sent[site, number, sound.take] += 1
        if asked and request.headers.get("if-range") == tag:
            start = int(asked[1])
            headers = {"ETag": tag, "Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"}
            return Response(data[start:], 206, headers)
        return Response(data, 200, {"ETag": tag})


def _cut(data: bytes, tag: str) -> Response:
    """Promises all of a file, and closes the connection in its middle."""
    return StreamingResponse(
        iter([data[: len(data) // 2]]), headers={"ETag": tag, "Content-Length": str(len(data))}
    )


class Blocking:
    """Refuses everything on the days on which a site is blocked."""

    def __init__(self, app: ASGIApp, sites: Sites, site: str) -> None:
        self._app, self._sites, self._site = app, sites, site

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = self._app
        if scope["type"] == "http":
            today = self._site, self._sites.day
            self._sites.requests[today] += 1
            block = self._sites.world.blocks.get(today)
            if block:
                self._sites.blocked[today] += 1
                app = {
                    Block.FORBIDDEN: PlainTextResponse("Forbidden", 403),
                    Block.CAPTCHA: HTMLResponse(CAPTCHA),
                    Block.BUSY: PlainTextResponse("Service Unavailable", 503),
                }[block]
        await app(scope, receive, send)


@contextmanager
def running_sites(world: World) -> Iterator[Sites]:
    """Runs the three sites."""
    sites = Sites(world)
    apps = {FREESOUND: _freesound(sites), BBC: _bbc(sites), SOUNDBIBLE: _soundbible(sites)}
    with ExitStack() as stack:
        for site in SITES:
            sites.urls[site] = stack.enter_context(running(Blocking(apps[site], sites, site)))
        yield sites


def _freesound(sites: Sites) -> Starlette:
    def search(request: Request) -> Response:
        if request.headers.get("authorization") != "Token simulated":
            return JSONResponse({"detail": "Invalid token"}, 401)
        first, last = request.query_params["filter"].removeprefix("created:[").rstrip("]").split(" TO ")
        found = sorted(
            (sound for sound in sites.sounds(FREESOUND).values() if first <= f"{sound.created}Z" <= last),
            key=lambda sound: (sound.created, sound.number),
        )
        size, page = int(request.query_params["page_size"]), int(request.query_params["page"])
        if page > max(1, -(-len(found) // size)):
            return JSONResponse({"detail": "Invalid page."}, 404)
        blanks = sites.world.blanks.get(sites.day, set())
        shown = found[(page - 1) * size : page * size]
        results = [None if sound.number in blanks else api(sites.show(sound)) for sound in shown]
        fields = request.query_params["fields"].split(",")
        return JSONResponse(
            {
                "count": len(found),
                "results": [row and {name: row[name] for name in fields if name in row} for row in results],
            }
        )

    def api(sound: Sound) -> dict[str, object]:
        root = sites.urls[FREESOUND]
        return {
            "id": sound.number,
            "url": f"{root}/people/{sound.author}/sounds/{sound.number}/",
            "name": sound.title,
            "tags": sound.text.split()[:2],
            "description": sound.text,
            "created": sound.created,
            "license": sound.licence,
            "type": "wav",
            "channels": 1,
            "filesize": 1_000 + len(sound.audio),
            "duration": 0.4,
            "samplerate": 32_000.0,
            "username": sound.author,
            "md5": f"{sound.number:028d}{sound.take:04d}",
            "previews": {"preview-hq-ogg": f"{root}/data/previews/0/{sound.number}_1-hq.ogg"},
            "gen_ai_preference": sound.preference,
            "category": "Sound effects",
            "subcategory": None,
            "category_is_user_provided": False,
            "is_explicit": False,
            "is_remix": False,
        }

    def preview(request: Request) -> Response:
        return sites.audio(request, FREESOUND, int(request.path_params["name"].partition("_")[0]))

    return Starlette(
        routes=[Route("/apiv2/search/", search), Route("/data/previews/{folder}/{name}", preview)]
    )


def _bbc(sites: Sites) -> Starlette:
    async def search(request: Request) -> Response:
        criteria = (await request.json())["criteria"]
        found = sorted(sites.sounds(BBC).values(), key=lambda sound: sound.number)
        shown = found[criteria["from"] : criteria["from"] + criteria["size"]]
        return JSONResponse({"total": len(found), "results": [api(sites.show(sound)) for sound in shown]})

    def api(sound: Sound) -> dict[str, object]:
        return {
            "id": str(sound.number),
            "description": sound.text,
            "duration": 400,
            "categories": [{"className": "Nature"}],
            "tags": [],
            "technicalMetadata": {"sample_rate": "32000", "channels": "1"},
            "additionalMetadata": {},
            "fileSizes": {"wavFileSize": len(sound.audio)},
        }

    def file(request: Request) -> Response:
        return sites.audio(request, BBC, int(request.path_params["name"].partition(".")[0]))

    return Starlette(routes=[Route("/api/sfx/search", search, methods=["POST"]), Route("/wav/{name}", file)])


def _soundbible(sites: Sites) -> Starlette:
    def name_of(sound: Sound) -> str:
        return f"{sound.number}-{sound.title.replace(' ', '-')}.html"

    def robots(request: Request) -> Response:
        return PlainTextResponse("User-agent: *\nDisallow: /admin\n")

    def listing(request: Request) -> Response:
        newest = sorted(sites.sounds(SOUNDBIBLE).values(), key=lambda sound: -sound.number)
        number = request.path_params["number"]
        shown = newest[(number - 1) * LISTED_A_PAGE : number * LISTED_A_PAGE]
        if not shown:
            return PlainTextResponse("no such page", 404)
        links = (f'<h3><a href="{name_of(sound)}">{escape(sound.title)}</a></h3>' for sound in shown)
        return HTMLResponse(
            f"<html><body>{''.join(links)}<a href='free-sound-effects-2.html'>2</a></body></html>"
        )

    def page(request: Request) -> Response:
        sound = sites.sounds(SOUNDBIBLE).get(int(request.path_params["name"].partition("-")[0]))
        if sound is None:
            return PlainTextResponse("no such page", 404)
        sites.show(sound)
        return HTMLResponse(
            f'<html><body><section id="course-details"><div class="col-lg-8"><h1>{escape(sound.title)}</h1>'
            f"<p>{escape(sound.text)}</p><p>License: <a href='/l'>{sound.licence}</a> | "
            f"Recorded by {escape(sound.author)} | File Length: 0:01</p>"
            f'<a href="grab.php?id={sound.number}&amp;type=wav">WAV</a></div></section></body></html>'
        )

    def grab(request: Request) -> Response:
        return sites.audio(request, SOUNDBIBLE, int(request.query_params["id"]))

    return Starlette(
        routes=[
            Route("/robots.txt", robots),
            Route("/free-sound-effects-{number:int}.html", listing),
            Route("/grab.php", grab),
            Route("/{name}", page),
        ]
    )
