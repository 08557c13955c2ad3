"""Versions that were computed before, in a file: to follow all code takes longer than to read it.

They are valid for the code that they were computed from. A file that is missing or broken is no error: the
versions are computed again.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path

from wavcaps_assets.versions.code import PACKAGES, folder_of

logger = logging.getLogger(__name__)


class KnownVersions:
    """The versions of functions, by what they are made of besides the code.

    Args:
        path: the file. Several processes may read and write it at once.
        own_files: the user's files and folders that count as code, by the definition that reads them.
    """

    def __init__(self, path: Path, own_files: Mapping[str, Path] | None = None) -> None:
        self._path = path
        self._own_files = own_files or {}
        self._code = _digest(self._own_files)
        self._new = False
        self._reads, self._versions = self._load()

    def reads(self, function: str) -> list[str] | None:
        """The names from the function around it that a function reads; None if that is not known."""
        return self._reads.get(function)

    def version(self, key: str) -> str | None:
        """The version that was kept under a key."""
        return self._versions.get(key)

    def add(self, function: str, reads: Iterable[str], key: str, version: str) -> None:
        self._reads[function] = list(reads)
        self._versions[key] = version
        self._new = True

    def save(self) -> None:
        """Writes the file, if there is something new. Where that is not possible nothing is lost but time."""
        # Versions of code that was edited meanwhile are of neither the old nor the new code.
        if not self._new or _digest(self._own_files) != self._code:
            return
        content = {"code": self._code, "reads": self._reads, "versions": self._versions}
        written: Path | None = None
        try:
            # The folder of the instance is not made here.
            self._path.parent.parent.mkdir(exist_ok=True)
            self._path.parent.mkdir(exist_ok=True)
            with tempfile.NamedTemporaryFile("w", dir=self._path.parent, delete=False) as file:
                written = Path(file.name)
                json.dump(content, file)
            written.replace(self._path)
        except OSError as error:
            logger.debug("the versions of the code are not kept: %s", error)
            if written is not None:
                with suppress(OSError):
                    written.unlink(missing_ok=True)

    def _load(self) -> tuple[dict[str, list[str]], dict[str, str]]:
        try:
            content = json.loads(self._path.read_bytes())
            reads, versions = content["reads"], content["versions"]
            if content["code"] == self._code and _is_sound(reads, versions):
                return reads, versions
        except (OSError, ValueError, TypeError, KeyError):
            pass
        return {}, {}


def _is_sound(reads: object, versions: object) -> bool:
    """Whether what was read has the types of what was written."""
    if not isinstance(reads, dict) or not isinstance(versions, dict):
        return False
    names = reads.values()
    return all(
        isinstance(some, list) and all(isinstance(one, str) for one in some) for some in names
    ) and all(isinstance(version, str) for version in versions.values())


def _digest(own_files: Mapping[str, Path]) -> str:
    """A hash of all that versions can be made of: the files of the packages, and those of the user.

    Contents are read, because a file that was installed can have the size and the time of the one before.
    """
    total = sha256(repr((sys.version_info[:2], sorted(own_files))).encode())
    for path in sorted({*_code(), *_files(own_files.values())}):
        try:
            content = path.read_bytes()
        except OSError:
            # It was removed meanwhile. If it is needed, its reader says so.
            continue
        total.update(f"\0{path}\0{len(content)}\0".encode("utf-8", "surrogateescape"))
        total.update(content)
    return total.hexdigest()


def _code() -> Iterator[Path]:
    # Where only the data is made, the package of the models is not installed.
    yield from _files(folder_of(package) for package in PACKAGES if find_spec(package))
    # A package can have modules in other folders.
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] in PACKAGES and (file := getattr(module, "__file__", None)):
            yield Path(file)


def _files(paths: Iterable[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_file():
            yield path
        for folder, folders, names in os.walk(path):
            folders[:] = [one for one in folders if one != "__pycache__"]
            yield from (Path(folder, name) for name in names)
