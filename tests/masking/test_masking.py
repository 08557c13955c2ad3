"""Registered secrets are replaced, however a server writes them."""

from __future__ import annotations

import html
import json
from datetime import UTC, datetime
from urllib.parse import quote

import pytest

from wavcaps_assets.masking import MASK, masked, masked_bytes, register_header, register_secret
from wavcaps_assets.network.errors import HostDown, Unavailable
from wavcaps_assets.store.errors import MissingFile, StoreError

SECRET = 'Sä"ret/+ & key=='


@pytest.mark.parametrize(
    "written",
    [SECRET, quote(SECRET, safe=""), json.dumps(SECRET), json.dumps({"a": SECRET}), html.escape(SECRET)],
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
