"""The tokens of FreeSound's OAuth2 (https://freesound.org/docs/api/authentication.html)."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

TOKEN_LIFE_S = 86_400


class TokenRefused(ValueError):
    """A request gets no token. The message is OAuth's error code.

    Attributes:
        status: of the response.
    """

    def __init__(self, word: str, status: int) -> None:
        super().__init__(word)
        self.status = status


@dataclass
class Pair:
    """An access token, the time until which it is valid (s, of the clock), and its refresh token."""

    access: str
    refresh: str
    until: float


class Tokens:
    """Issues tokens and recognises them. A client has one pair; a new pair invalidates the one before.

    Args:
        life_s: how long an access token is valid (s).
        clock: the time (s).
    """

    def __init__(self, life_s: int = TOKEN_LIFE_S, clock: Callable[[], float] = time.monotonic) -> None:
        self._life_s = life_s
        self._clock = clock
        self._pairs: dict[str, Pair] = {}
        self._used_codes: set[str] = set()
        self._lock = threading.Lock()

    def answer(self, asked: Mapping[str, str]) -> dict[str, Any]:
        """A new pair, for a code or for the refresh token of the last pair; each is valid once.

        Raises:
            TokenRefused: the request is not valid; says why.
        """
        client = asked.get("client_id", "")
        if not client or not asked.get("client_secret"):
            raise TokenRefused("invalid_client", 401)
        with self._lock:
            grant = asked.get("grant_type")
            if grant == "authorization_code":
                code = asked.get("code", "")
                if not code or code in self._used_codes:
                    raise TokenRefused("invalid_grant", 400)
                self._used_codes.add(code)
            elif grant == "refresh_token":
                pair = self._pairs.get(client)
                if pair is None or asked.get("refresh_token") != pair.refresh:
                    raise TokenRefused("invalid_grant", 400)
            else:
                raise TokenRefused("unsupported_grant_type", 400)
            pair = Pair(secrets.token_hex(20), secrets.token_hex(20), self._clock() + self._life_s)
            self._pairs[client] = pair
        return {
            "access_token": pair.access,
            "scope": "read write read+write",
            "expires_in": self._life_s,
            "refresh_token": pair.refresh,
        }

    def problem(self, token: str) -> str | None:
        """Why an access token is not valid, in FreeSound's words; None if it is."""
        with self._lock:
            pair = next((pair for pair in self._pairs.values() if pair.access == token), None)
        if pair is None:
            return "Invalid token"
        return "Expired token" if self._clock() >= pair.until else None
