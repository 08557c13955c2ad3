from __future__ import annotations

import io
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
import soundfile

from wavcaps_assets.demo.clips import Corpus
from wavcaps_assets.demo.server import DemoServerError, running_server, serve


def test_health_says_what_it_is(client: httpx.Client, corpus: Corpus) -> None:
    assert client.get("/healthz").json() == {"service": "wavcaps-demo-sources", "clips": len(corpus.clips)}


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


def test_a_process_of_its_own_serves_until_it_is_told_to_stop(corpus: Corpus) -> None:
    with serve(corpus, port=0) as url:
        assert httpx.get(f"{url}/healthz").json()["clips"] == len(corpus.clips)
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{url}/healthz")


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


def test_no_corpus_is_said_plainly(tmp_path: Path) -> None:
    with pytest.raises(DemoServerError, match=r"corpus\.json"), serve(Corpus(root=tmp_path, clips=()), 0):
        pass
