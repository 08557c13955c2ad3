"""Gives every asset a version of its code, with which the web UI marks what newer code would make again.

The version of an asset is a hash of its own function, without decorators, and of all definitions in our
packages that it uses, directly or not; see `versions.code`. So a new asset needs no line for it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from enum import Enum
from hashlib import sha256
from pathlib import Path
from types import FunctionType
from typing import Any, TypeVar

import dagster as dg
from pydantic import BaseModel

from wavcaps_assets.captioning import prompts
from wavcaps_assets.checks.quality_settings import load_settings
from wavcaps_assets.defs.collector import paused_collector
from wavcaps_assets.llm.prices import load_prices
from wavcaps_assets.settings import Settings
from wavcaps_assets.sources.base import Source
from wavcaps_assets.versions.code import PACKAGES, Code, Place
from wavcaps_assets.versions.known import KnownVersions

# In the folder of state.
FOLDER = "code_versions"
Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass(frozen=True)
class Scope:
    """What an asset's function uses of the code that it reaches.

    Attributes:
        without: definitions, modules or files of data that it reaches and does not use.
        functions: of those, the ones that it uses after all.
    """

    without: Sequence[str] = ()
    functions: Sequence[Callable[..., Any]] = ()


_SCOPES: dict[Callable[..., Any], Scope] = {}


def scoped(scope: Scope) -> Callable[[Function], Function]:
    """Decorates an asset's function, below `dg.asset`, that uses only a part of a table of functions."""

    def decorate(function: Function) -> Function:
        _SCOPES[function] = scope
        return function

    return decorate


def with_code_versions(definitions: dg.Definitions, settings: Settings, location: str) -> dg.Definitions:
    """The definitions, with a version of the code of each asset that a function makes.

    Args:
        settings: the files of the user that they name count too: prompts, thresholds and prices. Versions are
            kept in its folder of state.
        location: name of the code location, for the file of its versions.
    """
    own_files = _own_files(settings)
    code = Code(own_files=own_files)
    known = KnownVersions(settings.state / FOLDER / f"{location}.json", own_files)
    # Syntax trees are many objects.
    with paused_collector():
        assets = [
            _with_version(asset, code, known) if isinstance(asset, dg.AssetsDefinition) else asset
            for asset in definitions.assets or ()
        ]
    known.save()
    return dg.Definitions(
        assets=assets,
        asset_checks=definitions.asset_checks,
        jobs=definitions.jobs,
        schedules=definitions.schedules,
        sensors=definitions.sensors,
        resources=definitions.resources,
        executor=definitions.executor,
        loggers=definitions.loggers,
        metadata=definitions.metadata,
    )


def _own_files(settings: Settings) -> dict[str, Path]:
    """The user's files, by the definition that reads them."""
    files = {
        # All ways to the prompts lead there.
        f"{prompts.__name__}._own_files": settings.prompts,
        str(_place(load_settings)): settings.quality,
        str(_place(load_prices)): settings.llm.prices or "",
    }
    return {name: Path(path) for name, path in files.items() if path}


def _with_version(asset: dg.AssetsDefinition, code: Code, known: KnownVersions) -> dg.AssetsDefinition:
    function = getattr(asset.op.compute_fn, "decorated_fn", None) if asset.is_executable else None
    if not isinstance(function, FunctionType):
        return asset
    ours = function.__module__.partition(".")[0] in PACKAGES
    version = code_version(function, code, known if ours else None)
    return asset.map_asset_specs(lambda spec: spec.replace_attributes(code_version=version))


def code_version(function: FunctionType, code: Code, known: KnownVersions | None = None) -> str:
    """A hash of everything in our packages that decides what an asset's function returns.

    What it takes from the function around it counts, if it is passed on as a whole: the code of an object's
    class and, of data such as an experiment, the content. A list does not count, and neither do the paths and
    addresses of this machine.

    Args:
        known: versions that were computed before, to which this one is added.
    """
    scope = _SCOPES.get(function, Scope())
    outer = _outer_values(function)
    name = f"{function.__module__}.{function.__qualname__}"
    reads = known.reads(name) if known else None
    if known and reads is not None and (version := known.version(_key(name, _Given.of(outer, reads), scope))):
        return version
    uses, used_by_it = code.used_by(function.__module__, function.__qualname__, outer)
    reads = sorted(outer.keys() & uses.names)
    given = _Given.of(outer, reads)
    used = code.follow({*used_by_it, *given.classes, *map(_place, scope.functions)}, scope.without)
    code.add_files(used, uses, scope.without)
    version = used.version(uses.fingerprint.hex(), *given.content)
    if known:
        known.add(name, reads, _key(name, given, scope), version)
    return version


@dataclass(frozen=True)
class _Given:
    """What a function is given by the function around it.

    Attributes:
        classes: the classes and functions of ours that the values consist of.
        content: of data, as JSON.
    """

    classes: frozenset[Place]
    content: tuple[str, ...]

    @classmethod
    def of(cls, outer: Mapping[str, Any], reads: Sequence[str]) -> _Given:
        values = [outer[name] for name in reads if name in outer]
        return cls(
            frozenset(place for value in values for place in _classes(value)),
            tuple(
                json.dumps(_plain(value))
                for value in values
                if is_dataclass(value) and not isinstance(value, type | Source)
            ),
        )


def _key(name: str, given: _Given, scope: Scope) -> str:
    """What a version is made of, besides the code."""
    places = [sorted(map(str, some)) for some in (given.classes, map(_place, scope.functions), scope.without)]
    return sha256(json.dumps([name, *places, given.content]).encode()).hexdigest()


def _outer_values(function: FunctionType) -> Mapping[str, Any]:
    """The values of names that belong to the function around this one."""
    cells = dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=True))
    return {name: cell.cell_contents for name, cell in cells.items()}


def _classes(value: object) -> Iterator[Place]:
    """The classes and functions of ours that a value consists of."""
    if isinstance(value, type | FunctionType):
        yield from _ours(value)
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from _classes(one)
    else:
        yield from _ours(type(value))
        if is_dataclass(value) and not isinstance(value, Source):
            for one in fields(value):
                yield from _classes(getattr(value, one.name))


def _ours(value: type | FunctionType) -> Iterator[Place]:
    if value.__module__.partition(".")[0] in PACKAGES:
        yield _place(value)


def _place(value: Callable[..., Any]) -> Place:
    return Place(value.__module__, value.__qualname__.partition(".")[0])


def _plain(value: object) -> Any:
    """Data as JSON has it; of other objects, the class."""
    if isinstance(value, Enum):
        return value.value
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if is_dataclass(value) and not isinstance(value, type):
        return {one.name: _plain(getattr(value, one.name)) for one in fields(value)}
    if isinstance(value, Mapping):
        return [[_plain(name), _plain(one)] for name, one in value.items()]
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, set | frozenset):
        return sorted(map(_plain, value))
    return type(value).__qualname__
