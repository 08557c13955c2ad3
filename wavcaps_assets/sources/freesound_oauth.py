"""The permission of a FreeSound account to download originals (OAuth2, authorization code flow).

It is given once, with `wavcaps freesound-login`, and renewed from then on. See
https://freesound.org/docs/api/authentication.html#oauth2-authentication.
"""

from __future__ import annotations

import json
import os
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import click
from filelock import FileLock, Timeout
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from wavcaps_assets.clock import utc_now
from wavcaps_assets.masking import register_secret
from wavcaps_assets.network.client import Network
from wavcaps_assets.network.errors import BadAnswer, NetworkError, NotAllowed, Paused, Refused, Unavailable
from wavcaps_assets.settings import Settings
from wavcaps_assets.sources.freesound_settings import FreesoundSettings
from wavcaps_assets.store.storage import StoreError, open_store

COMMAND = "wavcaps freesound-login"
FILE = "freesound_oauth.json"
# A token that is about to expire could expire before a long download starts.
RENEWED_BEFORE = timedelta(minutes=10)
# Longer than renewing takes with all retries.
LOCK_TIMEOUT_S = 600


class Answer(BaseModel):
    """What FreeSound answers to a code and to a refresh token."""

    model_config = ConfigDict(strict=True)

    access_token: SecretStr = Field(min_length=1)
    refresh_token: SecretStr = Field(min_length=1)
    expires_in: int = Field(ge=0, le=10**9, description="s")


@dataclass(frozen=True)
class Tokens:
    """An access token, the time until which it is valid (UTC), and the refresh token, which is valid once."""

    access: SecretStr
    refresh: SecretStr
    expires: datetime

    def __post_init__(self) -> None:
        register_secret(self.access.get_secret_value(), self.refresh.get_secret_value())

    def save(self, path: Path) -> None:
        """Writes a file that only its owner can read. The old file stays until the new one is complete."""
        path.parent.mkdir(parents=True, exist_ok=True)
        # mkstemp makes a file that only its owner can read.
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".part")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(
                    {
                        "access_token": self.access.get_secret_value(),
                        "refresh_token": self.refresh.get_secret_value(),
                        "expires": self.expires.isoformat(),
                    },
                    file,
                )
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(path)
        finally:
            with suppress(FileNotFoundError):
                Path(name).unlink()

    @classmethod
    def load(cls, path: Path) -> Tokens:
        """Reads the file that `save` wrote.

        Raises:
            NotAllowed: there is no file, or it cannot be read.
        """
        try:
            kept = json.loads(path.read_text(encoding="utf-8"))
            return cls(
                SecretStr(kept["access_token"]),
                SecretStr(kept["refresh_token"]),
                datetime.fromisoformat(kept["expires"]),
            )
        except FileNotFoundError:
            raise NotAllowed(
                f"FreeSound's originals require the permission of an account: run {COMMAND}"
            ) from None
        except (OSError, ValueError, KeyError, TypeError):
            # The error would quote the content, which is secret.
            raise NotAllowed(f"{path} cannot be read: run {COMMAND} again") from None


def access_token(settings: FreesoundSettings, state: Path, network: Network) -> str:
    """The token that an original is downloaded with, renewed when it is about to expire.

    Args:
        state: the folder of the tokens, which all downloading processes share. A refresh token is valid
            once, so only one process renews at a time.

    Raises:
        NotAllowed: there is no permission, or FreeSound does not renew it; names the command to run.
        Unavailable, Paused: FreeSound cannot be reached now.
    """
    path = state / FILE
    tokens = Tokens.load(path)
    if _is_good(tokens):
        return tokens.access.get_secret_value()
    try:
        with FileLock(f"{path}.lock", timeout=LOCK_TIMEOUT_S):
            # Another process may have renewed it meanwhile.
            tokens = Tokens.load(path)
            if not _is_good(tokens):
                grant = {"grant_type": "refresh_token", "refresh_token": tokens.refresh.get_secret_value()}
                tokens = _request(settings, network, grant)
                tokens.save(path)
    except Timeout as error:
        raise Unavailable(f"another process has been renewing {path} for {LOCK_TIMEOUT_S} s") from error
    return tokens.access.get_secret_value()


def exchange(settings: FreesoundSettings, state: Path, network: Network, code: str) -> None:
    """Exchanges an authorization code for tokens, and keeps them. A code is valid once, for ten minutes.

    Raises:
        NotAllowed: FreeSound refuses the code.
        Unavailable, Paused: FreeSound cannot be reached now.
    """
    tokens = _request(settings, network, {"grant_type": "authorization_code", "code": code})
    with FileLock(f"{state / FILE}.lock", timeout=LOCK_TIMEOUT_S):
        tokens.save(state / FILE)


def authorize_url(settings: FreesoundSettings) -> str:
    """The page on which the owner of an account gives the permission. It then shows the code."""
    query = urlencode({"client_id": settings.client_id, "response_type": "code"})
    return f"{settings.base_url}/apiv2/oauth2/authorize/?{query}"


def _is_good(tokens: Tokens) -> bool:
    return tokens.expires - utc_now() > RENEWED_BEFORE


def _request(settings: FreesoundSettings, network: Network, grant: dict[str, str]) -> Tokens:
    secret = settings.token.get_secret_value()
    if not settings.client_id or not secret:
        raise NotAllowed(
            "FreeSound's originals require the client id and the API key of your application: see "
            "https://freesound.org/apiv2/apply/, then set WAVCAPS_FREESOUND__CLIENT_ID and "
            "WAVCAPS_FREESOUND__TOKEN"
        )
    register_secret(secret, *(grant.get(name) for name in ("code", "refresh_token")))
    requested_at = utc_now()
    data = {"client_id": settings.client_id, "client_secret": secret, **grant}
    try:
        answer: Any = network.post_form(f"{settings.base_url}/apiv2/oauth2/access_token/", data)
    except (BadAnswer, Refused) as error:
        # 400 "invalid_grant", and 401 for a wrong key.
        raise NotAllowed(f"FreeSound gives no token ({error}): run {COMMAND}") from None
    try:
        read = Answer.model_validate(answer)
    except ValidationError:
        raise NotAllowed(f"FreeSound's answer holds no tokens; has it changed? Try {COMMAND}") from None
    return Tokens(read.access_token, read.refresh_token, requested_at + timedelta(seconds=read.expires_in))


@click.command("freesound-login")
def main() -> None:
    """Log in to FreeSound once, so that original files can be downloaded.

    FreeSound gives originals only to accounts: you log in on its page, and paste the code that it shows.
    """
    settings = Settings()
    freesound = FreesoundSettings.read(settings.demo_url)
    if not freesound.client_id or not freesound.token.get_secret_value():
        raise click.ClickException(
            "set WAVCAPS_FREESOUND__CLIENT_ID and WAVCAPS_FREESOUND__TOKEN, both from "
            "https://freesound.org/apiv2/apply/"
        )
    click.echo(f"Log in at FreeSound and give the permission on this page:\n\n  {authorize_url(freesound)}\n")
    code = click.prompt("The code that the page then shows", hide_input=True).strip()
    try:
        store = open_store(settings.store, settings.s3.endpoint_url or None, settings.s3.region or None)
        with Network(settings.state, settings.network, store) as network:
            exchange(freesound, settings.state, network, code)
    except (NetworkError, Paused, StoreError) as error:
        raise click.ClickException(str(error)) from None
    click.echo(
        f"Kept in {settings.state / FILE}. Set WAVCAPS_FREESOUND__AUDIO=original to download originals."
    )


if __name__ == "__main__":
    main()
