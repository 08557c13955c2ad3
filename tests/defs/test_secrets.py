"""No secret is written anywhere, even if every server echoes it: real runs, then a search of all files."""

from __future__ import annotations

import base64
import html
import json
import socket
import tarfile
import traceback
from collections.abc import Callable, Iterator
from datetime import timedelta
from importlib import import_module
from inspect import isclass
from pathlib import Path
from typing import Any, get_args
from urllib.parse import quote

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import BaseModel, SecretStr

from tests.support.rude_server import Asked, RudeServer, answer, rude_server
from wavcaps_assets.backup.backup import back_up
from wavcaps_assets.backup.kinds import Kind
from wavcaps_assets.clock import utc_now
from wavcaps_assets.defs.captioning import captioning_assets
from wavcaps_assets.defs.crawl import crawl_definitions
from wavcaps_assets.defs.filtering import filtering_assets
from wavcaps_assets.defs.wiring import resources
from wavcaps_assets.network.client import Network
from wavcaps_assets.network.errors import NotAllowed
from wavcaps_assets.network.links import host_of
from wavcaps_assets.settings import Settings
from wavcaps_assets.sources import MODULES, all_sources
from wavcaps_assets.sources.freesound_oauth import FILE, Tokens, access_token
from wavcaps_assets.sources.freesound_settings import FreesoundSettings
from wavcaps_assets.sources.settings import SourceSettings
from wavcaps_assets.store.storage import Store
from wavcaps_assets.tables import DROPPED, FILTERED_CLIPS
from wavcaps_assets.tables.asset_tables import TableStore
from wavcaps_assets.tables.stage import Stage

MONTH = "2022-09"
SECRETS = {
    "WAVCAPS_FREESOUND__TOKEN": "planted-freesound-token",
    "WAVCAPS_LLM__API_KEY": "planted-language-model-key",
    "AWS_ACCESS_KEY_ID": "PLANTEDACCESSKEYID",
    "AWS_SECRET_ACCESS_KEY": "planted-aws-secret",
    "AWS_SESSION_TOKEN": "planted-aws-session-token",
    "WAVCAPS_ALERTS__WEBHOOK_URL": "https://hooks.example.org/planted-webhook",
    "WAVCAPS_ALERTS__SLACK_URL": "https://hooks.example.org/planted-slack-webhook",
    "WAVCAPS_ALERTS__EMAIL__PASSWORD": "planted-mail-password",
}
ACCESS, REFRESH = "planted-access-token", "planted-refresh-token"


def echo(asked: Asked) -> str:
    """A request, as a server's debug page quotes it."""
    return f"{dict(asked.headers)} {asked.body.decode(errors='replace')}"


@pytest.fixture
def server() -> Iterator[RudeServer]:
    with rude_server() as rude:
        yield rude


@pytest.fixture
def home(server: RudeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    host = host_of(server.url)
    environment = {
        **SECRETS,
        "DAGSTER_HOME": str(tmp_path),
        "WAVCAPS_STORE": str(tmp_path / "store"),
        "WAVCAPS_STATE": str(tmp_path / "state"),
        "WAVCAPS_FREESOUND__BASE_URL": server.url,
        "WAVCAPS_FREESOUND__CLIENT_ID": "me",
        "WAVCAPS_FREESOUND__FIRST_MONTH": MONTH,
        "WAVCAPS_FREESOUND__LAST_MONTH": MONTH,
        "WAVCAPS_FREESOUND__AUDIO": "original",
        "WAVCAPS_LLM__BASE_URL": f"{server.url}/v1",
        "WAVCAPS_LLM__MODEL": "echo",
        "WAVCAPS_LLM__FREE": "true",
        "WAVCAPS_NETWORK__PRIVATE_HOSTS": json.dumps([host]),
        "WAVCAPS_NETWORK__QUOTAS": json.dumps({host: {"per_minute": None}}),
        "WAVCAPS_NETWORK__ATTEMPTS": "1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": "/nonexistent",
        "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent",
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    Tokens(SecretStr(ACCESS), SecretStr(REFRESH), utc_now() + timedelta(1)).save(tmp_path / "state" / FILE)
    return tmp_path


def found(home: Path) -> set[tuple[str, str]]:
    """Every planted secret in every file and in a backup, in any encoding, but for the file of tokens."""
    whole = home / "backup.tar.zst"
    back_up(whole, Store(home / "store"), home / "state", home, tuple(Kind))
    compressed = pa.CompressedInputStream(str(whole), "zstd")
    with compressed as stream, tarfile.open(fileobj=stream, mode="r|") as tar:
        tar.extractall(home / "backup", filter="data")
    unpacked = [path for path in (home / "backup").rglob("*") if path.is_file()]
    assert len(unpacked) > 5 and not [path for path in unpacked if path.name == FILE]
    files = [path for path in home.rglob("*") if path.is_file() and path.name != FILE]
    assert len(files) > len(unpacked) + 5
    return {
        (secret, str(path.relative_to(home)))
        for path in files
        for content in contents(path)
        for secret in (*SECRETS.values(), ACCESS, REFRESH)
        if any(form in content for form in forms(secret))
    }


def contents(path: Path) -> Iterator[bytes]:
    """What a file contains, also where it is compressed."""
    yield path.read_bytes()
    if path.suffix == ".parquet":
        yield repr(pq.read_table(path).to_pylist()).encode()
    for line in path.read_bytes().splitlines() if "pages" in path.parts else ():
        record = json.loads(line)
        if packed := base64.b64decode(record.get("body", "")):
            yield pa.decompress(packed, record["bytes"], codec="zstd", asbytes=True)


def forms(secret: str) -> list[bytes]:
    """A secret, and the middle of its Base64 at any place."""
    encoded = [base64.b64encode(b"x" * before + secret.encode())[4:-4] for before in range(3)]
    return [secret.encode(), *encoded]


def secret_settings(model: type[BaseModel], prefix: str) -> Iterator[str]:
    """The environment variables of a model whose values are secrets."""
    for name, field in model.model_fields.items():
        inner = field.annotation
        if isclass(inner) and issubclass(inner, BaseModel):
            yield from secret_settings(inner, f"{prefix}{name.upper()}__")
        elif inner is SecretStr or SecretStr in get_args(inner):
            yield f"{prefix}{name.upper()}"


def test_every_secret_setting_is_planted() -> None:
    secrets = {*secret_settings(Settings, "WAVCAPS_")}
    for name in MODULES:
        module = import_module(f"wavcaps_assets.sources.{name}")
        for value in vars(module).values():
            if isclass(value) and issubclass(value, SourceSettings) and hasattr(value, "key"):
                secrets |= {*secret_settings(value, f"WAVCAPS_{value.key.upper()}__")}
    assert secrets == {name for name in SECRETS if name.startswith("WAVCAPS_")}


def materialize(assets: list[Any], partition: str, **more: Any) -> dg.ExecuteInProcessResult:
    with dg.DagsterInstance.get() as instance:
        return dg.materialize(
            assets,
            partition_key=partition,
            instance=instance,
            resources={**resources(Settings()), **more},
            raise_on_error=False,
        )


def freesound_assets() -> list[Any]:
    (source,) = (source for source in all_sources(Settings()) if source.name == "freesound")
    return list(crawl_definitions(source).assets)


def sound(number: int, text: str) -> dict[str, Any]:
    return {
        "id": number,
        "name": f"sound {number}",
        "description": text,
        "tags": ["echo"],
        "username": "someone",
        "license": "https://creativecommons.org/publicdomain/zero/1.0/",
        "created": "2022-09-01T00:00:00",
        "duration": 1.0,
        "md5": "0" * 32,
        "filesize": 1000,
        "type": "wav",
        "url": f"https://freesound.org/s/{number}/",
        "download": f"https://freesound.org/apiv2/sounds/{number}/download/",
        "previews": {"preview-hq-ogg": "https://freesound.org/a.ogg"},
    }


@pytest.mark.slow
def test_a_crawl_that_is_throttled(server: RudeServer, home: Path) -> None:
    def throttle(asked: Asked, connection: socket.socket) -> None:
        answer(echo(asked).encode(), "429 Slow down", {"X-Echo": "1"})(asked, connection)

    for path in ("/apiv2/search/text/", "/apiv2/search/"):
        server.answers[path] = throttle
    materialize(freesound_assets()[:1], MONTH)
    assert "planted-freesound-token" in echo(server.asked[0])
    assert found(home) == set()


@pytest.mark.slow
def test_a_crawl_whose_pages_and_files_echo_the_request(server: RudeServer, home: Path) -> None:
    def listing(asked: Asked, connection: socket.socket) -> None:
        page = {"count": 4, "results": [sound(number, echo(asked)) for number in range(1, 5)]}
        answer(json.dumps(page).encode())(asked, connection)

    def as_page(asked: Asked, connection: socket.socket) -> None:
        answer(b"<html>" + echo(asked).encode())(asked, connection)

    def as_noise(asked: Asked, connection: socket.socket) -> None:
        answer(f"\x01 Authorization: {asked.headers.get('authorization')}".encode())(asked, connection)

    def refusing(asked: Asked, connection: socket.socket) -> None:
        answer(echo(asked).encode(), "400 Bad")(asked, connection)

    def cut(asked: Asked, connection: socket.socket) -> None:
        headers = {"ETag": f'"{asked.headers.get("authorization")}"'}
        answer(b"RIFF", headers=headers, length=1000)(asked, connection)

    for path in ("/apiv2/search/text/", "/apiv2/search/"):
        server.answers[path] = listing
    for number, response in enumerate((as_page, as_noise, refusing, cut), 1):
        server.answers[f"/apiv2/sounds/{number}/download/"] = response
    materialize(freesound_assets(), MONTH)
    assert any("planted-access-token" in echo(asked) for asked in server.asked)
    assert found(home) == set()


@pytest.mark.slow
def test_a_crawl_whose_server_echoes_in_other_encodings_and_places(server: RudeServer, home: Path) -> None:
    def basic(asked: Asked) -> str:
        key = asked.headers.get("authorization", "").rpartition(" ")[2]
        return base64.b64encode(f"user:{key}".encode()).decode()

    texts: list[Callable[[Asked], str]] = [
        basic,
        lambda asked: json.dumps({"body": json.dumps(dict(asked.headers))}),
        lambda asked: quote(quote(echo(asked))),
        lambda asked: html.escape(repr(echo(asked).encode())),
        lambda asked: f"{'x' * 150} {echo(asked)}",
        lambda asked: "no text",
        lambda asked: "no text",
    ]

    def listing(asked: Asked, connection: socket.socket) -> None:
        sounds = [sound(number, text(asked)) for number, text in enumerate(texts, 1)]
        answer(json.dumps({"count": len(texts), "results": sounds}).encode())(asked, connection)

    def cut(asked: Asked, connection: socket.socket) -> None:
        # The part stays on the disk for the next attempt.
        body = f"RIFF {echo(asked)} {basic(asked)}".encode()
        answer(body, headers={"ETag": '"one"'}, length=len(body) + 1000)(asked, connection)

    def header(asked: Asked, connection: socket.socket) -> None:
        connection.sendall(f"HTTP/1.1 200 OK\r\n{echo(asked)}\r\n\r\n".encode())

    def encoding(asked: Asked, connection: socket.socket) -> None:
        key = asked.headers["authorization"]
        answer(b"x", headers={"Content-Encoding": f"{'x' * 20}{key}"})(asked, connection)

    def elsewhere(asked: Asked, connection: socket.socket) -> None:
        target = f"ftp://example.org/{'x' * 165}{asked.headers['authorization'].rpartition(' ')[2]}"
        answer(status="302 Found", headers={"Location": target})(asked, connection)

    def missing(asked: Asked, connection: socket.socket) -> None:
        path = quote(asked.headers["authorization"], safe="")
        answer(status="302 Found", headers={"Location": f"/there/{path}?{path}"})(asked, connection)

    server.answers["/apiv2/search/"] = listing
    for number, response in enumerate((cut, header, encoding, elsewhere, missing, cut, cut), 1):
        server.answers[f"/apiv2/sounds/{number}/download/"] = response
    materialize(freesound_assets(), MONTH)
    assert any("planted-access-token" in echo(asked) for asked in server.asked)
    assert found(home) == set()
    # Nor a part of one, where an error was shortened.
    parts = [secret[:12].encode() for secret in (ACCESS, SECRETS["WAVCAPS_FREESOUND__TOKEN"])]
    files = [path for path in home.rglob("*") if path.is_file() and path.name != FILE]
    assert not [path for path in files for text in contents(path) for part in parts if part in text]


@pytest.mark.slow
def test_a_short_key(server: RudeServer, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAVCAPS_FREESOUND__TOKEN", "q7Zk2")

    def listing(asked: Asked, connection: socket.socket) -> None:
        key = asked.headers["authorization"].rpartition(" ")[2]
        text = f"{echo(asked)} https://example.org/?token={key}&x"
        answer(json.dumps({"count": 1, "results": [sound(1, text)]}).encode())(asked, connection)

    server.answers["/apiv2/search/"] = listing
    materialize(freesound_assets()[:1], MONTH)
    assert "q7Zk2" in echo(server.asked[0])
    files = [path for path in home.rglob("*") if path.is_file() and path.name != FILE]
    assert not [path for path in files for text in contents(path) if b"q7Zk2" in text]


@pytest.mark.parametrize(
    "name",
    [
        *("WAVCAPS_LLM__BASE_URL", "WAVCAPS_RECORDINGS_URL", "WAVCAPS_AUDIOSET__CLIPS_URL"),
        *("WAVCAPS_FREESOUND__BASE_URL", "WAVCAPS_BBC__MEDIA_URL"),
    ],
)
def test_an_address_with_a_password_is_refused_and_not_shown(
    home: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "https://me:planted-password@example.org/x")
    with pytest.raises(ValueError, match="contains a user name or a password") as raised:
        all_sources(Settings())
    shown = "".join(traceback.format_exception(raised.value))
    assert "planted-password" not in shown
    assert name.rpartition("__")[2].removeprefix("WAVCAPS_").lower() in shown


def test_a_key_in_the_query_of_the_models_address_is_refused_and_not_shown(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAVCAPS_LLM__BASE_URL", "https://example.org/v1?key=planted-key")
    with pytest.raises(ValueError, match="a key belongs in WAVCAPS_LLM__API_KEY") as raised:
        Settings()
    assert "planted-key" not in "".join(traceback.format_exception(raised.value))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["no_json", "caption", "model_name", "400"])
def test_a_language_model_that_echoes(server: RudeServer, home: Path, kind: str) -> None:
    def respond(asked: Asked, connection: socket.socket) -> None:
        quoted = echo(asked)
        message = {"role": "assistant", "content": f"1. {quoted if kind == 'in the caption' else 'A dog.'}"}
        completion = {
            "id": "1",
            "object": "chat.completion",
            "created": 0,
            "model": quoted if kind == "model_name" else "echo",
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
        }
        body = quoted if kind == "no_json" else json.dumps(completion)
        if kind.isdecimal():
            body = json.dumps({"error": {"message": quoted[:150] + asked.headers["authorization"]}})
        answer(body.encode(), f"{kind if kind.isdecimal() else 200} Said")(asked, connection)

    server.answers["/v1/chat/completions"] = respond
    clip = {"clip_id": "soundbible-1", "source": "soundbible", "description": "A dog barks.", "events": []}
    TableStore(Store(home / "store")).write(
        ["filtered_clips"],
        "soundbible",
        Stage(FILTERED_CLIPS.from_rows([{**clip, "tags": []}]), DROPPED.empty()),
    )
    sources = all_sources(Settings())
    assets = [*filtering_assets(sources), *captioning_assets(sources, embedded_model=True)]
    with dg.DagsterInstance.get() as instance:
        dg.materialize(
            assets,
            selection=["llm_captions"],
            partition_key="soundbible",
            instance=instance,
            resources=resources(Settings()),
            raise_on_error=False,
        )
    assert any("planted-language-model-key" in echo(asked) for asked in server.asked)
    assert found(home) == set()


@pytest.mark.slow
def test_a_bucket_whose_server_echoes(
    server: RudeServer, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(asked: Asked, connection: socket.socket) -> None:
        text = f"{echo(asked)} {SECRETS['AWS_SECRET_ACCESS_KEY']}"
        code = f"Unknown{asked.headers.get('x-amz-security-token')}"
        body = f"<Error><Code>{code}</Code><Message>{text}</Message></Error>"
        answer(body.encode(), "403 Forbidden", {"Content-Type": "application/xml"})(asked, connection)

    for path in ("/wavcaps-bucket", "/wavcaps-bucket/"):
        server.answers[path] = refuse
    Store(home / "store").write_bytes("raw/sources.json", b"{}")
    monkeypatch.setenv("WAVCAPS_STORE", "s3://wavcaps-bucket")
    monkeypatch.setenv("WAVCAPS_S3__ENDPOINT_URL", server.url)
    monkeypatch.setenv("WAVCAPS_S3__REGION", "eu-west-2")
    materialize(freesound_assets()[:1], MONTH)
    sent = " ".join(echo(asked) for asked in server.asked)
    assert "PLANTEDACCESSKEYID" in sent and "planted-aws-session-token" in sent
    assert found(home) == set()


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "307 Temporary", "308 Permanent"])
def test_a_token_request_follows_no_redirect(server: RudeServer, home: Path, status: str) -> None:
    state = home / "state"
    Tokens(SecretStr(ACCESS), SecretStr(REFRESH), utc_now() - timedelta(1)).save(state / FILE)
    with rude_server() as elsewhere:
        server.answers["/apiv2/oauth2/access_token/"] = answer(
            status=status, headers={"Location": f"{elsewhere.url}/steal"}
        )
        settings = Settings()
        hosts = frozenset({host_of(server.url), host_of(elsewhere.url)})
        network_settings = settings.network.model_copy(update={"private_hosts": hosts})
        with (
            Network(state, network_settings) as network,
            pytest.raises(NotAllowed, match="redirect") as raised,
        ):
            access_token(FreesoundSettings.read(None), state, network)
        assert elsewhere.asked == []
    assert REFRESH not in str(raised.value)
