"""Which code made a checkpoint."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

DISTRIBUTION = "wavcaps-on-dagster"
NOT_INSTALLED = "not installed"


def package_version() -> str:
    """The installed version of this project, or that it is not installed."""
    try:
        return version(DISTRIBUTION)
    except PackageNotFoundError:
        return NOT_INSTALLED


@cache
def sources_sha256() -> str:
    """A hash of all Python files of this package and their paths; other code has another hash.

    It needs no version control, so it works for an installed package too.
    """
    return folder_sha256(Path(__file__).parents[1])


def folder_sha256(folder: Path) -> str:
    """A hash of all Python files in a folder; it does not depend on line endings."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.py"), key=lambda path: path.relative_to(folder).as_posix()):
        source = path.read_bytes().replace(b"\r\n", b"\n")
        digest.update(f"{path.relative_to(folder).as_posix()}\0{len(source)}\0".encode() + source)
    return digest.hexdigest()
