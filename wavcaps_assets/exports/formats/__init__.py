"""The formats: each module has a `FORMAT`, and the name of its format. There is no other list of them."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

from wavcaps_assets.exports.format import ExportFormat


@cache
def all_formats() -> dict[str, ExportFormat[Any]]:
    """All formats by their names."""
    modules = [import_module(f"{__name__}.{found.name}") for found in iter_modules(__path__)]
    formats = [module.FORMAT for module in modules if hasattr(module, "FORMAT")]
    return {one.name: one for one in formats}
