"""The demo's sources on this machine: one server, the four protocols, each under its own path."""

from __future__ import annotations

import csv
import io
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import click
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp

from wavcaps_assets.demo.clips import Corpus
from wavcaps_assets.demo.media import Media
from wavcaps_assets.demo.protocols.audioset import Audioset
from wavcaps_assets.demo.protocols.bbc import RESULT_WINDOW, Bbc
from wavcaps_assets.demo.protocols.freesound import Freesound
from wavcaps_assets.demo.protocols.freesound_tokens import TOKEN_LIFE_S
from wavcaps_assets.demo.protocols.soundbible import Soundbible
from wavcaps_assets.demo.throttle import HEALTH, Throttle

HOST = "127.0.0.1"
SERVICE = "wavcaps-demo-sources"
STOP_TIMEOUT_S = 10
# Crawlers may go anywhere (RFC 9309).
ROBOTS = "User-agent: *\nDisallow:\n"


class DemoServerError(RuntimeError):
    """The demo's sources cannot be served."""


@dataclass(frozen=True)
class Limits:
    """The limits of the servers.

    Attributes:
        requests_per_minute: further requests are refused with a 429; 0: no limit.
        bbc_result_window: the last result that the BBC's paging reaches.
        token_life_s: how long FreeSound's access tokens are valid (s).
    """

    requests_per_minute: int = 0
    bbc_result_window: int = RESULT_WINDOW
    token_life_s: int = TOKEN_LIFE_S


NO_LIMITS = Limits()


def create_app(corpus: Corpus, limits: Limits = NO_LIMITS) -> ASGIApp:
    """The four sources over a corpus, under the paths of the sources' own settings for the demo.

    `/requests` gives the counts of the requests so far.
    """
    media = Media(corpus)
    bbc = Bbc(corpus, media, limits.bbc_result_window)
    freesound = Freesound(corpus, media, limits.token_life_s)
    audioset = Audioset(corpus, media)

    def healthz(request: Request) -> Response:
        return JSONResponse({"service": SERVICE, "clips": len(corpus.clips)})

    def recordings(request: Request) -> Response:
        return PlainTextResponse(recordings_csv(corpus), media_type="text/csv")

    def robots(request: Request) -> Response:
        return PlainTextResponse(ROBOTS)

    app = Starlette(
        routes=[
            Route(HEALTH, healthz),
            Route("/robots.txt", robots),
            Route("/recordings.csv", recordings),
            Mount("/freesound", routes=freesound.routes()),
            Mount("/bbc", routes=bbc.api_routes()),
            Mount("/bbc-media", routes=bbc.media_routes()),
            Mount("/soundbible", routes=Soundbible(corpus, media).routes()),
            Mount("/audioset/labels", routes=audioset.label_routes()),
            Mount("/audioset/clips", routes=audioset.clip_routes()),
        ]
    )
    return Throttle(app, limits.requests_per_minute)


def recordings_csv(corpus: Corpus) -> str:
    """The recordings in each clip: a row `clip_id,recording` for each pair."""
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["clip_id", "recording"])
    writer.writerows((clip.clip_id, name) for clip in corpus.clips for name in clip.recordings)
    return table.getvalue()


def _listen(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise DemoServerError(
            f"the demo's sources cannot use port {port} ({error.strerror}): "
            "set WAVCAPS_EMBEDDED_SOURCES_PORT to a free one"
        ) from error
    return listener


def _server(corpus: Corpus, limits: Limits) -> uvicorn.Server:
    config = uvicorn.Config(create_app(corpus, limits), log_level="warning", access_log=False)
    return uvicorn.Server(config)


@contextmanager
def running_server(corpus: Corpus, port: int = 0, limits: Limits = NO_LIMITS) -> Iterator[str]:
    """Serves a corpus from a thread of this process. Gives the server's root URL.

    Args:
        corpus: is served.
        port: 0 takes a free one.
        limits: of the servers.

    Raises:
        DemoServerError: the port is in use.
    """
    listener = _listen(port)
    server = _server(corpus, limits)
    # Requests wait in the listening socket until the server has started.
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        yield f"http://{HOST}:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(STOP_TIMEOUT_S)


@contextmanager
def serve(corpus: Corpus, port: int, requests_per_minute: int = 0) -> Iterator[str]:
    """Serves a corpus from another process, which ends with this one. Gives the server's root URL.

    Args:
        requests_per_minute: further requests are refused with a 429; 0: no limit.

    Raises:
        DemoServerError: the port is in use, or the server did not start.
    """
    command = [sys.executable, "-m", "wavcaps_assets.demo.server"]
    command += ["--corpus", str(corpus.root), "--port", str(port), "--until-stdin-closes"]
    command += ["--requests-per-minute", str(requests_per_minute)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            first_line = process.stdout.readline()
            if not first_line:
                raise DemoServerError("the demo's sources did not start; see their message above")
            started = json.loads(first_line)
            if "error" in started:
                raise DemoServerError(started["error"])
            yield started["url"]
        finally:
            process.terminate()
            try:
                process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()


def _stop_when_stdin_closes(server: uvicorn.Server) -> None:
    # Not through sys.stdin, whose lock a thread must not hold when the process ends.
    os.read(sys.stdin.fileno(), 1)
    server.should_exit = True


@click.command()
@click.option("--corpus", "folder", required=True, type=click.Path(path_type=Path), help="A prepared corpus.")
@click.option("--port", default=0, show_default=True, help="Port to listen on; 0 takes a free one.")
@click.option(
    "--requests-per-minute",
    default=0,
    show_default=True,
    type=click.IntRange(min=0),
    help="Refuse further requests with a 429, as FreeSound does; 0 refuses none.",
)
@click.option("--until-stdin-closes", is_flag=True, help="Stop when the process that started this one ends.")
def main(folder: Path, port: int, requests_per_minute: int, until_stdin_closes: bool) -> None:
    """Serves the demo's sources; the first line of output is JSON with the URL, or with an error."""
    try:
        listener = _listen(port)
        server = _server(Corpus.load(folder), Limits(requests_per_minute=requests_per_minute))
    except (DemoServerError, FileNotFoundError) as error:
        click.echo(json.dumps({"error": str(error)}))
        sys.exit(2)
    click.echo(json.dumps({"url": f"http://{HOST}:{listener.getsockname()[1]}"}))
    if until_stdin_closes:
        threading.Thread(target=_stop_when_stdin_closes, args=(server,), daemon=True).start()
    server.run(sockets=[listener])


if __name__ == "__main__":
    main()
