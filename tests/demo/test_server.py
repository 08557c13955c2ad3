from __future__ import annotations

import io
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
import soundfile
from protego import Protego
from starlette.applications import Starlette

from wavcaps_assets.demo.clips import Corpus
from wavcaps_assets.demo.server import DemoServerError, Limits, running_server, serve
from wavcaps_assets.demo.throttle import Throttle


def test_health_says_what_it_is(client: httpx.Client, corpus: Corpus) -> None:
    assert client.get("/healthz").json() == {"service": "wavcaps-demo-sources", "clips": len(corpus.clips)}


@pytest.mark.slow
def test_all_of_the_real_corpus_is_served_and_can_be_decoded(real_corpus: Corpus) -> None:
    with running_server(real_corpus) as url, httpx.Client(base_url=url, timeout=60) as client:
        listed = client.get(
            "/freesound/apiv2/search/",
            params={"page_size": 150, "fields": "id,duration,previews"},
            headers={"Authorization": "Token demo"},
        ).json()
        lost = []
        for sound in listed["results"]:
            answer = client.get(sound["previews"]["preview-hq-ogg"])
            if answer.status_code == 404:
                lost.append(sound["id"])
            else:
                about = soundfile.info(io.BytesIO(answer.content))
                assert about.duration == pytest.approx(sound["duration"], abs=0.01)
        assert lost == [9900001]
        criteria = {"criteria": {"from": 0, "size": 100}}
        for sound in client.post("/bbc/api/sfx/search", json=criteria).json()["results"]:
            audio = client.get(f"/bbc-media/wav/{sound['id']}.wav").content
            assert len(audio) == sound["fileSizes"]["wavFileSize"]
            about = soundfile.info(io.BytesIO(audio))
            assert about.duration * 1000 == pytest.approx(sound["duration"], abs=1)


def test_crawlers_may_go_anywhere(client: httpx.Client) -> None:
    answer = client.get("/robots.txt")
    assert answer.status_code == 200
    rules = Protego.parse(answer.text)
    for path in ("/", "/soundbible/free-sound-effects-1.html", "/soundbible/1-A.html"):
        assert rules.can_fetch(f"https://soundbible.com{path}", "wavcaps-on-dagster/0.1")


def test_more_requests_than_the_limit_are_refused_as_freesound_refuses_them(corpus: Corpus) -> None:
    search = "/freesound/apiv2/search/"
    with (
        running_server(corpus, limits=Limits(requests_per_minute=3)) as url,
        httpx.Client(base_url=url) as client,
    ):
        answers = [client.get(path) for path in ("/robots.txt", search, search, search, "/recordings.csv")]
        assert [answer.status_code for answer in answers] == [200, 401, 401, 429, 429]
        assert answers[3].json() == {
            "detail": "Request was throttled because of exceeding a request limit rate (3/minute)"
        }
        assert 1 <= int(answers[3].headers["retry-after"]) <= 60
        # Those who watch are neither counted nor refused.
        assert client.get("/healthz").status_code == 200
        assert client.get("/requests").json() == {
            "requests": 5,
            "most_in_a_minute": 5,
            "by_path": {"/robots.txt": 1, search: 3, "/recordings.csv": 1},
            "refused": 2,
            "refused_by_path": {search: 1, "/recordings.csv": 1},
        }


def test_without_a_limit_all_are_counted_and_none_refused(corpus: Corpus) -> None:
    with running_server(corpus) as url, httpx.Client(base_url=url) as client:
        assert {client.get("/robots.txt").status_code for _ in range(100)} == {200}
        tally = client.get("/requests").json()
    assert (tally["requests"], tally["refused"]) == (100, 0)


def test_the_minute_of_the_limit_slides() -> None:
    now = 1000.0
    throttle = Throttle(Starlette(), per_minute=3, clock=lambda: now)
    waits = []
    for moment in (0, 10, 20, 30, 59.5, 60, 61, 70, 200):
        now = 1000.0 + moment
        waits.append(throttle.take("/"))
    # By hand: full at 20; the first leaves the minute at 60, the second at 70.
    assert waits == [None, None, None, 30, 1, None, 9, None, None]
    tally = throttle.tally()
    # Refused requests are requests too: from 10 to 61 there are six.
    assert (tally["requests"], tally["refused"], tally["most_in_a_minute"]) == (9, 3, 6)


@pytest.mark.slow
def test_a_process_of_its_own_serves_until_it_is_told_to_stop(corpus: Corpus) -> None:
    with serve(corpus, port=0, requests_per_minute=1) as url:
        assert httpx.get(f"{url}/healthz").json()["clips"] == len(corpus.clips)
        assert [httpx.get(f"{url}/robots.txt").status_code for _ in range(2)] == [200, 429]
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{url}/healthz")


@pytest.mark.slow
def test_the_process_ends_with_the_one_that_started_it(corpus: Corpus) -> None:
    command = [sys.executable, "-m", "wavcaps_assets.demo.server", "--corpus", str(corpus.root)]
    with subprocess.Popen(
        [*command, "--until-stdin-closes"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin and process.stdout
        assert "url" in process.stdout.readline()
        process.stdin.close()
        assert process.wait(timeout=30) == 0


@pytest.mark.parametrize("start", [serve, running_server])
def test_a_port_in_use_is_named_with_its_setting(corpus: Corpus, start: type) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with (
            pytest.raises(DemoServerError, match=rf"{port}.*WAVCAPS_EMBEDDED_SOURCES_PORT"),
            start(corpus, port),
        ):
            pass


@pytest.mark.slow
def test_no_corpus_is_said_plainly(tmp_path: Path) -> None:
    with pytest.raises(DemoServerError, match=r"corpus\.json"), serve(Corpus(root=tmp_path, clips=()), 0):
        pass
