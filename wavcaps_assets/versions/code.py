"""The version of a function: a hash of everything in our packages that decides what it returns.

It follows names from definition to definition. What a definition does not name, such as the method of an
object that it is given, must be among the starting points.
"""

from __future__ import annotations

import json
import sys
import tomllib
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path

from wavcaps_assets.versions.definitions import SourceFile, Uses
from wavcaps_assets.versions.plumbing import PLUMBING

PACKAGES = ("wavcaps_assets", "wavcaps_training")
LENGTH = 16


@dataclass(frozen=True)
class Place:
    """A definition: the module that it is in, and its name."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass
class Used:
    """What a version is made of.

    Attributes:
        places: definitions, by their fingerprints.
        files: files of data.
    """

    places: dict[Place, bytes] = field(default_factory=dict)
    files: set[Path] = field(default_factory=set)

    def version(self, *more: str) -> str:
        """A hash of all code and all content. Where it is does not matter.

        Args:
            more: content that is not in a file.
        """
        parts = sorted({*self.places.values(), *(content_of(path) for path in self.files)})
        parts += [sha256(one.encode()).digest() for one in more]
        return sha256(b"".join(parts)).hexdigest()[:LENGTH]


class Code:
    """The code of some packages.

    Args:
        packages: their names. What they import from others does not count.
        plumbing: modules and packages that do not count either, with the reason.
        own_files: files and folders of the user, by the definition that reads them.
    """

    def __init__(
        self,
        packages: Collection[str] = PACKAGES,
        plumbing: Mapping[str, str] = PLUMBING,
        own_files: Mapping[str, Path] | None = None,
    ) -> None:
        self._packages = frozenset(packages)
        self._plumbing = plumbing
        self._own_files = own_files or {}
        self._followed: dict[Place, frozenset[Place]] = {}

    def used_by(self, module: str, function: str, unseen: Collection[str] = ()) -> tuple[Uses, set[Place]]:
        """What a function uses, and the definitions among it.

        Args:
            function: its `__qualname__`; it may be inside another one.
            unseen: names that mean something else in the function, such as arguments of the outer one.
        """
        file = source_file(module)
        assert file is not None
        uses = file.uses_of_function(function)
        return uses, set(self._places(file, uses, unseen))

    def follow(self, starts: Iterable[Place], without: Collection[str] = ()) -> Used:
        """All definitions that some definitions use, and their files.

        Args:
            without: definitions, modules, or files in a package, such as `rules.table.RULES`, that are not
                followed.
        """
        used, waiting = Used(), list(starts)
        while waiting:
            place = waiting.pop()
            if place in used.places or self._is_left_out(place, without):
                continue
            file = source_file(place.module)
            if file is None or place.name not in file.names:
                continue
            uses = file.uses(place.name)
            used.places[place] = uses.fingerprint
            self.add_files(used, uses, without)
            if own := self._own_files.get(str(place)):
                _add(used, own, own, str(place), without)
            waiting += self._next(place, file, uses)
        return used

    def add_files(self, used: Used, uses: Uses, without: Collection[str] = ()) -> None:
        """Adds the files of data that a definition reads."""
        for package, path in uses.files:
            root = folder_of(package)
            _add(used, root, root / path, package, without)

    def _next(self, place: Place, file: SourceFile, uses: Uses) -> frozenset[Place]:
        if place not in self._followed:
            self._followed[place] = frozenset(self._places(file, uses))
        return self._followed[place]

    def _is_left_out(self, place: Place, without: Collection[str]) -> bool:
        return str(place) in without or place.module in without or self._is_plumbing(place.module)

    def _is_plumbing(self, module: str) -> bool:
        parts = module.split(".")
        return any(".".join(parts[: end + 1]) in self._plumbing for end in range(len(parts)))

    def _places(self, file: SourceFile, uses: Uses, unseen: Collection[str] = ()) -> Iterator[Place]:
        for name in uses.names:
            if name not in unseen:
                yield from self._named(file, uses, (name,))
        for chain in uses.attributes:
            if chain[0] not in unseen:
                yield from self._named(file, uses, chain)
        for module, inner in uses.named:
            if module.partition(".")[0] in self._packages:
                yield from self._in_module(module, (inner,) if inner else ())
        last = {chain[-1] for chain in uses.attributes}
        for package in uses.loaded:
            # Either all modules of the package, or those that a constant names.
            named = () if "iter_modules" in file.imports else file.all_strings
            for module in _modules_in(package, named):
                loaded = source_file(module)
                for name in loaded.names if loaded is not None else ():
                    if name in last:
                        yield Place(module, name)

    def _named(self, file: SourceFile, uses: Uses, chain: tuple[str, ...]) -> Iterator[Place]:
        name, *rest = chain
        if name in uses.imports:
            module, inner = uses.imports[name]
        elif name in file.names:
            yield Place(file.module, name)
            return
        elif name in file.imports:
            module, inner = file.imports[name]
        else:
            return
        if module.partition(".")[0] in self._packages:
            yield from self._in_module(module, (*((inner,) if inner else ()), *rest))

    def _in_module(self, module: str, names: tuple[str, ...]) -> Iterator[Place]:
        """The definition that a module has under a name; all of the module's, where it is not named."""
        file = source_file(module)
        if file is None or self._is_plumbing(module):
            return
        if not names:
            yield from (Place(module, name) for name in file.names)
        elif names[0] in file.names:
            yield Place(module, names[0])
        elif names[0] in file.imports and file.imports[names[0]] != (module, names[0]):
            origin, inner = file.imports[names[0]]
            if origin.partition(".")[0] in self._packages:
                yield from self._in_module(origin, (*((inner,) if inner else ()), *names[1:]))
        elif source_file(f"{module}.{names[0]}") is not None:
            yield from self._in_module(f"{module}.{names[0]}", names[1:])


def _add(used: Used, root: Path, path: Path, name: str, without: Collection[str]) -> None:
    """Adds the files of a folder, each by its path below the root, which has a name."""
    for file in _data_in(path):
        full = f"{name}/{file.relative_to(root).as_posix()}"
        if not any(full == one or full.startswith(f"{one}/") for one in without):
            used.files.add(file)


def source_file(module: str) -> SourceFile | None:
    """A module's file, read again only if it changed; None if there is no such module."""
    path = path_of(module)
    return None if path is None else _read(module, path, _changed(path))


@cache
def _read(module: str, path: Path, _changed: int) -> SourceFile:
    return SourceFile(module, path)


def _changed(path: Path) -> int:
    """When a file changed: part of the key under which its content is kept."""
    return path.stat().st_mtime_ns


def path_of(module: str) -> Path | None:
    """Where a module is, which is not imported for this."""
    if loaded := getattr(sys.modules.get(module), "__file__", None):
        return Path(loaded)
    package, _, name = module.rpartition(".")
    return _found(folder_of(package) if package else folder_of(module).parent, name)


@cache
def _found(folder: Path, name: str) -> Path | None:
    paths = (folder / f"{name}.py", folder / name / "__init__.py")
    return next((path for path in paths if path.exists()), None)


@cache
def folder_of(package: str) -> Path:
    """The folder of a package, which is not imported for this."""
    top, *parts = package.split(".")
    spec = find_spec(top)
    assert spec is not None and spec.submodule_search_locations
    return Path(spec.submodule_search_locations[0], *parts)


def _modules_in(package: str, named: Collection[str]) -> list[str]:
    """The modules of a package that are named; all, if none is."""
    there = {path.stem for path in folder_of(package).glob("*.py")} - {"__init__"}
    return [f"{package}.{name}" for name in sorted(there & {*named} or there)]


def _data_in(path: Path) -> list[Path]:
    """A file, or all files of data in a folder and those in it; of a package, only its own."""
    if not path.is_dir():
        return [path] if path.exists() else []
    files = path.glob("*") if (path / "__init__.py").exists() else path.rglob("*")
    return [file for file in files if file.is_file() and file.suffix != ".py" and file.name[0] != "."]


def content_of(path: Path) -> bytes:
    """A hash of a file of data. Comments and formatting of TOML and JSON do not count, nor do line ends."""
    return _hash_of(path, _changed(path))


@cache
def _hash_of(path: Path, _changed: int) -> bytes:
    text = path.read_bytes().replace(b"\r\n", b"\n")
    try:
        if path.suffix == ".toml":
            text = json.dumps(tomllib.loads(text.decode()), default=str).encode()
        elif path.suffix == ".json":
            text = json.dumps(json.loads(text)).encode()
    except ValueError:
        # Its reader says what is wrong with it.
        pass
    return sha256(path.name.encode() + b"\0" + text).digest()
