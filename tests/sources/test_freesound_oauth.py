"""The leave to download FreeSound's originals, against the demo's FreeSound."""

from __future__ import annotations

import json
import logging
import multiprocessing
import stat
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from tests.support.servers import running
from wavcaps_assets.clock import utc_now
from wavcaps_assets.demo.clips import Corpus
from wavcaps_assets.demo.server import Limits, running_server
from wavcaps_assets.network.client import Network
from wavcaps_assets.network.errors import NotAllowed, Unavailable
from wavcaps_assets.network.links import host_of
from wavcaps_assets.network.settings import UNLIMITED, NetworkSettings
from wavcaps_assets.sources.freesound_oauth import (
    FILE,
    Tokens,
    access_token,
    authorize_url,
    exchange,
    main,
)
from wavcaps_assets.sources.freesound_settings import FreesoundSettings

SECRET = "s3cret-api-key"
COMMAND = "wavcaps freesound-login"


def network_to(url: str, state: Path) -> Network:
    hosts = frozenset({host_of(url)})
    return Network(
        state, NetworkSettings(attempts=1, failures_in_a_row=99, private_hosts=hosts, other_quota=UNLIMITED)
    )


def freesound(url: str, **changes: Any) -> FreesoundSettings:
    return FreesoundSettings(**{"base_url": url, "client_id": "me", "token": SECRET, **changes})


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture(scope="module")
def nothing(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return Corpus(root=tmp_path_factory.mktemp("corpus"), clips=())


@pytest.fixture
def demo(nothing: Corpus) -> Iterator[str]:
    with running_server(nothing) as url:
        yield f"{url}/freesound"


@pytest.fixture
def short_lived(nothing: Corpus) -> Iterator[str]:
    """A FreeSound whose tokens are good for less than the time in which they are renewed."""
    with running_server(nothing, limits=Limits(token_life_s=300)) as url:
        yield f"{url}/freesound"


def kept(state: Path) -> dict[str, str]:
    return dict(json.loads((state / FILE).read_text(encoding="utf-8")))


def test_a_code_becomes_tokens_that_are_used_until_they_expire(demo: str, state: Path) -> None:
    with network_to(demo, state) as network:
        exchange(freesound(demo), state, network, "code")
        first = access_token(freesound(demo), state, network)
        assert access_token(freesound(demo), state, network) == first == kept(state)["access_token"]
    # A token that is good needs no network, nor the key.
    with network_to("http://127.0.0.1:9", state) as nowhere:
        assert access_token(FreesoundSettings(base_url="http://127.0.0.1:9"), state, nowhere) == first


def test_a_token_about_to_expire_is_renewed_and_the_new_pair_kept(short_lived: str, state: Path) -> None:
    with network_to(short_lived, state) as network:
        exchange(freesound(short_lived), state, network, "code")
        seen = [kept(state)]
        for _ in range(3):
            token = access_token(freesound(short_lived), state, network)
            seen.append(kept(state))
            assert token == seen[-1]["access_token"]
    # The demo takes each refresh token once: had an old one been kept, it would have refused.
    assert len({pair["refresh_token"] for pair in seen}) == 4
    assert len({pair["access_token"] for pair in seen}) == 4


def test_the_tokens_are_for_their_owner_only(demo: str, state: Path) -> None:
    with network_to(demo, state) as network:
        exchange(freesound(demo), state, network, "code")
    assert stat.S_IMODE((state / FILE).stat().st_mode) == 0o600
    assert [path.name for path in state.iterdir() if path.name.endswith(".part")] == []


class Counting:
    """A FreeSound that counts how often it gave tokens, and takes a refresh token once."""

    def __init__(self, life_s: int) -> None:
        self.given = 0
        self._life_s = life_s
        self._good = "refresh-0"
        self._lock = threading.Lock()

    async def answer(self, request: Request) -> Response:
        asked = (await request.body()).decode()
        with self._lock:
            if f"refresh_token={self._good}" not in asked.split("&"):
                return JSONResponse({"error": "invalid_grant"}, status_code=400)
            self.given += 1
            self._good = f"refresh-{self.given}"
            return JSONResponse(
                {
                    "access_token": f"access-{self.given}",
                    "refresh_token": self._good,
                    "expires_in": self._life_s,
                    "scope": "read write",
                }
            )

    @property
    def app(self) -> Starlette:
        return Starlette(routes=[Route("/apiv2/oauth2/access_token/", self.answer, methods=["POST"])])


def ask_in_another_process(url: str, state: Path, answers: Any) -> None:
    with network_to(url, state) as network:
        answers.put(access_token(freesound(url), state, network))


@pytest.mark.slow
def test_threads_and_processes_that_need_a_token_at_once_renew_it_once(state: Path) -> None:
    site = Counting(life_s=86_400)
    with running(site.app) as url:
        Tokens(SecretStr("old"), SecretStr("refresh-0"), utc_now()).save(state / FILE)
        context = multiprocessing.get_context("spawn")
        answers = context.Queue()
        workers = [
            context.Process(target=ask_in_another_process, args=(url, state, answers)) for _ in range(2)
        ]
        for worker in workers:
            worker.start()
        with network_to(url, state) as network, ThreadPoolExecutor(8) as pool:
            tokens = list(pool.map(lambda _: access_token(freesound(url), state, network), range(16)))
        tokens += [answers.get(timeout=60) for _ in workers]
        for worker in workers:
            worker.join(60)
    assert tokens == ["access-1"] * 18
    assert site.given == 1


def test_no_leave_says_which_command_gives_it(demo: str, state: Path) -> None:
    with network_to(demo, state) as network, pytest.raises(NotAllowed, match=COMMAND):
        access_token(freesound(demo), state, network)


@pytest.mark.slow
@pytest.mark.parametrize("content", ["", "{", "[]", '{"access_token": "hush"}', '{"access_token": 1}'])
def test_a_damaged_file_says_so_without_quoting_it(demo: str, state: Path, content: str) -> None:
    state.mkdir()
    (state / FILE).write_text(content, encoding="utf-8")
    with network_to(demo, state) as network, pytest.raises(NotAllowed, match=f"run {COMMAND} again") as error:
        access_token(freesound(demo), state, network)
    assert "hush" not in str(error.value)
    assert error.value.__cause__ is None


def expired(state: Path) -> None:
    Tokens(SecretStr("old-access"), SecretStr("old-refresh"), utc_now() - timedelta(1)).save(state / FILE)


def test_a_refused_renewal_says_which_command_to_run(demo: str, state: Path) -> None:
    expired(state)
    with network_to(demo, state) as network, pytest.raises(NotAllowed, match=f"400.*run {COMMAND}"):
        access_token(freesound(demo), state, network)
    # What there was is not lost by asking.
    assert kept(state)["refresh_token"] == "old-refresh"


@pytest.mark.parametrize("settings", [{"client_id": ""}, {"token": ""}])
def test_a_missing_setting_is_named(demo: str, state: Path, settings: dict[str, str]) -> None:
    expired(state)
    with (
        network_to(demo, state) as network,
        pytest.raises(NotAllowed, match="WAVCAPS_FREESOUND__CLIENT_ID and WAVCAPS_FREESOUND__TOKEN"),
    ):
        access_token(freesound(demo, **settings), state, network)


PAIR = {"access_token": "new-access", "refresh_token": "new-refresh", "expires_in": 86_400}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (PlainTextResponse("", status_code=503), Unavailable),
        (PlainTextResponse("<html>new-access</html>"), NotAllowed),
        (JSONResponse({"error": "invalid_client"}, status_code=401), NotAllowed),
        (JSONResponse({**PAIR, "expires_in": "soon"}), NotAllowed),
        (JSONResponse({**PAIR, "refresh_token": None}), NotAllowed),
        (JSONResponse({**PAIR, "access_token": ""}), NotAllowed),
        (JSONResponse({**PAIR, "expires_in": 10**30}), NotAllowed),
        (JSONResponse([PAIR]), NotAllowed),
    ],
)
def test_no_secret_is_told_whatever_goes_wrong(
    state: Path, caplog: pytest.LogCaptureFixture, answer: Response, error: type[Exception]
) -> None:
    caplog.set_level(logging.DEBUG)
    expired(state)

    async def refuse(request: Request) -> Response:
        return answer

    app = Starlette(routes=[Route("/apiv2/oauth2/access_token/", refuse, methods=["POST"])])
    with running(app) as url, network_to(url, state) as network, pytest.raises(error) as raised:
        access_token(freesound(url), state, network)
    texts = [repr(raised.value), repr(raised.value.__cause__), caplog.text]
    texts += [repr(Tokens.load(state / FILE)), repr(freesound(url))]
    for secret in (SECRET, "old-access", "old-refresh", "new-access", "new-refresh"):
        assert secret not in " ".join(texts)
    assert kept(state)["refresh_token"] == "old-refresh"


def test_the_command_shows_the_page_and_keeps_what_the_code_gives(
    demo: str, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAVCAPS_STATE", str(state))
    monkeypatch.setenv("WAVCAPS_FREESOUND__BASE_URL", demo)
    monkeypatch.setenv("WAVCAPS_EMBEDDED_SOURCES_PORT", demo.removesuffix("/freesound").rpartition(":")[2])
    without = CliRunner().invoke(main)
    assert without.exit_code == 1
    assert "WAVCAPS_FREESOUND__CLIENT_ID" in without.output
    monkeypatch.setenv("WAVCAPS_FREESOUND__CLIENT_ID", "me & you")
    monkeypatch.setenv("WAVCAPS_FREESOUND__TOKEN", SECRET)
    done = CliRunner().invoke(main, input="  the-code \n")
    assert done.exit_code == 0, done.output
    assert f"{demo}/apiv2/oauth2/authorize/?client_id=me+%26+you&response_type=code" in done.output
    assert authorize_url(freesound(demo, client_id="me & you")) in done.output
    assert kept(state)["access_token"] not in done.output
    assert SECRET not in done.output
    again = CliRunner().invoke(main, input="the-code\n")
    assert again.exit_code == 1
    assert "FreeSound gives no token" in again.output
