"""A download in progress: the part that is on disk, and how to resume it."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path

import httpx

from wavcaps_assets.network.bodies import blocks
from wavcaps_assets.network.errors import TooLarge, Unavailable

CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")


@dataclass(frozen=True)
class Download:
    """A downloaded file.

    Attributes:
        bytes: its size.
        sha256: of its content.
        resumed_at: bytes kept from earlier attempts.
    """

    bytes: int
    sha256: str
    resumed_at: int


class Partial:
    """A download in progress: `<target>.part`, with the server's validator in `<target>.part.json`.

    Args:
        target: path of the complete file.
        url: its address.
    """

    def __init__(self, target: Path, url: str) -> None:
        self._target = target
        self._url = url
        self._part = target.with_name(f"{target.name}.part")
        self._about = target.with_name(f"{target.name}.part.json")
        target.parent.mkdir(parents=True, exist_ok=True)

    def headers(self) -> dict[str, str]:
        """Headers that request the rest, if there is a part and a validator that it is still current."""
        validator = self._validator()
        if validator is None or not self._part.is_file() or not (size := self._part.stat().st_size):
            return {}
        return {"Range": f"bytes={size}-", "If-Range": validator}

    def discard(self) -> None:
        self._part.unlink(missing_ok=True)
        self._about.unlink(missing_ok=True)

    def receive(self, response: httpx.Response, limit: int, where: str, md5: str | None) -> Download:
        """Appends a response to the part, or replaces the part with it.

        Raises:
            TooLarge: the file has more than `limit` bytes.
            Unavailable: it is not the expected file; the next attempt starts from the beginning.
        """
        start = self._start(response)
        if start == 0:
            self._part.unlink(missing_ok=True)
            self._save_validator(response)
        try:
            with self._part.open("ab") as file:
                for block in blocks(response, limit - start, where):
                    file.write(block)
        except TooLarge:
            self.discard()
            raise TooLarge(f"{where} is larger than {limit} bytes") from None
        with self._part.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        if md5 is not None:
            with self._part.open("rb") as file:
                found = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
            if found != md5.lower():
                self.discard()
                raise Unavailable(f"{where} has MD5 {found}, but its source gives {md5.lower()}")
        self._part.replace(self._target)
        self._about.unlink(missing_ok=True)
        return Download(self._target.stat().st_size, sha256, start)

    def _start(self, response: httpx.Response) -> int:
        """The offset of the response in the file: 0, unless it is the rest after the part."""
        match = CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
        if response.status_code != 206:
            return 0
        kept = self._part.stat().st_size if self._part.is_file() else 0
        if match is None or int(match[1]) != kept:
            self.discard()
            raise Unavailable(f"{_shown(response)} returned another part of the file than requested")
        return kept

    def _save_validator(self, response: httpx.Response) -> None:
        etag = response.headers.get("ETag", "")
        # A weak tag does not promise the same bytes (RFC 9110, section 13.1.5).
        validator = etag if etag and not etag.startswith("W/") else response.headers.get("Last-Modified")
        if validator and validator.isascii() and response.headers.get("Content-Encoding") is None:
            self._about.write_text(json.dumps({"url": self._url, "validator": validator}))
        else:
            self._about.unlink(missing_ok=True)

    def _validator(self) -> str | None:
        try:
            about = json.loads(self._about.read_text())
        except (OSError, ValueError):
            return None
        validator = about.get("validator") if about.get("url") == self._url else None
        return validator if isinstance(validator, str) else None


def _shown(response: httpx.Response) -> str:
    return f"{response.url.scheme}://{response.url.netloc.decode('ascii', 'replace').rpartition('@')[2]}"
