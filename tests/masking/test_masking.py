"""Registered secrets are replaced, however a server writes them."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Callable
from datetime import UTC, datetime
from urllib.parse import quote

import pytest

from wavcaps_assets.masking import MASK, masked, masked_bytes, register_header, register_secret
from wavcaps_assets.network.errors import HostDown, Unavailable
from wavcaps_assets.store.errors import MissingFile, StoreError

SECRET = 'Sä"ret/+ & key=='


@pytest.mark.parametrize(
    "written",
    [
        SECRET,
        quote(SECRET, safe=""),
        quote(quote(SECRET, safe=""), safe=""),
        json.dumps(SECRET),
        json.dumps({"a": SECRET}),
        json.dumps(SECRET, ensure_ascii=False),
        json.dumps({"body": json.dumps({"a": SECRET})}),
        html.escape(SECRET),
        repr({"a": SECRET}),
        repr(f"Token {SECRET}".encode()),
    ],
)
def test_a_secret_is_masked_in_every_encoding(written: str) -> None:
    register_secret(SECRET)
    for found in (masked(f"you sent {written}!"), masked_bytes(f"you sent {written}!".encode()).decode()):
        assert MASK in found
        assert not {"ret/", "ret%2F", "key=="} & {
            found[i : i + n] for i in range(len(found)) for n in (4, 5, 6)
        }


def test_a_secret_that_contains_another_is_masked_as_a_whole() -> None:
    register_secret("first-half", "first-half-and-more")
    assert masked("a first-half-and-more b first-half c") == f"a {MASK} b {MASK} c"


def test_the_token_of_a_header_is_masked_without_its_scheme() -> None:
    register_header("Authorization", "Bearer from-a-header")
    assert masked("token=from-a-header") == f"token={MASK}"


def test_short_values_do_not_damage_ordinary_text() -> None:
    register_secret("", None, "demo")
    assert masked("a demo of a sound") == "a demo of a sound"


def test_every_error_of_network_and_store_is_masked() -> None:
    register_secret("quoted-by-a-server")
    until = datetime(2026, 1, 1, tzinfo=UTC)
    for error in (
        Unavailable("says quoted-by-a-server", 3.0),
        HostDown("says quoted-by-a-server", until),
        StoreError("says quoted-by-a-server"),
        MissingFile("says quoted-by-a-server"),
    ):
        assert "quoted-by-a-server" not in repr(error)


def test_small_hexadecimal_digits_in_a_url() -> None:
    register_secret("ab+cd/ef=gh12")
    assert masked("https://example.org/?key=ab%2bcd%2fef%3dgh12") == f"https://example.org/?key={MASK}"


@pytest.mark.parametrize("user", ["", "u", "us", "use", "user"])
@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
def test_a_secret_in_base64_is_masked_wherever_it_begins(user: str, encode: Callable[[bytes], bytes]) -> None:
    secret = "a-password?of~20>chars"
    register_secret(secret)
    written = encode(f"{user}:{secret}".encode()).decode()
    found = masked(f"Authorization: Basic {written}")
    assert MASK in found
    left = found.replace(MASK, "").removeprefix("Authorization: Basic ")
    assert len(left) <= len(encode(f"{user}:".encode())) + 4


@pytest.mark.parametrize("secret", ["abc", "sesame", "x1y2z3!"])
@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Token {}",
        "{{'authorization': 'Bearer {}'}}",
        "https://example.org/?api_key={}&page=1",
        '{{"token": "{}"}}',
        '"{{\\"access_token\\": \\"{}\\"}}"',
        "&quot;secret&quot;: &quot;{}&quot;",
        "x-api-key: {}, accept: */*",
        "password%3D{}",
    ],
)
def test_a_short_secret_is_masked_behind_its_name(secret: str, text: str) -> None:
    register_secret(secret)
    for found in (masked(text.format(secret)), masked_bytes(text.format(secret).encode()).decode()):
        assert found == text.format(MASK)


@pytest.mark.parametrize("value", ["********", "----------------", "****", "…………………………", "ab"])
def test_what_a_form_shows_in_place_of_a_secret_is_none(value: str) -> None:
    register_secret(value)
    assert masked(f"a line {value} between paragraphs; token={value}") == (
        f"a line {value} between paragraphs; token={value}"
    )


def test_bytes_that_are_no_text_stay_as_they_are() -> None:
    register_secret("shorty", "a-longer-secret")
    assert masked_bytes(b"\xff\x00 token=shorty a-longer-secret \xfe") == (
        b"\xff\x00 token=\xe2\x80\xa6 \xe2\x80\xa6 \xfe"
    )
