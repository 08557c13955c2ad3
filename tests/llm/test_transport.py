"""How a request gets to its endpoint: through proxies, over TLS, and no further than it should."""

from __future__ import annotations

import asyncio
import gzip
import logging
import socket
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trustme
import uvicorn
from pydantic import SecretStr, ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.captioning.test_engine import SINGLE, captions, clips, reasons, run
from tests.llm.scripted_model import MODEL, Access, completion, scripted
from tests.support.rude_server import answer, endless, rude_server
from wavcaps_assets.llm.chat import AnswerError, BusyError, ChatModel, EndpointError, TemporaryError
from wavcaps_assets.llm.replies import MAX_BODY_BYTES
from wavcaps_assets.llm.settings import ModelSettings

KEY = "sk-a-key-that-nobody-may-see"
PATH = "/v1/chat/completions"
GOOD = bytes(completion("A dog is barking.").body)


def model(root: str) -> Access:
    settings = ModelSettings(base_url=f"{root}/v1", model=MODEL, api_key=SecretStr(KEY), timeout_s=20)
    return Access(settings, max_retries=0)


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def test_a_proxy_of_the_environment_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with rude_server() as proxy:
        proxy.answers[PATH] = answer(GOOD)
        monkeypatch.setenv("HTTP_PROXY", proxy.url.replace("://", "://user:the-password@"))
        stage = run(clips("dog"), SINGLE, model("http://model.invalid"), tmp_path)
        (asked,) = proxy.asked
    assert captions(stage) == {"freesound-1": "A dog is barking."}
    assert asked.target == f"http://model.invalid{PATH}"
    assert asked.headers["proxy-authorization"] == "Basic dXNlcjp0aGUtcGFzc3dvcmQ="
    assert asked.headers["authorization"] == f"Bearer {KEY}"


def test_no_proxy_is_used_where_the_environment_wants_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with rude_server() as proxy, scripted(lambda body: "A dog is barking.") as endpoint:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        stage = run(clips("dog"), SINGLE, endpoint.model(), tmp_path)
        assert proxy.asked == []
    assert stage.kept.num_rows == 1


def test_a_proxy_that_is_not_there_is_no_secret_and_its_password_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    monkeypatch.setenv("HTTP_PROXY", f"http://user:the-password@127.0.0.1:{port}")
    with pytest.raises(EndpointError, match="nobody answers") as raised:
        run(clips("dog"), SINGLE, model("http://model.invalid"), tmp_path)
    assert "the-password" not in traceback_of(raised.value)


@contextmanager
def with_certificate(folder: Path) -> Iterator[str]:
    """An endpoint whose certificate is of an authority of its own, `authority.pem`. Gives its root URL."""
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    certificate.private_key_pem.write_to_path(str(folder / "key.pem"))
    certificate.cert_chain_pems[0].write_to_path(str(folder / "certificate.pem"))
    authority.cert_pem.write_to_path(str(folder / "authority.pem"))

    async def complete(request: Request) -> Response:
        return completion("A dog is barking.")

    app = Starlette(routes=[Route(PATH, complete, methods=["POST"])])
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        app,
        log_level="critical",
        access_log=False,
        ssl_keyfile=folder / "key.pem",
        ssl_certfile=folder / "certificate.pem",
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        yield f"https://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


def test_an_authority_of_the_environment_is_trusted_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    with with_certificate(tmp_path) as url:
        with pytest.raises(EndpointError, match=r"is not trusted.*SSL_CERT_FILE"):
            run(clips("dog"), SINGLE, model(url), tmp_path / "store")
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
        stage = run(clips("dog"), SINGLE, model(url), tmp_path / "store")
    assert captions(stage) == {"freesound-1": "A dog is barking."}


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["identity", "gzip"])
def test_an_answer_without_end_is_read_to_its_bound(encoding: str, tmp_path: Path) -> None:
    block = b'{"choices": [' + b" " * 65536
    with rude_server() as rude:
        if encoding == "gzip":
            # Ten times what is read, from a few pages.
            packed = gzip.compress(b" " * MAX_BODY_BYTES * 10)
            rude.answers[PATH] = answer(packed, headers={"Content-Encoding": "gzip"})
        else:
            rude.answers[PATH] = endless(block, {"Content-Type": "application/json"})
        once = SINGLE.model_copy(update={"max_attempts": 1})
        stage = run(clips("dog"), once, model(rude.url), tmp_path)
    assert reasons(stage) == {"freesound-1": "no_answer"}
    assert f"too long (over {MAX_BODY_BYTES} bytes)" in stage.dropped.to_pylist()[0]["detail"]


def traceback_of(error: BaseException) -> str:
    """All that a log shows of an error, with those that led to it."""
    return "".join(traceback.format_exception(error))


@pytest.mark.slow
@pytest.mark.parametrize("status", [400, 401, 402, 404, 429, 500, 503])
def test_no_error_and_no_log_shows_the_key(status: int, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)

    async def ask(chat: ChatModel) -> None:
        async with chat:
            await chat.send([{"role": "user", "content": "dog"}], {"max_tokens": 9})

    with rude_server() as rude:
        body = b'{"error": {"message": "%s is no key", "code": "%s"}}' % (KEY.encode(), KEY.encode())
        rude.answers[PATH] = answer(body, f"{status} Refused")
        with pytest.raises((EndpointError, AnswerError, BusyError, TemporaryError)) as raised:
            asyncio.run(ask(ChatModel(model(rude.url).settings, max_retries=0)))
        assert rude.times(PATH) == 1
    outcome = raised.value.outcome if isinstance(raised.value, TemporaryError) else raised.value
    assert KEY not in traceback_of(raised.value) + repr(raised.value) + str(outcome)
    assert KEY not in caplog.text
    assert caplog.records


def test_a_password_in_the_address_is_refused_and_not_shown() -> None:
    with pytest.raises(ValidationError, match="contains a user name or a password") as raised:
        model(f"http://user:{KEY}@127.0.0.1:1")
    assert KEY not in traceback_of(raised.value)
