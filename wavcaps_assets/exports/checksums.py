"""The checksum list of an export, which `sha256sum -c` accepts."""

from __future__ import annotations

from collections.abc import Iterable

from wavcaps_assets.exports.description import ExportedFile

SUMS = "SHA256SUMS"


def checksum_lines(files: Iterable[ExportedFile]) -> bytes:
    """A line for each file: its SHA-256, two spaces, its name (GNU coreutils, `sha256sum`)."""
    return "".join(f"{file.sha256}  {file.name}\n" for file in files).encode()
