"""A download in progress: the part that is on disk, and how to resume it."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from wavcaps_assets.masking import masked, masked_bytes
from wavcaps_assets.network.bodies import blocks
from wavcaps_assets.network.errors import TooLarge, Unavailable

ETAG, LAST_MODIFIED = "ETag", "Last-Modified"
# Pages of text are shorter, and audio quotes no request.
BYTES_SEARCHED = 2**20
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

    def discard_secrets(self) -> None:
        """Discards the part if its beginning quotes a request's secrets, as an error page may."""
        if not self._part.is_file():
            return
        with self._part.open("rb") as file:
            start = file.read(BYTES_SEARCHED)
        if masked_bytes(start) != start:
            self.discard()

    def receive(self, response: httpx.Response, limit: int, where: str, md5: str | None) -> Download:
        """Appends a response to the part, or replaces the part with it.

        Raises:
            TooLarge: the file has more than `limit` bytes.
            Unavailable: it is not the expected file; the next attempt starts from the beginning.
        """
        start, total = self._start(response)
        if start == 0:
            self._part.unlink(missing_ok=True)
            self._save_about(response)
        try:
            with self._part.open("ab") as file:
                for block in blocks(response, limit - start, where):
                    file.write(block)
        except TooLarge:
            self.discard()
            raise TooLarge(f"{where} is larger than {limit} bytes") from None
        self._check_total(total, where)
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

    def _start(self, response: httpx.Response) -> tuple[int, int | None]:
        """The offset of the response (0 unless it is the rest after the part), and the file's size.

        Raises:
            Unavailable: it is a part of another version, or another part than requested.
        """
        if response.status_code != 206:
            return 0, None
        match = CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
        kept = self._part.stat().st_size if self._part.is_file() else 0
        if match is None or int(match[1]) != kept:
            self.discard()
            raise Unavailable(f"{_shown(response)} returned another part of the file than requested")
        total = None if match[2] == "*" else int(match[2])
        about = self._about_part()
        changed = [
            name for name in (ETAG, LAST_MODIFIED) if _differs(about.get(name), response.headers.get(name))
        ]
        if _differs(about.get("total"), total):
            changed.append("size")
        if changed:
            self.discard()
            raise Unavailable(
                f"{_shown(response)} has a new version of the file ({', '.join(changed)}); "
                "the download starts again"
            )
        return kept, total

    def _check_total(self, total: int | None, where: str) -> None:
        """Checks that a resumed file is complete: a server may send less than the rest."""
        size = self._part.stat().st_size
        if total is None or size == total:
            return
        if size > total:
            self.discard()
        raise Unavailable(f"{where} has {size:,} of {total:,} bytes so far")

    def _save_about(self, response: httpx.Response) -> None:
        etag, modified = response.headers.get(ETAG, ""), response.headers.get(LAST_MODIFIED)
        # A weak tag does not promise the same bytes (RFC 9110, section 13.1.5).
        validator = etag if etag and not etag.startswith("W/") else modified
        # A server may echo a secret in any header.
        is_clean = masked(f"{etag} {modified}") == f"{etag} {modified}"
        if (
            validator
            and validator.isascii()
            and is_clean
            and response.headers.get("Content-Encoding") is None
        ):
            length = response.headers.get("Content-Length", "")
            about = {
                "url": self._url,
                "validator": validator,
                ETAG: etag or None,
                LAST_MODIFIED: modified,
                "total": int(length) if length.isdecimal() else None,
            }
            self._about.write_text(json.dumps(about))
        else:
            self._about.unlink(missing_ok=True)

    def _about_part(self) -> dict[str, Any]:
        try:
            about = json.loads(self._about.read_text())
        except (OSError, ValueError):
            return {}
        return about if isinstance(about, dict) and about.get("url") == self._url else {}

    def _validator(self) -> str | None:
        validator = self._about_part().get("validator")
        return validator if isinstance(validator, str) else None


def _differs(kept: object, now: object) -> bool:
    return kept is not None and now is not None and kept != now


def _shown(response: httpx.Response) -> str:
    return f"{response.url.scheme}://{response.url.netloc.decode('ascii', 'replace').rpartition('@')[2]}"
