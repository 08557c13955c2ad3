"""Which code made a checkpoint."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

DISTRIBUTION = "wavcaps-on-dagster"
NOT_INSTALLED = "not installed"


def package_version() -> str:
    """The version that this project is installed as, or that it runs from a folder of its sources."""
    try:
        return version(DISTRIBUTION)
    except PackageNotFoundError:
        return NOT_INSTALLED


@cache
def sources_sha256() -> str:
    """A hash of all Python files of this package, by their paths in it: another one is other code.

    It needs no version control, and so holds for an installed package too.
    """
    return folder_sha256(Path(__file__).parents[1])


def folder_sha256(folder: Path) -> str:
    """A hash of all Python files under a folder, whatever the machine's line ends."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.py"), key=lambda path: path.relative_to(folder).as_posix()):
        source = path.read_bytes().replace(b"\r\n", b"\n")
        digest.update(f"{path.relative_to(folder).as_posix()}\0{len(source)}\0".encode() + source)
    return digest.hexdigest()
