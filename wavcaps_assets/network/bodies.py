"""The body of a response, read in bounded memory whatever the server sends."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

import httpx

from wavcaps_assets.masking import masked
from wavcaps_assets.network.errors import BadAnswer, TooLarge

# zlib detects from the header which of the two it is.
GZIP_OR_ZLIB = zlib.MAX_WBITS | 32
BLOCK_BYTES = 1 << 16


def blocks(response: httpx.Response, limit: int, where: str) -> Iterator[bytes]:
    """The decoded body, in blocks of bounded size.

    Args:
        limit: largest decoded size (bytes).
        where: name of the page or file, for errors.

    Raises:
        TooLarge: it is larger than `limit`.
        BadAnswer: it is not encoded as its header says.
    """
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding in {"identity", ""}:
        decoded = response.iter_raw()
    elif encoding in {"gzip", "x-gzip", "deflate"}:
        decoded = _inflated(response, where)
    else:
        raise BadAnswer(f"{where} is encoded as {masked(encoding)[:40]!r}, which was not requested")
    size = 0
    for block in decoded:
        size += len(block)
        if size > limit:
            raise TooLarge(f"{where} is larger than {limit} bytes")
        yield block


def _inflated(response: httpx.Response, where: str) -> Iterator[bytes]:
    # A compressed kilobyte can contain a megabyte: decompress one block at a time.
    inflater = zlib.decompressobj(GZIP_OR_ZLIB)
    try:
        for packed in response.iter_raw():
            rest = packed
            while rest:
                yield inflater.decompress(rest, BLOCK_BYTES)
                rest = inflater.unconsumed_tail
        yield inflater.flush()
    except zlib.error as error:
        raise BadAnswer(f"{where} is not the compressed data that its header promises: {error}") from error
    if not inflater.eof:
        raise BadAnswer(f"{where} ends in the middle of the compressed data")
