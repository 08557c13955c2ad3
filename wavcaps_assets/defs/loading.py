"""Loads the definitions of a folder: a new asset is a new file there, and no line elsewhere."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType

import dagster as dg


def load_folder(package: ModuleType, location: object) -> dg.Definitions:
    """The definitions of all modules of a package, as one.

    Args:
        package: its modules with a function `definitions(location) -> dg.Definitions` are loaded; what has
            none is a module that others share.
        location: passed to each.

    Raises:
        DagsterInvariantViolationError: two modules define the same resource, or an executor each.
    """
    modules = [import_module(f"{package.__name__}.{found.name}") for found in iter_modules(package.__path__)]
    return dg.Definitions.merge(
        *(module.definitions(location) for module in modules if hasattr(module, "definitions"))
    )
