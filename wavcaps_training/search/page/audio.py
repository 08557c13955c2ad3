"""A clip's audio over HTTP, in ranges (RFC 9110, section 14), streamed from a folder or a bucket."""

from __future__ import annotations

import mimetypes
import re
from collections.abc import Iterator, Mapping
from typing import Any

from starlette.exceptions import HTTPException
from starlette.responses import Response, StreamingResponse

from wavcaps_assets.store.storage import MissingFile, OutsideStore, Store, StoreError

# One request to a bucket each.
PART_BYTES = 1 << 20
# Python refuses to read numbers of thousands of digits.
RANGE = re.compile(r"bytes=(?P<first>\d{0,30})-(?P<last>\d{0,30})", re.ASCII)


class NotThere(ValueError):
    """A range that begins after the end of the file."""


def audio_response(store: Store, clip: Mapping[str, Any], headers: Mapping[str, str]) -> Response:
    """The audio of a clip, or a range of it.

    A request for several ranges gets the whole file, as the standard permits.

    Args:
        store: where the audio is.
        clip: its `audio_path` and `samples_sha256`.
        headers: of the request.

    Raises:
        HTTPException: the audio is not in the store, or the store cannot be read.
    """
    path, etag = clip["audio_path"], f'"{clip["samples_sha256"]}"'
    try:
        size = store.size(path)
    except (MissingFile, OutsideStore) as error:
        raise HTTPException(404, "the audio of this clip is not in the store") from error
    except StoreError as error:
        raise HTTPException(503, f"the store cannot be read: {error}") from error
    about = {"Accept-Ranges": "bytes", "ETag": etag, "Cache-Control": "private, max-age=3600"}
    try:
        wanted = requested_range(headers.get("range", ""), size)
    except NotThere:
        return Response(status_code=416, headers={**about, "Content-Range": f"bytes */{size}"})
    # A part of a file that has changed does not fit what the browser has.
    if wanted is None or headers.get("if-range", etag) != etag:
        wanted, status = (0, size), 200
    else:
        status = 206
        about["Content-Range"] = f"bytes {wanted[0]}-{wanted[1] - 1}/{size}"
    about["Content-Length"] = str(wanted[1] - wanted[0])
    kind, _ = mimetypes.guess_type(path)
    return StreamingResponse(_parts(store, path, *wanted), status, about, kind or "application/octet-stream")


def requested_range(header: str, size: int) -> tuple[int, int] | None:
    """The first byte of a requested range and the one after its last; None: the whole file.

    Args:
        header: the value of `Range`; empty: there is none.
        size: of the file (bytes).

    Raises:
        NotThere: the file has no byte of the range.
    """
    match = RANGE.fullmatch(header.strip())
    if match is None or not (match["first"] or match["last"]):
        return None
    if not match["first"]:
        start, stop = max(size - int(match["last"]), 0), size
    else:
        start = int(match["first"])
        stop = min(int(match["last"]) + 1, size) if match["last"] else size
        if match["last"] and int(match["last"]) < start:
            return None
    if start >= size or stop <= start:
        raise NotThere
    return start, stop


def _parts(store: Store, path: str, start: int, stop: int) -> Iterator[bytes]:
    for first in range(start, stop, PART_BYTES):
        yield store.read_span(path, first, min(PART_BYTES, stop - first))
